// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// trimBatch is how many old changes a write removes at most beside those it adds, so that
// no single write pays for a long backlog.
const trimBatch = 100

// Write runs fn in one transaction. It waits for its turn, or for the context's end.
func (s *Store) Write(ctx context.Context, fn func(store.Tx) error) (store.Revision, error) {
	if s.isClosed() {
		return store.Revision{}, store.ErrClosed
	}
	select {
	case <-s.turn:
	case <-s.closed:
		return store.Revision{}, store.ErrClosed
	case <-ctx.Done():
		return store.Revision{}, ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	if s.isClosed() { // both were ready
		return store.Revision{}, store.ErrClosed
	}
	return s.write(ctx, fn)
}

func (s *Store) write(ctx context.Context, fn func(store.Tx) error) (store.Revision, error) {
	t, err := s.begin(ctx, false)
	if err != nil {
		return store.Revision{}, s.explain(err)
	}
	// Runs when fn panics, too: the panic goes on, the transaction does not.
	defer t.end()
	if err := fn(t); err != nil {
		return store.Revision{}, err
	}
	if err := t.commit(ctx); err != nil {
		return store.Revision{}, err
	}
	if t.wrote() {
		s.notify(false)
	}
	return s.revision(t.last), nil
}

func (s *Store) revision(n int64) store.Revision {
	return store.Revision{Incarnation: s.incarnation, N: n}
}

// begin takes the writer's connection; relaxed says that the commit need not wait for the disk.
func (s *Store) begin(ctx context.Context, relaxed bool) (*transaction, error) {
	if s.session == nil {
		conn, err := s.writers.Conn(ctx)
		if err != nil {
			return nil, err
		}
		s.session = &session{conn: conn}
	}
	t := &transaction{s: s, session: s.session}
	t.reader = reader{t}
	err := t.session.relax(ctx, relaxed)
	if err == nil {
		err = t.session.exec(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		s.drop()
		return nil, err
	}
	if err := queryOne(ctx, t, "SELECT revision, sequence FROM meta", nil, &t.first, &t.sequence); err != nil {
		t.end()
		return nil, err
	}
	t.last = t.first
	return t, nil
}

// drop gives up the writer's connection; the next write takes a new one. SQLite rolls back
// whatever was open on it.
func (s *Store) drop() {
	_ = s.session.close() // it is being given up because it failed
	s.session = nil
}

// transaction is a store.Tx.
type transaction struct {
	reader
	s       *Store
	session *session
	// first and last are the revisions before the transaction and of its latest change.
	first, last int64
	// sequence is that of the newest audit event.
	sequence int64
	// appended says that something was written that takes no revision.
	appended bool
	// attributed is how many records of who asked the transaction adds.
	attributed int
	// failed is the first error of SQLite. It may have rolled everything back by itself
	// then, and each further statement would commit alone; so there is none.
	failed error
	ended  bool
}

func (t *transaction) wrote() bool { return t.last > t.first || t.appended }

func (t *transaction) usable() error {
	if t.ended {
		return errors.New("the transaction has ended: it is for use inside the function given to Write only")
	}
	return t.failed
}

func (t *transaction) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	if err := t.usable(); err != nil {
		return err
	}
	t.failed = t.s.explainDamage(t.session.query(ctx, text, args, scan))
	return t.failed
}

func (t *transaction) exec(ctx context.Context, text string, args ...any) error {
	if err := t.usable(); err != nil {
		return err
	}
	t.failed = t.s.explainDamage(t.session.exec(ctx, text, args...))
	return t.failed
}

// commit makes the transaction durable, or fails. Once COMMIT has begun the context no
// longer matters: the caller must know whether it happened.
func (t *transaction) commit(ctx context.Context) error {
	if err := t.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !t.wrote() {
		return nil // end rolls back nothing
	}
	if err := t.exec(ctx, "UPDATE meta SET revision = ?, sequence = ?", t.last, t.sequence); err != nil {
		return err
	}
	if t.last > t.first {
		if err := t.trim(ctx); err != nil {
			return err
		}
	}
	if err := t.exec(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return err
	}
	t.ended = true
	t.s.noteCommit()
	return nil
}

// end rolls back what was not committed.
func (t *transaction) end() {
	if t.ended {
		return
	}
	t.ended = true
	if err := t.session.exec(context.Background(), "ROLLBACK"); err != nil || t.failed != nil {
		t.s.drop()
	}
}

// Put writes an entity, unless it is there already, just so.
func (t *transaction) Put(ctx context.Context, entity iam.Entity) (iam.Entity, error) {
	kind, head := entity.EntityKind(), entity.GetHead()
	if head.ID == "" {
		return nil, fmt.Errorf("put %s: it has no id", kind)
	}
	body, err := iam.Encode(entity)
	if err != nil {
		return nil, err
	}
	before, same, err := t.current(ctx, entity, body)
	if err != nil || same {
		return before, err
	}
	if err := t.checkName(ctx, entity); err != nil {
		return nil, err
	}
	now := nanoseconds(t.s.clock())
	err = t.exec(ctx, `INSERT INTO entities (kind, id, organization_id, object_kind, object_namespace, object_name,
			object_uid, label, unique_scope, unique_name, created_at, updated_at, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, id) DO UPDATE SET organization_id = excluded.organization_id,
			object_uid = excluded.object_uid, label = excluded.label, unique_scope = excluded.unique_scope,
			unique_name = excluded.unique_name, created_at = excluded.created_at,
			updated_at = excluded.updated_at, body = excluded.body`,
		string(kind), head.ID, head.OrganizationID, string(head.Object.Kind), head.Object.Namespace, head.Object.Name,
		head.Object.UID, entity.Label(), uniqueScope(entity), entity.UniqueName(), nanoseconds(head.CreatedAt), now, string(body))
	if err == nil {
		err = t.putReferences(ctx, entity, before != nil)
	}
	if err == nil {
		err = t.record(ctx, store.OperationPut, kind, head.ID, string(body), now)
	}
	if err != nil {
		return nil, fmt.Errorf("put %s %s: %w", kind, head.ID, err)
	}
	return before, nil
}

// current gives what the store has under the entity's id, and whether it is the same. A
// row of another object is never overwritten: its id was restored by mistake or in malice.
func (t *transaction) current(ctx context.Context, entity iam.Entity, body []byte) (iam.Entity, bool, error) {
	kind, head := entity.EntityKind(), entity.GetHead()
	var stored []byte
	err := queryOne(ctx, t, "SELECT body FROM entities WHERE kind = ? AND id = ?", []any{string(kind), head.ID}, &stored)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("put %s %s: %w", kind, head.ID, err)
	}
	before, err := iam.Decode(kind, stored)
	if err != nil {
		return nil, false, err
	}
	holder := before.GetHead().Object
	holder.UID = head.Object.UID // an object that was deleted and made again takes its row over
	if holder != head.Object {
		return nil, false, &store.ConflictError{Kind: kind, ID: head.ID}
	}
	return before, string(stored) == string(body), nil
}

