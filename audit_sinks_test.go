// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
)

// What is no sink is refused at the start, in words. The names are those of the cursors: one that
// changed would have everything delivered again.
func TestAuditSinkFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		names []string
		says  string
	}{
		"none":                 {},
		"stdout":               {args: []string{"--audit-sink=stdout"}, names: []string{"sink/stdout"}},
		"a file":               {args: []string{"--audit-sink=file=/var/log//iam/audit.log"}, names: []string{"sink/file=/var/log/iam/audit.log"}},
		"a receiver":           {args: []string{"--audit-sink=otlp=https://otel.example:4318"}, names: []string{"sink/otlp=https://otel.example:4318/v1/logs"}},
		"a receiver's path":    {args: []string{"--audit-sink=otlp=http://otel.example/logs"}, names: []string{"sink/otlp=http://otel.example/logs"}},
		"the environment's":    {args: []string{"--audit-sink=otlp"}, names: []string{"sink/otlp"}},
		"several":              {args: []string{"--audit-sink=stdout", "--audit-sink", "file=/a", "--audit-sink=file=/b"}, names: []string{"sink/stdout", "sink/file=/a", "sink/file=/b"}},
		"the same twice":       {args: []string{"--audit-sink=file=/a", "--audit-sink=file=/a/"}, says: "is given twice"},
		"an unknown one":       {args: []string{"--audit-sink=kafka=broker"}, says: `"kafka=broker" is no sink; known are stdout, file=/path and otlp=http(s)://host:port`},
		"nothing":              {args: []string{"--audit-sink="}, says: "is no sink"},
		"stdout with a path":   {args: []string{"--audit-sink=stdout=/a"}, says: "is no sink"},
		"a relative file":      {args: []string{"--audit-sink=file=audit.log"}, says: "an absolute path"},
		"no file":              {args: []string{"--audit-sink=file"}, says: "an absolute path"},
		"no URL":               {args: []string{"--audit-sink=otlp=://"}, says: "no URL"},
		"another protocol":     {args: []string{"--audit-sink=otlp=grpc://otel.example:4317"}, says: "is given as otlp=http://host:port"},
		"a host only":          {args: []string{"--audit-sink=otlp=otel.example:4318"}, says: "is given as otlp=http://host:port"},
		"a secret in the URL":  {args: []string{"--audit-sink=otlp=https://user:pass@otel.example"}, says: "OTEL_EXPORTER_OTLP_HEADERS"},
		"a token in the query": {args: []string{"--audit-sink=otlp=https://otel.example?token=x"}, says: "OTEL_EXPORTER_OTLP_HEADERS"},
	} {
		t.Run(name, func(t *testing.T) {
			var a auditSinks
			flags := flag.NewFlagSet("iam-operator", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			a.bind(flags)
			err := flags.Parse(test.args)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("answered by %v, want %q", err, test.says)
				}
				return
			}
			var names []string
			for _, target := range a.targets {
				names = append(names, target.name())
			}
			if err != nil || !slices.Equal(names, test.names) {
				t.Errorf("sinks %q, %v; want %q", names, err, test.names)
			}
		})
	}
}
