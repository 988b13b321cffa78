package main

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	kindOpening = 0x56
	kindGroup   = 0x47
	kindSeal    = 0x53
	kindEntry   = 0x45
	kindBlock   = 0x5A

	headerSize = 32
	macSize    = 32
	mostIndex  = 64 << 20
	mostText   = 256 << 20
	perSegment = 4096
	perNode    = 256
)

// Frame is one frame of a volume.
type Frame struct {
	Kind     byte
	Segment  uint64
	Position uint64
	Count    int
	Payload  []byte
	Offset   int
	raw      []byte
	mac      []byte
}

// frames cuts a volume's bytes into frames; what cannot be one ends it with an error that names the offset.
func frames(raw []byte) ([]Frame, error) {
	var found []Frame
	for at := 0; at < len(raw); {
		head := raw[at:]
		if len(head) < headerSize+macSize || head[0] != 'W' || head[1] != 'B' {
			return found, fmt.Errorf("byte %d: no frame", at)
		}
		if crc32.ChecksumIEEE(head[:28]) != binary.BigEndian.Uint32(head[28:]) {
			return found, fmt.Errorf("byte %d: the header's checksum is wrong", at)
		}
		if head[3] != 1 {
			return found, fmt.Errorf("byte %d: version %d", at, head[3])
		}
		length := int(binary.BigEndian.Uint32(head[4:]))
		if length > len(head)-headerSize-macSize {
			return found, fmt.Errorf("byte %d: the frame is cut off", at)
		}
		end := headerSize + length
		found = append(found, Frame{
			Kind: head[2], Segment: binary.BigEndian.Uint64(head[8:]), Position: binary.BigEndian.Uint64(head[16:]),
			Count: int(binary.BigEndian.Uint32(head[24:])), Payload: head[headerSize:end], Offset: at, raw: head[:end],
			mac: head[end : end+macSize],
		})
		at += end + macSize
	}
	return found, nil
}

// Record is a record with the header that its leaf is made of. Without its bytes it has its commitment.
type Record struct {
	Received, SourceTime int64
	Source               uint32
	Sequence             uint64
	Raw                  []byte
	Gone                 bool
	Commitment           Hash
}

// Drop is a range of sequences that was lost before it was received.
type Drop struct {
	Source       uint32
	First, Count uint64
	Reason       string
}

func (d *Drop) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&d.Source, &d.First, &d.Count, &d.Reason})
}

func readGroup(frame Frame) (records []Record, drops []Drop, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the group is cut off")
		}
	}()
	payload := frame.Payload
	runs, dropped := int(binary.BigEndian.Uint32(payload)), int(binary.BigEndian.Uint32(payload[4:]))
	rest := payload[8:]
	for i := 0; i < runs; i++ {
		run := rest[32*i : 32*i+32]
		count := int(binary.BigEndian.Uint32(run[4:]))
		if count > frame.Count-len(records) {
			return nil, nil, errors.New("the runs have more records than the group")
		}
		for j := 0; j < count; j++ {
			records = append(records, Record{
				Source: binary.BigEndian.Uint32(run), Received: int64(binary.BigEndian.Uint64(run[8:])),
				SourceTime: int64(binary.BigEndian.Uint64(run[16:])), Sequence: binary.BigEndian.Uint64(run[24:]) + uint64(j),
			})
		}
	}
	if len(records) != frame.Count {
		return nil, nil, errors.New("the runs have fewer records than the group")
	}
	rest = rest[32*runs:]
	if dropped > 0 {
		if err := json.Unmarshal(rest[:dropped], &drops); err != nil {
			return nil, nil, err
		}
	}
	rest = rest[dropped:]
	bodies := rest[4*len(records):]
	for i := range records {
		length := binary.BigEndian.Uint32(rest[4*i:])
		records[i].Raw, bodies = bodies[:length:length], bodies[length:]
	}
	if len(bodies) > 0 {
		return nil, nil, errors.New("the group has more bytes than its records")
	}
	return records, drops, nil
}

// Seed is a node of the salt tree.
type Seed struct {
	Depth, Number int
	Node          []byte
}

// Seal is a segment's end: its manifest, the seeds of its salts and the nodes over each 256 leaves.
type Seal struct {
	Manifest []byte
	Seeds    []Seed
	Nodes    []Hash
}

