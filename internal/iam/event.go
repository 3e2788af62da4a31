// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"encoding/json"
	"time"
)

// ActorKind is the kind of whoever caused an event.
type ActorKind string

// The kinds of actors.
const (
	ActorOwner          ActorKind = "Owner"
	ActorMember         ActorKind = "Member"
	ActorGuest          ActorKind = "Guest"
	ActorApplication    ActorKind = "Application"
	ActorKubernetesUser ActorKind = "KubernetesUser"
	ActorSystem         ActorKind = "System"
)

// Actor is whoever caused an event.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id,omitempty"`
	Name string    `json:"name"`
}

// Action is what an event did to its resource.
type Action string

// The actions.
const (
	ActionCreated Action = "created"
	ActionUpdated Action = "updated"
	ActionDeleted Action = "deleted"
)

// EventResource is what an event is about.
type EventResource struct {
	Kind Kind `json:"kind"`
	// Type is the model's name, such as iam_policy.
	Type   string `json:"type"`
	ID     string `json:"id"`
	Name   string `json:"name"`
	Action Action `json:"action"`
}

// EventOrganization is the Organization that an event belongs to.
type EventOrganization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// EventChange is the redacted state before and after; either is absent where there was none.
type EventChange struct {
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Event is one audit event. Its JSON is what is sealed, see Canonical: what is in a log already must stay the same to
// the byte. So the order of the fields, of these and of those of the types within, never changes, none goes, and a new
// one is omitempty (or omitzero), so that an event without it is written as it was.
type Event struct {
	// Sequence orders all events of the store; the store gives it at the commit.
	Sequence int64 `json:"-"`
	// ID is a UUIDv7 (RFC 9562).
	ID         string    `json:"id"`
	RecordedAt time.Time `json:"recordedAt"`
	// Organization is empty for events about permission sets.
	Organization EventOrganization `json:"organization"`
	// Namespace is where the event is read: the Organization's home namespace, or the
	// operator's for events about permission sets. NamespaceUID tells it from a successor.
	Namespace    string `json:"namespace"`
	NamespaceUID string `json:"namespaceUID,omitempty"`
	ProjectID    string `json:"projectID,omitempty"`
	Principal    Actor  `json:"principal"`
	// KubernetesUser is the raw name of the requester at the API server; empty where unknown.
	KubernetesUser string `json:"kubernetesUser,omitempty"`
	SourceIP       string `json:"sourceIP"`
	UserAgent      string `json:"userAgent"`
	Product        string `json:"product"`
	Service        string `json:"service"`
	Method         string `json:"method"`
	Action         Action `json:"action"`
	RequestID      string `json:"requestID,omitempty"`
	StatusCode     int    `json:"statusCode"`
	// Reason says why an attempt was refused; empty for what was done.
	Reason string `json:"reason,omitempty"`
	// Authorship says how the requester is known; nil for the operator's own acts, and for what was refused.
	Authorship *Authorship     `json:"authorship,omitempty"`
	Resources  []EventResource `json:"resources"`
	Change     EventChange     `json:"change"`
	// Origin is set in an event that only adds to an earlier one where its request came from.
	Origin *EventOrigin `json:"origin,omitempty"`
	// Revision of the change that the event tells of; the store gives it at the commit.
	Revision string `json:"-"`
	// Seal ties the event to all before it in its chain; the store gives it at the commit.
	Seal Seal `json:"-"`
}

// EventOrigin is where the request of an earlier event came from, where that became known
// after it was sealed. What is sealed is never rewritten: the origin is an event of its own, in
// the same chain, and readers are shown the earlier one with it.
type EventOrigin struct {
	// EventID and EventSequence name the earlier event.
	EventID       string `json:"eventID"`
	EventSequence int64  `json:"eventSequence"`
	SourceIP      string `json:"sourceIP"`
	UserAgent     string `json:"userAgent"`
}

// Unknown is what an event says where the source of a request is not known.
const Unknown = "unknown"
