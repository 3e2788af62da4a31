// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// record is a sink that keeps what it gets, and fails when it is told to.
type record struct {
	mu       sync.Mutex
	got      []iam.Event
	refuse   error
	attempts int
	// most is how many events it takes at once; 0 is any number.
	most int
}

func (r *record) Deliver(_ context.Context, events []iam.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if r.most > 0 && len(events) > r.most {
		return errors.New("that is too much at once")
	}
	if r.refuse != nil {
		return r.refuse
	}
	r.got = append(r.got, events...)
	return nil
}

func (r *record) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

func (r *record) sequences() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sequences(r.got)
}

// tell gives how often it was tried.
func (r *record) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts
}

func TestFollowerDeliversAllInOrder(t *testing.T) {
	s := newStore(t)
	to := &record{}
	metrics, registry := newMetrics(t)
	submit(t, s, several("acme", 1, 1200)...)
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics})
	awaitCursor(t, s, "sink/test", 1200)
	submit(t, s, several("globex", 1, 3)...)
	awaitCursor(t, s, "sink/test", 1203)
	if !slices.Equal(to.sequences(), upTo(1203)) || len(to.got) != 1203 {
		t.Errorf("got %v", to.sequences())
	}
	await(t, "no lag", func() bool { return value(t, registry, "iam_operator_audit_sink_lag_events", "sink/test") == 0 })
	if failures := value(t, registry, "iam_operator_audit_sink_failures_total", "sink/test"); failures != 0 {
		t.Errorf("the series of failures is at %v; it must be there from the start, at zero", failures)
	}
}

// An event that only gives another's origin goes to the sinks as it was sealed.
func TestFollowerDeliversOrigins(t *testing.T) {
	s := newStore(t)
	to := &record{}
	submit(t, s, eventOf("acme", 1))
	submit(t, s, eventOf("acme", 2, func(e *iam.Event) {
		e.Origin = &iam.EventOrigin{EventID: "acme-1", EventSequence: 1, SourceIP: "192.0.2.7", UserAgent: "kubectl"}
	}))
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test"})
	awaitCursor(t, s, "sink/test", 2)
	if to.got[0].SourceIP != iam.Unknown || to.got[1].Origin == nil || to.got[1].Origin.SourceIP != "192.0.2.7" {
		t.Errorf("got %+v", to.got)
	}
}

// It waits a second, then two, and never longer than a minute; and catches up when it may.
func TestFollowerWaitsEverLonger(t *testing.T) {
	s := newStore(t)
	to := &record{refuse: errors.New("not now")}
	metrics, registry := newMetrics(t)
	watch := clocktesting.NewFakeClock(noon)
	submit(t, s, several("acme", 1, 10)...)
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics, Clock: watch})
	for i, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		await(t, "it waits", watch.HasWaiters)
		watch.Step(wait*time.Second - 1)
		if to.tries() != i+1 || !watch.HasWaiters() {
			t.Fatalf("it was tried %d times before %v had passed for the %dth time", to.tries(), wait*time.Second, i+1)
		}
		if i == 7 {
			to.set(nil)
		}
		watch.Step(1)
		await(t, "it tries again", func() bool { return to.tries() > i+1 })
	}
	awaitCursor(t, s, "sink/test", 10)
	if !slices.Equal(to.sequences(), upTo(10)) {
		t.Errorf("got %v", to.sequences())
	}
	if failures := value(t, registry, "iam_operator_audit_sink_failures_total", "sink/test"); failures != 8 {
		t.Errorf("%v failures", failures)
	}
}

// Who waits for the receiver holds up nobody, and says how far it is behind.
func TestFailingSinkHoldsUpNobody(t *testing.T) {
	s := newStore(t)
	metrics, registry := newMetrics(t)
	to := &record{refuse: errors.New("not now")}
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics, Clock: clocktesting.NewFakeClock(noon)})
	submit(t, s, several("acme", 1, 10)...)
	await(t, "a failure", func() bool { return to.tries() > 0 })
	other := &record{}
	start(t, &sink.Follower{Store: s, Sink: other, Name: "sink/other"})
	submit(t, s, several("acme", 11, 20)...)
	awaitCursor(t, s, "sink/other", 20)
	if lag := value(t, registry, "iam_operator_audit_sink_lag_events", "sink/test"); lag <= 0 {
		t.Errorf("lag %v", lag)
	}
}

// unreadable is a store of which nobody can read the events.
type unreadable struct{ store.Store }

func (unreadable) EventsAfter(context.Context, store.EventScope, int64, int) ([]iam.Event, error) {
	return nil, &store.UnreadableEventError{Sequence: 1, Err: errors.New("it was altered")}
}

// Who can't read the events says how far it is behind all the same, and so does what counts for alerts.
func TestFollowerThatCannotReadIsBehind(t *testing.T) {
	for name, f := range map[string]*sink.Follower{
		"sink/test": {Name: "sink/test", Sink: &record{}},
		"counter":   {MeasuredAs: sink.CounterName, Sink: sink.Counter{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			metrics, registry := newMetrics(t)
			watch := clocktesting.NewFakeClock(noon)
			f.Store, f.Metrics, f.Clock = unreadable{s}, metrics, watch
			if err := f.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			start(t, f)
			submit(t, s, several("acme", 1, 10)...)
			await(t, "a lag of ten, and failures", func() bool {
				watch.Step(time.Minute)
				lag := value(t, registry, "iam_operator_audit_sink_lag_events", name)
				return lag == 10 && value(t, registry, "iam_operator_audit_sink_failures_total", name) > 0
			})
		})
	}
}

