package main

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Trust is what an auditor holds: keys of witnesses, roots of authorities, and checkpoints from before or from others.
type Trust struct {
	witnesses []Cosigner
	roots     []*x509.Certificate
	heads     []heldHead
}

type heldHead struct {
	name string
	*Checkpoint
}

func loadTrust(folder string) (*Trust, error) {
	found := &Trust{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		raw, err := os.ReadFile(name)
		if err == nil {
			err = found.take(entry.Name(), raw)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return found, nil
}

func (t *Trust) take(name string, raw []byte) error {
	switch {
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")):
		return t.takeBundle(name, raw)
	case bytes.Contains(raw, []byte("-----BEGIN CERTIFICATE-----")):
		for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
			one, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return err
			}
			t.roots = append(t.roots, one)
		}
	case bytes.Contains(raw, []byte("\n\n— ")):
		head, err := parseCheckpoint(raw)
		if err != nil {
			return err
		}
		t.heads = append(t.heads, heldHead{name, head})
	default:
		for _, line := range strings.Split(string(raw), "\n") {
			if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
				continue
			}
			one, err := parseVkey(line)
			if err != nil {
				return err
			}
			t.witnesses = append(t.witnesses, one)
		}
	}
	return nil
}

func (t *Trust) takeBundle(name string, raw []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	for _, member := range archive.File {
		if !strings.HasSuffix(member.Name, "/checkpoint") {
			continue
		}
		file, err := member.Open()
		if err != nil {
			return err
		}
		note, err := io.ReadAll(io.LimitReader(file, 1<<20))
		file.Close()
		if err != nil {
			return err
		}
		head, err := parseCheckpoint(note)
		if err != nil {
			return err
		}
		t.heads = append(t.heads, heldHead{name + "/" + member.Name, head})
	}
	return nil
}

// Anchor is a former head of the log that is kept with what others said of it.
type Anchor struct {
	*Checkpoint
	tokens map[string][]byte
}

// Shown is what a ledger, a bundle or a record shows of a log. Its records need the log's first end entries; roots are
// the heads at other sizes that are proven. A live log goes on growing, so others may be a little behind.
type Shown struct {
	head    *Checkpoint
	end     int
	anchors []Anchor
	roots   map[int]Hash
	live    bool
}

// readAnchors takes the anchors of a bundle or a record: each with the proof that the head extends it (RFC 6962, 2.1.2).
func (l *Log) readAnchors(raw []byte, head *Checkpoint, end int) (*Shown, error) {
	shown := &Shown{head: head, end: end, roots: map[int]Hash{head.Size: head.Root}}
	var all []struct {
		Note   string
		Proof  []string
		Tokens map[string]string
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("anchors: %w", err)
	}
	for _, one := range all {
		read := func(note string) (*Checkpoint, error) { return parseCheckpoint([]byte(note)) }
		bare := !strings.Contains(one.Note, "\n\n")
		if bare {
			read = parseHead // the text alone: nobody vouches for it
		}
		anchor := Anchor{tokens: map[string][]byte{}}
		var err error
		if anchor.Checkpoint, err = read(one.Note); err != nil {
			return nil, fmt.Errorf("anchors: %w", err)
		}
		proof, err := decodeHashes(one.Proof)
		if err != nil {
			return nil, fmt.Errorf("anchors: %w", err)
		}
		if anchor.Origin == head.Origin && extends(anchor.Size, head.Size, anchor.Root, head.Root, proof) {
			shown.roots[anchor.Size] = anchor.Root
		} else {
			l.report.wrong("shard %d: it is not proven that the head extends the checkpoint of %d entries", l.shard, anchor.Size)
			continue
		}
		for name, encoded := range one.Tokens {
			if anchor.tokens[name], err = base64.StdEncoding.DecodeString(encoded); err != nil {
				return nil, fmt.Errorf("anchors: %w", err)
			}
		}
		if !bare {
			shown.anchors = append(shown.anchors, anchor)
		}
	}
	return shown, nil
}