func readSeal(payload []byte) (*Seal, error) {
	if len(payload) < 8 {
		return nil, errors.New("the seal is cut off")
	}
	size, seeds, nodes := int(binary.BigEndian.Uint32(payload)), int(binary.BigEndian.Uint16(payload[4:])), int(binary.BigEndian.Uint16(payload[6:]))
	if size > len(payload) || len(payload) != 8+size+19*seeds+32*nodes {
		return nil, errors.New("the seal's parts do not add up")
	}
	found := &Seal{Manifest: payload[8 : 8+size]}
	rest := payload[8+size:]
	for i := 0; i < seeds; i++ {
		one := rest[19*i:]
		found.Seeds = append(found.Seeds, Seed{int(one[0]), int(binary.BigEndian.Uint16(one[1:])), one[3:19]})
	}
	var err error
	found.Nodes, err = hashes(rest[19*seeds:])
	return found, err
}

// salts gives the salts that the seeds tell, by the record's number in its segment.
func salts(seeds []Seed, count int) map[int][]byte {
	found := map[int][]byte{}
	var down func(depth, number int, node []byte)
	down = func(depth, number int, node []byte) {
		width := 1
		for i := depth; i < 6; i++ {
			width *= 4
		}
		if number*width >= count {
			return
		}
		if depth == 6 {
			found[number] = node
			return
		}
		children := sha512.Sum512(append([]byte{2}, node...))
		for i := 0; i < 4; i++ {
			down(depth+1, 4*number+i, children[16*i:16*i+16])
		}
	}
	for _, seed := range seeds {
		if seed.Depth <= 6 {
			down(seed.Depth, seed.Number, seed.Node)
		}
	}
	return found
}

func commitment(salt, raw []byte) Hash {
	return sha256.Sum256(append(append([]byte{}, salt...), raw...))
}

func (r *Record) leaf(shard, position uint64) Hash {
	entry := make([]byte, 0, 77)
	entry = append(entry, 1)
	for _, part := range []uint64{shard, position, uint64(r.Received), uint64(r.SourceTime)} {
		entry = binary.BigEndian.AppendUint64(entry, part)
	}
	entry = binary.BigEndian.AppendUint32(entry, r.Source)
	entry = binary.BigEndian.AppendUint64(entry, r.Sequence)
	return leafHash(append(entry, r.Commitment[:]...))
}

// Packed is one segment of a packed block.
type Packed struct {
	Count   int
	Kept    bool
	Seeds   []Seed
	Nodes   []Hash
	Records []Record
}

type packedSeed struct{ Seed }

func (s *packedSeed) UnmarshalJSON(raw []byte) error {
	var node string
	if err := json.Unmarshal(raw, &[]any{&s.Depth, &s.Number, &node}); err != nil {
		return err
	}
	var err error
	s.Node, err = hex.DecodeString(node)
	if err == nil && len(s.Node) != 16 {
		err = errors.New("a seed has 16 bytes")
	}
	return err
}

type packedSegment struct {
	count, kept int
	seeds       []packedSeed
}

func (s *packedSegment) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&s.count, &s.kept, &s.seeds})
}

type packedPiece struct {
	records, bytes int
	separator      *int
}

func (p *packedPiece) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&p.records, &p.bytes, &p.separator})
}

type packedIndex struct {
	V, Entry int
	Segments []packedSegment
	Runs     [][]int64
	Erased   [][2]int
	Pieces   []packedPiece
}

