package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const mostPart = 1 << 30

// verifyLedger checks every shard of a ledger folder.
func verifyLedger(folder string, options Options, report *Report) error {
	found, _ := filepath.Glob(filepath.Join(folder, "shard-*"))
	if len(found) == 0 {
		return errors.New("no shard is in " + folder)
	}
	sort.Strings(found)
	for _, path := range found {
		number, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(path), "shard-"), 10, 32)
		if err != nil {
			continue
		}
		if err := verifyShard(path, number, options, report); err != nil {
			report.wrong("shard %d: %v", number, err)
		}
	}
	return nil
}

func verifyShard(path string, shard uint64, options Options, report *Report) error {
	raw, err := os.ReadFile(filepath.Join(path, "log", "checkpoint"))
	if err != nil {
		return err
	}
	checkpoint, err := parseCheckpoint(raw)
	if err != nil {
		return err
	}
	log := &Log{report: report, shard: shard, size: checkpoint.Size}
	if log.entries, err = readEntries(filepath.Join(path, "log", "tile", "entries"), checkpoint.Size); err != nil {
		return err
	}
	report.Entries += checkpoint.Size
	leaves := make([]Hash, checkpoint.Size)
	for i := range leaves {
		leaves[i] = leafHash(log.entries[i])
	}
	log.read()
	log.head(checkpoint, treeHash(leaves), options.fingerprint)
	shown := &Shown{head: checkpoint, end: checkpoint.Size, roots: map[int]Hash{}, live: true}
	if shown.anchors, err = keptAnchors(filepath.Join(path, "anchors")); err != nil {
		return err
	}
	sizes := []int{checkpoint.Size}
	for _, one := range shown.anchors {
		sizes = append(sizes, one.Size)
	}
	if options.trust != nil {
		for _, one := range options.trust.heads {
			sizes = append(sizes, one.Size)
		}
	}
	for _, size := range sizes {
		if size <= len(leaves) {
			shown.roots[size] = treeHash(leaves[:size])
		}
	}
	log.judge(shown, options.trust)
	log.tiles(filepath.Join(path, "log", "tile"), leaves)
	return log.volumes(path)
}

// tilePath is a tile's name: three digits a part, all but the last with an x (c2sp.org/tlog-tiles).
func tilePath(index, width int) string {
	name := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		name = fmt.Sprintf("x%03d/%s", index%1000, name)
	}
	if width < 256 {
		name += fmt.Sprintf(".p/%d", width)
	}
	return name
}

// readTile reads a tile, or the beginning of a partial one that is wider.
func readTile(folder string, index, width int) ([]byte, error) {
	if raw, err := os.ReadFile(filepath.Join(folder, tilePath(index, width))); err == nil {
		return raw, nil
	}
	for wider := width + 1; wider <= 256; wider++ {
		if raw, err := os.ReadFile(filepath.Join(folder, tilePath(index, wider))); err == nil {
			return raw, nil
		}
	}
	return nil, fmt.Errorf("the tile %s is missing", filepath.Join(folder, tilePath(index, width)))
}

func readEntries(folder string, size int) (map[int][]byte, error) {
	found := map[int][]byte{}
	for index := 0; index*256 < size; index++ {
		width := size - index*256
		if width > 256 {
			width = 256
		}
		raw, err := readTile(folder, index, width)
		if err != nil {
			return nil, err
		}
		for i := 0; i < width; i++ {
			if len(raw) < 2 || len(raw) < 2+int(binary.BigEndian.Uint16(raw)) {
				return nil, fmt.Errorf("the bundle of entries %d is cut off", index)
			}
			length := int(binary.BigEndian.Uint16(raw))
			found[index*256+i] = raw[2 : 2+length]
			raw = raw[2+length:]
		}
	}
	return found, nil
}

