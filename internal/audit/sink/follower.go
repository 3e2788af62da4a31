// SPDX-License-Identifier: Apache-2.0

// Package sink hands audit events on: to a stream, a file, a receiver of OpenTelemetry logs,
// and to the counters that alerts are made of. Each is followed by a cursor of its own in the
// store, which moves after the events were delivered: whatever fails meanwhile, each event is
// delivered at least once, in order, and nothing ever waits for a sink but the sink itself.
package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// batchSize is how many events are delivered at once, at most.
	batchSize = 500
	// After a failure it is tried again after firstWait, then after twice as long, up to longestWait.
	firstWait   = time.Second
	longestWait = time.Minute
)

// Sink is where events go.
type Sink interface {
	// Deliver returns nil once the events are where they should be; with an error, some may be,
	// and all will be delivered again. They are in the order of their sequences, as they were
	// sealed: also those that only give another's origin. One call follows another.
	Deliver(ctx context.Context, events []iam.Event) error
}

// Follower delivers events to a sink. All fields but Name, MeasuredAs and Metrics are needed.
type Follower struct {
	Store store.Store
	Sink  Sink
	// Name is that of the cursor in the store: where the sink goes on after a restart. A new one
	// begins with the oldest event that is kept. Without a name nothing is kept, and it begins
	// with what is recorded after Begin.
	Name string
	// MeasuredAs is the name in the metrics of a follower without a Name; with one, it is that.
	MeasuredAs string
	Metrics    *Metrics
	Clock      clock.Clock
	Log        logr.Logger

	cursor int64
	begun  bool
	// lostUpTo is up to which event it was said what is lost, so that each is said once.
	lostUpTo int64
	// gap is what is being delivered where retention has removed events; nil elsewhere.
	gap *gap
}

// Run delivers until the context ends, or the store is closed. It returns nil then, and never
// before: what fails is tried again.
func (f *Follower) Run(ctx context.Context) error {
	f.Metrics.begin(f.measured())
	size, wait := batchSize, firstWait
	for {
		changed := f.Store.Changed()
		delivered, err := f.step(ctx, size)
		switch {
		case ctx.Err() != nil || errors.Is(err, store.ErrClosed):
			return nil
		case err != nil:
			f.gap = nil // What was taken from it is to be delivered again.
			f.Metrics.failed(f.measured())
			f.Log.Error(err, "Audit events could not be delivered; they are kept, and delivered later", "sink", f.measured(), "after", f.cursor, "retryIn", wait)
			pause(ctx, f.Clock.After(wait))
			// A receiver may refuse what is too much at once, and take less.
			size, wait = max(size/2, 1), min(2*wait, longestWait)
		case delivered == 0:
			pause(ctx, changed)
		default:
			size, wait = min(2*size, batchSize), firstWait
		}
	}
}

func pause[T any](ctx context.Context, until <-chan T) {
	select {
	case <-ctx.Done():
	case <-until:
	}
}

// step delivers the next events, if there are any, and says how many.
func (f *Follower) step(ctx context.Context, limit int) (int, error) {
	if err := f.Begin(ctx); err != nil {
		return 0, err
	}
	// Before anything is read: who can't read an event is ever further behind, and that must be seen.
	if err := f.measure(ctx); err != nil {
		return 0, err
	}
	events, err := f.next(ctx, limit)
	if err != nil {
		return 0, fmt.Errorf("read the audit events after %d: %w", f.cursor, err)
	}
	if len(events) == 0 {
		return 0, nil
	}
	if err := f.Sink.Deliver(ctx, events); err != nil {
		return 0, err
	}
	f.lose(events)
	if err := f.move(ctx, events[len(events)-1].Sequence); err != nil {
		return 0, err
	}
	f.Metrics.delivered(f.measured(), len(events))
	return len(events), nil // The next step, which comes at once, measures how far it is behind now.
}

// Begin finds out where to go on, once. Run does it, too; who calls it before knows that
// whatever is recorded afterwards will be delivered.
func (f *Follower) Begin(ctx context.Context) error {
	if f.begun {
		return nil
	}
	all, err := f.Store.EventRange(ctx, store.EventScope{})
	f.cursor = all.Newest
	if err == nil && f.Name != "" {
		f.cursor, err = f.Store.Cursor(ctx, f.Name)
	}
	if err != nil {
		return fmt.Errorf("find where to go on: %w", err)
	}
	if f.cursor == 0 {
		f.lostUpTo = all.Dropped // A new sink has lost nothing.
	}
	f.begun = true
	return nil
}

func (f *Follower) move(ctx context.Context, sequence int64) error {
	if f.Name != "" {
		if err := f.Store.MoveCursor(ctx, f.Name, sequence); err != nil {
			return fmt.Errorf("remember what was delivered: %w", err)
		}
	}
	f.cursor = sequence
	return nil
}

// next gives the oldest events after the cursor that are still there.
func (f *Follower) next(ctx context.Context, limit int) ([]iam.Event, error) {
	for {
		events, err := f.Store.EventsAfter(ctx, store.EventScope{}, f.cursor, limit)
		if !errors.Is(err, store.ErrEventsGone) {
			f.gap = nil
			return events, err
		}
		if f.gap == nil || f.gap.upTo <= f.cursor {
			if f.gap, err = findGap(ctx, f.Store, f.cursor); err != nil {
				return nil, err
			}
		}
		events, err = f.gap.next(ctx, f.Store, limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		f.lose(nil)
		if err := f.move(ctx, f.gap.upTo); err != nil {
			return nil, err
		}
	}
}

// lose says which events a sink never gets: those up to the last of what is still there, or to the
// end of the gap where nothing is, that are not among it. That is so once it was delivered: until
// then retention may remove more.
func (f *Follower) lose(kept []iam.Event) {
	if f.gap == nil {
		return
	}
	after, upTo := max(f.cursor, f.lostUpTo), f.gap.upTo
	if len(kept) > 0 {
		upTo = kept[len(kept)-1].Sequence
	}
	lost := upTo - after
	for _, event := range kept {
		if event.Sequence > after {
			lost--
		}
	}
	f.lostUpTo = max(f.lostUpTo, upTo)
	if lost <= 0 {
		return
	}
	f.Metrics.lost(f.measured(), lost)
	f.Log.Error(store.ErrEventsGone, "Retention has removed audit events before they were delivered", "sink", f.measured(), "after", after, "upTo", upTo, "lost", lost)
}

// measured is the name in metrics and in the log.
func (f *Follower) measured() string { return cmp.Or(f.Name, f.MeasuredAs) }

// measure says how far the sink is behind.
func (f *Follower) measure(ctx context.Context) error {
	all, err := f.Store.EventRange(ctx, store.EventScope{})
	if err != nil {
		return fmt.Errorf("find the newest audit event: %w", err)
	}
	f.Metrics.behind(f.measured(), all.Newest-f.cursor)
	return nil
}
