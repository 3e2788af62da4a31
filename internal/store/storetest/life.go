// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func lifeContracts() []contract {
	return []contract{
		{"what was committed is there after reopening", testReopen},
		{"a closed store answers that it is closed", testClosed},
		{"closing waits for the write under way", testCloseWaits},
		{"written counts changes and events", testWritten},
	}
}

func testReopen(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	start := revisionOf(t, s)
	put(t, s, organization("o", "acme"), member("o", "a", "ann", "g"), project("o", "p", "P"))
	remove(t, s, iam.KindProject, "p")
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), event("e", "p")) })
	before, changes := stateOf(t, s), changesAfter(t, s, start)
	s = h.Reopen(t, s)
	if after := stateOf(t, s); after != before {
		t.Errorf("the store holds\n%+v\nwant\n%+v", after, before)
	}
	if again := changesAfter(t, s, start); len(again) != len(changes) {
		t.Errorf("there are %d changes, want %d", len(again), len(changes))
	}
	if conflict(t, s, member("o", "b", "ann")) == nil {
		t.Error("a unique name was forgotten")
	}
	if next := put(t, s, project("o", "p", "P")); next.N != before.revision.N+1 {
		t.Errorf("after %s came %s", before.revision, next)
	}
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), event("f")) })
	if newest := events(t, s, store.EventQuery{Limit: 1}); newest[0].Sequence != 2 {
		t.Errorf("after event 1 came %d", newest[0].Sequence)
	}
}

func testClosed(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	last := put(t, s, project("o", "a", "A"))
	attribute(t, s, asked("x", 1, "d", "ann"))
	tell(t, s, happened("m", iam.MFASet, 1))
	for range 2 { // closing twice is as good as once
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"Get":                func() error { _, err := s.Get(ctx, iam.KindProject, "a"); return err },
		"List":               func() error { _, err := s.List(ctx, store.Query{Kind: iam.KindProject}); return err },
		"Count":              func() error { _, err := s.Count(ctx, store.Query{Kind: iam.KindProject}); return err },
		"Write":              func() error { _, err := s.Write(ctx, func(store.Tx) error { return nil }); return err },
		"Revision":           func() error { _, err := s.Revision(ctx); return err },
		"Snapshot":           func() error { _, _, err := s.Snapshot(ctx); return err },
		"Changes":            func() error { _, err := s.Changes(ctx, last, 1); return err },
		"Events":             func() error { _, err := s.Events(ctx, store.EventQuery{}); return err },
		"Submit":             func() error { return s.Submit(ctx, event("e")) },
		"Submit nothing":     func() error { return s.Submit(ctx) },
		"EventsAfter":        func() error { _, err := s.EventsAfter(ctx, store.EventScope{}, 0, 1); return err },
		"EventRange":         func() error { _, err := s.EventRange(ctx, store.EventScope{}); return err },
		"Checkpoints":        func() error { _, err := s.Checkpoints(ctx, 0, 1); return err },
		"LastCheckpoint":     func() error { _, err := s.LastCheckpoint(ctx); return err },
		"Cursor":             func() error { _, err := s.Cursor(ctx, "c"); return err },
		"MoveCursor":         func() error { return s.MoveCursor(ctx, "c", 1) },
		"Attribute":          func() error { return s.Attribute(ctx, asked("x", 1, "d", "ann")) },
		"Attribute nothing":  func() error { return s.Attribute(ctx) },
		"Attributions":       func() error { _, err := s.Attributions(ctx, "x"); return err },
		"ForgetAttributions": func() error { return s.ForgetAttributions(ctx, "x", 1, "d") },
		"Tell":               func() error { return s.Tell(ctx, happened("m", iam.MFASet, 1)) },
		"Tell nothing":       func() error { return s.Tell(ctx) },
		"Told":               func() error { _, err := s.Told(ctx, "m"); return err },
		"ToldAbout":          func() error { _, err := s.ToldAbout(ctx); return err },
		"Settle":             func() error { return s.Settle(ctx, "m", 1) },
		"Follow":             func() error { return store.Follow(ctx, s, last, func(store.Change) error { return nil }) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) { wantError(t, call(), store.ErrClosed) })
	}
}

func testCloseWaits(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	started, proceed, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	written, waiting := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.Write(t.Context(), func(tx store.Tx) error {
			close(started)
			<-proceed
			return putAll(context.WithoutCancel(t.Context()), tx, project("o", "a", "A"))
		})
		written <- err
	}()
	<-started
	hint := s.Changed()
	go func() {
		_, err := s.Write(t.Context(), func(store.Tx) error { return nil })
		waiting <- err
	}()
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("the store closed (%v) in the middle of a write", err)
	case err := <-waiting: // those in line learn of the end at once
		wantError(t, err, store.ErrClosed)
	}
	close(proceed)
	if err := <-written; err != nil {
		t.Errorf("the write under way failed: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	await(t, hint, "the hint of the last write")
	s = h.Reopen(t, s)
	if _, err := s.Get(t.Context(), iam.KindProject, "a"); err != nil {
		t.Errorf("what was written while the store closed: %v", err)
	}
}

func testWritten(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	written := func() int64 {
		n, err := Written(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := written(); n != 0 {
		t.Errorf("a new store has %d writes", n)
	}
	put(t, s, project("o", "a", "A"), project("o", "b", "B"))
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), event("e")) })
	put(t, s, project("o", "a", "A"))
	if n := written(); n != 3 {
		t.Errorf("two changes, an event and an unchanged put are %d writes", n)
	}
}
