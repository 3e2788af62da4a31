// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/authz"
)

type metrics struct {
	decisions *prometheus.CounterVec
	byReason  map[authz.Reason]prometheus.Counter
	failures  prometheus.Counter
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	logLost   prometheus.Counter
	panics    prometheus.Counter
	refused   prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, engine *authz.Engine) (*metrics, error) {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_operator_decisions_total", Help: "Decisions, by outcome and reason.",
		}, []string{"outcome", "reason"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "iam_operator_decision_condition_errors_total", Help: "Conditions that could not be evaluated, so that their rules did not match.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_operator_decision_requests_total", Help: "Requests to the decision engine, by endpoint and HTTP status code.",
		}, []string{"endpoint", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "iam_operator_decision_request_duration_seconds", Help: "How long requests to the decision engine took, from their headers to the answer.",
			Buckets: []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 1, 5},
		}, []string{"endpoint"}),
		logLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "iam_operator_decision_log_lost_total", Help: "Lines that the log of decisions has not: its queue was full, or they could not be written.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "iam_operator_decision_panics_total", Help: "Requests to the decision engine that a fault of the operator kept from being answered; its log has the stack.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "iam_operator_decision_items_refused_total", Help: "Questions among several that were denied without a decision: they were broken, or their caller may not ask them.",
		}),
	}
	revision := prometheus.Collector(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "iam_operator_decision_snapshot_revision", Help: "Number of the store's revision that decisions are made at.",
	}, func() float64 { return float64(engine.Revision().N) }))
	age := prometheus.Collector(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "iam_operator_decision_snapshot_age_seconds", Help: "How long ago the snapshot that decisions are made from was known to show all that the store had.",
	}, func() float64 { return engine.Age().Seconds() }))
	err := errors.Join(
		sink.Register(registry, &m.decisions), sink.Register(registry, &m.failures), sink.Register(registry, &m.requests),
		sink.Register(registry, &m.duration), sink.Register(registry, &m.logLost), sink.Register(registry, &m.panics), sink.Register(registry, &m.refused),
		sink.Register(registry, &revision), sink.Register(registry, &age),
	)
	m.begin()
	return m, err
}

// begin has all decisions at zero from the start: the growth of a series that begins with its first would not be seen.
func (m *metrics) begin() {
	m.byReason = map[authz.Reason]prometheus.Counter{}
	for _, reason := range authz.Reasons() {
		d := authz.Decision{Allowed: reason == authz.ReasonOwner || reason == authz.ReasonGranted}
		m.byReason[reason] = m.decisions.WithLabelValues(outcome(&d), string(reason))
	}
}

func (m *metrics) decided(d *authz.Decision) {
	if counter := m.byReason[d.Reason]; counter != nil {
		counter.Inc()
	}
	if d.ConditionErrors > 0 {
		m.failures.Add(float64(d.ConditionErrors))
	}
}

// lost counts lines of the log that were lost.
func (m *metrics) lost(lines int) {
	if m != nil {
		m.logLost.Add(float64(lines))
	}
}

// measured are the metrics of one endpoint.
type measured struct {
	endpoint Endpoint
	duration prometheus.Observer
	ok       prometheus.Counter
	requests *prometheus.CounterVec
}

func (m *metrics) of(endpoint Endpoint) *measured {
	return &measured{
		endpoint: endpoint, duration: m.duration.WithLabelValues(string(endpoint)), requests: m.requests,
		ok: m.requests.WithLabelValues(string(endpoint), strconv.Itoa(http.StatusOK)),
	}
}

func (m *measured) observe(status int, took time.Duration) {
	m.duration.Observe(took.Seconds())
	if status == http.StatusOK {
		m.ok.Inc()
		return
	}
	m.requests.WithLabelValues(string(m.endpoint), strconv.Itoa(status)).Inc()
}
