// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func intact(t *testing.T, result chain.Result) {
	t.Helper()
	if result.Finding != nil {
		t.Fatalf("the log is intact, and verification says: %v", result.Finding)
	}
}

// What is intact is found so, whatever the operator did, also while it goes on.
func TestIntact(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	r := w.verify(t)
	intact(t, r)
	w.record(t, "a", "b", "", "a")
	r = w.verify(t)
	intact(t, r)
	if r.Events != 4 || r.Chains != 3 || r.Unvouched != 4 || len(r.Notes) != 3 {
		t.Errorf("before any checkpoint: %+v", r)
	}
	w.sign(t)
	w.record(t, "b", "c")
	w.sign(t)
	w.record(t, "c")
	r = w.verify(t)
	intact(t, r)
	if r.Events != 7 || r.Chains != 4 || r.Unvouched != 1 || r.Checkpoints != 2 || r.LastCheckpoint != 2 || r.First != 1 || r.Last != 7 || len(r.Notes) != 0 {
		t.Errorf("after two checkpoints: %+v", r)
	}
}

// An operator that starts again goes on where the one before ended.
func TestIntactAfterRestart(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a", "b")
	w.sign(t)
	w.close(t)
	w.open(t)
	defer w.close(t)
	if first := w.sign(t); first.Number != 1 {
		t.Errorf("nothing is new, and there is checkpoint %d", first.Number)
	}
	w.record(t, "b")
	if second := w.sign(t); second.Number != 2 || !second.Full || len(second.Heads) != 2 {
		t.Errorf("the first checkpoint after a start does not name all chains: %+v", second)
	}
	w.record(t, "a")
	if third := w.sign(t); third.Full || len(third.Heads) != 1 {
		t.Errorf("a later checkpoint names more than what changed: %+v", third)
	}
	intact(t, w.verify(t))
}

// What verification is held against must fit; where it is missing, it is said what is not proven.
func TestTrust(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.record(t, "a")
	first := w.sign(t)
	w.record(t, "a")
	w.sign(t)
	other, err := chain.NewKeys(strings.NewReader(strings.Repeat("k", 32)), nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := first
	forged.Number, forged.Sequence = 9, 9
	elsewhere := first
	elsewhere.Incarnation = "elsewhere"
	for name, test := range map[string]struct {
		trust chain.Trust
		finds chain.Problem
		notes int
	}{
		"all":                  {trust: w.published.trust()},
		"an older checkpoint":  {trust: chain.Trust{Keys: w.keys.Public, Newest: &first}},
		"nothing":              {notes: 2},
		"keys alone":           {trust: chain.Trust{Keys: w.keys.Public}, notes: 1},
		"other keys":           {trust: chain.Trust{Keys: other.Public}, finds: chain.BadSignature},
		"a forged checkpoint":  {trust: chain.Trust{Keys: w.keys.Public, Newest: &forged}, finds: chain.BadSignature},
		"a checkpoint to come": {trust: chain.Trust{Newest: &forged}, finds: chain.Truncated},
		"another store":        {trust: chain.Trust{Newest: &elsewhere}, finds: chain.Restarted},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.verifyAgainst(t, test.trust)
			switch {
			case test.finds == "" && (r.Finding != nil || len(r.Notes) != test.notes):
				t.Errorf("%v, notes %q", r.Finding, r.Notes)
			case test.finds != "" && (r.Finding == nil || r.Finding.Problem != test.finds):
				t.Errorf("found %v, want %s", r.Finding, test.finds)
			}
		})
	}
}

// What retention removes is removed in order, told of, vouched for, and leaves a log that is intact.
func TestRetention(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.organization(t, "short", 24*time.Hour)
	w.organization(t, "long", 87600*time.Hour)
	for range 60 {
		w.record(t, "short", "long", "")
	}
	w.sign(t)
	w.clock.advance(26 * time.Hour)
	w.record(t, "short")
	w.sign(t)
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sign(t)
	told := ofMethod(t, w, store.MethodDropAuditEvents)
	if len(told) != 1 || told[0].Organization.ID != "short" || told[0].Namespace != "home-short" || told[0].Resources[0].Name != "Org short" ||
		!strings.Contains(string(told[0].Change.Before), `"auditEvents":60,"firstSequence":1,"lastSequence":178,`) {
		t.Fatalf("what was removed is told as %+v", told)
	}
	r := w.verify(t)
	intact(t, r)
	if r.Events != 122 {
		t.Errorf("%d events are left, want 122", r.Events)
	}
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := ofMethod(t, w, store.MethodDropAuditEvents); len(again) != 1 {
		t.Errorf("nothing was due, and it was told of: %+v", again)
	}
}

