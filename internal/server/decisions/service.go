// SPDX-License-Identifier: Apache-2.0

// Package decisions is what the APIs that ask the decision engine have in common: the listener, who calls and what they may
// ask, the log of decisions, and the metrics. The APIs themselves are packages authzen and iamapi.
package decisions

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// RevisionWait is how long a request waits for the revision that it demands.
const RevisionWait = 5 * time.Second

// checkPermission is what takes to ask about others, in the Organization as a whole. It is ours: Scaleway's API only
// answers for the caller.
var checkPermission = iam.Permission{Service: "iam", Resource: "permission", Action: "check"}

// Options say with what a Service works.
type Options struct {
	Engine *authz.Engine
	Clock  clock.PassiveClock
	// NewID gives identifiers to requests that have none.
	NewID func() string
	// Log takes each decision.
	Log      *Log
	Registry prometheus.Registerer
}

// Service answers the requests of all APIs.
type Service struct {
	Options
	metrics *metrics
}

// NewService registers the metrics.
func NewService(o Options) (*Service, error) {
	m, err := newMetrics(o.Registry, o.Engine)
	if err != nil {
		return nil, err
	}
	o.Log.metrics = m
	return &Service{Options: o, metrics: m}, nil
}

// Endpoint names what is asked, in log and metrics.
type Endpoint string

// The endpoints.
const (
	EndpointEvaluation       Endpoint = "evaluation"
	EndpointEvaluations      Endpoint = "evaluations"
	EndpointSearchSubject    Endpoint = "search_subject"
	EndpointSearchResource   Endpoint = "search_resource"
	EndpointSearchAction     Endpoint = "search_action"
	EndpointExplain          Endpoint = "explain"
	EndpointCheckPermissions Endpoint = "check_permissions"
)

// Answer gives the body of an answer to a caller who is known, appended to a buffer; or a *wire.Refusal.
type Answer func(s *Session, r *http.Request, to []byte) ([]byte, error)

// Refuse writes a refusal in the form of an API.
type Refuse func(w http.ResponseWriter, refusal *wire.Refusal)

// Handle makes the handler of an endpoint.
func (s *Service) Handle(endpoint Endpoint, answer Answer, refuse Refuse) http.Handler {
	measured := s.metrics.of(endpoint)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.Clock.Now()
		session := Session{service: s, endpoint: endpoint, began: began, request: r, id: wire.Identify(w, r, s.NewID)}
		buffer := answers.get()
		defer answers.put(buffer)
		err := session.open()
		if err == nil {
			buffer.bytes, err = answer(&session, r, buffer.bytes)
		}
		status := http.StatusOK
		if err != nil {
			refusal := wire.RefusalOf(err)
			status = refusal.Status
			explainStatus(w, status)
			refuse(w, refusal)
		} else {
			w.Header()[wire.RevisionHeader] = []string{session.view.Revision().String()}
			wire.WriteJSON(w, status, buffer.bytes)
		}
		measured.observe(status, s.Clock.Since(began))
	})
}

// explainStatus adds what HTTP wants beside a status.
func explainStatus(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="iam-operator"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
}

// NotFound answers what is asked of no endpoint.
func (s *Service) NotFound(refuse Refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wire.Identify(w, r, s.NewID)
		refuse(w, wire.Refuse(http.StatusNotFound, "there is nothing at this path"))
	})
}

// NotAllowed answers what is asked of an endpoint by another method than its own.
func (s *Service) NotAllowed(method string, refuse Refuse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wire.Identify(w, r, s.NewID)
		w.Header().Set("Allow", method)
		refuse(w, wire.Refuse(http.StatusMethodNotAllowed, "this is asked by %s", method))
	})
}

// Ready fails while there is nothing to decide from.
func (s *Service) Ready(*http.Request) error {
	return s.Engine.Ready()
}
