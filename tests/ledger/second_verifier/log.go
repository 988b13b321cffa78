package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Manifest is what the log says of a segment.
type Manifest struct {
	Kind, Previous, Root string
	V                    int
	Shard, Segment       uint64
	First                uint64
	Count                int
	Received             [2]int64
	Sources              [][4]uint64
	Drops                []Drop
}

// Log is one shard's entries, as far as they are known, and what follows from them.
type Log struct {
	report   *Report
	shard    uint64
	size     int
	entries  map[int][]byte
	keys     Keys
	deleted  Deletions
	manifest map[int]*Manifest
}

// Deletions says which records may be without their bytes.
type Deletions struct {
	segments map[uint64]map[uint64]bool
	records  [][2]uint64
}

func (d *Deletions) names(segment, position uint64, source uint32) bool {
	if d.segments[segment][uint64(source)] {
		return true
	}
	for _, part := range d.records {
		if position >= part[0] && position-part[0] < part[1] {
			return true
		}
	}
	return false
}

// read takes all known entries in order: keys, deletions, manifests and how they follow each other.
func (l *Log) read() {
	l.manifest = map[int]*Manifest{}
	l.deleted.segments = map[uint64]map[uint64]bool{}
	order := make([]int, 0, len(l.entries))
	for index := range l.entries {
		order = append(order, index)
	}
	sort.Ints(order)
	before := -1
	for _, index := range order {
		raw := l.entries[index]
		where := fmt.Sprintf("shard %d, entry %d", l.shard, index)
		var kind struct{ Kind string }
		if err := json.Unmarshal(raw, &kind); err != nil {
			l.report.wrong("%s: %v", where, err)
			continue
		}
		switch kind.Kind {
		case "key":
			if err := l.keys.take(raw, int(l.shard)); err != nil {
				l.report.wrong("%s: the key: %v", where, err)
			}
		case "segment":
			manifest := &Manifest{}
			if err := json.Unmarshal(raw, manifest); err != nil || manifest.V != 1 || manifest.Shard != l.shard {
				l.report.wrong("%s: the manifest cannot be read (%v)", where, err)
				continue
			}
			l.manifest[index] = manifest
			l.follows(where, manifest, before)
			before = index
		case "retention", "incident":
			l.retention(where, raw, kind.Kind == "incident")
		case "erasure":
			l.erasure(where, raw)
		default:
			l.report.wrong("%s: its kind %q is not known", where, kind.Kind)
		}
	}
	if l.keys.current == nil {
		l.report.wrong("shard %d: no key entry is there", l.shard)
	}
}

func (l *Log) follows(where string, manifest *Manifest, before int) {
	if before < 0 {
		// Of a bundle the first manifest has others before it, which are not here.
		if manifest.Segment == 0 && (manifest.Previous != "" || manifest.First != 0) {
			l.report.wrong("%s: the first segment does not begin the ledger", where)
		}
		return
	}
	last := l.manifest[before]
	hash := leafHash(l.entries[before])
	if manifest.Previous != hex.EncodeToString(hash[:]) {
		l.report.wrong("%s: it does not name the manifest before", where)
	}
	if manifest.Segment != last.Segment+1 || manifest.First != last.First+uint64(last.Count) {
		l.report.wrong("%s: segment or position does not follow", where)
	}
}

// retention takes what a retention deleted, or what an incident cost (of the ledger's own source, too).
func (l *Log) retention(where string, raw []byte, incident bool) {
	var entry struct {
		V     int
		Shard uint64
		Parts []json.RawMessage
	}
	if err := json.Unmarshal(raw, &entry); err != nil || entry.V != 1 || entry.Shard != l.shard {
		l.report.wrong("%s: the retention cannot be read (%v)", where, err)
		return
	}
	for _, part := range entry.Parts {
		var first, end uint64
		var sources []uint64
		if err := json.Unmarshal(part, &[]any{&first, &end, &sources}); err != nil || end < first {
			l.report.wrong("%s: a part cannot be read (%v)", where, err)
			return
		}
		for segment := first; segment < end && segment-first < 1<<24; segment++ {
			if l.deleted.segments[segment] == nil {
				l.deleted.segments[segment] = map[uint64]bool{}
			}
			for _, source := range sources {
				if source == 0 && !incident {
					l.report.wrong("%s: it names the ledger's own source", where)
				}
				l.deleted.segments[segment][source] = true
			}
		}
	}
}