// keptAnchors reads the folder anchors/ of a shard.
func keptAnchors(folder string) ([]Anchor, error) {
	var found []Anchor
	names, _ := filepath.Glob(filepath.Join(folder, "*.note"))
	sort.Strings(names)
	if _, err := os.Stat(filepath.Join(folder, "cosigned")); err == nil {
		names = append(names, filepath.Join(folder, "cosigned"))
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		anchor := Anchor{tokens: map[string][]byte{}}
		if anchor.Checkpoint, err = parseCheckpoint(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		size := strings.TrimSuffix(filepath.Base(name), ".note")
		if number, err := strconv.Atoi(size); err == nil && number != anchor.Size {
			return nil, fmt.Errorf("%s: it is of %d entries", name, anchor.Size)
		}
		tokens, _ := filepath.Glob(filepath.Join(folder, size+".*.tsr"))
		for _, path := range tokens {
			if anchor.tokens[filepath.Base(path)], err = os.ReadFile(path); err != nil {
				return nil, err
			}
		}
		found = append(found, anchor)
	}
	return found, nil
}

// judge holds what is shown against what the auditor holds.
func (l *Log) judge(shown *Shown, trust *Trust) {
	good := []Anchor{{Checkpoint: shown.head}}
	for _, one := range shown.anchors {
		root, known := shown.roots[one.Size]
		switch {
		case !l.signed(one.Checkpoint):
			l.report.wrong("shard %d: no key of this log signed the kept checkpoint of %d entries", l.shard, one.Size)
		case one.Size > shown.head.Size:
			l.report.wrong("shard %d: a kept checkpoint has %d entries, the log has %d", l.shard, one.Size, shown.head.Size)
		case one.Origin != shown.head.Origin || !known || root != one.Root:
			l.report.wrong("shard %d: the kept checkpoint of %d entries is of another history", l.shard, one.Size)
		default:
			good = append(good, one)
		}
	}
	if trust == nil {
		l.report.notShown("witnesses, time stamps and earlier checkpoints: nothing was given to compare with")
		return
	}
	for _, witness := range trust.witnesses {
		l.judgeWitness(shown, good, witness)
	}
	if len(trust.roots) > 0 {
		l.judgeStamps(shown, good, trust.roots)
	}
	for _, held := range trust.heads {
		l.judgeHeld(shown, held)
	}
}

// signed says whether one of the keys that the log ever named signed this.
func (l *Log) signed(checkpoint *Checkpoint) bool {
	for _, key := range l.keys.all {
		if checkpoint.Origin == l.keys.origin && checkpoint.signedBy(ed25519.PublicKey(key)) {
			return true
		}
	}
	return false
}

func (l *Log) judgeWitness(shown *Shown, good []Anchor, witness Cosigner) {
	best := Seen{Size: -1}
	for _, one := range good {
		at, err := one.cosigned(witness)
		if err != nil {
			l.report.wrong("shard %d, the checkpoint of %d entries: %v", l.shard, one.Size, err)
		} else if at > 0 && one.Size >= best.Size {
			best = Seen{witness.Name, one.Size, int64(at) * 1e9}
		}
	}
	if best.Size < 0 {
		l.report.unproven("shard %d: %s cosigned nothing that is shown", l.shard, witness.Name)
		return
	}
	l.report.Witnessed = append(l.report.Witnessed, best)
	l.lacks(shown, best.Size, witness.Name)
}

func (l *Log) judgeStamps(shown *Shown, good []Anchor, roots []*x509.Certificate) {
	newest := -1
	var refused []string
	for _, one := range good {
		for name, token := range one.tokens {
			at, err := verifyStamp(token, one.text, roots)
			if err != nil {
				refused = append(refused, fmt.Sprintf("shard %d, %d entries, stamped by %s: %v", l.shard, one.Size, name, err))
				continue
			}
			name = strings.TrimSuffix(name, ".tsr")
			l.report.Stamped = append(l.report.Stamped, Seen{name[strings.LastIndex(name, ".")+1:], one.Size, at.UnixNano()})
			if one.Size > newest {
				newest = one.Size
			}
		}
	}
	sort.Strings(refused)
	for _, said := range refused {
		if newest < 0 {
			l.report.unproven("%s", said)
		} else {
			l.report.notShown("%s", said)
		}
	}
	if newest < 0 {
		l.report.unproven("shard %d: no time stamp of an authority that is held", l.shard)
		return
	}
	l.lacks(shown, newest, "a time stamp")
}

// lacks tells of entries that somebody did not see yet.
func (l *Log) lacks(shown *Shown, size int, by string) {
	switch {
	case size >= shown.end:
	case shown.live:
		l.report.notShown("shard %d: %s covers %d entries of %d", l.shard, by, size, shown.end)
	default:
		l.report.unproven("shard %d: %s covers %d entries of %d", l.shard, by, size, shown.end)
	}
}

func (l *Log) judgeHeld(shown *Shown, held heldHead) {
	if held.Origin != shown.head.Origin {
		return
	}
	root, known := shown.roots[held.Size]
	switch {
	case !l.signed(held.Checkpoint):
		l.report.unproven("%s: no key of this log signed it", held.name)
	case shown.live && held.Size > shown.head.Size:
		l.report.wrong("%s: it has %d entries, the log has %d", held.name, held.Size, shown.head.Size)
	case !known:
		l.report.unproven("%s: no proof leads from or to its %d entries", held.name, held.Size)
	case root != held.Root:
		l.report.wrong("%s: it is of another history", held.name)
	default:
		l.report.Held = append(l.report.Held, Seen{held.name, held.Size, 0})
	}
}

// extends checks a consistency proof.
func extends(old, size int, oldRoot, root Hash, proof []Hash) bool {
	if old > size || old < 1 {
		return false
	}
	if old == size {
		return len(proof) == 0 && oldRoot == root
	}
	if old&(old-1) == 0 {
		proof = append([]Hash{oldRoot}, proof...)
	}
	if len(proof) == 0 {
		return false
	}
	first, last := old-1, size-1
	for first&1 == 1 {
		first, last = first>>1, last>>1
	}
	left, right := proof[0], proof[0]
	for _, node := range proof[1:] {
		if last == 0 {
			return false
		}
		if first&1 == 1 || first == last {
			left, right = nodeHash(node, left), nodeHash(node, right)
			for first != 0 && first&1 == 0 {
				first, last = first>>1, last>>1
			}
		} else {
			right = nodeHash(right, node)
		}
		first, last = first>>1, last>>1
	}
	return last == 0 && left == oldRoot && right == root
}

func decodeHashes(texts []string) ([]Hash, error) {
	var found []Hash
	for _, text := range texts {
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(raw) != 32 {
			return nil, errors.New("a proof holds what is no hash")
		}
		found = append(found, *(*Hash)(raw))
	}
	return found, nil
}
