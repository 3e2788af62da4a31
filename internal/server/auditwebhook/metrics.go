// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
)

// What became of what the API server told, by label result.
const (
	resultJoined    = "joined"
	resultUnmatched = "unmatched"
	resultMismatch  = "mismatch"
	resultRefused   = "refused"
)

type metrics struct {
	origins *prometheus.CounterVec
	waiting prometheus.Gauge
	// forbidden counts what the API server refused before it came to our webhooks.
	forbidden *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		origins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_operator_audit_origins_total",
			Help: "What became of the origins of requests that kube-apiserver told: joined to an event, unmatched by any within ten minutes, mismatch of the user, or refused by the store.",
		}, []string{"result"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "iam_operator_audit_origins_waiting", Help: "Origins of requests that are remembered for events to come; at most 10,000."}),
		forbidden: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_operator_apiserver_forbidden_total",
			Help: "Requests for our objects that Kubernetes RBAC refused, so that no audit event tells of them, by resource and verb.",
		}, []string{"resource", "verb"}),
	}
	for resource := range ourResources {
		for verb := range writingVerbs {
			m.forbidden.WithLabelValues(resource, verb) // At zero from the start: the growth of one that begins with its first would not be seen.
		}
	}
	return m, errors.Join(sink.Register(registry, &m.origins), sink.Register(registry, &m.waiting), sink.Register(registry, &m.forbidden))
}

func (m *metrics) result(result string, count int) {
	m.origins.WithLabelValues(result).Add(float64(count))
}
