// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// View reads a store that an operator may be writing. It takes no lock, makes no store, and
// migrates nothing: of a file with an older schema it gives all events, but cannot select
// by what that schema does not know. Where nobody has the file open, SQLite leaves its -wal
// and -shm files beside it, as any reader needs them.
type View struct{ s *Store }

// OpenView opens the file at a path for reading.
func OpenView(ctx context.Context, path string) (*View, error) {
	s := &Store{path: path, closed: make(chan struct{})}
	s.reader = reader{s}
	var err error
	if s.readers, err = openReadOnly(path); err != nil {
		return nil, err
	}
	if err := s.readers.QueryRowContext(ctx, "SELECT incarnation, term_key FROM meta").Scan(&s.incarnation, &s.key); err != nil {
		_ = s.readers.Close()
		return nil, fmt.Errorf("read the store at %s: %w", path, err)
	}
	return &View{s}, nil
}

// openReadOnly has SQLite open the file itself for reading only: query_only alone would
// still make a file that is missing, and a journal mode is the writer's to choose.
func openReadOnly(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the SQLite file: %w", err)
	}
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)", "trusted_schema(0)"}}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	pool, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the SQLite file: %w", err)
	}
	pool.SetMaxOpenConns(runtime.GOMAXPROCS(0))
	pool.SetMaxIdleConns(runtime.GOMAXPROCS(0))
	return pool, nil
}

// Events gives audit events, newest first.
func (v *View) Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	return v.s.Events(ctx, query)
}

// Close ends the view.
func (v *View) Close() error {
	if err := v.s.statements.close(); err != nil {
		return err
	}
	return v.s.readers.Close()
}
