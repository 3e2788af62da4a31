// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"

	"github.com/pressly/goose/v3"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// View reads a store that an operator may be writing. It takes no lock, makes
// no store, and migrates nothing. Where nobody has the file open, SQLite leaves its -wal and
// -shm files beside it, as any reader needs them.
type View struct{ s *Store }

// OpenView opens the file at a path for reading. It refuses one of another schema: the log of an
// older one is not sealed, and of a newer one nothing is known; and one with triggers or views.
func OpenView(ctx context.Context, path string) (_ *View, err error) {
	s := &Store{path: path, closed: make(chan struct{}), exact: true}
	s.reader = reader{s}
	if s.readers, err = openReadOnly(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.readers.Close()
		}
	}()
	var version int64
	err = s.readers.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.DefaultTablename+" WHERE is_applied").Scan(&version)
	if err != nil {
		return nil, fmt.Errorf("read the store at %s: %w", path, err)
	}
	if version != sealingVersion {
		return nil, fmt.Errorf("the SQLite file %s has schema %d, and this program reads schema %d: use the version of iam-operator "+
			"that wrote it, or start this one on it, which brings an older schema up to date", path, version, sealingVersion)
	}
	if err := checkPlain(ctx, s.readers, path); err != nil {
		return nil, err
	}
	if err := s.readers.QueryRowContext(ctx, "SELECT incarnation, term_key FROM meta").Scan(&s.incarnation, &s.key); err != nil {
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

// Snapshot gives every entity, and the revision at which they are so.
func (v *View) Snapshot(ctx context.Context) ([]iam.Entity, store.Revision, error) {
	return v.s.Snapshot(ctx)
}

// Events gives audit events, newest first.
func (v *View) Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	return v.s.Events(ctx, query)
}

// EventsAfter gives audit events as they were sealed, oldest first.
func (v *View) EventsAfter(ctx context.Context, scope store.EventScope, sequence int64, limit int) ([]iam.Event, error) {
	return v.s.EventsAfter(ctx, scope, sequence, limit)
}

// EventRange says which audit events of a scope there are.
func (v *View) EventRange(ctx context.Context, scope store.EventScope) (store.EventRange, error) {
	return v.s.EventRange(ctx, scope)
}

// ChainHeads gives the heads of all chains, by Organization id.
func (v *View) ChainHeads(ctx context.Context) ([]iam.ChainHead, error) {
	return chainHeads(ctx, v.s)
}

// Checkpoints gives up to limit checkpoints after a number, oldest first.
func (v *View) Checkpoints(ctx context.Context, number int64, limit int) ([]iam.Checkpoint, error) {
	return v.s.Checkpoints(ctx, number, limit)
}

// LastCheckpoint gives the newest checkpoint; store.ErrNotFound if there is none.
func (v *View) LastCheckpoint(ctx context.Context) (iam.Checkpoint, error) {
	return v.s.LastCheckpoint(ctx)
}

// Incarnation gives the store's incarnation, which its seals and revisions name.
func (v *View) Incarnation() string { return v.s.incarnation }

// Unlisted gives the sequence of the first event that Events does not find by all that it says,
// or shows otherwise than what was sealed; zero if there is none. Seals cannot tell: what
// somebody takes out of an index is whole still. Sequences themselves are the seals' to check.
func (v *View) Unlisted(ctx context.Context) (int64, error) {
	sequence, err := v.s.unlisted(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for audit events that the index lacks: %w", err)
	}
	return sequence, nil
}

// Close ends the view.
func (v *View) Close() error {
	if err := v.s.statements.close(); err != nil {
		return err
	}
	return v.s.readers.Close()
}
