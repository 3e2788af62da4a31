// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const maya = "maya@corp.example"

type bench struct {
	*joiner
	clock *clocktesting.FakeClock
}

func newStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db"), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newBench(t *testing.T) *bench {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(noon)
	return &bench{clock: clock, joiner: newJoiner(Options{
		Store: newStore(t), NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Clock: clock, Log: logr.Discard(),
	}, m)}
}

func eventOf(request string, edits ...func(*iam.Event)) iam.Event {
	e := iam.Event{
		ID: uuid.NewString(), RecordedAt: noon, Organization: iam.EventOrganization{ID: "acme", Name: "Acme"}, Namespace: "home",
		Principal: iam.Actor{Kind: iam.ActorKubernetesUser, Name: maya}, KubernetesUser: maya, SourceIP: iam.Unknown, UserAgent: iam.Unknown,
		Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: "CreatePolicy", Action: iam.ActionCreated, RequestID: request, StatusCode: 200,
		Resources: []iam.EventResource{},
	}
	for _, edit := range edits {
		edit(&e)
	}
	return e
}

func seen(request string) sighting {
	return sighting{requestID: request, user: maya, sourceIP: "192.0.2.7", userAgent: "kubectl/v1.37.2"}
}

func (b *bench) mustSee(t *testing.T, sightings ...sighting) {
	t.Helper()
	if err := b.see(t.Context(), sightings); err != nil {
		t.Fatal(err)
	}
}

// mustRecord records events, and tells the joiner as its follower does.
func (b *bench) mustRecord(t *testing.T, events ...iam.Event) {
	t.Helper()
	all, err := b.store.EventRange(t.Context(), store.EventScope{})
	if err == nil {
		err = b.store.Submit(t.Context(), events...)
	}
	if err == nil {
		events, err = b.store.EventsAfter(t.Context(), store.EventScope{}, all.Newest, 0)
	}
	if err == nil {
		err = b.Deliver(t.Context(), events)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// raw counts the events as they are sealed, origins among them.
func (b *bench) raw(t *testing.T) int {
	t.Helper()
	events, err := b.store.EventsAfter(t.Context(), store.EventScope{}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(events)
}

func (b *bench) origin(t *testing.T, id string) string {
	t.Helper()
	events, err := b.store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: id}})
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0].SourceIP + " " + events[0].UserAgent
}

