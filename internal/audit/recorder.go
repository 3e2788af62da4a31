// SPDX-License-Identifier: Apache-2.0

// Package audit says what an event says: which method tells of a change of the canonical
// store, and what of the change may be shown.
package audit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Cause is who and what led to a change. What is empty is not known.
type Cause struct {
	Actor iam.Actor
	// KubernetesUser is the raw name of the requester at the API server.
	KubernetesUser string
	SourceIP       string
	UserAgent      string
	RequestID      string
	// Authorship says how the requester is known; nil for the operator's own acts.
	Authorship *iam.Authorship
	// Home is the Organization as it is declared, for when its own row is yet to come: the
	// event is read where its Organization is at home. It may be nil.
	Home *iam.Organization
}

// System is the operator itself as a cause.
func System() Cause {
	return Cause{Actor: iam.Actor{Kind: iam.ActorSystem, Name: "iam-operator"}}
}

// Recorder writes entities together with the audit events that tell of the change, so that
// neither can be without the other. All fields are needed; it is safe for concurrent use if
// its functions are.
type Recorder struct {
	Now func() time.Time
	// NewID gives the ids of events: UUIDv7 (RFC 9562).
	NewID func() string
	// Namespace and NamespaceUID are the operator's own: where events are read that belong
	// to no Organization.
	Namespace    string
	NamespaceUID string
}

// Put writes an entity and, if it is not already there just so, the events of its creation
// or update. An Organization goes before what belongs to it: its row says where their
// events are read. The error is the store's, among them *store.ConflictError.
func (r *Recorder) Put(ctx context.Context, tx store.Tx, entity iam.Entity, cause Cause) (changed bool, err error) {
	before, err := tx.Put(ctx, entity)
	if err != nil {
		return false, err
	}
	// Also where the store rewrote a row because an older version had encoded it otherwise:
	// nothing changed that an event could tell.
	if before != nil && same(before, entity) {
		return false, nil
	}
	return true, r.record(ctx, tx, before, entity, cause)
}

// Delete removes an entity and writes the event of it; where there is none it does nothing.
// An Organization goes after what belongs to it, for the reason given at Put.
func (r *Recorder) Delete(ctx context.Context, tx store.Tx, kind iam.Kind, id string, cause Cause) error {
	before, err := tx.Delete(ctx, kind, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.record(ctx, tx, before, nil, cause)
}

func (r *Recorder) record(ctx context.Context, tx store.Tx, before, after iam.Entity, cause Cause) error {
	var failed error
	notes := describer{find: func(kind iam.Kind, id string) iam.Entity {
		row, err := tx.Get(ctx, kind, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) && failed == nil {
			failed = err
		}
		return row.Entity
	}}.describe(before, after)
	if failed != nil {
		return fmt.Errorf("describe the change for the audit log: %w", failed)
	}
	if len(notes) == 0 {
		return nil
	}
	entity := after
	if entity == nil {
		entity = before
	}
	place, err := r.place(ctx, tx, entity, cause.Home)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if err := tx.Append(ctx, r.event(n, place, cause)); err != nil {
			return fmt.Errorf("append audit event %s: %w", n.Method, err)
		}
	}
	return nil
}

// place is where an event belongs and is read.
type place struct {
	organization            iam.EventOrganization
	namespace, namespaceUID string
}

func placeOf(o *iam.Organization) place {
	return place{iam.EventOrganization{ID: o.ID, Name: o.Name}, o.Object.Namespace, o.NamespaceUID}
}

// place finds where the events about an entity are read. An Organization says so itself.
func (r *Recorder) place(ctx context.Context, tx store.Tx, entity iam.Entity, home *iam.Organization) (place, error) {
	if o, ok := entity.(*iam.Organization); ok {
		return placeOf(o), nil
	}
	return r.placeIn(ctx, tx, entity.GetHead().OrganizationID, home)
}

// placeIn finds where the events of an Organization are read. With neither a row of it nor a
// home that the cause knows, that is the operator's namespace, as for what belongs to none:
// the namespace of whatever the event is about need not be the home of its Organization,
// and the trail of a tenant is for readers of its home alone.
func (r *Recorder) placeIn(ctx context.Context, tx store.Tx, id string, home *iam.Organization) (place, error) {
	own := place{iam.EventOrganization{ID: id}, r.Namespace, r.NamespaceUID}
	if id == "" {
		return own, nil
	}
	row, err := tx.Get(ctx, iam.KindOrganization, id)
	if errors.Is(err, store.ErrNotFound) {
		if home != nil && home.ID == id {
			return placeOf(home), nil
		}
		return own, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("find the Organization of an audit event: %w", err)
	}
	o, ok := row.Entity.(*iam.Organization)
	if !ok {
		return place{}, fmt.Errorf("find the Organization of an audit event: the store gave a %T", row.Entity)
	}
	return placeOf(o), nil
}

func (r *Recorder) event(n Note, at place, cause Cause) iam.Event {
	if n.OwnAct {
		cause = System()
	}
	event := iam.Event{
		ID: r.NewID(), RecordedAt: r.Now().UTC(),
		Organization: at.organization, Namespace: at.namespace, NamespaceUID: at.namespaceUID, ProjectID: n.ProjectID,
		Principal: principalOf(cause), KubernetesUser: cause.KubernetesUser, Authorship: cause.Authorship,
		SourceIP: orUnknown(cause.SourceIP), UserAgent: orUnknown(cause.UserAgent), RequestID: cause.RequestID,
		Product: n.Product, Service: n.Service, Method: n.Method, Action: n.Action,
		// What Scaleway's API answers: nothing remains to be shown of what was deleted.
		StatusCode: http.StatusOK, Resources: n.Resources, Change: n.Change,
	}
	if n.Action == iam.ActionDeleted {
		event.StatusCode = http.StatusNoContent
	}
	return event
}

// principalOf never fails: a revocation must not wait for somebody to be named.
func principalOf(cause Cause) iam.Actor {
	if cause.Actor.Kind != "" {
		return cause.Actor
	}
	return iam.Actor{Kind: iam.ActorKubernetesUser, Name: orUnknown(cause.KubernetesUser)}
}

func orUnknown(s string) string {
	if s == "" {
		return iam.Unknown
	}
	return s
}