// tiles checks the stored hash tiles against the entries.
func (l *Log) tiles(folder string, leaves []Hash) {
	level := leaves
	for number := 0; len(level) > 0; number++ {
		for index := 0; index*256 < len(level); index++ {
			end := index*256 + 256
			if end > len(level) {
				end = len(level)
			}
			wanted := level[index*256 : end]
			raw, err := readTile(filepath.Join(folder, strconv.Itoa(number)), index, len(wanted))
			if err != nil {
				l.report.wrong("shard %d: %v", l.shard, err)
				continue
			}
			for i, hash := range wanted {
				if len(raw) < 32*i+32 || !bytes.Equal(raw[32*i:32*i+32], hash[:]) {
					l.report.wrong("shard %d: hash %d of tile %d at level %d is wrong", l.shard, i, index, number)
					break
				}
			}
		}
		var above []Hash
		for index := 0; index*256+256 <= len(level); index++ {
			above = append(above, treeHash(level[index*256:index*256+256]))
		}
		level = above
	}
}

// readHead gives the number of the newest volume and how many of its bytes count.
func readHead(path string) (volume uint64, end int) {
	raw, _ := os.ReadFile(path)
	for _, at := range []int{0, 512} {
		if len(raw) >= at+44 {
			one := raw[at : at+44]
			if string(one[:8]) == "WBHEAD1\n" && crc32.ChecksumIEEE(one[:40]) == binary.BigEndian.Uint32(one[40:]) {
				return binary.BigEndian.Uint64(one[16:]), int(binary.BigEndian.Uint64(one[24:]))
			}
		}
	}
	return 0, -1
}

// Opening is the first frame of a volume.
type Opening struct {
	V             int
	Shard, Volume uint64
	LogSize       int `json:"log_size"`
	Previous      string
	Follows       *uint64
	Cause         string
}

type volume struct {
	name    string
	number  uint64
	frames  []Frame
	opening Opening
	broken  error
}

func (l *Log) volumes(path string) error {
	names, _ := filepath.Glob(filepath.Join(path, "events", "*.vol"))
	sort.Strings(names)
	newest, end := readHead(filepath.Join(path, "head"))
	if end < 0 {
		l.report.wrong("shard %d: the file head is missing or torn", l.shard)
	}
	var all []volume
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		number, err := strconv.ParseUint(strings.SplitN(filepath.Base(name), "-", 2)[0], 10, 64)
		if err != nil {
			return err
		}
		if end >= 0 && number > newest {
			continue // begun, and not yet said to count
		}
		if end >= 0 && number == newest && len(raw) > end {
			raw = raw[:end]
		}
		one := volume{name: filepath.Base(name), number: number}
		one.frames, one.broken = frames(raw)
		if len(one.frames) == 0 || one.frames[0].Kind != kindOpening {
			return fmt.Errorf("%s: no opening (%v)", one.name, one.broken)
		}
		if err := json.Unmarshal(one.frames[0].Payload, &one.opening); err != nil {
			return fmt.Errorf("%s: the opening: %w", one.name, err)
		}
		if one.opening.Shard != l.shard || one.opening.Volume != number {
			return fmt.Errorf("%s: the opening is another volume's", one.name)
		}
		if len(all) == 0 && one.opening.Follows != nil || len(all) > 0 && (one.opening.Follows == nil || *one.opening.Follows != all[len(all)-1].number) {
			l.report.wrong("shard %d: %s does not follow the volume before", l.shard, one.name)
		}
		all = append(all, one)
	}
	index, due := 0, Counter{}
	for i, one := range all {
		until := -1 // the log index at which an abandoned volume ends
		if i+1 < len(all) {
			if all[i+1].opening.Cause == "error" {
				until = all[i+1].opening.LogSize
			} else if one.broken != nil {
				l.report.wrong("shard %d: %s: %v", l.shard, one.name, one.broken)
			}
		} else if one.broken != nil {
			l.report.wrong("shard %d: %s: %v", l.shard, one.name, one.broken)
		}
		if one.opening.LogSize != index {
			l.report.wrong("shard %d: %s begins at entry %d, %d is due", l.shard, one.name, one.opening.LogSize, index)
			index = one.opening.LogSize
		}
		index = l.frames(one.name, one.frames[1:], index, until, due)
	}
	if index < l.size {
		l.report.wrong("shard %d: the volumes end at entry %d, the head covers %d", l.shard, index, l.size)
	}
	return nil
}

