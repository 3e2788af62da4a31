// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// Laws 2 and 3: the real program is killed, again and again, while it works. In what is
// left each change has its audit event and each event its change, and the revisions have
// no gap.
func TestLaw02OneTransaction(t *testing.T) {
	binary := buildOperator(t)
	database := filepath.Join(t.TempDir(), "iam.db")
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	for round := range 4 {
		process := startProcess(t, binary, database)
		for i := range 25 {
			create(t, member(org, ns, fmt.Sprintf("member-%d-%d", round, i)))
		}
		last := member(org, ns, fmt.Sprintf("member-%d-%d", round, 24-8*round))
		eventually(t, "the operator is in the middle of its work", func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(last), last)
			return err == nil && last.Status.ID != "", fmt.Sprint(err)
		})
		if err := process.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = process.Wait()
		checkOneTransaction(t, database)
	}
}

func buildOperator(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "iam-operator")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the operator: %v\n%s", err, out)
	}
	return binary
}

func startProcess(t *testing.T, binary, database string) *exec.Cmd {
	t.Helper()
	content, err := localcluster.Kubeconfig(operatorConfig)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(binary, "--kubeconfig="+kubeconfig, "--namespace="+operatorNamespace, "--database="+database,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--admission=false")
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the operator's log:\n%s", text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	return process
}

// checkOneTransaction opens what a killed operator left, and compares changes with events.
func checkOneTransaction(t *testing.T, database string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: database, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	current, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for before := int64(0); ; {
		events, err := s.Events(t.Context(), store.EventQuery{Before: before})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			break
		}
		for _, event := range events {
			told[event.Revision] = true
		}
		before = events[len(events)-1].Sequence
	}
	after := store.Revision{Incarnation: current.Incarnation}
	for after.N < current.N {
		changes, err := s.Changes(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range changes {
			if change.Revision.N != after.N+1 {
				t.Fatalf("revision %s follows %s", change.Revision, after)
			}
			after = change.Revision
			// The owner and the default Project are told of with their Organization.
			derived := change.Entity != nil && change.Entity.GetHead().Object.Kind != change.Kind
			if !told[change.Revision.String()] && !derived {
				t.Errorf("change %s (%s %s) has no event", change.Revision, change.Kind, change.ID)
			}
			delete(told, change.Revision.String())
		}
	}
	if len(told) > 0 || current.N == 0 {
		t.Errorf("%d events tell of changes that are not there; %d changes in all", len(told), current.N)
	}
}
