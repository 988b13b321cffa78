package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// mostSignatures is how many lines of signatures a note may have.
const mostSignatures = 64

// Checkpoint is a signed tree head (c2sp.org/tlog-checkpoint) and the note that carries it.
type Checkpoint struct {
	Origin     string
	Size       int
	Root       Hash
	text       string
	signatures []string
}

func parseCheckpoint(raw []byte) (*Checkpoint, error) {
	cut := bytes.LastIndex(raw, []byte("\n\n"))
	if cut < 0 {
		return nil, errors.New("the checkpoint is no signed note")
	}
	found, err := parseHead(string(raw[:cut+1]))
	if err != nil {
		return nil, err
	}
	signatures := strings.Split(strings.TrimSuffix(string(raw[cut+2:]), "\n"), "\n")
	if len(signatures) > mostSignatures {
		return nil, errors.New("the checkpoint has too many signatures")
	}
	for _, line := range signatures {
		if !strings.HasPrefix(line, "— ") {
			return nil, errors.New("the checkpoint has a line that is no signature")
		}
		found.signatures = append(found.signatures, strings.TrimPrefix(line, "— "))
	}
	return found, nil
}

// parseHead reads a note's text, without its signatures.
func parseHead(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return nil, errors.New("the checkpoint has too few lines")
	}
	size, err := strconv.Atoi(lines[1])
	if err != nil || size < 0 || strconv.Itoa(size) != lines[1] {
		return nil, errors.New("the checkpoint's size is no number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return nil, errors.New("the checkpoint's root is no hash")
	}
	found := &Checkpoint{Origin: lines[0], Size: size, text: text}
	copy(found.Root[:], root)
	return found, nil
}

// signedBy says whether the note carries this Ed25519 key's signature under its origin's name (c2sp.org/signed-note).
func (c *Checkpoint) signedBy(key ed25519.PublicKey) bool {
	id := sha256.Sum256(append([]byte(c.Origin+"\n\x01"), key...))
	for _, line := range c.signatures {
		name, encoded, found := strings.Cut(line, " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !found || err != nil || name != c.Origin || len(raw) != 4+ed25519.SignatureSize || !bytes.Equal(raw[:4], id[:4]) {
			continue
		}
		if ed25519.Verify(key, []byte(c.text), raw[4:]) {
			return true
		}
	}
	return false
}

// Keys follows the log's key entries from the first to the one that signs now.
type Keys struct {
	origin        string
	root, current ed25519.PublicKey
	second        []byte              // ML-DSA-44, nil if the current entry names none
	all           []ed25519.PublicKey // every key that ever signed
}

func decodeKey(value any) (ed25519.PublicKey, error) {
	text, _ := value.(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 public key in base64")
	}
	return raw, nil
}

func (k *Keys) take(raw []byte, shard int) error {
	entry, err := object(raw)
	if err != nil {
		return err
	}
	root, err := decodeKey(entry["root"])
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	key, err := decodeKey(entry["key"])
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	print := sha256.Sum256(root)
	if origin := fmt.Sprintf("watchbill/%s/%d", hex.EncodeToString(print[:8]), shard); entry["origin"] != origin {
		return fmt.Errorf("its origin is not %s", origin)
	} else if k.origin == "" {
		k.origin = origin
	}
	signatures, _ := entry["signatures"].(map[string]any)
	delete(entry, "signatures")
	said := append([]byte("watchbill key entry v1\n"), canonical(entry)...)
	if !verified(root, said, signatures["root"]) {
		return errors.New("the root's signature is wrong")
	}
	if k.root != nil && !bytes.Equal(k.root, root) {
		return errors.New("it has another root than the entries before")
	}
	if k.current == nil {
		if entry["old"] != nil {
			return errors.New("the first key names one before it")
		}
	} else {
		old, err := decodeKey(entry["old"])
		if err != nil || !bytes.Equal(old, k.current) {
			return errors.New("it does not follow the key before")
		}
		if !verified(k.current, said, signatures["old"]) {
			return errors.New("the old key's signature is wrong")
		}
	}
	var second []byte
	if entry["mldsa44"] != nil {
		text, _ := entry["mldsa44"].(string)
		if second, err = base64.StdEncoding.DecodeString(text); err != nil || len(second) != mldsaKeySize {
			return errors.New("mldsa44: not an ML-DSA-44 public key in base64")
		}
	}
	k.root, k.current, k.second = root, key, second
	k.all = append(k.all, key)
	return nil
}

func verified(key ed25519.PublicKey, said []byte, signature any) bool {
	text, _ := signature.(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(raw) == ed25519.SignatureSize && ed25519.Verify(key, said, raw)
}

// object reads a JSON object with its numbers as they are written.
func object(raw []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var found map[string]any
	if err := decoder.Decode(&found); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("more than one object")
	}
	return found, nil
}

func canonical(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