// uniqueScope is the Organization within which an entity's unique name is unique; empty
// stands for the cluster.
func uniqueScope(entity iam.Entity) string {
	if entity.EntityKind() == iam.KindOrganization {
		return ""
	}
	return entity.GetHead().OrganizationID
}

// checkName looks before it writes, rather than take an error of the index for a conflict:
// after that error the transaction could not go on.
func (t *transaction) checkName(ctx context.Context, entity iam.Entity) error {
	name := entity.UniqueName()
	if name == "" {
		return nil
	}
	var taken int
	err := queryOne(ctx, t, `SELECT count(*) FROM entities
		WHERE kind = ? AND unique_name = ? AND unique_name <> '' AND unique_scope = ? AND id <> ?`,
		[]any{string(entity.EntityKind()), name, uniqueScope(entity), entity.GetHead().ID}, &taken)
	if err != nil {
		return fmt.Errorf("look for the name %q: %w", name, err)
	}
	if taken > 0 {
		return &store.ConflictError{Kind: entity.EntityKind(), Name: name}
	}
	return nil
}

func (t *transaction) putReferences(ctx context.Context, entity iam.Entity, replaces bool) error {
	kind, id := string(entity.EntityKind()), entity.GetHead().ID
	if replaces {
		if err := t.exec(ctx, "DELETE FROM entity_references WHERE kind = ? AND id = ?", kind, id); err != nil {
			return err
		}
	}
	for i, ref := range entity.References() {
		err := t.exec(ctx, "INSERT INTO entity_references (kind, id, position, relation, target_id) VALUES (?, ?, ?, ?, ?)",
			kind, id, i, string(ref.Relation), ref.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete removes an entity, and gives it; store.ErrNotFound if there is none.
func (t *transaction) Delete(ctx context.Context, kind iam.Kind, id string) (iam.Entity, error) {
	row, err := t.Get(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	err = t.exec(ctx, "DELETE FROM entities WHERE kind = ? AND id = ?", string(kind), id) // references go with it
	if err == nil {
		err = t.record(ctx, store.OperationDelete, kind, id, "", nanoseconds(t.s.clock()))
	}
	if err != nil {
		return nil, fmt.Errorf("delete %s %s: %w", kind, id, err)
	}
	return row.Entity, nil
}

// record gives the change the next revision.
func (t *transaction) record(ctx context.Context, operation store.Operation, kind iam.Kind, id, body string, at int64) error {
	err := t.exec(ctx, "INSERT INTO changes (n, operation, kind, id, body, at) VALUES (?, ?, ?, ?, ?, ?)",
		t.last+1, string(operation), string(kind), id, body, at)
	if err == nil {
		t.last++
	}
	return err
}

// trim removes changes that no follower is owed any more.
func (t *transaction) trim(ctx context.Context) error {
	gone := t.last - t.s.keepChanges // this one and all before it
	if gone <= 0 {
		return nil
	}
	return t.exec(ctx, "DELETE FROM changes WHERE n <= min(?, (SELECT min(n) FROM changes) + ?)",
		gone, t.last-t.first+trimBatch-1)
}