// frames checks frames in order, the first of them being of the log entry with this index. It returns the next index.
func (l *Log) frames(name string, all []Frame, index, until int, due Counter) int {
	var records []Record
	var drops []Drop
	for _, frame := range all {
		where := fmt.Sprintf("shard %d, %s, byte %d", l.shard, name, frame.Offset)
		if until >= 0 && index >= until {
			return index // abandoned from here on
		}
		if index >= l.size && frame.Kind != kindGroup {
			if frame.Kind == kindSeal || frame.Kind == kindEntry {
				index++
			}
			if frame.Kind == kindSeal {
				records, drops = nil, nil
			}
			continue // not signed yet
		}
		switch frame.Kind {
		case kindGroup:
			more, lost, err := readGroup(frame)
			if err != nil {
				l.report.wrong("%s: %v", where, err)
			}
			records, drops = append(records, more...), append(drops, lost...)
		case kindSeal:
			seal, err := readSeal(frame.Payload)
			manifest := l.manifest[index]
			if err != nil {
				l.report.wrong("%s: %v", where, err)
			} else if manifest == nil || !bytes.Equal(seal.Manifest, l.entries[index]) {
				l.report.wrong("%s: the seal's manifest is not entry %d", where, index)
			} else {
				if frame.Segment != manifest.Segment || frame.Position != manifest.First+uint64(manifest.Count) {
					l.report.wrong("%s: the seal's header does not fit", where)
				}
				nodes := seal.Nodes
				if nodes == nil {
					nodes = []Hash{}
				}
				l.segment(where, manifest, records, drops, seal.Seeds, nodes, due)
			}
			records, drops = nil, nil
			index++
		case kindEntry:
			if !bytes.Equal(frame.Payload, l.entries[index]) {
				l.report.wrong("%s: it is not entry %d", where, index)
			}
			index++
		case kindBlock:
			index = l.block(where, frame, index, due)
		default:
			l.report.wrong("%s: a frame of kind %#x", where, frame.Kind)
		}
	}
	return index
}

func (l *Log) block(where string, frame Frame, index int, due Counter) int {
	entry, segments, err := readBlock(frame)
	if err != nil {
		l.report.wrong("%s: %v", where, err)
		return index
	}
	if entry != index {
		l.report.wrong("%s: the block begins at entry %d, %d is due", where, entry, index)
	}
	for i, packed := range segments {
		at := entry + i
		manifest := l.manifest[at]
		if manifest == nil {
			l.report.wrong("%s: entry %d is no manifest of the signed log", where, at)
			continue
		}
		if i == 0 && manifest.First != frame.Position {
			l.report.wrong("%s: the block's position is not its first segment's", where)
		}
		if manifest.Segment != frame.Segment+uint64(i) || manifest.Count != packed.Count {
			l.report.wrong("%s: entry %d is another segment's", where, at)
		} else if packed.Kept {
			l.segment(where, manifest, packed.Records, nil, packed.Seeds, packed.Nodes, due)
		} else {
			l.deletedWhole(where, manifest, due)
		}
	}
	return entry + len(segments)
}

