// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// followBatch is how many changes are read at once; they become visible together.
	followBatch = 500
	// contactEvery is how often the store is asked for news at least, to know that it is still there.
	contactEvery = 5 * time.Second
	// retryAfter is how long after a failure the store is asked again.
	retryAfter = 200 * time.Millisecond
	// readyWithin is how long the store may be out of reach until the engine is no longer ready.
	readyWithin = 30 * time.Second
	// DefaultMaxStaleness is after how long without contact with the store everything is denied, unless Options say otherwise.
	DefaultMaxStaleness = 10 * time.Minute
)

// ErrNotReady: no snapshot was made yet.
var ErrNotReady = errors.New("the decision engine has not read the store yet")

// Options say with what an engine works.
type Options struct {
	Store store.Store
	// Now is the clock by which bearers and keys are live.
	Now func() time.Time
	// After is time.After, or a test's.
	After func(time.Duration) <-chan time.Time
	// Digests gives the digests of a secret key under each digest key, the current one first, as the store keeps them.
	Digests func(secretKey string) []string
	// MaxStaleness is how old a snapshot may be while the store can't be reached; DefaultMaxStaleness if zero.
	MaxStaleness time.Duration
	// Failed is told of each failure to read the store.
	Failed func(error)
}

// Engine keeps a snapshot up to date, and decides. It is safe for concurrent use.
type Engine struct {
	Options
	current atomic.Pointer[published]
}

// published is a snapshot that decisions are made from.
type published struct {
	*Snapshot
	// contact is when the store was last known to have no more than the snapshot shows. It is with the snapshot, so that what is out
	// of touch never counts for fresh because something newer is on its way.
	contact time.Time
	// superseded is closed when there is a newer one.
	superseded chan struct{}
}

// NewEngine makes an engine that denies everything until Run has read the store.
func NewEngine(options Options) *Engine {
	if options.MaxStaleness <= 0 {
		options.MaxStaleness = DefaultMaxStaleness
	}
	e := &Engine{Options: options}
	e.current.Store(&published{Snapshot: NewSnapshot(nil, store.Revision{}), superseded: make(chan struct{})})
	return e
}

// Run follows the store until the context ends or the store is closed. Failures are retried.
func (e *Engine) Run(ctx context.Context) error {
	for {
		err := e.resume(ctx)
		if err == nil {
			err = e.follow(ctx)
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return nil
		}
		e.Failed(err)
		select {
		case <-ctx.Done():
			return nil
		case <-e.After(retryAfter):
		}
	}
}

// resume reads everything, unless the snapshot can go on from where it is.
func (e *Engine) resume(ctx context.Context) error {
	if at := e.current.Load().revision; at.Incarnation != "" {
		_, err := e.Store.Changes(ctx, at, 1)
		if !errors.Is(err, store.ErrRevisionGone) && !errors.Is(err, store.ErrOtherIncarnation) && !errors.Is(err, store.ErrRevisionAhead) {
			return err
		}
	}
	return e.begin(ctx)
}

// begin reads everything.
func (e *Engine) begin(ctx context.Context) error {
	asked := e.Now()
	entities, revision, err := e.Store.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	e.publish(NewSnapshot(entities, revision), asked)
	return nil
}

