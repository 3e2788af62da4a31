// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync/atomic"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/authztest"
	"github.com/iam-operator/iam-operator/internal/store"
)

const oursName = "iam-operator"

// ours is the engine of this repository: its newest snapshot behind an atomic pointer, as in production.
type ours struct {
	snapshot atomic.Pointer[authz.Snapshot]
	revision int64
}

// loadOurs makes the world anew, since a snapshot keeps the entities that it is built from: they belong to its memory.
func loadOurs(w *world) (func() (engine, error), error) {
	entities := authztest.NewLarge(w.seed, w.size).Entities
	return func() (engine, error) {
		e := &ours{}
		e.snapshot.Store(authz.NewSnapshot(entities, e.next()))
		return e, nil
	}, nil
}

func (e *ours) next() store.Revision {
	e.revision++
	return store.Revision{Incarnation: "benchmark", N: e.revision}
}

func (e *ours) prepare(q *question) (ask, error) {
	now := authztest.Now()
	return func() (bool, error) { return e.snapshot.Load().Decide(&q.request, now).Allowed, nil }, nil
}

func (e *ours) update(_, after *policy) error {
	change := store.Change{Revision: e.next(), Operation: store.OperationPut, Kind: after.entity.EntityKind(), ID: after.id, Entity: after.entity}
	e.snapshot.Store(e.snapshot.Load().Apply(change))
	return nil
}
