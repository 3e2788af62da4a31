// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// tailLength is how many of the newest events all watches share in memory, at least, and twice as many at most; one that
	// is further behind reads the store.
	tailLength = 1024
	// tailBatch is how many events are read at once.
	tailBatch = 200
	// retryAfter is how long the tail waits when the store can't be read.
	retryAfter = time.Second
)

// news is what a watch tells of: an event that was recorded, or one whose origin became known.
type news struct {
	// sequence is that of what was recorded.
	sequence int64
	// event is as readers see it.
	event iam.Event
	// before is the event as readers saw it; nil for one that is new.
	before *iam.Event
}

// tail reads what is recorded once for all watches, so that a commit costs one query however
// many there are, and keeps the end of it. Nobody waits for a watch: one that is slow finds that
// the tail has moved on.
type tail struct {
	store store.Store
	clock clock.WithTicker
	log   logr.Logger

	mu sync.Mutex
	// kept is in order and complete from after to last.
	kept        []news
	after, last int64
	// more is closed when there is more.
	more chan struct{}
}

func newTail(events store.Store, clock clock.WithTicker, log logr.Logger) *tail {
	return &tail{store: events, clock: clock, log: log, more: make(chan struct{})}
}

// since gives what came after a sequence, how far it goes, and a channel that is closed when
// there is more. It is not complete when the sequence is older than what is kept: the caller
// then reads the store up to the start that is given.
func (t *tail) since(sequence int64) (found []news, last int64, more <-chan struct{}, start int64, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence < t.after {
		return nil, t.last, t.more, t.after, false
	}
	for i := len(t.kept); i > 0 && t.kept[i-1].sequence > sequence; i-- {
		found = t.kept[i-1:]
	}
	return found, t.last, t.more, t.after, true
}

// begin has the tail start at the newest event.
func (t *tail) begin(ctx context.Context) error {
	kept, err := t.store.EventRange(ctx, store.EventScope{})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept, t.after, t.last = nil, kept.Newest, kept.Newest
	close(t.more)
	t.more = make(chan struct{})
	return nil
}

// run follows the store until the context ends.
func (t *tail) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := t.store.Changed()
		full, err := t.read(ctx)
		switch {
		case errors.Is(err, store.ErrEventsGone):
			// Retention has overtaken it. Watches that miss something find out by themselves.
			err = t.begin(ctx)
		case full:
			continue
		case err == nil:
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err != nil && ctx.Err() == nil {
			t.log.Error(err, "the audit events can't be read; watches wait")
			select {
			case <-ctx.Done():
			case <-t.clock.After(retryAfter):
			}
		}
	}
}

// read takes a batch from the store, and says whether it was a full one.
func (t *tail) read(ctx context.Context) (full bool, err error) {
	batch, err := t.store.EventsAfter(ctx, store.EventScope{}, t.last, tailBatch)
	if err != nil || len(batch) == 0 {
		return false, err
	}
	found, err := tell(ctx, t.store, batch)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = batch[len(batch)-1].Sequence
	// Watches read what is there, without the lock: it is never written again, and what goes makes room in a new slice.
	t.kept = append(t.kept, found...)
	if over := len(t.kept) - tailLength; over > tailLength {
		t.after = t.kept[over-1].sequence
		t.kept = append([]news(nil), t.kept[over:]...)
	}
	close(t.more)
	t.more = make(chan struct{})
	return len(batch) == tailBatch, nil
}

// tell makes news of events as they were recorded.
func tell(ctx context.Context, events store.Store, batch []iam.Event) ([]news, error) {
	found := make([]news, 0, len(batch))
	for _, event := range batch {
		if event.Origin == nil {
			found = append(found, news{sequence: event.Sequence, event: event})
			continue
		}
		earlier, err := events.Events(ctx, store.EventQuery{EventFilter: store.EventFilter{ID: event.Origin.EventID}, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(earlier) == 0 {
			continue // retention has it
		}
		before := earlier[0]
		before.SourceIP, before.UserAgent = iam.Unknown, iam.Unknown
		found = append(found, news{sequence: event.Sequence, event: earlier[0], before: &before})
	}
	return found, nil
}