// follow applies changes as they come.
func (e *Engine) follow(ctx context.Context) error {
	for {
		changed := e.Store.Changed()
		asked := e.Now()
		before := e.current.Load()
		changes, err := e.Store.Changes(ctx, before.revision, followBatch)
		if err != nil {
			return fmt.Errorf("read the changes after revision %s: %w", before.revision, err)
		}
		if len(changes) == followBatch { // There is more, so this is not what the store has: the contact is as old as it was.
			e.publish(before.Apply(changes...), before.contact)
			continue
		}
		e.publish(before.Apply(changes...), asked)
		if e.current.Load().Wasteful() {
			if err := e.begin(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-e.After(contactEvery):
		}
	}
}

// publish has decisions made from a snapshot; from the same one, it only says when the store was last in reach.
func (e *Engine) publish(snapshot *Snapshot, contact time.Time) {
	before := e.current.Load()
	next := &published{Snapshot: snapshot, contact: contact, superseded: before.superseded}
	if snapshot == before.Snapshot {
		e.current.Store(next)
		return
	}
	next.superseded = make(chan struct{})
	e.current.Store(next)
	close(before.superseded)
}

// Revision that decisions are made at.
func (e *Engine) Revision() store.Revision { return e.current.Load().revision }

// Age is how long ago the snapshot was known to show all that the store had.
func (e *Engine) Age() time.Duration { return e.Now().Sub(e.current.Load().contact) }

// Ready fails before the first snapshot, and when the store is out of reach.
func (e *Engine) Ready() error {
	if e.Revision().Incarnation == "" {
		return ErrNotReady
	}
	if age := e.Age(); age > readyWithin {
		return fmt.Errorf("the decision engine has had no contact with the store for %s", age.Round(time.Second))
	}
	return nil
}

// View gives the newest snapshot, at the clock's time.
func (e *Engine) View() View { return e.viewOf(e.current.Load()) }

func (e *Engine) viewOf(at *published) View {
	now := e.Now()
	stale := now.Sub(at.contact) > e.MaxStaleness || at.revision.Incarnation == ""
	return View{digests: e.Digests, snapshot: at.Snapshot, now: now, stale: stale}
}

// ViewAt gives a view of at least a revision, and waits for it until the context ends. It fails with
// store.ErrOtherIncarnation at once when the revision is another store's.
func (e *Engine) ViewAt(ctx context.Context, atLeast store.Revision) (View, error) {
	for {
		at := e.current.Load()
		switch {
		case at.revision.Incarnation == "": // It may still become the one that is asked for.
		case at.revision.Incarnation != atLeast.Incarnation:
			return View{}, store.ErrOtherIncarnation
		case at.revision.N >= atLeast.N:
			return e.viewOf(at), nil
		}
		select {
		case <-ctx.Done():
			return View{}, fmt.Errorf("wait for revision %s: %w", atLeast, ctx.Err())
		case <-at.superseded:
		}
	}
}

// View answers any number of requests at one revision and one time.
type View struct {
	digests  func(secretKey string) []string
	snapshot *Snapshot
	now      time.Time
	stale    bool
}

// View of a snapshot that nobody keeps up to date, at a time. It knows nobody by a secret.
func (s *Snapshot) View(now time.Time) View { return View{snapshot: s, now: now} }

// Revision of the view.
func (v View) Revision() store.Revision { return v.snapshot.revision }

// Decide answers a request. While the snapshot is out of touch with the store for too long nothing is allowed.
func (v View) Decide(r *Request) Decision {
	if v.stale {
		return Decision{Reason: ReasonStale, Revision: v.snapshot.revision}
	}
	return v.snapshot.Decide(r, v.now)
}

// Caller is who has shown the secret key of an API key.
type Caller struct {
	AccessKey string
	Principal Principal
}

// Subject is the caller as a subject.
func (c Caller) Subject() Subject { return Subject{Kind: SubjectAPIKey, ID: c.AccessKey} }

// Authenticate gives whose secret key it is, or why it is nobody's: ReasonUnknownSubject where there is no such key, and the reason of
// Decide where the key has expired, its bearer does not count, or the snapshot is out of touch.
func (v View) Authenticate(secretKey string) (Caller, Reason) {
	if v.stale {
		return Caller{}, ReasonStale
	}
	if secretKey == "" || v.digests == nil {
		return Caller{}, ReasonUnknownSubject
	}
	for _, digest := range v.digests(secretKey) {
		// A digest is keyed: how long the look-up takes tells nothing about secrets.
		key, found := v.snapshot.keysByDigest.get(digest)
		if !found || subtle.ConstantTimeCompare([]byte(key.Digest), []byte(digest)) != 1 {
			continue
		}
		var b bearer
		if reason := v.snapshot.find(Subject{Kind: SubjectAPIKey, ID: key.ID}, v.now, &b); reason != "" {
			return Caller{}, reason
		}
		return Caller{AccessKey: key.ID, Principal: b.principal()}, ""
	}
	return Caller{}, ReasonUnknownSubject
}
