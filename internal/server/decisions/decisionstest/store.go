// SPDX-License-Identifier: Apache-2.0

// Package decisionstest has a small world, and a decision engine that follows it, for tests of the APIs that ask one.
package decisionstest

import (
	"context"
	"slices"
	"sync"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Incarnation is that of the store.
const Incarnation = "7c1d"

// Store is a store in memory, as far as an engine asks one.
type Store struct {
	store.Store
	mu       sync.Mutex
	entities []iam.Entity
	changes  []store.Change
	changed  chan struct{}
}

// NewStore makes a store with entities, at revision 1.
func NewStore(entities ...iam.Entity) *Store {
	return &Store{entities: entities, changed: make(chan struct{})}
}

// At is the revision of a number.
func At(n int) store.Revision { return store.Revision{Incarnation: Incarnation, N: int64(n)} }

// Put writes an entity, and gives the revision of that.
func (s *Store) Put(entity iam.Entity) store.Revision {
	return s.change(store.Change{Operation: store.OperationPut, Kind: entity.EntityKind(), ID: entity.GetHead().ID, Entity: entity})
}

// Delete removes an entity, and gives the revision of that.
func (s *Store) Delete(entity iam.Entity) store.Revision {
	return s.change(store.Change{Operation: store.OperationDelete, Kind: entity.EntityKind(), ID: entity.GetHead().ID})
}

func (s *Store) change(change store.Change) store.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	change.Revision = At(len(s.changes) + 2)
	s.changes = append(s.changes, change)
	close(s.changed)
	s.changed = make(chan struct{})
	return change.Revision
}

// Snapshot implements [store.Store]: what was there from the beginning.
func (s *Store) Snapshot(context.Context) ([]iam.Entity, store.Revision, error) {
	return s.entities, At(1), nil
}

// Changes implements [store.Store].
func (s *Store) Changes(_ context.Context, after store.Revision, limit int) ([]store.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := int(after.N) - 1
	return slices.Clone(s.changes[from:min(from+limit, len(s.changes))]), nil
}

// Changed implements [store.Store].
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}