// readBlock unpacks a block. It returns the log index of its first manifest and its segments.
func readBlock(frame Frame) (entry int, found []Packed, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the block is cut off")
		}
	}()
	sum := sha256.Sum256(frame.raw)
	if !bytes.Equal(sum[:], frame.mac) {
		return 0, nil, errors.New("the block's checksum is wrong")
	}
	size := int(binary.BigEndian.Uint32(frame.Payload))
	stream, err := zlib.NewReader(bytes.NewReader(frame.Payload[4 : 4+size]))
	if err != nil {
		return 0, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(stream, mostIndex))
	if err != nil {
		return 0, nil, err
	}
	var index packedIndex
	if err := json.Unmarshal(text, &index); err != nil {
		return 0, nil, err
	}
	rest := frame.Payload[4+size:]
	total, kept := 0, 0
	for _, segment := range index.Segments {
		one := Packed{Count: segment.count, Kept: segment.kept == 1}
		for _, seed := range segment.seeds {
			one.Seeds = append(one.Seeds, seed.Seed)
		}
		if one.Kept {
			if one.Count > perNode {
				width := 32 * ((one.Count + perNode - 1) / perNode)
				if one.Nodes, err = hashes(rest[:width]); err != nil {
					return 0, nil, err
				}
				rest = rest[width:]
			}
			kept += one.Count
		}
		total += one.Count
		found = append(found, one)
	}
	if total != frame.Count {
		return 0, nil, errors.New("the segments do not add up to the block's records")
	}
	gone := map[int]bool{}
	erased := 0
	for _, part := range index.Erased {
		for at := part[0]; at < part[0]+part[1]; at++ {
			gone[at] = true
			erased++
		}
	}
	commitments, err := hashes(rest[:32*erased])
	if err != nil {
		return 0, nil, err
	}
	bodies, err := readPieces(index.Pieces, rest[32*erased:])
	if err != nil {
		return 0, nil, err
	}
	if len(bodies) != kept-erased {
		return 0, nil, fmt.Errorf("the pieces hold %d records, not %d", len(bodies), kept-erased)
	}
	return index.Entry, found, fillRuns(found, index.Runs, gone, commitments, bodies)
}

func readPieces(pieces []packedPiece, raw []byte) ([][]byte, error) {
	var bodies [][]byte
	var window []byte
	for i, piece := range pieces {
		stream := flate.NewReaderDict(bytes.NewReader(raw[:piece.bytes]), window)
		text, err := io.ReadAll(io.LimitReader(stream, mostText))
		if err != nil {
			return nil, err
		}
		raw = raw[piece.bytes:]
		if i == 0 {
			window = text
			if len(window) > 32768 {
				window = window[:32768]
			}
		}
		var parts [][]byte
		if piece.separator != nil {
			parts = bytes.Split(text, []byte{byte(*piece.separator)})
		} else {
			lengths := text[:4*piece.records]
			rest := text[4*piece.records:]
			for j := 0; j < piece.records; j++ {
				length := binary.BigEndian.Uint32(lengths[4*j:])
				parts, rest = append(parts, rest[:length:length]), rest[length:]
			}
			if len(rest) > 0 {
				return nil, errors.New("a piece has more bytes than its records")
			}
		}
		if len(parts) != piece.records || piece.records > perNode {
			return nil, errors.New("a piece does not have its records")
		}
		bodies = append(bodies, parts...)
	}
	if len(raw) > 0 {
		return nil, errors.New("the block has more bytes than its pieces")
	}
	return bodies, nil
}

func fillRuns(segments []Packed, runs [][]int64, gone map[int]bool, commitments []Hash, bodies [][]byte) error {
	if len(runs) != 5 {
		return errors.New("runs are five lists")
	}
	due := map[uint32]uint64{}
	var received, sourceTime int64
	next, offset := 0, 0
	for s := range segments {
		segment := &segments[s]
		if !segment.Kept {
			offset += segment.Count
			continue
		}
		for len(segment.Records) < segment.Count {
			source := uint32(runs[0][next])
			received += runs[2][next]
			sourceTime += runs[3][next]
			sequence := due[source] + uint64(runs[4][next])
			count := int(runs[1][next])
			next++
			if count > segment.Count-len(segment.Records) || count < 1 {
				return errors.New("a run goes beyond its segment")
			}
			for j := 0; j < count; j++ {
				record := Record{Source: source, Received: received, SourceTime: sourceTime, Sequence: sequence + uint64(j)}
				if gone[offset] {
					record.Gone, record.Commitment, commitments = true, commitments[0], commitments[1:]
				} else {
					record.Raw, bodies = bodies[0], bodies[1:]
				}
				segment.Records = append(segment.Records, record)
				offset++
			}
			due[source] = sequence + uint64(count)
		}
	}
	if next != len(runs[0]) || len(commitments)+len(bodies) > 0 {
		return errors.New("the block's runs and records do not add up")
	}
	return nil
}
