// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// The measurements work, in a short form. What they measure depends on the machine, and is not looked at here.
func TestMeasurements(t *testing.T) {
	a := &auditBench{auditSizes: auditSizes{events: 2000, expired: 300, changes: 20, rates: []int{20}, samples: 5, writes: 20}}
	b, err := startBench(t.Context(), filepath.Join("..", ".."), a.prepare)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.dir); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", b.dir, err)
		}
		if b.operator.Alive() == nil {
			t.Error("the operator is left behind")
		}
	})
	t.Run("audit", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux tells of a process's memory in /proc")
		}
		found, err := a.measure(t.Context(), b)
		if err != nil {
			t.Fatal(b.operator.Explain(err))
		}
		checkAudit(t, found.(*auditReport), a.auditSizes)
	})
	t.Run("passwords", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux tells of a process's memory in /proc")
		}
		const members = 10
		found, err := measurePasswords(t.Context(), b, members)
		if err != nil {
			t.Fatal(b.operator.Explain(err))
		}
		checkPasswords(t, b, found.(*passwordsReport), members)
	})
	t.Run("decisions", func(t *testing.T) { checkDecisions(t, b) })
	t.Run("admission", func(t *testing.T) {
		const present, samples = 50, 20
		found, err := measureAdmission(t.Context(), b, present, samples)
		if err != nil {
			t.Fatal(b.operator.Explain(err))
		}
		checkAdmission(t, b, found.(*admissionReport), present, samples)
	})
}

// checkDecisions runs both measurements of decisions; the load only where there is what makes it.
func checkDecisions(t *testing.T, b *bench) {
	t.Helper()
	d, err := newDecider(t.Context(), b)
	if err != nil {
		t.Fatal(b.operator.Explain(err))
	}
	const trials = 2
	found, err := d.measureRevoke(t.Context(), b, trials)
	if err != nil {
		t.Fatal(b.operator.Explain(err))
	}
	for _, row := range found.(*revokeReport).rows {
		if len(row.samples) != trials || row.bar != revokeBar {
			t.Errorf("a way to revoke has %+v", row)
		}
	}
	if rows := len(found.(*revokeReport).rows); rows != 4 || !strings.Contains(printed(found), "a Member is locked") {
		t.Errorf("%d ways to revoke:\n%s", rows, printed(found))
	}
	if _, err := exec.LookPath("wrk"); err != nil || runtime.GOOS != "linux" {
		t.Log("without wrk, or elsewhere than on Linux, the load is not tried")
		return
	}
	found, err = d.measureServed(t.Context(), b, servedSizes{policies: 2 * batch, load: time.Second})
	if err != nil {
		t.Fatal(b.operator.Explain(err))
	}
	r := found.(*servedReport)
	if r.single.rate <= 0 || r.batch.rate <= 0 || r.memory <= 0 || r.paced.rate <= 0 || r.paced.p99 <= 0 {
		t.Errorf("served is %+v", r)
	}
	if text := printed(r); !strings.Contains(text, "with 40 policies") {
		t.Errorf("it prints\n%s", text)
	}
}

func checkPasswords(t *testing.T, b *bench, r *passwordsReport, members int) {
	t.Helper()
	if valid, example, err := b.valid(t.Context()); valid != members || r.members != members || err != nil {
		t.Errorf("%d passwords are in force, and the report says %d; want %d: %s, %v", valid, r.members, members, example, err)
	}
	if r.idle <= 0 || r.peak < r.idle || r.declared <= 0 || r.inForce < r.declared {
		t.Errorf("the report is %+v", r)
	}
	// It is the operator that was looked at, and neither the shell nor the launcher that started it.
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(b.operator.PID) + "/comm"); err != nil || string(bytes.TrimSpace(text)) != "iam-operator" {
		t.Errorf("the process is %q: %v", text, err)
	}
	if text := printed(r); !strings.Contains(text, "10 Members with a password each") || !strings.Contains(text, "bar: at most 300 MiB") {
		t.Errorf("it prints\n%s", text)
	}
}

func checkAudit(t *testing.T, r *auditReport, sizes auditSizes) {
	t.Helper()
	if r.held != sizes.events || r.bytesPerEvent < 500 || r.idle <= 0 || r.peak < r.idle {
		t.Errorf("the report is %+v", r)
	}
	if len(r.store) != 3 || len(r.store[0].samples) != sizes.writes || len(r.store[1].samples) != sizes.writes || len(r.store[2].samples) == 0 {
		t.Errorf("of the store there is %+v", r.store)
	}
	for _, m := range r.queries {
		if len(m.samples) != sizes.samples || m.bar != queryBar {
			t.Errorf("a query has %+v", m)
		}
	}
	if len(r.queries) != len(auditFilters())+1 || len(r.visible) != 2*len(sizes.rates) {
		t.Errorf("%d queries, and %d ways to see a change", len(r.queries), len(r.visible))
	}
	for _, m := range r.visible {
		if len(m.samples) != sizes.changes || m.bar != visibleBar {
			t.Errorf("seen are %+v", m)
		}
	}
	if text := printed(r); !strings.Contains(text, "with 2000 events held") || !strings.Contains(text, "Scaleway says: within 2s") || !strings.Contains(text, "longest 50ms") {
		t.Errorf("it prints\n%s", text)
	}
}

