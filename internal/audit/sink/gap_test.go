// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// counted is a store that counts the events which are read.
type counted struct {
	store.Store
	events atomic.Int64
}

func (c *counted) EventsAfter(ctx context.Context, scope store.EventScope, sequence int64, limit int) ([]iam.Event, error) {
	events, err := c.Store.EventsAfter(ctx, scope, sequence, limit)
	c.events.Add(int64(len(events)))
	return events, err
}

// With many Organizations each event is read once, in order, whether they take turns or not. The
// last of the events is one that retention took, so that all of the log is looked through.
func TestManyOrganizationsAreReadOnce(t *testing.T) {
	const chains, each = 50, 11 // more than a batch has
	orders := map[string]func(i int) (chain, n int){
		"in turns":           func(i int) (int, int) { return i % chains, i/chains + 1 },
		"one after another":  func(i int) (int, int) { return i / each, i%each + 1 },
		"mostly by a single": func(i int) (int, int) { return max(0, i-(chains*each-chains)), i + 1 },
	}
	for name, order := range orders {
		for _, failing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, failing %v", name, failing), func(t *testing.T) {
				s := newStore(t)
				events := []iam.Event{eventOf("short", 0)}
				for i := range chains * each {
					chain, n := order(i)
					events = append(events, eventOf(fmt.Sprintf("org-%d", chain), n))
				}
				submit(t, s, append(events, eventOf("short", 1))...)
				if err := s.MoveCursor(t.Context(), "sink/test", 1); err != nil {
					t.Fatal(err)
				}
				drop(t, s, "short", 100)
				read, to, watch := &counted{Store: s}, &record{}, clocktesting.NewFakeClock(noon)
				if failing {
					to.most = 100
				}
				start(t, &sink.Follower{Store: read, Sink: to, Name: "sink/test", Clock: watch})
				await(t, "all is there", func() bool {
					if watch.HasWaiters() {
						watch.Step(time.Minute)
					}
					cursor, err := s.Cursor(t.Context(), "sink/test")
					return err == nil && cursor == chains*each+2
				})
				want := upTo(chains*each + 1)[1:]
				if !slices.Equal(to.sequences(), want) {
					t.Errorf("got %v", to.sequences())
				}
				if got := read.events.Load(); !failing && got != chains*each {
					t.Errorf("%d events were read to deliver %d", got, chains*each)
				}
			})
		}
	}
}

// What retention removes while a gap is gone through is passed over, and the rest delivered.
func TestRetentionInTheMidst(t *testing.T) {
	s := newStore(t)
	to := &record{refuse: errors.New("not now")}
	submit(t, s, eventOf("short", 0))
	for n := 1; n <= 20; n++ { // acme has the even sequences, globex the odd ones
		submit(t, s, eventOf("acme", n), eventOf("globex", n))
	}
	submit(t, s, eventOf("short", 1), eventOf("acme", 21))
	if err := s.MoveCursor(t.Context(), "sink/test", 1); err != nil {
		t.Fatal(err)
	}
	drop(t, s, "short", 100)
	watch := clocktesting.NewFakeClock(noon)
	metrics, registry := newMetrics(t)
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Clock: watch, Metrics: metrics})
	await(t, "a failure", watch.HasWaiters)
	drop(t, s, "globex", 11)
	to.set(nil)
	watch.Step(time.Minute)
	awaitCursor(t, s, "sink/test", 43)
	want := []int64{2, 4, 6, 8, 10, 12, 14, 16, 18, 20}
	for n := int64(22); n <= 41; n++ {
		want = append(want, n)
	}
	if want = append(want, 43); !slices.Equal(to.sequences(), want) {
		t.Errorf("got  %v\nwant %v", to.sequences(), want)
	}
	if lost := value(t, registry, "iam_operator_audit_sink_lost_total", "sink/test"); lost != 11 {
		t.Errorf("lost %v, want 11", lost)
	}
}
