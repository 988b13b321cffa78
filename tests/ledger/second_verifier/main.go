// A second verifier of Watchbill's ledgers and bundles, written from docs/ledger-format.md alone: it shares no line with
// the first one. The tests hold the two against each other.
//
//	secondverifier [-root-fpr HEX] LEDGER-FOLDER | BUNDLE.zip
//
// It prints one JSON object and ends with 0 (all was proven), 1 (something is wrong) or 2 (nothing could be read).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
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
	NotShown []string `json:"not_shown"`
}

func (r *Report) wrong(format string, parts ...any) {
	if len(r.Findings) < 1000 {
		r.Findings = append(r.Findings, fmt.Sprintf(format, parts...))
	}
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
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	report := &Report{Findings: []string{}, NotShown: []string{}}
	info, err := os.Stat(flag.Arg(0))
	if err == nil {
		if info.IsDir() {
			err = verifyLedger(flag.Arg(0), *fingerprint, report)
		} else {
			err = verifyBundle(flag.Arg(0), *fingerprint, report)
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
}
