// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks our files: "iam1".
const applicationID = 0x69616d31

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrate brings the file to this program's schema, and learns who the store is.
func (s *Store) migrate(ctx context.Context) error {
	if err := s.checkOurs(ctx); err != nil {
		return err
	}
	provider, err := s.migrations()
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return fmt.Errorf("the SQLite file %s has schema %d, and this program knows schemas up to %d: it was written by "+
			"a newer iam-operator; run that version, or restore the file as it was before the upgrade", s.path, current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the SQLite file %s from schema %d to %d: %w", s.path, current, target, err)
	}
	return s.identify(ctx)
}

func (s *Store) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writers, files, goose.WithGoMigrations(sealing()))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return provider, nil
}

// identify draws the incarnation of a new store, and reads that of an old one.
func (s *Store) identify(ctx context.Context) error {
	_, err := s.writers.ExecContext(ctx,
		"INSERT INTO meta (one, incarnation, term_key) VALUES (1, ?, randomblob(16)) ON CONFLICT DO NOTHING", uuid.NewString())
	if err == nil {
		err = s.writers.QueryRowContext(ctx, "SELECT incarnation, term_key FROM meta").Scan(&s.incarnation, &s.key)
	}
	if err != nil {
		return fmt.Errorf("read the store's incarnation: %w", err)
	}
	return nil
}

// checkOurs refuses another program's file before anything is written into it.
func (s *Store) checkOurs(ctx context.Context) error {
	var application, objects int64
	err := s.writers.QueryRowContext(ctx,
		"SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").Scan(&application, &objects)
	if err != nil {
		return fmt.Errorf("read the SQLite file: %w", err)
	}
	if objects > 0 && application != applicationID && !s.halfMade(ctx) {
		return fmt.Errorf("the SQLite file %s belongs to another program: name a file of the operator's own", s.path)
	}
	if err := checkPlain(ctx, s.writers, s.path); err != nil {
		return err
	}
	return s.checkWhole(ctx)
}

// checkPlain refuses a file with triggers or views, of which we make none: a trigger can leave out or change what is
// written from now on, and the seals would be of what it has left.
func checkPlain(ctx context.Context, pool *sql.DB, path string) error {
	var kind, name, table string
	err := pool.QueryRowContext(ctx, "SELECT type, name, tbl_name FROM sqlite_schema WHERE type IN ('trigger', 'view') ORDER BY type, name LIMIT 1").
		Scan(&kind, &name, &table)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("read the schema of the SQLite file: %w", err)
	}
	return fmt.Errorf("the SQLite file %s has the %s %q (on %q), and iam-operator makes none: somebody has altered the file, and what was recorded "+
		"since may be incomplete; find out who, keep a copy, and restore the file from a backup", path, kind, name, table)
}

// halfMade says whether a first start ended between goose's table and our schema.
func (s *Store) halfMade(ctx context.Context) bool {
	var others int64
	err := s.writers.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE tbl_name NOT IN (?, 'sqlite_sequence')",
		goose.DefaultTablename).Scan(&others)
	return err == nil && others == 0
}

// checkWhole looks for damage in the state, which decisions rest on. The audit events are
// left out: reading them all would take long.
func (s *Store) checkWhole(ctx context.Context) error {
	rows, err := s.writers.QueryContext(ctx, `SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name IN ('meta', 'entities', 'entity_references', 'changes', 'audit_chains')`)
	var tables []string
	err = scanAll(rows, err, func(rows *sql.Rows) error {
		var table string
		err := rows.Scan(&table)
		tables = append(tables, table)
		return err
	})
	for _, table := range tables {
		var verdict string
		if err == nil {
			err = s.writers.QueryRowContext(ctx, "SELECT quick_check FROM pragma_quick_check(?)", table).Scan(&verdict)
		}
		if err == nil && verdict != "ok" {
			err = &damageError{verdict}
		}
	}
	if err != nil {
		return fmt.Errorf("check the SQLite file: %w", err)
	}
	return nil
}

// damageError is what SQLite's own check found.
type damageError struct{ verdict string }

func (e *damageError) Error() string { return e.verdict }

func isDamage(err error) bool {
	var found *damageError
	if errors.As(err, &found) {
		return true
	}
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	code := failure.Code() & 0xff // the low byte is the class, the rest says more
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}
