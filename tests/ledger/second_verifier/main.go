// A second verifier of Watchbill's ledgers and bundles, written from docs/ledger-format.md alone: it shares no line with
// the first one. The tests hold the two against each other.
//
//	secondverifier [-root-fpr HEX] [-anchors FOLDER] LEDGER-FOLDER | BUNDLE.zip | RECORD.json
//
// It prints one JSON object and ends with 0 (all was proven), 1 (something is wrong), 2 (nothing could be read) or 3
// (nothing is wrong, but something of the anchors was not proven).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

// Report is what was proven, and what was wrong.
type Report struct {
	OK       bool     `json:"ok"`
	Root     string   `json:"root"`
	Entries  int      `json:"entries"`
	Segments int      `json:"segments"`
	Events   int      `json:"events"`
	Deleted  int      `json:"deleted"`
	Findings []string `json:"findings"`
	Unproven []string `json:"unproven"`
	NotShown []string `json:"not_shown"`

	Witnessed []Seen `json:"witnessed"`
	Stamped   []Seen `json:"stamped"`
	Held      []Seen `json:"held"`
}

// Seen is how many entries of a log somebody vouches for, and since when (nanoseconds).
type Seen struct {
	By   string `json:"by"`
	Size int    `json:"size"`
	At   int64  `json:"at"`
}

// Options are what an auditor compares with.
type Options struct {
	fingerprint string
	trust       *Trust
}

func (r *Report) wrong(format string, parts ...any) {
	if len(r.Findings) < 1000 {
		r.Findings = append(r.Findings, fmt.Sprintf(format, parts...))
	}
}

func (r *Report) unproven(format string, parts ...any) {
	r.Unproven = append(r.Unproven, fmt.Sprintf(format, parts...))
}

func (r *Report) notShown(format string, parts ...any) {
	said := fmt.Sprintf(format, parts...)
	for _, one := range r.NotShown {
		if one == said {
			return
		}
	}
	r.NotShown = append(r.NotShown, said)
}

func main() {
	fingerprint := flag.String("root-fpr", "", "SHA-256 of the root's public key, in hex")
	anchors := flag.String("anchors", "", "a folder of witnesses' keys, authorities' roots, earlier checkpoints and bundles")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	report := &Report{
		Findings: []string{}, Unproven: []string{}, NotShown: []string{}, Witnessed: []Seen{}, Stamped: []Seen{}, Held: []Seen{},
	}
	options := Options{fingerprint: *fingerprint}
	info, err := os.Stat(flag.Arg(0))
	if err == nil && *anchors != "" {
		options.trust, err = loadTrust(*anchors)
	}
	if err == nil {
		switch {
		case info.IsDir():
			err = verifyLedger(flag.Arg(0), options, report)
		case strings.HasSuffix(flag.Arg(0), ".json"):
			err = verifyRecord(flag.Arg(0), options, report)
		default:
			err = verifyBundle(flag.Arg(0), options, report)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	report.OK = len(report.Findings) == 0
	text, _ := json.Marshal(report)
	fmt.Println(string(text))
	if !report.OK {
		os.Exit(1)
	}
	if len(report.Unproven) > 0 {
		os.Exit(3)
	}
}
