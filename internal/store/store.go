// SPDX-License-Identifier: Apache-2.0

// Package store is the canonical store's interface. A state change, its change row and
// its audit events commit together or not at all; every committed change has the next
// revision. The engines live in sub-packages and share the contract suite of storetest.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// MaxPageSize bounds Query.Limit and EventQuery.Limit.
const MaxPageSize = 1000

// AttributionKept is how long a record of who asked for a change waits to be used: longer than
// an operator is down, or a deletion waits for a finalizer, as a rule.
const AttributionKept = 7 * 24 * time.Hour

var (
	// ErrNotFound: there is no such entity.
	ErrNotFound = errors.New("not found")
	// ErrRevisionGone: the changes after that revision are no longer all kept; take a Snapshot and go on from there.
	ErrRevisionGone = errors.New("the changes since that revision are no longer kept")
	// ErrOtherIncarnation: the revision was given by another store, and says nothing about this one.
	ErrOtherIncarnation = errors.New("the revision belongs to another store")
	// ErrRevisionAhead: this store has not given that revision yet, as when an older copy of it was put back.
	ErrRevisionAhead = errors.New("the store has not come to that revision")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrBadCursor: the cursor was not given by this query.
	ErrBadCursor = errors.New("the cursor is not one that this query gave")
)

// ConflictError says that another object's entity has the unique name, or the id, already.
type ConflictError struct {
	Kind iam.Kind
	// Name that is taken; empty when it is the id.
	Name string
	// ID that is taken; empty when it is the name.
	ID string
}

// Error names the kind, and the name or the id that is taken.
func (e *ConflictError) Error() string {
	if e.ID != "" {
		return fmt.Sprintf("another %s has the id %s already", e.Kind, e.ID)
	}
	return fmt.Sprintf("another %s has the name %q already", e.Kind, e.Name)
}

// Order says how a list is sorted. Ties go by id.
type Order int

// The orders of a list.
const (
	OrderCreatedAsc Order = iota
	OrderCreatedDesc
	OrderLabelAsc
	OrderLabelDesc
)

// Query selects entities of one kind. Empty fields select everything. All comparisons
// respect case.
type Query struct {
	Kind           iam.Kind
	OrganizationID string
	IDs            []string
	// Object selects by the Kubernetes object that the entities come from; its UID may be empty.
	Object *iam.Object
	Label  string
	// UniqueName selects by what Entity.UniqueName gives.
	UniqueName string
	// RefersTo selects the entities that refer to another in this way; in any way when
	// its Relation is empty.
	RefersTo *iam.Reference
	Order    Order
	// Limit is at most MaxPageSize; zero means everything, for callers inside the operator.
	Limit int
	// Cursor is the Page.Next of the page before; empty for the first page.
	Cursor string
}

// Row is an entity and what the store knows of it besides.
type Row struct {
	Entity iam.Entity
	// UpdatedAt is when the entity last changed. It is history: a rebuilt store begins anew.
	UpdatedAt time.Time
}

// Page is one page of a list. What existed throughout is on exactly one page, whatever is
// added or removed between the pages.
type Page struct {
	Rows []Row
	// Next is the cursor of the next page; empty on the last.
	Next string
}

// Reader reads the current state.
type Reader interface {
	// Get gives one entity, or ErrNotFound.
	Get(ctx context.Context, kind iam.Kind, id string) (Row, error)
	// List gives a page of entities; ErrBadCursor for a cursor of another query.
	List(ctx context.Context, query Query) (Page, error)
	// Count gives the number of entities that a query selects, its limit and cursor apart.
	Count(ctx context.Context, query Query) (int, error)
}

// Tx is a write transaction. Reads see its own writes.
type Tx interface {
	Reader
	// Put writes an entity. It gives the one it replaces, or nil. An entity that is equal
	// to what is there is not written, takes no revision, and is given back itself.
	// A *ConflictError says that its unique name is taken, or that its id is held by an
	// object of another kind, namespace or name; the transaction can go on after it.
	Put(ctx context.Context, entity iam.Entity) (before iam.Entity, err error)
	// Delete removes an entity and gives it; ErrNotFound if there is none.
	Delete(ctx context.Context, kind iam.Kind, id string) (before iam.Entity, err error)
	// Append adds an audit event. It carries the revision of the transaction's latest
	// change so far, or of the store's when there is none.
	Append(ctx context.Context, event iam.Event) error
}

// Operation says what a change did.
type Operation string

// The operations.
const (
	OperationPut    Operation = "put"
	OperationDelete Operation = "delete"
)

