// Makes transparency.json with implementations that share nothing with Watchbill: golang.org/x/mod v0.42.0
// (sumdb/note, sumdb/tlog) and github.com/transparency-dev/formats v0.1.1 (cosignatures, Ed25519 and ML-DSA-44).
// Run: go mod init vectors && go mod tidy && go run main.go > transparency.json
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type store []tlog.Hash

func (s *store) ReadHashes(idx []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(idx))
	for i, x := range idx {
		out[i] = (*s)[x]
	}
	return out, nil
}

func key(name string, seedByte byte) (string, string) {
	seed := bytes.Repeat([]byte{seedByte}, 32)
	priv := ed25519.NewKeyFromSeed(seed)
	pub := priv.Public().(ed25519.PublicKey)
	id := func(a byte) string {
		h := sha256.New()
		h.Write([]byte(name + "\n"))
		h.Write(append([]byte{a}, pub...))
		return hex.EncodeToString(h.Sum(nil)[:4])
	}
	sk := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", name, id(1), base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)))
	vk := fmt.Sprintf("%s+%s+%s", name, id(1), base64.StdEncoding.EncodeToString(append([]byte{1}, pub...)))
	return sk, vk
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	out := map[string]any{}
	var s store
	var roots []string
	for i := 0; i < 70; i++ {
		data := []byte(fmt.Sprintf("entry %d", i))
		s = append(s, must(tlog.StoredHashes(int64(i), data, &s))...)
		r := must(tlog.TreeHash(int64(i+1), &s))
		roots = append(roots, hex.EncodeToString(r[:]))
	}
	out["roots"] = roots
	type proof struct {
		Old, New int64
		Proof    []string
	}
	var cons, incl []proof
	for _, p := range [][2]int64{{1, 1}, {1, 2}, {1, 70}, {2, 3}, {3, 7}, {4, 7}, {6, 7}, {7, 7}, {8, 70}, {31, 64}, {32, 64}, {63, 70}, {64, 65}, {69, 70}} {
		tp := must(tlog.ProveTree(p[1], p[0], &s))
		x := proof{p[0], p[1], []string{}}
		for _, h := range tp {
			x.Proof = append(x.Proof, hex.EncodeToString(h[:]))
		}
		cons = append(cons, x)
		rp := must(tlog.ProveRecord(p[1], p[0]-1, &s))
		y := proof{p[0] - 1, p[1], []string{}}
		for _, h := range rp {
			y.Proof = append(y.Proof, hex.EncodeToString(h[:]))
		}
		incl = append(incl, y)
	}
	out["consistency"] = cons
	out["inclusion"] = incl

	sk, vk := key("watchbill/0011223344556677/0", 7)
	wsk, wvk := key("witness.example/w1", 9)
	signer := must(note.NewSigner(sk))
	cs := must(fnote.NewSignerForCosignatureV1(wsk))
	msk, mvk, err := fnote.GenerateMLDSAKey("witness.example/pq")
	if err != nil {
		panic(err)
	}
	ms := must(fnote.NewMLDSASigner(msk))
	text := fmt.Sprintf("watchbill/0011223344556677/0\n70\n%s\n", func() string { b, _ := hex.DecodeString(roots[69]); return base64.StdEncoding.EncodeToString(b) }())
	n := must(note.Sign(&note.Note{Text: text}, signer, cs, ms))
	out["note"] = string(n)
	out["log_vkey"] = vk
	out["witness_vkey"] = must(fnote.VKeyToCosignatureV1(wvk))
	out["mldsa_vkey"] = mvk
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)

	enc.Encode(out)
}