func (l *Log) erasure(where string, raw []byte) {
	var entry struct {
		V                  int
		Shard              uint64
		Proposed, Approved json.RawMessage
		Positions          [][2]uint64
	}
	if err := json.Unmarshal(raw, &entry); err != nil || entry.V != 1 || entry.Shard != l.shard {
		l.report.wrong("%s: the erasure cannot be read (%v)", where, err)
		return
	}
	if len(entry.Proposed) == 0 || len(entry.Approved) == 0 || string(entry.Proposed) == string(entry.Approved) {
		l.report.wrong("%s: an erasure needs two different people", where)
		return
	}
	l.deleted.records = append(l.deleted.records, entry.Positions...)
}

// head holds the log against its signed head.
func (l *Log) head(checkpoint *Checkpoint, root Hash, fingerprint string) {
	where := fmt.Sprintf("shard %d, checkpoint", l.shard)
	if checkpoint.Root != root {
		l.report.wrong("%s: its root is not that of the entries", where)
	}
	if l.keys.current == nil {
		return
	}
	if checkpoint.Origin != l.keys.origin {
		l.report.wrong("%s: its origin is %q", where, checkpoint.Origin)
	} else if !checkpoint.signedBy(l.keys.current) {
		l.report.wrong("%s: the log's key did not sign it", where)
	} else if second := l.keys.second; second != nil {
		if at, err := checkpoint.cosigned(Cosigner{checkpoint.Origin, cosignMLDSA, second}); err != nil || at == 0 {
			l.report.wrong("%s: the log's second key (ML-DSA-44) did not sign it (%v)", where, err)
		}
	}
	sum := sha256.Sum256(l.keys.root)
	print := hex.EncodeToString(sum[:])
	if fingerprint != "" && !strings.EqualFold(strings.ReplaceAll(fingerprint, ":", ""), print) {
		l.report.wrong("shard %d: the root's fingerprint is %s", l.shard, print)
	}
	l.report.Root = print
	if fingerprint == "" {
		l.report.notShown("whose root key it is: no fingerprint was given")
	}
}

// rootKey compares the root that stands beside with the one of the key entries.
func (l *Log) rootKey(vkey string) {
	id := sha256.Sum256(append([]byte("watchbill-root\n\x01"), l.keys.root...))
	due := "watchbill-root+" + hex.EncodeToString(id[:4]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, l.keys.root...))
	if l.keys.root != nil && strings.TrimSpace(vkey) != due {
		l.report.wrong("shard %d: the root that stands beside is not that of the key entries", l.shard)
	}
}

// Counter follows every source's running number.
type Counter map[uint32]uint64

type span struct{ first, count uint64 }

// segment checks one segment's records against its manifest.
func (l *Log) segment(where string, manifest *Manifest, records []Record, drops []Drop, seeds []Seed, nodes []Hash, due Counter) {
	if len(records) != manifest.Count || len(records) > perSegment {
		l.report.wrong("%s: %d records, the manifest counts %d", where, len(records), manifest.Count)
		return
	}
	salt := salts(seeds, len(records))
	leaves := make([]Hash, len(records))
	spans := map[uint32][]span{}
	told := map[uint32][3]uint64{}
	least, greatest := int64(0), int64(0)
	for i := range records {
		record := &records[i]
		position := manifest.First + uint64(i)
		if record.Gone {
			l.report.Deleted++
			if !l.deleted.names(manifest.Segment, position, record.Source) {
				l.report.wrong("%s: record %d has no bytes, and no entry names it", where, position)
			}
			if salt[i] != nil {
				l.report.wrong("%s: record %d is deleted, and its salt is there", where, position)
			}
		} else if salt[i] == nil {
			l.report.wrong("%s: record %d has no salt", where, position)
		} else {
			record.Commitment = commitment(salt[i], record.Raw)
		}
		leaves[i] = record.leaf(l.shard, position)
		spans[record.Source] = append(spans[record.Source], span{record.Sequence, 1})
		one, known := told[record.Source]
		if !known {
			one[0] = record.Sequence
		}
		one[1], one[2] = record.Sequence, one[2]+1
		told[record.Source] = one
		if i == 0 || record.Received < least {
			least = record.Received
		}
		if i == 0 || record.Received > greatest {
			greatest = record.Received
		}
	}
	l.nodes(where, manifest, leaves, nodes)
	if len(records) > 0 && manifest.Received != [2]int64{least, greatest} {
		l.report.wrong("%s: the times of receipt are not those of the manifest", where)
	}
	if drops != nil || len(manifest.Drops) == 0 {
		if fmt.Sprint(drops) != fmt.Sprint(manifest.Drops) {
			l.report.wrong("%s: the drops are not those of the manifest", where)
		}
	}
	for _, drop := range manifest.Drops {
		spans[drop.Source] = append(spans[drop.Source], span{drop.First, drop.Count})
	}
	l.sequences(where, manifest, spans, due)
	for _, one := range manifest.Sources {
		if told[uint32(one[0])] != [3]uint64{one[1], one[2], one[3]} {
			l.report.wrong("%s: source %d is not as the manifest says", where, one[0])
		}
	}
	if len(told) != len(manifest.Sources) {
		l.report.wrong("%s: %d sources, the manifest names %d", where, len(told), len(manifest.Sources))
	}
	l.report.Events += len(records)
	l.report.Segments++
}