// verifyBundle checks an exported bundle.
func verifyBundle(path string, options Options, report *Report) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer archive.Close()
	part := func(name string) ([]byte, error) {
		file, err := archive.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, mostPart))
	}
	names := map[string]bool{}
	for _, member := range archive.File {
		if names[member.Name] {
			return fmt.Errorf("the bundle has %s twice", member.Name)
		}
		names[member.Name] = true
	}
	var about struct {
		V      int
		Kind   string
		Shards []struct {
			Shard            uint64
			First, End       int
			Segments, Events int
		}
	}
	raw, err := part("bundle.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &about); err != nil {
		return err
	}
	if about.V != 1 || about.Kind != "watchbill bundle" {
		return errors.New("this is no bundle of version 1")
	}
	for _, one := range about.Shards {
		before, segments := report.Events, report.Segments
		if err := verifyPart(part, one.Shard, one.First, one.End, options, report); err != nil {
			report.wrong("shard %d: %v", one.Shard, err)
		} else if report.Events-before != one.Events || report.Segments-segments != one.Segments {
			report.wrong("shard %d: the bundle says %d events in %d segments", one.Shard, one.Events, one.Segments)
		}
	}
	return nil
}

func verifyPart(part func(string) ([]byte, error), shard uint64, first, end int, options Options, report *Report) error {
	folder := fmt.Sprintf("shard-%04d/", shard)
	var raws [6][]byte
	for i, name := range []string{"checkpoint", "keys.json", "entries", "proof", "frames", "anchors.json"} {
		raw, err := part(folder + name)
		if err != nil {
			return err
		}
		raws[i] = raw
	}
	checkpoint, err := parseCheckpoint(raws[0])
	if err != nil {
		return err
	}
	log := &Log{report: report, shard: shard, size: checkpoint.Size, entries: map[int][]byte{}}
	if err := log.proven(raws[1], checkpoint); err != nil {
		return err
	}
	var known []Hash
	rest := raws[2]
	for index := first; index < end; index++ {
		if len(rest) < 2 || len(rest) < 2+int(binary.BigEndian.Uint16(rest)) {
			return errors.New("the entries are cut off")
		}
		length := int(binary.BigEndian.Uint16(rest))
		log.entries[index] = rest[2 : 2+length]
		known = append(known, leafHash(rest[2:2+length]))
		rest = rest[2+length:]
	}
	if len(rest) > 0 {
		report.wrong("shard %d: there are more entries than the bundle says", shard)
	}
	report.Entries += len(known)
	proof, err := hashes(raws[3])
	if err != nil {
		return err
	}
	root := checkpoint.Root
	if len(known) > 0 {
		if root, err = rangeRoot(checkpoint.Size, first, known, proof); err != nil {
			return err
		}
	}
	log.read()
	log.head(checkpoint, root, options.fingerprint)
	vkey, err := part("root.pub")
	if err != nil {
		return err
	}
	log.rootKey(string(vkey))
	shown, err := log.readAnchors(raws[5], checkpoint, end)
	if err != nil {
		return err
	}
	log.judge(shown, options.trust)
	all, broken := frames(raws[4])
	if broken != nil {
		report.wrong("shard %d: frames: %v", shard, broken)
	}
	if index := log.frames("frames", all, first, -1, Counter{}); index != end {
		report.wrong("shard %d: the frames end at entry %d, %d is due", shard, index, end)
	}
	return nil
}

// proven takes entries that stand alone, each with its inclusion proof: the keys, and deletions.
func (l *Log) proven(raw []byte, checkpoint *Checkpoint) error {
	var all []struct {
		Index int
		Entry string
		Proof []string
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for _, one := range all {
		entry, err := base64.StdEncoding.DecodeString(one.Entry)
		if err != nil {
			return err
		}
		proof, err := decodeHashes(one.Proof)
		if err != nil {
			return err
		}
		root, err := rangeRoot(checkpoint.Size, one.Index, []Hash{leafHash(entry)}, proof)
		if err != nil || root != checkpoint.Root {
			l.report.wrong("shard %d: entry %d is not proven to be in the log", l.shard, one.Index)
			continue
		}
		l.entries[one.Index] = entry
	}
	return nil
}