func (b *bench) counted(t *testing.T, result string) float64 {
	t.Helper()
	var m dto.Metric
	if err := b.metrics.origins.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

const (
	known   = "192.0.2.7 kubectl/v1.37.2"
	unknown = "unknown unknown"
)

// Either may come first, and either may come twice.
func TestJoin(t *testing.T) {
	first, second := eventOf("request-1"), eventOf("request-1")
	other := eventOf("request-2")
	without := eventOf("")
	for name, test := range map[string]struct {
		do    func(*testing.T, *bench)
		found []string
		raw   int
	}{
		"the event first":  {func(t *testing.T, b *bench) { b.mustRecord(t, first); b.mustSee(t, seen("request-1")) }, []string{first.ID}, 2},
		"the origin first": {func(t *testing.T, b *bench) { b.mustSee(t, seen("request-1")); b.mustRecord(t, first) }, []string{first.ID}, 2},
		"the origin twice, before": {func(t *testing.T, b *bench) {
			b.mustSee(t, seen("request-1"), seen("request-1"))
			b.mustSee(t, seen("request-1"))
			b.mustRecord(t, first)
		}, []string{first.ID}, 2},
		"the origin twice, after": {func(t *testing.T, b *bench) {
			b.mustRecord(t, first)
			b.mustSee(t, seen("request-1"), seen("request-1"))
			b.mustSee(t, seen("request-1"))
		}, []string{first.ID}, 2},
		"several events of one request": {func(t *testing.T, b *bench) {
			b.mustRecord(t, first, second)
			b.mustSee(t, seen("request-1"))
		}, []string{first.ID, second.ID}, 4},
		"several events, on either side": {func(t *testing.T, b *bench) {
			b.mustRecord(t, first)
			b.mustSee(t, seen("request-1"))
			b.mustRecord(t, second)
		}, []string{first.ID, second.ID}, 4},
		"other requests": {func(t *testing.T, b *bench) {
			b.mustRecord(t, first, other, without)
			b.mustSee(t, seen("request-2"), seen("request-3"))
		}, []string{other.ID}, 4},
		"an event delivered again": {func(t *testing.T, b *bench) {
			b.mustSee(t, seen("request-1"))
			b.mustRecord(t, first)
			events, err := b.store.EventsAfter(t.Context(), store.EventScope{}, 0, 1)
			if err == nil {
				err = b.Deliver(t.Context(), events)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{first.ID}, 2},
		"one known and one new at once": {func(t *testing.T, b *bench) {
			b.mustSee(t, seen("request-1"), seen("request-2"))
			b.mustRecord(t, first)
			if err := b.store.Submit(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			events, err := b.store.EventsAfter(t.Context(), store.EventScope{}, 0, 0)
			if err == nil {
				err = b.Deliver(t.Context(), events)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{first.ID, other.ID}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			test.do(t, b)
			for _, id := range test.found {
				if got := b.origin(t, id); got != known {
					t.Errorf("event %s: %s", id, got)
				}
			}
			if raw := b.raw(t); raw != test.raw {
				t.Errorf("%d events are sealed, want %d", raw, test.raw)
			}
			if joined := b.counted(t, resultJoined); joined != float64(len(test.found)) {
				t.Errorf("counted %v joined, want %d", joined, len(test.found))
			}
		})
	}
}

// The id alone must not do: what is said of another user's request is not said of this one.
func TestAnotherUsersOriginIsNotJoined(t *testing.T) {
	b := newBench(t)
	event := eventOf("request-1")
	b.mustRecord(t, event)
	s := seen("request-1")
	s.user = "eve@corp.example"
	b.mustSee(t, s)
	if got := b.origin(t, event.ID); got != unknown {
		t.Errorf("origin %s", got)
	}
	if b.counted(t, resultMismatch) != 1 {
		t.Error("it was not counted")
	}
}

// What nothing came of is forgotten after ten minutes, and counted.
func TestOriginsAreForgotten(t *testing.T) {
	b := newBench(t)
	joined, late := eventOf("request-1"), eventOf("request-2")
	b.mustSee(t, seen("request-1"), seen("request-2"))
	b.mustRecord(t, joined)
	b.clock.Step(keptFor)
	b.mustSee(t)
	b.mustRecord(t, late)
	if got := b.origin(t, late.ID); got != unknown {
		t.Errorf("origin %s", got)
	}
	if unmatched := b.counted(t, resultUnmatched); unmatched != 1 {
		t.Errorf("counted %v unmatched, want 1", unmatched)
	}
	if len(b.known) != 0 || b.order.Len() != 0 {
		t.Errorf("%d and %d are remembered", len(b.known), b.order.Len())
	}
}

func TestOriginsInMemoryAreBounded(t *testing.T) {
	b := newBench(t)
	for n := range keptMax + 100 {
		b.keep([]sighting{seen(fmt.Sprint("request-", n))})
	}
	if len(b.known) != keptMax || b.order.Len() != keptMax {
		t.Errorf("%d and %d are remembered, want %d", len(b.known), b.order.Len(), keptMax)
	}
	if _, there := b.find("request-99"); there {
		t.Error("the oldest is remembered")
	}
	if _, there := b.find("request-100"); !there {
		t.Error("the newest are not remembered")
	}
}

// Any client may send any header; only who is connected is certain, unless a proxy is trusted.
func TestSource(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for name, test := range map[string]struct {
		addresses []string
		proxies   []netip.Prefix
		want      string
	}{
		"none":                             {nil, nil, ""},
		"one":                              {[]string{"192.0.2.7"}, nil, "192.0.2.7"},
		"a header that nobody vouches for": {[]string{"198.51.100.1", "192.0.2.7"}, nil, "192.0.2.7"},
		"a header of a trusted proxy":      {[]string{"192.0.2.7", "10.1.2.3"}, proxies, "192.0.2.7"},
		"two proxies":                      {[]string{"192.0.2.7", "2001:db8::1", "10.1.2.3"}, proxies, "192.0.2.7"},
		"a lie before a trusted proxy":     {[]string{"198.51.100.1", "192.0.2.7", "10.1.2.3"}, proxies, "192.0.2.7"},
		"a client within the proxies":      {[]string{"10.9.9.9"}, proxies, "10.9.9.9"},
		"only proxies":                     {[]string{"10.9.9.9", "10.1.2.3"}, proxies, "10.9.9.9"},
		"a proxy in the other form":        {[]string{"192.0.2.7", "::ffff:10.1.2.3"}, proxies, "192.0.2.7"},
		"no address":                       {[]string{"192.0.2.7", "nonsense"}, proxies, "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := source(test.addresses, test.proxies); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