func (l *Log) nodes(where string, manifest *Manifest, leaves, nodes []Hash) {
	var made []Hash
	for at := 0; at < len(leaves); at += perNode {
		end := at + perNode
		if end > len(leaves) {
			end = len(leaves)
		}
		made = append(made, treeHash(leaves[at:end]))
	}
	for i, node := range nodes {
		if i >= len(made) || made[i] != node {
			l.report.wrong("%s: records %d to %d are not as they were", where, manifest.First+uint64(perNode*i), manifest.First+uint64(perNode*(i+1))-1)
		}
	}
	if nodes != nil && len(nodes) != len(made) {
		l.report.wrong("%s: %d nodes for %d records", where, len(nodes), len(leaves))
	}
	root := treeHash(made)
	if hex.EncodeToString(root[:]) != manifest.Root {
		l.report.wrong("%s: its records do not give the manifest's root", where)
	}
}

// sequences checks that each source's numbers follow on without a gap that no drop declares.
func (l *Log) sequences(where string, manifest *Manifest, spans map[uint32][]span, due Counter) {
	for source, parts := range spans {
		sort.SliceStable(parts, func(i, j int) bool { return parts[i].first < parts[j].first })
		next, known := due[source]
		if !known && manifest.Segment == 0 {
			next, known = 1, true
		}
		for _, part := range parts {
			if known && part.first != next {
				l.report.wrong("%s: source %d goes on at %d, %d is due", where, source, part.first, next)
			}
			next, known = part.first+part.count, true
		}
		due[source] = next
	}
}

// deletedWhole checks a segment that is not kept: each of its manifest's sources must be named by a retention.
func (l *Log) deletedWhole(where string, manifest *Manifest, due Counter) {
	for _, one := range manifest.Sources {
		if !l.deleted.segments[manifest.Segment][one[0]] {
			l.report.wrong("%s: source %d was deleted, and no entry names it", where, one[0])
		}
	}
	spans := map[uint32][]span{}
	for _, one := range manifest.Sources {
		dropped := uint64(0)
		for _, drop := range manifest.Drops {
			if uint64(drop.Source) == one[0] && drop.First >= one[1] && drop.First <= one[2] {
				dropped += drop.Count
			}
		}
		if one[2]+1-one[1] != one[3]+dropped {
			l.report.wrong("%s: source %d has a gap", where, one[0])
		}
		spans[uint32(one[0])] = append(spans[uint32(one[0])], span{one[1], one[2] + 1 - one[1]})
	}
	for _, drop := range manifest.Drops {
		inside := false
		for _, one := range manifest.Sources {
			inside = inside || (uint64(drop.Source) == one[0] && drop.First >= one[1] && drop.First <= one[2])
		}
		if !inside {
			spans[drop.Source] = append(spans[drop.Source], span{drop.First, drop.Count})
		}
	}
	l.sequences(where, manifest, spans, due)
	l.report.Deleted += manifest.Count
	l.report.Events += manifest.Count
	l.report.Segments++
}
