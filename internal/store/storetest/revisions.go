// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// keepFew is small, for contracts about changes that are no longer kept.
const keepFew = 10

func revisionContracts() []contract {
	return []contract{
		{"revisions have no gap, in commit order, whoever writes", testRevisions},
		{"a new store is at revision zero of its own incarnation", testIncarnation},
		{"changes of revisions that say nothing here are refused", testForeignRevisions},
		{"changes come in portions", testPortions},
		{"changes too old are gone, as many as promised are kept", testGone},
		{"a snapshot and the changes after it are the later snapshot", testSnapshots},
	}
}

// writeMuch commits many small changes from several writers at once, and calls committed
// with each revision. It returns when all are done.
func writeMuch(t testing.TB, s store.Store, writers, each int, committed func(store.Revision)) {
	t.Helper()
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for i := range each {
				revision, err := s.Write(t.Context(), func(tx store.Tx) error { return change(t, tx, writer, i) })
				if err != nil {
					t.Errorf("writer %d: %v", writer, err)
					return
				}
				committed(revision)
			}
		})
	}
	wg.Wait()
}

// change puts two entities, or deletes one of those before, or fails with nothing left.
func change(t testing.TB, tx store.Tx, writer, i int) error {
	id := func(i int) string { return fmt.Sprintf("w%d-%d", writer, i) }
	if i%3 == 2 {
		_, err := tx.Delete(t.Context(), iam.KindProject, id(i-1))
		return err
	}
	if err := putAll(t.Context(), tx, project("o", id(i), "P"), member("o", id(i), "", "g")); err != nil {
		return err
	}
	return tx.Append(t.Context(), event("e-"+id(i), id(i)))
}

func testRevisions(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	var mu sync.Mutex
	seen := map[int64]bool{}
	writeMuch(t, s, 4, 12, func(revision store.Revision) {
		mu.Lock()
		defer mu.Unlock()
		if seen[revision.N] {
			t.Errorf("revision %s was given to two transactions", revision)
		}
		seen[revision.N] = true
	})
	last := revisionOf(t, s)
	changes := changesAfter(t, s, store.Revision{Incarnation: last.Incarnation})
	for i, change := range changes {
		if change.Revision.N != int64(i+1) || change.Revision.Incarnation != last.Incarnation {
			t.Fatalf("change %d has revision %s", i+1, change.Revision)
		}
	}
	if int64(len(changes)) != last.N || !seen[last.N] {
		t.Errorf("there are %d changes, and the store is at %s", len(changes), last)
	}
	if count, err := s.Count(t.Context(), store.Query{Kind: iam.KindProject}); err != nil || count != 4*4 {
		t.Errorf("%d Projects (%v), want 4 of each of 4 writers", count, err)
	}
}

func testIncarnation(t *testing.T, h Harness) {
	a, b := h.Open(t, Options{}), h.Open(t, Options{})
	if x, y := revisionOf(t, a), revisionOf(t, b); x.N != 0 || y.N != 0 || x.Incarnation == "" || x.Incarnation == y.Incarnation {
		t.Errorf("two new stores are at %s and %s", x, y)
	}
	parsed, err := store.ParseRevision(revisionOf(t, a).String())
	if err != nil || parsed != revisionOf(t, a) {
		t.Errorf("the revision is read back as %s (%v)", parsed, err)
	}
	if silent := write(t, a, func(store.Tx) error { return nil }); silent != revisionOf(t, a) {
		t.Errorf("a transaction that does nothing gives %s", silent)
	}
}

func testForeignRevisions(t *testing.T, h Harness) {
	s, other := h.Open(t, Options{}), h.Open(t, Options{})
	last := put(t, s, project("o", "a", "A"))
	ahead := store.Revision{Incarnation: last.Incarnation, N: last.N + 1}
	for revision, want := range map[store.Revision]error{
		revisionOf(t, other):                   store.ErrOtherIncarnation,
		{}:                                     store.ErrOtherIncarnation,
		ahead:                                  store.ErrRevisionAhead,
		{Incarnation: last.Incarnation, N: -1}: store.ErrRevisionGone,
		{Incarnation: last.Incarnation + "x", N: 1000}: store.ErrOtherIncarnation,
	} {
		changes, err := s.Changes(t.Context(), revision, 1)
		if len(changes) > 0 {
			t.Errorf("revision %s gave %d changes", revision, len(changes))
		}
		wantError(t, err, want)
	}
	if changes, err := s.Changes(t.Context(), last, 1); len(changes) > 0 || err != nil {
		t.Errorf("after the last revision: %v (%v), want nothing yet", changes, err)
	}
}