// Change is one committed change.
type Change struct {
	Revision  Revision
	Operation Operation
	Kind      iam.Kind
	ID        string
	// Entity is the new state; nil after a deletion.
	Entity iam.Entity
}

// EventQuery selects audit events, newest first. Empty fields select everything.
type EventQuery struct {
	OrganizationID string
	Namespace      string
	Method         string
	Action         iam.Action
	PrincipalName  string
	ResourceID     string
	// StatusCode is what was answered, such as 403 for what was refused.
	StatusCode int
	// Before selects events with a smaller sequence; zero means from the newest.
	Before int64
	// Limit is at most MaxPageSize; zero means MaxPageSize.
	Limit int
}

// Store is the canonical store. It is safe for concurrent use.
type Store interface {
	Reader
	// Write runs fn in one transaction, one at a time in commit order. It commits when fn
	// returns nil, and gives the revision of the last change; a transaction that changed
	// nothing takes no revision and gives the current one. fn may run more than once, so it
	// must have no effect but on the transaction. Write inside fn waits for itself until
	// its context ends; fn uses its Tx, and only while it runs, from one goroutine.
	Write(ctx context.Context, fn func(Tx) error) (Revision, error)
	// Revision gives the revision of the last committed change.
	Revision(ctx context.Context) (Revision, error)
	// Snapshot gives every entity, and the revision at which they are so.
	Snapshot(ctx context.Context) ([]iam.Entity, Revision, error)
	// Changes gives up to limit changes after a revision, in order, without a gap. It is
	// empty when there are none yet; ErrRevisionGone, ErrRevisionAhead or ErrOtherIncarnation
	// as they say. Zero, or more than MaxPageSize, means MaxPageSize.
	Changes(ctx context.Context, after Revision, limit int) ([]Change, error)
	// Changed gives a channel that is closed at the next commit of Write that wrote something,
	// at the next Attribute or Tell, and at Close. It is a hint: ask for it before Changes,
	// Attributions or ToldAbout, and look again when it closes. What takes away only
	// (ForgetAttributions, Settle) need not close it.
	Changed() <-chan struct{}

	// Attribute records who asked for what. It takes no revision, any replica may call it, and
	// it may share a commit with other calls; when it returns nil, all of its records are
	// kept, unless the machine itself ends before the next Write has committed. When its
	// context ends first they are kept or not, but all alike. Of the deletions of an object the
	// first one counts: a later one is no error, and is not kept. Each record must name its
	// object. Each call also removes a few records that were made more than AttributionKept ago
	// by the store's clock, whatever they are about.
	Attribute(ctx context.Context, records ...iam.Attribution) error
	// Attributions gives the records about an object, in the order in which they were made;
	// none is no error. Their times are in UTC. The same generation and digest may be there
	// more than once, since what was admitted need not have been stored. A deletion has
	// generation zero and no digest, whatever was given.
	Attributions(ctx context.Context, objectUID string) ([]iam.Attribution, error)
	// ForgetAttributions removes the records about an object that an event has used or passed
	// by: those of earlier generations, with whatever digest, and those of this one with this
	// digest. Those of this generation with another digest stay, since one of them may tell
	// of what is stored in the end; so do those of later ones, and of deletions. The sudden end
	// of the machine may bring them back.
	ForgetAttributions(ctx context.Context, objectUID string, generation int64, digest string) error

	// Tell is the door by which log-in tells what happened to Members, in order. It takes no
	// revision, any replica may call it, and it may share a commit with other calls; when it
	// returns nil, all is kept until it is settled. When its context ends first it is kept or
	// not, but all alike. Each event must say of whom, and what; the store gives the
	// sequences, which grow from one event to the next, over all Members, and are never given
	// twice. It does not ask whether there is such a Member.
	Tell(ctx context.Context, events ...iam.MemberEvent) error
	// Told gives what was told of a Member and is not settled, in order. Times are in UTC.
	Told(ctx context.Context, memberID string) ([]iam.MemberEvent, error)
	// ToldAbout lists the ids of the Members of whom something is not settled, in order, each
	// once. There may be some of whom there is no entity; what was told of them waits, too,
	// until it is settled.
	ToldAbout(ctx context.Context) ([]string, error)
	// Settle removes what was told of a Member up to and with a sequence. What was told
	// since stays.
	Settle(ctx context.Context, memberID string, through int64) error

	// Events gives audit events, newest first.
	Events(ctx context.Context, query EventQuery) ([]iam.Event, error)
	// Close waits for the write under way and ends the store; what was committed stays.
	// Whatever is called later gives ErrClosed.
	Close() error
}
