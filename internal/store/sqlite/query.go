// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/iam-operator/iam-operator/internal/store"
)

// querier runs one query and scans its rows. The pool of readers, a read transaction and
// a write transaction each are one.
type querier interface {
	query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error
}

// statements caches the prepared statements of a pool by their text. The texts are few:
// values are always arguments.
type statements struct {
	mu sync.Mutex
	m  map[string]*sql.Stmt
}

type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

// get prepares outside the lock: preparing may wait for a connection, and must not make
// those wait that need none.
func (c *statements) get(ctx context.Context, in preparer, text string) (*sql.Stmt, error) {
	if statement := c.lookup(text); statement != nil {
		return statement, nil
	}
	statement, err := in.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.m[text]; ok {
		return first, statement.Close()
	}
	if c.m == nil {
		c.m = map[string]*sql.Stmt{}
	}
	c.m[text] = statement
	return statement, nil
}

func (c *statements) lookup(text string) *sql.Stmt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[text]
}

func (c *statements) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, statement := range c.m {
		errs = append(errs, statement.Close())
	}
	c.m = nil
	return errors.Join(errs...)
}

// scanAll scans the rows of a query.
func scanAll(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// query reads the last committed state.
func (s *Store) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	if s.isClosed() {
		return store.ErrClosed
	}
	statement, err := s.statements.get(ctx, s.readers, text)
	if err != nil {
		return s.explain(err)
	}
	rows, err := statement.QueryContext(ctx, args...)
	return s.explain(scanAll(rows, err, scan))
}

// view is a read transaction: all its queries see one state.
type view struct{ tx *sql.Tx }

// query prepares anew each time: to prepare for the pool while holding one of its
// connections could wait for ever for another.
func (v view) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	rows, err := v.tx.QueryContext(ctx, text, args...)
	return scanAll(rows, err, scan)
}

// view runs fn on one state of the store.
func (s *Store) view(ctx context.Context, fn func(view) error) error {
	if s.isClosed() {
		return store.ErrClosed
	}
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	return s.explain(fn(view{tx}))
}

// session is the writer's connection with its prepared statements.
type session struct {
	conn       *sql.Conn
	statements statements
	// relaxed says that commits do not wait for the disk now: see relax.
	relaxed bool
}

func (w *session) close() error {
	return errors.Join(w.statements.close(), w.conn.Close())
}

// relax says whether the next commits wait until the disk has them. One that does not is safe
// from the end of the process, and from the end of the machine as soon as a later one has
// waited, or SQLite has copied it into the database file.
func (w *session) relax(ctx context.Context, relaxed bool) error {
	if w.relaxed == relaxed {
		return nil
	}
	level := "FULL"
	if relaxed {
		level = "NORMAL"
	}
	// SQLite acts on it when it compiles it: a statement that is kept would do nothing.
	if _, err := w.conn.ExecContext(ctx, "PRAGMA synchronous = "+level); err != nil {
		return err
	}
	w.relaxed = relaxed
	return nil
}

func (w *session) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	statement, err := w.statements.get(ctx, w.conn, text)
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	return scanAll(rows, err, scan)
}

func (w *session) exec(ctx context.Context, text string, args ...any) error {
	statement, err := w.statements.get(ctx, w.conn, text)
	if err != nil {
		return err
	}
	_, err = statement.ExecContext(ctx, args...)
	return err
}

// queryOne scans the single row of a query; store.ErrNotFound if there is none.
func queryOne(ctx context.Context, q querier, text string, args []any, into ...any) error {
	found := false
	err := q.query(ctx, text, args, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(into...)
	})
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// explain makes a sentence for people of what SQLite says, where there is one.
func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	if s.isClosed() && !errors.Is(err, store.ErrClosed) {
		return fmt.Errorf("%w (%w)", store.ErrClosed, err)
	}
	return s.explainDamage(err)
}

func (s *Store) explainDamage(err error) error {
	if isDamage(err) {
		return fmt.Errorf("the SQLite file %s is damaged (%w): stop the operator and restore the file from a backup, "+
			"or move it away; all but history comes back from Kubernetes by itself", s.path, err)
	}
	return err
}
