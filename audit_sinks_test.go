// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// runnables is a manager that keeps what is added to it.
type runnables struct {
	ctrl.Manager
	added []manager.Runnable
}

func (r *runnables) Add(added manager.Runnable) error {
	r.added = append(r.added, added)
	return nil
}

func (*runnables) GetLogger() logr.Logger { return logr.Discard() }

// What the flags name is run by the manager, and so is what counts for the alerts.
func TestAuditSinksRun(t *testing.T) {
	folder := t.TempDir()
	database, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(folder, "iam.db"), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "audit.log")
	sinks, mgr := auditSinks{targets: []sinkTarget{{sinkFile, path}, {sinkOTLP, "http://127.0.0.1:1/v1/logs"}}}, &runnables{}
	if err := sinks.setup(t.Context(), mgr, database); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(mgr.added))
	for _, runnable := range mgr.added {
		go func() { ended <- runnable.Start(ctx) }()
	}
	event := iam.Event{ID: "event-1", RecordedAt: time.Now(), Organization: iam.EventOrganization{ID: "acme"}, Method: "CreateAPIKey", Action: iam.ActionCreated, StatusCode: 200, Resources: []iam.EventResource{}}
	if err := database.Submit(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	deadline, ticker := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer ticker.Stop()
	for done := false; !done; {
		text, _ := os.ReadFile(path)
		counted := gathered(t, "iam_operator_audit_events_total") && gathered(t, "iam_operator_audit_sink_failures_total")
		done = strings.Contains(string(text), `"event-1"`) && counted
		select {
		case <-deadline:
			t.Fatalf("the file has %q, and something is counted: %v", text, counted)
		case <-ticker.C:
		}
	}
	cancel()
	for range mgr.added {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := database.Close(); err != nil {
		t.Error(err)
	}
}

// gathered says whether a counter has counted anything.
func gathered(t *testing.T, name string) bool {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetCounter().GetValue() > 0 {
				return true
			}
		}
	}
	return false
}

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
