// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What can't work is refused at the start.
func TestDecisionFlags(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nowhere", "file")
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"switched off":             {args: []string{"--decisions=false", "--decision-port=0"}},
		"no port":                  {[]string{"--decision-port=0"}, "--decisions=false does without"},
		"a certificate only":       {[]string{"--decision-tls-cert=x"}, "go together"},
		"a key only":               {[]string{"--decision-tls-key=x"}, "go together"},
		"a certificate from where": {[]string{"--decision-tls-cert=" + missing, "--decision-tls-key=" + missing}, "read the certificate"},
		"more than all":            {[]string{"--decision-log-allow-sample=1.5"}, "between 0 and 1"},
		"less than nothing":        {[]string{"--decision-log-allow-sample=-1"}, "between 0 and 1"},
		"no number":                {[]string{"--decision-log-allow-sample=NaN"}, "between 0 and 1"},
		"a URL without TLS":        {[]string{"--decision-url=http://pdp.example.com"}, `"http://pdp.example.com" can't be --decision-url: its scheme must be https`},
	} {
		t.Run(name, func(t *testing.T) {
			var d decisionAPI
			flags := flag.NewFlagSet("iam-operator", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			d.bind(flags)
			err := flags.Parse(test.args)
			if err == nil {
				err = d.setup(fakeManager{}, nil, "iam", "https://iam-operator.iam.svc:8443")
			}
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("answered by %v, want %q", err, test.says)
			}
		})
	}
}

// A log of decisions is added to, and nobody else may read it.
func TestDecisionLogFile(t *testing.T) {
	if _, err := (&decisionAPI{log: filepath.Join(t.TempDir(), "nowhere", "file")}).logWriter(); err == nil {
		t.Error("a log in a folder that is not there is opened")
	}
	path := filepath.Join(t.TempDir(), "decisions.log")
	for range 2 {
		d := decisionAPI{log: path}
		writer, err := d.logWriter()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(writer, "line\n"); err != nil {
			t.Fatal(err)
		}
		if err := writer.(io.Closer).Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "line\nline\n" {
		t.Errorf("the log is %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v, %v", info.Mode(), err)
	}
}
