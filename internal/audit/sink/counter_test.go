// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// What was recorded before the start was counted then; an origin is no event of its own.
func TestCounterCountsWhatIsNew(t *testing.T) {
	const events = "iam_operator_audit_events_total"
	s := newStore(t)
	metrics, registry := newMetrics(t)
	submit(t, s, several("acme", 1, 5)...)
	f := &sink.Follower{Store: s, Sink: sink.Counter{Metrics: metrics}, MeasuredAs: sink.CounterName, Metrics: metrics}
	if err := f.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, f)
	answered := func(code int, method string) func(*iam.Event) {
		return func(e *iam.Event) { e.StatusCode, e.Method = code, method }
	}
	submit(t, s,
		eventOf("acme", 6), eventOf("acme", 7), eventOf("acme", 8, answered(403, "CreateAPIKey")), eventOf("acme", 9, answered(422, "CreateAPIKey")),
		eventOf("acme", 10, answered(204, "DeleteAPIKey")), eventOf("acme", 11, func(e *iam.Event) {
			e.Origin = &iam.EventOrigin{EventID: "acme-1", EventSequence: 1, SourceIP: "192.0.2.7", UserAgent: "kubectl"}
		}), eventOf("last", 12))
	await(t, "the last event", func() bool { return value(t, registry, events, "home-of-last") > 0 })
	for name, test := range map[string]struct {
		labels []string
		want   float64
	}{
		"done":      {[]string{"home-of-acme", "CreateAPIKey", "done"}, 2},
		"forbidden": {[]string{"home-of-acme", "CreateAPIKey", "forbidden"}, 1},
		"refused":   {[]string{"home-of-acme", "CreateAPIKey", "refused"}, 1},
		"deleted":   {[]string{"home-of-acme", "DeleteAPIKey", "done"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := value(t, registry, events, test.labels...); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
	if value(t, registry, events, "acme") != -1 {
		t.Error("the metrics, which anybody may read, name an Organization")
	}
	await(t, "it is measured", func() bool { return value(t, registry, "iam_operator_audit_sink_lag_events", sink.CounterName) == 0 })
	if delivered := value(t, registry, "iam_operator_audit_sink_delivered_total", sink.CounterName); delivered != 7 {
		t.Errorf("%v events have come to the counter, want 7", delivered)
	}
}

// All operators of a process share the registry.
func TestMetricsAreShared(t *testing.T) {
	_, registry := newMetrics(t)
	if _, err := sink.NewMetrics(registry); err != nil {
		t.Error(err)
	}
}