// In a system in which nothing happens any more, retention ends: the news of what was removed are removed in silence.
func TestRetentionEnds(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.record(t, "gone", "")
	w.sign(t)
	for range 4 {
		w.clock.advance(31 * 24 * time.Hour)
		if err := w.retention().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.sign(t)
	left, err := w.store.Events(t.Context(), store.EventQuery{})
	if err != nil || len(left) != 0 {
		t.Errorf("%d events are left: %+v, %v", len(left), left, err)
	}
	intact(t, w.verify(t))
	before, err := w.store.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := w.store.LastCheckpoint(t.Context()); err != nil || after.Number != before.Number {
		t.Errorf("nothing is left, and retention goes on to write: %d after %d, %v", after.Number, before.Number, err)
	}
}

// The trail of an Organization that was deleted stays for a month after, however old it is.
func TestRetentionOfTheDeleted(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.record(t, "gone", "gone")
	w.clock.advance(40 * 24 * time.Hour)
	w.record(t, "gone")
	w.clock.advance(29 * 24 * time.Hour)
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := ofMethod(t, w, store.MethodDropAuditEvents); len(told) != 0 {
		t.Fatalf("removed within a month: %+v", told)
	}
	w.clock.advance(2 * 24 * time.Hour)
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := ofMethod(t, w, store.MethodDropAuditEvents)
	if len(told) != 1 || told[0].Organization.ID != "" || told[0].Resources[0].ID != "gone" {
		t.Errorf("what was removed is told as %+v", told)
	}
}

// Checkpoints go, too, and what is kept begins with one that names all chains.
func TestCheckpointsAreForgotten(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.organization(t, "a", 87600*time.Hour)
	for range 201 {
		w.record(t, "a")
		w.sign(t)
	}
	w.close(t)
	w.open(t) // so that the next one is full
	defer w.close(t)
	w.record(t, "a")
	w.sign(t)
	w.record(t, "a")
	w.sign(t)
	w.clock.advance(32 * 24 * time.Hour)
	w.record(t, "a")
	w.sign(t)
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := w.sign(t)
	kept, err := w.store.Checkpoints(t.Context(), 0, 10)
	if err != nil || len(kept) == 0 || kept[0].Number != 202 || last.Oldest != 202 {
		t.Errorf("the oldest that is kept is %+v, and %d is signed as the oldest; %v", kept, last.Oldest, err)
	}
	r := w.verify(t)
	intact(t, r)
	if r.Events != 204 || r.Checkpoints != 4 {
		t.Errorf("%d events and %d checkpoints, want 204 and 4", r.Events, r.Checkpoints)
	}
}

// Nothing is signed, and nothing removed, while the store is not what was vouched for.
func TestFork(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.record(t, "a")
	w.sign(t)
	ahead := *w.published.is.Newest
	ahead.Number = 5
	rewritten := *w.published.is.Newest
	rewritten.Sequence = 9
	for name, published := range map[string]*iam.Checkpoint{"an older copy": &ahead, "rewritten": &rewritten} {
		t.Run(name, func(t *testing.T) {
			w.published.is.Newest = published
			var told []*chain.ForkedError
			signer := w.newSigner()
			signer.Forked = func(fork *chain.ForkedError) { told = append(told, fork) }
			w.record(t, "a")
			if err := signer.Write(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "by deleting the ConfigMap") || len(told) != 1 {
				t.Errorf("signed all the same: %v, told %v", err, told)
			}
			w.published.is = chain.Published{}
			if err := w.newSigner().Write(t.Context(), nil); err != nil {
				t.Errorf("accepted, and yet: %v", err)
			}
		})
	}
}

// Run signs what comes, publishes it, and is silent when nothing comes; it also goes on when an
// administrator accepts a fork, and when a database was lost.
func TestRun(t *testing.T) {
	w := newWorld(t, t.TempDir())
	forked := iam.Checkpoint{Number: 7}
	revision, err := w.store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forked.Incarnation = revision.Incarnation
	w.published.is.Newest = &forked
	ticks := make(chan time.Time)
	w.signer.After = func(time.Duration) <-chan time.Time { return ticks }
	told := make(chan *chain.ForkedError, 2)
	w.signer.Forked = func(fork *chain.ForkedError) { told <- fork }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.signer.Run(ctx) }()
	if fork := <-told; fork == nil {
		t.Fatal("no fork was told of")
	}
	w.record(t, "a")
	w.published.mu.Lock()
	w.published.is = chain.Published{}
	w.published.mu.Unlock()
	for told := told; ; {
		select {
		case ticks <- time.Time{}:
			continue
		case fork := <-told:
			if fork != nil {
				t.Fatalf("still forked: %v", fork)
			}
		}
		break
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case ticks <- time.Time{}:
			case <-time.After(10 * time.Second):
				t.Fatalf("it never came about: %s", what)
			}
		}
	}
	covers := func(sequence int64) func() bool {
		return func() bool {
			newest := w.published.trust().Newest
			return newest != nil && newest.Sequence >= sequence
		}
	}
	until("the first event is vouched for", covers(1))
	w.record(t, slices.Repeat([]string{"a"}, 1500)...)
	until("all events are vouched for", covers(1501))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	intact(t, w.verify(t))
	if newest := w.published.is.Newest; newest.Heads != nil || newest.HeadsHash == (iam.Hash{}) {
		t.Errorf("what is published grows with the number of Organizations: %+v", newest)
	}
	w.close(t)
}

// A database that was lost is begun anew, and everybody can see it.
func TestNewIncarnation(t *testing.T) {
	w := newWorld(t, t.TempDir())
	w.record(t, "a")
	lost := w.sign(t)
	w.close(t)
	w.path = t.TempDir() + "/iam.db"
	r := w.published.trust()
	w.open(t)
	w.record(t, "a")
	if err := w.signer.Write(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := w.verifyAgainst(t, r); got.Finding == nil || got.Finding.Problem != chain.Restarted {
		t.Errorf("the store is another, and verification says %v", got.Finding)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.signer.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for w.published.trust().Newest.Incarnation == lost.Incarnation {
		select {
		case <-deadline:
			t.Fatal("the checkpoint of the new store is not published")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if former := w.published.is.Former; former == nil || former.Incarnation != lost.Incarnation {
		t.Errorf("nothing tells of the store that was lost: %+v", former)
	}
	intact(t, w.verify(t))
	w.close(t)
}
