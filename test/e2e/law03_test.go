// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Law 3: whoever follows the store while the operator works is given each change once, in
// order and without a gap, and ends up with just what the store holds. A revision of
// another incarnation is refused, never waited for.
func TestLaw03TotalOrder(t *testing.T) {
	o := startOperator(t)
	start, err := o.Store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start.N = 0
	follower := followStore(t, o.Store, start)
	w := newWorld(t, 6)
	for _, key := range w.keys {
		remove(t, key)
	}
	remove(t, w.objects[7]) // the SSH key, which the Project waits for
	remove(t, w.objects[1])
	want := settledContent(t, o)

	end, err := o.Store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if end.N < int64(len(w.objects)) {
		t.Fatalf("%d changes are too few to prove anything", end.N)
	}
	if got := follower.until(t, end); got != want {
		t.Errorf("what the follower has is not what the store holds:%s", difference(want, got))
	}
	other := store.Revision{Incarnation: "another", N: end.N + 1}
	if _, err := o.Store.Changes(t.Context(), other, 1); !errors.Is(err, store.ErrOtherIncarnation) {
		t.Errorf("a revision of another incarnation gave %v", err)
	}
}

// storeFollower folds the changes that it is given.
type storeFollower struct {
	state   map[string]string
	changes chan store.Change
	ended   chan error
	last    store.Revision
}

func followStore(t *testing.T, s store.Store, after store.Revision) *storeFollower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &storeFollower{state: map[string]string{}, changes: make(chan store.Change), ended: make(chan error, 1), last: after}
	go func() {
		f.ended <- store.Follow(ctx, s, after, func(change store.Change) error {
			select {
			case f.changes <- change:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-f.ended; !errors.Is(err, context.Canceled) && !errors.Is(err, store.ErrClosed) {
			t.Errorf("the follower ended by itself: %v", err)
		}
	})
	return f
}

// until takes changes up to a revision, and gives the content that they add up to.
func (f *storeFollower) until(t *testing.T, end store.Revision) string {
	t.Helper()
	for f.last != end {
		select {
		case change := <-f.changes:
			if change.Revision.N != f.last.N+1 || change.Revision.Incarnation != f.last.Incarnation {
				t.Fatalf("revision %s follows %s", change.Revision, f.last)
			}
			f.last = change.Revision
			f.fold(t, change)
		case <-t.Context().Done():
			t.Fatalf("the follower stands at %s of %s", f.last, end)
		}
	}
	lines := make([]string, 0, len(f.state))
	for _, line := range f.state {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func (f *storeFollower) fold(t *testing.T, change store.Change) {
	t.Helper()
	key := string(change.Kind) + " " + change.ID
	if change.Operation == store.OperationDelete {
		delete(f.state, key)
		return
	}
	body, err := iam.Encode(change.Entity)
	if err != nil {
		t.Fatal(err)
	}
	f.state[key] = fmt.Sprintf("%s %s\n", key, body)
}
