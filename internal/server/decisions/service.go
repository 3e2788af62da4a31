// SPDX-License-Identifier: Apache-2.0

// Package decisions is what the APIs that ask the decision engine have in common: the listener, who calls and what they may
// ask, the log of decisions, and the metrics. The APIs themselves are packages authzen and iamapi.
package decisions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
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
	// searches has a place for each search that runs.
	searches chan struct{}
}

const (
	// searchesPerCPU bounds how many searches run at once. Each looks at all that an Organization has.
	searchesPerCPU = 2
	// searchWait is how long a search waits for its place.
	searchWait = 250 * time.Millisecond
)

// NewService registers the metrics.
func NewService(o Options) (*Service, error) {
	m, err := newMetrics(o.Registry, o.Engine)
	if err != nil {
		return nil, err
	}
	o.Log.metrics = m
	return &Service{Options: o, metrics: m, searches: make(chan struct{}, searchesPerCPU*runtime.GOMAXPROCS(0))}, nil
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
		err := session.answer(answer, buffer)
		status := http.StatusOK
		if err != nil {
			refusal := refusalOf(err)
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

// answer makes the body of an answer; nothing is written to the client yet. A panic becomes an error, of which the log has the stack:
// net/http would cut the connection, and tell nobody who looks at metrics.
func (s *Session) answer(answer Answer, to *buffer) (err error) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if aborted, ok := cause.(error); ok && errors.Is(aborted, http.ErrAbortHandler) {
			panic(cause) // So a handler says that it wants the connection cut.
		}
		s.service.metrics.panics.Inc()
		err = fmt.Errorf("panic: %v", cause)
		s.service.Log.options.Failures.Error(err, "A request to the decision engine could not be answered, which is a fault of the operator",
			"endpoint", s.endpoint, "request", beginning(s.id), "stack", string(debug.Stack()))
	}()
	if err := s.open(); err != nil {
		return err
	}
	to.bytes, err = answer(s, s.request, to.bytes)
	return err
}

// statusGone is what proxies log for a client that did not wait for its answer. It sees none of it.
const statusGone = 499

// refusalOf gives the refusal that an error is.
func refusalOf(err error) *wire.Refusal {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return wire.Refuse(statusGone, "the request was given up before it was answered")
	}
	return wire.RefusalOf(err)
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
