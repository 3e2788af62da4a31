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
	// ErrEventsGone: retention has removed events that the reader has not seen; begin anew with a list.
	ErrEventsGone = errors.New("audit events that were asked for are no longer kept")
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
	// The event is sealed after the newest of its chain, which is its Organization's. One with
	// an Origin must name an event of the same chain whose origin is not known yet. A
	// *BadEventError says why an event is not taken; the transaction can go on after it.
	Append(ctx context.Context, event iam.Event) error

	// DropEvents removes the oldest events of an Organization's chain (empty: of the chain of
	// what belongs to none) that were recorded before a time, up to limit, and stops at the
	// first that was not, so that what is kept has no gap. An event that only gives another's
	// origin goes as any other. What it removes is kept in mind until TakeDropped.
	DropEvents(ctx context.Context, organizationID string, before time.Time, limit int) (Dropped, error)
	// UntoldChains gives the chains of which TakeDropped has something to give, by Organization id.
	UntoldChains(ctx context.Context) ([]string, error)
	// TakeDropped gives all that DropEvents has removed of a chain since TakeDropped gave it last, and
	// counts anew. As long as events of MethodDropAuditEvents are all that was removed it gives the
	// zero Dropped, and goes on counting: to tell of them would be to write one for each that goes.
	TakeDropped(ctx context.Context, organizationID string) (Dropped, error)
	// ChainHeads gives the heads of all chains, by Organization id.
	ChainHeads(ctx context.Context) ([]iam.ChainHead, error)
	// AppendCheckpoint adds a checkpoint; its number must be the next one.
	AppendCheckpoint(ctx context.Context, checkpoint iam.Checkpoint) error
	// DropCheckpoints removes up to limit of the checkpoints with smaller numbers than this one, oldest first.
	DropCheckpoints(ctx context.Context, number int64, limit int) error
}

// MethodDropAuditEvents is the method of the events that tell of what DropEvents removed.
const MethodDropAuditEvents = "DropAuditEvents"

// Dropped says what DropEvents removed.
type Dropped struct {
	Count int
	// First and Last are the sequences, and FirstAt and LastAt the times, of the oldest and
	// the newest that were removed.
	First, Last     int64
	FirstAt, LastAt time.Time
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

// EventScope says whose audit events are meant. Empty fields mean everybody's.
type EventScope struct {
	OrganizationID string
	// OwnChain means the events that belong to no Organization; OrganizationID is empty then.
	OwnChain bool
	// Namespace is where the events are read, and NamespaceUID which namespace of that name.
	Namespace    string
	NamespaceUID string
}

// EventFilter compares with what audit events say, respecting case. Empty fields compare with nothing.
type EventFilter struct {
	ID            string
	RequestID     string
	PrincipalName string
	PrincipalID   string
	PrincipalKind iam.ActorKind
	Method        string
	Action        iam.Action
	// ResourceName, ResourceID and ResourceKind each ask for an event that has such a resource.
	ResourceName string
	ResourceID   string
	ResourceKind iam.Kind
	ProjectID    string
	Product      string
	Service      string
	// SourceIP is as readers see it: the one that became known later, where there is one.
	SourceIP string
	// StatusCode is what was answered, such as 403 for what was refused.
	StatusCode int
}

// EventQuery selects audit events, newest first. An event that only gives another's origin is
// not given itself: the other has its SourceIP and UserAgent. Empty fields select everything.
type EventQuery struct {
	EventScope
	// EventFilter is what the events all say, and Not what none of them says.
	EventFilter
	Not EventFilter
	// Since and Until bound when the events were recorded: not before Since, and before Until.
	Since, Until time.Time
	// Before selects events with a smaller sequence; zero means from the newest.
	Before int64
	// Limit is at most MaxPageSize; zero means MaxPageSize.
	Limit int
}

// EventRange says which audit events of a scope there are.
type EventRange struct {
	// Newest is the sequence of the newest event of the whole store, whatever the scope, or of
	// the newest that ever was; zero where there was none.
	Newest int64
	// Dropped is the sequence of the newest event of the scope that retention has removed; zero
	// where none was. Whoever has seen everything up to a smaller one has missed something.
	Dropped int64
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
	// at the next Attribute, Tell or Submit, and at Close. It is a hint: ask for it before Changes,
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

	// Submit appends audit events that come with no change of state, such as attempts that were
	// refused. It takes no revision, any replica may call it, and it may share a commit with
	// other calls; when it returns nil, all of its events are kept. A *BadEventError says which
	// of them is not taken, as by Append; then none is kept. When its context ends first they are
	// kept or not, but all alike.
	Submit(ctx context.Context, events ...iam.Event) error
	// Events gives audit events, newest first. An *UnreadableEventError, here and from EventsAfter,
	// names one that somebody has made unreadable.
	Events(ctx context.Context, query EventQuery) ([]iam.Event, error)
	// EventsAfter gives up to limit audit events of a scope after a sequence, oldest first, just as they
	// were sealed: also those that only give another's origin. It is empty when there are none
	// yet; ErrEventsGone where retention has removed one of them. Zero, or more than MaxPageSize,
	// means MaxPageSize.
	EventsAfter(ctx context.Context, scope EventScope, sequence int64, limit int) ([]iam.Event, error)
	// EventRange says which audit events of a scope there are.
	EventRange(ctx context.Context, scope EventScope) (EventRange, error)
	// Checkpoints gives up to limit checkpoints after a number, oldest first. Zero, or more than
	// MaxPageSize, means MaxPageSize.
	Checkpoints(ctx context.Context, number int64, limit int) ([]iam.Checkpoint, error)
	// LastCheckpoint gives the newest checkpoint; ErrNotFound if there is none.
	LastCheckpoint(ctx context.Context) (iam.Checkpoint, error)

	// Cursor gives how far a follower of the audit events has come, by its name; zero for one
	// that nobody moved.
	Cursor(ctx context.Context, name string) (int64, error)
	// MoveCursor says how far a follower has come. A cursor never goes back: a smaller sequence is no error, and changes nothing.
	MoveCursor(ctx context.Context, name string, sequence int64) error
	// Close waits for the write under way and ends the store; what was committed stays.
	// Whatever is called later gives ErrClosed.
	Close() error
}
