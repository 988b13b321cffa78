package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
)

// recordBody is the file.
type recordBody struct {
	Kind                      string
	V                         int
	Shard, Position, Sequence uint64
	Received                  int64
	SourceTime                int64 `json:"source_time"`
	Source                    uint32
	Record                    *string
	Salt, Commitment          string
	Proof                     []string
	Manifest                  struct {
		Index int
		Entry string
		Proof []string
	}
	Checkpoint, Root string
	Entries, Anchors json.RawMessage
}

// verifyRecord checks one record with its proof.
func verifyRecord(path string, options Options, report *Report) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var body recordBody
	if err := json.Unmarshal(raw, &body); err != nil {
		return err
	}
	if body.Kind != "watchbill record" || body.V != 1 {
		return errors.New("this is no record of version 1")
	}
	if err := body.follow(options, report); err != nil {
		report.wrong("shard %d, position %d: %v", body.Shard, body.Position, err)
	}
	return nil
}

// follow goes the way from the record to the root.
func (body *recordBody) follow(options Options, report *Report) error {
	checkpoint, err := parseCheckpoint([]byte(body.Checkpoint))
	if err != nil {
		return err
	}
	log := &Log{report: report, shard: body.Shard, size: checkpoint.Size, entries: map[int][]byte{}}
	if err := log.proven(body.Entries, checkpoint); err != nil {
		return err
	}
	one, err := json.Marshal([]any{map[string]any{
		"index": body.Manifest.Index, "entry": body.Manifest.Entry, "proof": body.Manifest.Proof,
	}})
	if err != nil {
		return err
	}
	if err := log.proven(one, checkpoint); err != nil {
		return err
	}
	log.read()
	log.head(checkpoint, checkpoint.Root, options.fingerprint)
	log.rootKey(body.Root)
	shown, err := log.readAnchors(body.Anchors, checkpoint, body.Manifest.Index+1)
	if err != nil {
		return err
	}
	log.judge(shown, options.trust)
	report.Entries, report.Segments, report.Events = 1, 1, 1
	manifest := log.manifest[body.Manifest.Index]
	if manifest == nil {
		report.wrong("shard %d: entry %d is no manifest of the signed log", body.Shard, body.Manifest.Index)
		return nil
	}
	at := body.Position - manifest.First
	if body.Position < manifest.First || at >= uint64(manifest.Count) {
		report.wrong("position %d is not in the segment", body.Position)
		return nil
	}
	record := Record{Received: body.Received, SourceTime: body.SourceTime, Source: body.Source, Sequence: body.Sequence}
	if body.Record == nil {
		named, err := hex.DecodeString(body.Commitment)
		if err != nil || len(named) != 32 {
			return errors.New("the commitment is no hash")
		}
		copy(record.Commitment[:], named)
		report.Deleted = 1
		if !log.deleted.names(manifest.Segment, body.Position, body.Source) {
			report.wrong("position %d has no bytes, and no entry names it", body.Position)
		}
	} else {
		text, err := base64.StdEncoding.Strict().DecodeString(*body.Record)
		salt, wrong := hex.DecodeString(body.Salt)
		if err != nil || wrong != nil {
			return errors.New("the record or its salt cannot be read")
		}
		record.Commitment = commitment(salt, text)
	}
	proof, err := decodeHashes(body.Proof)
	if err != nil {
		return err
	}
	root, err := rangeRoot(manifest.Count, int(at), []Hash{record.leaf(body.Shard, body.Position)}, proof)
	if err != nil || hex.EncodeToString(root[:]) != manifest.Root {
		report.wrong("position %d: the record is not the one that was sealed", body.Position)
	}
	return nil
}