func testPortions(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	first := put(t, s, project("o", "0", "P"))
	for i := 1; i < 6; i++ {
		put(t, s, project("o", fmt.Sprint(i), "P"))
	}
	for limit, want := range map[int]int{1: 1, 4: 4, 5: 5, 6: 5, 0: 5, -1: 5, store.MaxPageSize + 1: 5} {
		changes, err := s.Changes(t.Context(), first, limit)
		if err != nil || len(changes) != want {
			t.Errorf("limit %d gave %d changes (%v), want %d", limit, len(changes), err, want)
		}
		for i, change := range changes {
			if change.Revision.N != first.N+1+int64(i) || change.ID != fmt.Sprint(i+1) {
				t.Errorf("limit %d: change %d is of %s at %s", limit, i, change.ID, change.Revision)
			}
		}
	}
}

func testGone(t *testing.T, h Harness) {
	s := h.Open(t, Options{KeepChanges: keepFew})
	first := put(t, s, project("o", "0", "P"))
	last := writeUntilGone(t, s, first)
	kept := store.Revision{Incarnation: last.Incarnation, N: last.N - keepFew}
	if changes, err := s.Changes(t.Context(), kept, 0); err != nil || len(changes) != keepFew {
		t.Errorf("of the last %d changes %d are kept (%v)", keepFew, len(changes), err)
	}
	s = h.Reopen(t, s)
	if got := revisionOf(t, s); got != last {
		t.Errorf("after the changes were trimmed the store is at %s, want %s", got, last)
	}
	// One transaction of more changes than are kept.
	var batch []iam.Entity
	for i := range 3 * keepFew {
		batch = append(batch, project("o", fmt.Sprintf("batch%d", i), "P"))
	}
	if after := put(t, s, batch...); after.N != last.N+3*keepFew {
		t.Errorf("a batch of %d came from %s to %s", len(batch), last, after)
	}
}

// writeUntilGone writes until the changes after a revision are no longer all kept. How
// much more than promised an engine keeps is its own affair, within reason.
func writeUntilGone(t testing.TB, s store.Store, after store.Revision) store.Revision {
	t.Helper()
	for i := range 1000 {
		last := put(t, s, project("o", "0", fmt.Sprintf("name %d", i)))
		if _, err := s.Changes(t.Context(), after, 1); err != nil {
			wantError(t, err, store.ErrRevisionGone)
			return last
		}
	}
	t.Fatal("after 1000 changes none is gone")
	return store.Revision{}
}

func testSnapshots(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		writeMuch(t, s, 3, 15, func(store.Revision) {})
	}()
	var copies []replica
	for running := true; running; {
		select {
		case <-done:
			running = false // and one more, of the end
		case <-s.Changed():
		}
		copies = append(copies, takeReplica(t, s))
	}
	last := copies[len(copies)-1]
	for _, r := range copies {
		changes := changesAfter(t, s, r.revision)
		for _, change := range changes {
			r.apply(t, change)
		}
		if r.revision != last.revision || r.content(t) != last.content(t) {
			t.Errorf("a snapshot and %d changes after it came to %s\n%swant %s\n%s",
				len(changes), r.revision, r.content(t), last.revision, last.content(t))
		}
	}
}

// replica is what a follower holds: entities by kind and id, as of a revision.
type replica struct {
	entities map[[2]string]iam.Entity
	revision store.Revision
}

func takeReplica(t testing.TB, s store.Store) replica {
	t.Helper()
	entities, revision, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	r := replica{map[[2]string]iam.Entity{}, revision}
	for _, entity := range entities {
		r.entities[[2]string{string(entity.EntityKind()), entity.GetHead().ID}] = entity
	}
	return r
}

// apply applies the next change, and says so if it is not the next.
func (r *replica) apply(t testing.TB, change store.Change) {
	t.Helper()
	if change.Revision.N != r.revision.N+1 || change.Revision.Incarnation != r.revision.Incarnation {
		t.Errorf("after %s came %s", r.revision, change.Revision)
	}
	r.revision = change.Revision
	key := [2]string{string(change.Kind), change.ID}
	switch change.Operation {
	case store.OperationPut:
		r.entities[key] = change.Entity
	case store.OperationDelete:
		if r.entities[key] == nil {
			t.Errorf("change %s deletes %v, which is not there", change.Revision, key)
		}
		delete(r.entities, key)
	}
}

func (r *replica) content(t testing.TB) string {
	t.Helper()
	var entities []iam.Entity
	for _, entity := range r.entities {
		entities = append(entities, entity)
	}
	content, err := contentOf(entities)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
