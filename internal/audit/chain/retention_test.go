// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func (w *world) retain(t *testing.T) {
	t.Helper()
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// countsTold gives what each event that tells of retention counts, oldest first.
func countsTold(t *testing.T, w *world) (counts []int) {
	t.Helper()
	for _, event := range slices.Backward(ofMethod(t, w, store.MethodDropAuditEvents)) {
		var before struct {
			AuditEvents int `json:"auditEvents"`
		}
		if err := json.Unmarshal(event.Change.Before, &before); err != nil {
			t.Fatal(err)
		}
		counts = append(counts, before.AuditEvents)
	}
	return counts
}

func wantTold(t *testing.T, w *world, want ...int) {
	t.Helper()
	if got := countsTold(t, w); !slices.Equal(got, want) {
		t.Errorf("it was told that %v events were removed, want %v", got, want)
	}
}

// What was removed is counted however the operator ends: in order, between two batches, or at once, before it could tell.
func TestRetentionThatIsEnded(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { w.close(t) }()
	w.organization(t, "a", time.Hour)
	w.record(t, slices.Repeat([]string{"a"}, 30)...)
	w.sign(t)
	w.clock.advance(3 * time.Hour)
	err := w.signer.Write(t.Context(), func(tx store.Tx) (bool, error) {
		batch, err := tx.DropEvents(t.Context(), "a", w.clock.Now(), 5)
		return batch.Count > 0, err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sign(t)
	w.close(t)
	w.open(t)
	wantTold(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	retention := w.retention()
	retention.Pause = func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}
	if err := retention.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was ended gives the error %v", err)
	}
	wantTold(t, w, 5, 20)
	w.retain(t)
	wantTold(t, w, 5, 20, 5)
	w.retain(t)
	wantTold(t, w, 5, 20, 5)
	w.sign(t)
	intact(t, w.verify(t))
}

// An event that only gives another's origin is told of when it goes, as any other: Store.Events does not show it.
func TestRetentionTellsOfOrigins(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.organization(t, "a", time.Hour)
	w.record(t, "a")
	seen, err := w.store.Events(t.Context(), store.EventQuery{})
	if err != nil || len(seen) != 1 {
		t.Fatalf("%+v, %v", seen, err)
	}
	w.clock.advance(90 * time.Minute)
	origin := w.event("a")
	origin.Method = "TellOrigin"
	origin.Origin = &iam.EventOrigin{EventID: seen[0].ID, EventSequence: seen[0].Sequence, SourceIP: "192.0.2.1"}
	if err := w.store.Submit(t.Context(), origin); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	w.retain(t)
	wantTold(t, w, 1)
	w.clock.advance(2 * time.Hour)
	w.retain(t)
	told := countsTold(t, w)
	if len(told) == 0 || told[len(told)-1] < 1 {
		t.Fatalf("the origin went untold: %v", told)
	}
	for range 3 { // Then there is nothing but news, and it comes to rest.
		w.clock.advance(3 * time.Hour)
		w.retain(t)
	}
	left, err := w.store.Events(t.Context(), store.EventQuery{})
	if err != nil || len(left) != 0 {
		t.Errorf("it goes on to tell: %+v, %v", left, err)
	}
}

// One chain that cannot be read does not keep the others from their retention.
func TestRetentionOfOthersGoesOn(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { w.close(t) }()
	w.organization(t, "a", time.Hour)
	w.organization(t, "b", time.Hour)
	w.record(t, "a", "b", "b")
	w.sign(t)
	w.alter(t, func(db *sql.DB) { run(t, db, "UPDATE audit_events SET body = '[]' WHERE sequence = 1") })
	w.clock.advance(3 * time.Hour)
	err := w.retention().Run(t.Context())
	var unreadable *store.UnreadableEventError
	if !errors.As(err, &unreadable) || unreadable.Sequence != 1 {
		t.Errorf("an event that cannot be read gives the error %v", err)
	}
	wantTold(t, w, 2)
}

// While the log is not what was vouched for its checkpoints stay.
func TestNoCheckpointIsRemovedWhileForked(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { w.close(t) }()
	w.organization(t, "a", 87600*time.Hour)
	for range 201 {
		w.record(t, "a")
		w.sign(t)
	}
	w.close(t)
	w.open(t) // so that the next one is full
	w.record(t, "a")
	w.sign(t)
	w.clock.advance(32 * 24 * time.Hour)
	w.record(t, "a")
	w.sign(t)
	retention := w.retention()
	ended := errors.New("ended")
	retention.Pause = func(context.Context) error { return ended }
	if err := retention.Run(t.Context()); !errors.Is(err, ended) { // when it has signed what the oldest is, and removed a few
		t.Fatal(err)
	}
	some, err := w.store.Checkpoints(t.Context(), 0, 1)
	if err != nil || len(some) != 1 || some[0].Number == 1 || some[0].Number > 200 {
		t.Fatalf("the oldest checkpoint is %+v (%v)", some, err)
	}
	w.sign(t)
	ahead := *w.published.is.Newest
	ahead.Number += 5
	w.published.is.Newest = &ahead
	w.signer = w.newSigner()
	var forked *chain.ForkedError
	if err := w.retention().Run(t.Context()); !errors.As(err, &forked) {
		t.Errorf("retention of a forked log gives the error %v", err)
	}
	if kept, err := w.store.Checkpoints(t.Context(), 0, 1); err != nil || len(kept) != 1 || kept[0].Number != some[0].Number {
		t.Errorf("the oldest checkpoint is %+v (%v)", kept, err)
	}
}
