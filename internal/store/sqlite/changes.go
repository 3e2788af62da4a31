// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Revision gives the revision of the last committed change.
func (s *Store) Revision(ctx context.Context) (store.Revision, error) {
	n, err := lastRevision(ctx, s)
	return s.revision(n), err
}

func lastRevision(ctx context.Context, q querier) (int64, error) {
	var n int64
	if err := queryOne(ctx, q, "SELECT revision FROM meta", nil, &n); err != nil {
		return 0, fmt.Errorf("read the revision: %w", err)
	}
	return n, nil
}

// Snapshot gives every entity by kind and id, and the revision at which they are so.
func (s *Store) Snapshot(ctx context.Context) ([]iam.Entity, store.Revision, error) {
	var entities []iam.Entity
	var n int64
	err := s.view(ctx, func(v view) (err error) {
		if n, err = lastRevision(ctx, v); err != nil {
			return err
		}
		return v.query(ctx, "SELECT kind, body FROM entities ORDER BY kind, id", nil, func(rows *sql.Rows) error {
			var kind string
			var body []byte
			if err := rows.Scan(&kind, &body); err != nil {
				return err
			}
			entity, err := iam.Decode(iam.Kind(kind), body)
			entities = append(entities, entity)
			return err
		})
	})
	if err != nil {
		return nil, store.Revision{}, fmt.Errorf("take a snapshot: %w", err)
	}
	return entities, s.revision(n), nil
}

// Changes gives up to limit changes after a revision, in order and without a gap.
func (s *Store) Changes(ctx context.Context, after store.Revision, limit int) ([]store.Change, error) {
	if s.isClosed() {
		return nil, store.ErrClosed
	}
	if after.Incarnation != s.incarnation {
		return nil, fmt.Errorf("changes after revision %s: %w", after, store.ErrOtherIncarnation)
	}
	if limit <= 0 || limit > store.MaxPageSize {
		limit = store.MaxPageSize
	}
	var changes []store.Change
	err := s.view(ctx, func(v view) error {
		if err := checkKept(ctx, v, after.N); err != nil {
			return err
		}
		return v.query(ctx, "SELECT n, operation, kind, id, body FROM changes WHERE n > ? ORDER BY n LIMIT ?",
			[]any{after.N, limit}, func(rows *sql.Rows) error {
				change, err := s.scanChange(rows)
				changes = append(changes, change)
				return err
			})
	})
	if err != nil {
		return nil, fmt.Errorf("changes after revision %s: %w", after, err)
	}
	return changes, nil
}

// checkKept says whether every change after n is there.
func checkKept(ctx context.Context, v view, n int64) error {
	last, err := lastRevision(ctx, v)
	if err != nil {
		return err
	}
	var oldest int64
	if err := queryOne(ctx, v, "SELECT coalesce(min(n), ?) FROM changes", []any{last + 1}, &oldest); err != nil {
		return err
	}
	switch {
	case n > last:
		return store.ErrRevisionAhead
	case n < oldest-1:
		return store.ErrRevisionGone
	}
	return nil
}

func (s *Store) scanChange(rows *sql.Rows) (store.Change, error) {
	var n int64
	var operation, kind, id string
	var body []byte
	if err := rows.Scan(&n, &operation, &kind, &id, &body); err != nil {
		return store.Change{}, err
	}
	change := store.Change{
		Revision: s.revision(n), Operation: store.Operation(operation), Kind: iam.Kind(kind), ID: id,
	}
	if change.Operation == store.OperationDelete {
		return change, nil
	}
	entity, err := iam.Decode(change.Kind, body)
	change.Entity = entity
	return change, err
}
