// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// sealingVersion is the schema of which all audit events are sealed.
const sealingVersion = 4

// sealing is the migration that seals the events of older schemas. It is written in Go, since
// SQL cannot hash.
func sealing() *goose.Migration {
	return goose.NewGoMigration(sealingVersion, &goose.GoFunc{RunTx: sealOld}, &goose.GoFunc{RunTx: unseal})
}

// migration is the transaction of a migration.
type migration struct{ tx *sql.Tx }

func (m migration) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	rows, err := m.tx.QueryContext(ctx, text, args...)
	return scanAll(rows, err, scan)
}

func (m migration) exec(ctx context.Context, text string, args ...any) error {
	_, err := m.tx.ExecContext(ctx, text, args...)
	return err
}

// sealOld appends the events of older schemas anew, as they are and in their order.
func sealOld(ctx context.Context, tx *sql.Tx) error {
	m := migration{tx}
	var l ledger
	err := queryOne(ctx, m, "SELECT incarnation, term_key FROM meta", nil, &l.incarnation, &l.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // a new store has no row yet
		return err
	}
	l.w = m
	for last, more := int64(0), true; more; {
		old, err := unsealedAfter(ctx, m, last)
		if err != nil {
			return err
		}
		for _, o := range old {
			if err := l.append(ctx, o.event, o.sequence, o.revision); err != nil {
				return fmt.Errorf("seal audit event %d: %w", o.sequence, err)
			}
			last = o.sequence
		}
		more = len(old) > 0
	}
	for _, text := range []string{
		"UPDATE meta SET sequence = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit_events_unsealed'), 0)",
		"DROP TABLE audit_resources",
		"DROP TABLE audit_events_unsealed",
	} {
		if err := m.exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

type unsealed struct {
	sequence, revision int64
	event              iam.Event
}

func unsealedAfter(ctx context.Context, m migration, sequence int64) ([]unsealed, error) {
	var found []unsealed
	err := m.query(ctx, "SELECT sequence, revision, body FROM audit_events_unsealed WHERE sequence > ? ORDER BY sequence LIMIT 500",
		[]any{sequence}, func(rows *sql.Rows) error {
			var u unsealed
			var body []byte
			if err := rows.Scan(&u.sequence, &u.revision, &body); err != nil {
				return err
			}
			event, err := decodeEvent(u.sequence, body)
			u.event = event
			found = append(found, u)
			return err
		})
	return found, err
}

// unseal makes of the events what the older schema knows of them.
func unseal(ctx context.Context, tx *sql.Tx) error {
	for _, text := range []string{
		`CREATE TABLE audit_events_unsealed (
			sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, recorded_at INTEGER NOT NULL,
			organization_id TEXT NOT NULL, namespace TEXT NOT NULL, namespace_uid TEXT NOT NULL, method TEXT NOT NULL,
			action TEXT NOT NULL, principal_kind TEXT NOT NULL, principal_id TEXT NOT NULL, principal_name TEXT NOT NULL,
			revision INTEGER NOT NULL, body TEXT NOT NULL,
			status_code INTEGER GENERATED ALWAYS AS (json_extract(body, '$.statusCode')) VIRTUAL) STRICT`,
		`INSERT INTO audit_events_unsealed SELECT sequence, body ->> '$.id', recorded_at, body ->> '$.organization.id',
			body ->> '$.namespace', coalesce(body ->> '$.namespaceUID', ''), body ->> '$.method', body ->> '$.action',
			body ->> '$.principal.kind', coalesce(body ->> '$.principal.id', ''), body ->> '$.principal.name', revision, body
			FROM audit_events`,
		"DELETE FROM sqlite_sequence WHERE name = 'audit_events_unsealed'",
		"INSERT INTO sqlite_sequence (name, seq) SELECT 'audit_events_unsealed', sequence FROM meta",
		`CREATE TABLE audit_resources (resource_id TEXT NOT NULL, sequence INTEGER NOT NULL,
			PRIMARY KEY (resource_id, sequence)) STRICT, WITHOUT ROWID`,
		`INSERT OR IGNORE INTO audit_resources SELECT r.value ->> '$.id', e.sequence
			FROM audit_events AS e, json_each(e.body, '$.resources') AS r WHERE r.value ->> '$.id' <> ''`,
		// What is migrated up again is sealed again.
		"DELETE FROM audit_events", "DELETE FROM audit_index", "DELETE FROM audit_blocks", "DELETE FROM audit_origins", "DELETE FROM audit_chains",
	} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