func checkAdmission(t *testing.T, b *bench, r *admissionReport, present, samples int) {
	t.Helper()
	for namespace, wanted := range map[string]int{
		askedNamespace:   present + 2*(warmUp+samples),
		unaskedNamespace: 2 * (warmUp + samples),
	} {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ProjectList"))
		if err := b.client.List(t.Context(), &list, client.InNamespace(namespace)); err != nil || len(list.Items) != wanted {
			t.Errorf("namespace %s has %d Projects, want %d: %v", namespace, len(list.Items), wanted, err)
		}
	}
	// The operator itself says of the other side that nobody judged it.
	if err := b.awaitProjects(t.Context(), unaskedNamespace, 2*(warmUp+samples)); err != nil {
		t.Error(err)
	}
	if r.present != present || len(r.rounds) != 2 {
		t.Fatalf("the report is %+v", r)
	}
	for _, round := range r.rounds {
		if len(round.with) != samples || len(round.without) != samples || len(round.calls) != 2 {
			t.Errorf("%s: %d and %d samples, %d webhooks", round.name, len(round.with), len(round.without), len(round.calls))
		}
		for _, c := range round.calls {
			if c.count != uint64(samples) || c.seconds <= 0 || c.quick > c.count {
				t.Errorf("%s: %+v", round.name, c)
			}
		}
	}
	if text := printed(r); !strings.Contains(text, "create of a Project with 50 objects present") || !strings.Contains(text, "bar: p99 added at most 5ms") {
		t.Errorf("it prints\n%s", text)
	}
}

func printed(r report) string {
	var out bytes.Buffer
	r.print(&out)
	return out.String()
}

// What misses a bar is an error that says which, by how much.
func TestMissed(t *testing.T) {
	slow := round{name: "slow", barred: true, with: []time.Duration{9 * time.Millisecond}, without: []time.Duration{3 * time.Millisecond}}
	quick := round{name: "quick", barred: true, with: []time.Duration{8 * time.Millisecond}, without: []time.Duration{3 * time.Millisecond}}
	saturated := slow
	saturated.barred = false
	for name, tc := range map[string]struct {
		report report
		missed []string
	}{
		"slow where nobody minds": {&admissionReport{rounds: []round{quick, saturated}}, nil},
		"quick enough":            {&admissionReport{rounds: []round{quick, quick}}, nil},
		"slow in one round":       {&admissionReport{rounds: []round{quick, slow}}, []string{"slow, the webhooks add 6ms"}},
		"slow in two":             {&admissionReport{rounds: []round{slow, slow}}, []string{"add 6ms", "\n"}},
		"events seen in time":     {&auditReport{visible: []measurement{{name: "read", samples: []time.Duration{visibleBar}, bar: visibleBar}}}, nil},
		"events seen late":        {&auditReport{visible: []measurement{{name: "read", samples: []time.Duration{visibleBar + time.Second}, bar: visibleBar}}}, []string{"read took 1.5s", "may take 500ms"}},
		"a writer that waited":    {&auditReport{store: []measurement{{name: "a commit", samples: append(make([]time.Duration, 999), time.Second), bar: stallBar, longest: true}}}, []string{"a commit took 1s"}},
		"no bar":                  {&auditReport{store: []measurement{{name: "a commit", samples: []time.Duration{time.Hour}}}}, nil},
		"within memory":           {&passwordsReport{peak: memoryBar}, nil},
		"more than it may hold":   {&passwordsReport{peak: memoryBar + 1<<20}, []string{"held 301 MiB", "may hold 300 MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.report.missed()
			if (err == nil) != (len(tc.missed) == 0) {
				t.Fatalf("missed: %v", err)
			}
			for _, text := range tc.missed {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for name, tc := range map[string]struct {
		samples []time.Duration
		share   float64
		want    time.Duration
	}{
		"none":            {nil, 0.99, 0},
		"one":             {hundred[:1], 0.5, 100},
		"the median":      {hundred, 0.5, 50},
		"the 99th":        {hundred, 0.99, 99},
		"all":             {hundred, 1, 100},
		"the least":       {hundred, 0, 1},
		"99th of a few":   {hundred[:10], 0.99, 100},
		"median of three": {hundred[:3], 0.5, 99},
	} {
		t.Run(name, func(t *testing.T) {
			if got := percentile(tc.samples, tc.share); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells of a process's memory in /proc")
	}
	if held, err := memory(os.Getpid(), "VmRSS"); err != nil || held < 1<<20 {
		t.Errorf("this test holds %d bytes: %v", held, err)
	}
	if _, err := memory(os.Getpid(), "VmNone"); err == nil {
		t.Error("the kernel counts what it does not know")
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := memory(ended.Process.Pid, "VmHWM"); err == nil {
		t.Error("a process that has ended holds memory")
	}
}

func TestUnknownMeasurement(t *testing.T) {
	if err := run(t.Context(), "admision", sizes{}); err == nil || !strings.Contains(err.Error(), "say admission, passwords, audit, revoke or served") {
		t.Errorf("got %v", err)
	}
}