// A receiver that takes a few at once gets all, a few at once.
func TestFollowerSendsLessAtOnce(t *testing.T) {
	s := newStore(t)
	to := &record{most: 3}
	watch := clocktesting.NewFakeClock(noon)
	submit(t, s, several("acme", 1, 50)...)
	stop := start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Clock: watch})
	await(t, "all is there", func() bool {
		if watch.HasWaiters() {
			watch.Step(time.Minute)
		}
		return len(to.sequences()) == 50
	})
	stop()
	if !slices.Equal(to.sequences(), upTo(50)) {
		t.Errorf("got %v", to.sequences())
	}
}

// What retention took before the sink got it is said; what one Organization still has is
// delivered, although another keeps its events for a shorter time.
func TestFollowerSaysWhatItLost(t *testing.T) {
	s := newStore(t)
	metrics, registry := newMetrics(t)
	to := &record{}
	f := func() *sink.Follower {
		return &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics}
	}
	submit(t, s, eventOf("acme", 0))
	stop := start(t, f())
	awaitCursor(t, s, "sink/test", 1)
	stop()
	for n := 1; n <= 10; n++ { // acme has the even sequences, globex the odd ones
		submit(t, s, eventOf("acme", n), eventOf("globex", n))
	}
	drop(t, s, "globex", 8) // seven of ten: sequences 3, 5, … 15
	stop = start(t, f())
	awaitCursor(t, s, "sink/test", 21)
	stop()
	want := []int64{1, 2, 4, 6, 8, 10, 12, 14, 16, 17, 18, 19, 20, 21}
	if !slices.Equal(to.sequences(), want) {
		t.Errorf("got  %v\nwant %v", to.sequences(), want)
	}
	if lost := value(t, registry, "iam_operator_audit_sink_lost_total", "sink/test"); lost != 7 {
		t.Errorf("lost %v, want 7", lost)
	}
}

func TestFollowerGoesOnWhereNothingIsLeft(t *testing.T) {
	s := newStore(t)
	metrics, registry := newMetrics(t)
	to := &record{}
	submit(t, s, eventOf("acme", 0))
	stop := start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics})
	awaitCursor(t, s, "sink/test", 1)
	stop()
	submit(t, s, several("acme", 1, 5)...)
	drop(t, s, "acme", 100)
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/test", Metrics: metrics})
	awaitCursor(t, s, "sink/test", 6)
	submit(t, s, eventOf("acme", 6))
	awaitCursor(t, s, "sink/test", 7)
	if lost := value(t, registry, "iam_operator_audit_sink_lost_total", "sink/test"); lost != 5 {
		t.Errorf("lost %v, want 5", lost)
	}
}

// A new sink gets all that is kept, and has lost nothing.
func TestNewSinkBeginsWithTheOldest(t *testing.T) {
	s := newStore(t)
	metrics, registry := newMetrics(t)
	to := &record{}
	submit(t, s, several("acme", 1, 5)...)
	drop(t, s, "acme", 3)
	start(t, &sink.Follower{Store: s, Sink: to, Name: "sink/new", Metrics: metrics})
	awaitCursor(t, s, "sink/new", 5)
	if !slices.Equal(to.sequences(), []int64{3, 4, 5}) {
		t.Errorf("got %v", to.sequences())
	}
	if lost := value(t, registry, "iam_operator_audit_sink_lost_total", "sink/new"); lost != 0 {
		t.Errorf("lost %v", lost)
	}
}

// A restart goes on, each sink where it was itself.
func TestFollowersGoOnAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iam.db")
	s := open(t, path)
	var one, two bytes.Buffer
	submit(t, s, several("acme", 1, 5)...)
	stop := start(t, &sink.Follower{Store: s, Sink: sink.NewLines(&one), Name: "sink/one"})
	awaitCursor(t, s, "sink/one", 5)
	stop()
	submit(t, s, several("acme", 6, 10)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	stopOne := start(t, &sink.Follower{Store: s, Sink: sink.NewLines(&one), Name: "sink/one"})
	stopTwo := start(t, &sink.Follower{Store: s, Sink: sink.NewLines(&two), Name: "sink/two"})
	awaitCursor(t, s, "sink/one", 10)
	awaitCursor(t, s, "sink/two", 10)
	stopOne()
	stopTwo()
	for name, text := range map[string]string{"one": one.String(), "two": two.String()} {
		if events := read(t, text); !slices.Equal(sequences(events), upTo(10)) || len(events) != 10 {
			t.Errorf("%s got %v", name, sequences(events))
		}
	}
}

// A store that is closed first ends a follower, as the end of its context does.
func TestFollowerEndsWithItsStore(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "iam.db"))
	ended := make(chan error, 1)
	f := &sink.Follower{Store: s, Sink: &record{}, Name: "sink/test", Clock: clocktesting.NewFakeClock(noon)}
	go func() { ended <- f.Run(t.Context()) }()
	submit(t, s, eventOf("acme", 1))
	awaitCursor(t, s, "sink/test", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
