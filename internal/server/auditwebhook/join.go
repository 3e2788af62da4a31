// SPDX-License-Identifier: Apache-2.0

// Package auditwebhook receives what kube-apiserver's audit webhook backend sends, and adds to
// our audit events where their requests came from. They are joined by the id of the admission
// request, which our webhooks tell the API server's audit log as an annotation.
//
// An origin that comes too late, or never, costs nothing but itself: the event is there, and
// says unknown.
package auditwebhook

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// What the API server tells of a request waits for our event of it, since either may come
// first; and for further ones, since one request may be told by several. Both bound it.
const (
	keptFor = 10 * time.Minute
	keptMax = 10_000
)

// sighting is what the API server tells of a request.
type sighting struct {
	requestID, user, sourceIP, userAgent string

	at      time.Time
	matched bool
}

// joiner joins sightings to events. It is a sink of all new events.
type joiner struct {
	store   store.Store
	newID   func() string
	now     func() time.Time
	metrics *metrics
	log     logr.Logger

	mu sync.Mutex
	// known has the sightings by request, and order the same, oldest first.
	known map[string]*list.Element
	order *list.List
}

func newJoiner(o Options, m *metrics) *joiner {
	return &joiner{
		store: o.Store, newID: o.NewID, now: o.Clock.Now, metrics: m, log: o.Log,
		known: map[string]*list.Element{}, order: list.New(),
	}
}

// see takes sightings. They are kept before the store is asked: an event that is recorded after
// the question comes by Deliver, and finds them.
func (j *joiner) see(ctx context.Context, sightings []sighting) error {
	j.keep(sightings)
	var origins []iam.Event
	for _, s := range sightings {
		events, err := j.store.Events(ctx, store.EventQuery{EventFilter: store.EventFilter{RequestID: s.requestID}})
		if err != nil {
			return err
		}
		origins = append(origins, j.origins(s, events)...)
	}
	return j.record(ctx, origins)
}

// Deliver joins new events to what was seen of their requests.
func (j *joiner) Deliver(ctx context.Context, events []iam.Event) error {
	var origins []iam.Event
	for _, event := range events {
		if s, ok := j.find(event.RequestID); ok {
			origins = append(origins, j.origins(s, []iam.Event{event})...)
		}
	}
	return j.record(ctx, origins)
}

// origins gives what is to be recorded for the events of one request.
func (j *joiner) origins(s sighting, events []iam.Event) []iam.Event {
	var origins []iam.Event
	for _, event := range events {
		j.match(s.requestID)
		if event.KubernetesUser != s.user {
			j.metrics.result(resultMismatch, 1)
			j.log.Info("The API server and an audit event name different users for one request; its origin is not recorded", "requestID", s.requestID, "event", event.ID)
			continue
		}
		if origin, ok := audit.Origin(event, s.sourceIP, s.userAgent, j.newID(), j.now()); ok {
			origins = append(origins, origin)
		}
	}
	return origins
}

// record writes origins. That one is there already is no error: the API server may send twice,
// several of them may send, and an event may be found in both ways at once.
func (j *joiner) record(ctx context.Context, origins []iam.Event) error {
	if len(origins) == 0 {
		return nil
	}
	err := j.store.Submit(ctx, origins...)
	var bad *store.BadEventError
	switch {
	case err == nil:
		j.metrics.result(resultJoined, len(origins))
		return nil
	case !errors.As(err, &bad):
		return err
	case len(origins) == 1:
		if !bad.Known {
			j.metrics.result(resultRefused, 1)
			j.log.Error(err, "The origin of an audit event is not recorded", "event", origins[0].Origin.EventID)
		}
		return nil
	}
	// One that is not taken keeps all of its call from being written.
	for _, origin := range origins {
		if err := j.record(ctx, []iam.Event{origin}); err != nil {
			return err
		}
	}
	return nil
}

// keep remembers sightings, and forgets the oldest.
func (j *joiner) keep(sightings []sighting) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now()
	for _, s := range sightings {
		if _, known := j.known[s.requestID]; known {
			continue
		}
		s.at = now
		j.known[s.requestID] = j.order.PushBack(&s)
	}
	j.forget(now)
}

// forget drops what is too old or too much.
func (j *joiner) forget(now time.Time) {
	for oldest := j.order.Front(); oldest != nil; oldest = j.order.Front() {
		s, ok := oldest.Value.(*sighting)
		if ok && j.order.Len() <= keptMax && now.Sub(s.at) < keptFor {
			break
		}
		j.order.Remove(oldest)
		if ok {
			delete(j.known, s.requestID)
			if !s.matched {
				j.metrics.result(resultUnmatched, 1)
			}
		}
	}
	j.metrics.waiting.Set(float64(j.order.Len()))
}

func (j *joiner) find(requestID string) (sighting, bool) {
	if requestID == "" {
		return sighting{}, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if element, ok := j.known[requestID]; ok {
		if s, ok := element.Value.(*sighting); ok {
			return *s, true
		}
	}
	return sighting{}, false
}

func (j *joiner) match(requestID string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if element, ok := j.known[requestID]; ok {
		if s, ok := element.Value.(*sighting); ok {
			s.matched = true
		}
	}
}
