// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what tells how sinks do, and how many events there are. Nil counts nothing.
type Metrics struct {
	events                                 *prometheus.CounterVec
	lag                                    *prometheus.GaugeVec
	deliveredTotal, failedTotal, lostTotal *prometheus.CounterVec
}

// NewMetrics registers the metrics, or finds those that are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	sinks := []string{"sink"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		// Whoever reaches the metrics reads them: no Organization is named. There are as many series as home namespaces
		// that had events since the start, times what can happen there, and none is ever removed.
		events: counter("iam_operator_audit_events_total",
			"Audit events recorded since the operator started, by the home namespace of their Organization, the method, and the result: done, forbidden (401 and 403) or refused (what else is 400 and above).",
			[]string{"home", "method", "result"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "iam_operator_audit_sink_lag_events", Help: "Audit events that a sink has not got yet.",
		}, sinks),
		deliveredTotal: counter("iam_operator_audit_sink_delivered_total", "Audit events that a sink has got, those counted twice that it got again.", sinks),
		failedTotal:    counter("iam_operator_audit_sink_failures_total", "Deliveries to a sink that failed, and are tried again.", sinks),
		lostTotal:      counter("iam_operator_audit_sink_lost_total", "Audit events that retention removed before a sink got them.", sinks),
	}
	return m, errors.Join(Register(registry, &m.events), Register(registry, &m.lag),
		Register(registry, &m.deliveredTotal), Register(registry, &m.failedTotal), Register(registry, &m.lostTotal))
}

// Register registers a collector, or puts the one that is registered already in its place: all
// operators of a process share the registry.
func Register[C prometheus.Collector](registry prometheus.Registerer, place *C) error {
	err := registry.Register(*place)
	var known prometheus.AlreadyRegisteredError
	if !errors.As(err, &known) {
		return err
	}
	there, ok := known.ExistingCollector.(C)
	if !ok {
		return fmt.Errorf("a metric is registered as %T, not %T", known.ExistingCollector, *place)
	}
	*place = there
	return nil
}

// watched says whether a sink is measured: a follower without a name in metrics is not.
func (m *Metrics) watched(sink string) bool { return m != nil && sink != "" }

// begin has the series of a sink there from the start, at zero: the growth of one that begins
// with its first failure would not be seen.
func (m *Metrics) begin(sink string) {
	if m.watched(sink) {
		m.failedTotal.WithLabelValues(sink)
		m.lostTotal.WithLabelValues(sink)
		m.deliveredTotal.WithLabelValues(sink)
	}
}

func (m *Metrics) behind(sink string, events int64) {
	if m.watched(sink) {
		m.lag.WithLabelValues(sink).Set(float64(events))
	}
}

func (m *Metrics) delivered(sink string, events int) {
	if m.watched(sink) {
		m.deliveredTotal.WithLabelValues(sink).Add(float64(events))
	}
}

func (m *Metrics) failed(sink string) {
	if m.watched(sink) {
		m.failedTotal.WithLabelValues(sink).Inc()
	}
}

func (m *Metrics) lost(sink string, events int64) {
	if m.watched(sink) {
		m.lostTotal.WithLabelValues(sink).Add(float64(events))
	}
}
