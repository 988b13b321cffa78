package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	cosignEd25519 = 0x04
	cosignMLDSA   = 0x06
)

// Cosigner is a witness, or the log's own second key: a name and a key of one of two kinds (c2sp.org/tlog-cosignature).
type Cosigner struct {
	Name string
	kind byte
	key  []byte
}

func (c Cosigner) id() []byte {
	sum := sha256.Sum256(append([]byte(c.Name+"\n"+string([]byte{c.kind})), c.key...))
	return sum[:4]
}

func parseVkey(text string) (Cosigner, error) {
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 {
		return Cosigner{}, errors.New("this is no vkey")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) < 2 {
		return Cosigner{}, errors.New("a vkey's key is no base64")
	}
	found := Cosigner{parts[0], raw[0], raw[1:]}
	size := map[byte]int{cosignEd25519: ed25519.PublicKeySize, cosignMLDSA: mldsaKeySize}[found.kind]
	if size == 0 || len(found.key) != size || hex.EncodeToString(found.id()) != parts[1] {
		return Cosigner{}, errors.New("a vkey of a kind or id that is not right")
	}
	return found, nil
}

// cosigned says when this key cosigned the note; 0 if it did not. A line by it that is wrong is an error.
func (c *Checkpoint) cosigned(by Cosigner) (uint64, error) {
	latest := uint64(0)
	for _, line := range c.signatures {
		name, encoded, _ := strings.Cut(line, " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || name != by.Name || len(raw) < 4 || !bytes.Equal(raw[:4], by.id()) {
			continue
		}
		if len(raw) < 12 {
			return 0, fmt.Errorf("the cosignature of %s is cut off", name)
		}
		at := binary.BigEndian.Uint64(raw[4:])
		good := false
		if by.kind == cosignEd25519 {
			message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, c.text)
			good = len(raw) == 12+ed25519.SignatureSize && ed25519.Verify(by.key, []byte(message), raw[12:])
		} else {
			good = verifyMLDSA(by.key, c.subtree(by.Name, at), raw[12:])
		}
		if !good {
			return 0, fmt.Errorf("the cosignature of %s is wrong", name)
		}
		if at > latest {
			latest = at
		}
	}
	return latest, nil
}

// subtree is what an ML-DSA-44 key signs.
func (c *Checkpoint) subtree(name string, at uint64) []byte {
	out := []byte("subtree/v1\n\x00")
	out = append(append(out, byte(len(name))), name...)
	out = binary.BigEndian.AppendUint64(out, at)
	out = append(append(out, byte(len(c.Origin))), c.Origin...)
	out = binary.BigEndian.AppendUint64(out, 0)
	out = binary.BigEndian.AppendUint64(out, uint64(c.Size))
	return append(out, c.Root[:]...)
}
