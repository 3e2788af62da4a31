// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// ChainHeads gives the heads of all chains, by Organization id.
func (t *transaction) ChainHeads(ctx context.Context) ([]iam.ChainHead, error) {
	return chainHeads(ctx, t)
}

func chainHeads(ctx context.Context, q querier) ([]iam.ChainHead, error) {
	var heads []iam.ChainHead
	err := q.query(ctx, "SELECT organization_id, sequence, hash, dropped_sequence, dropped_hash FROM audit_chains ORDER BY organization_id",
		nil, func(rows *sql.Rows) error {
			var head iam.ChainHead
			var hash, dropped []byte
			err := rows.Scan(&head.OrganizationID, &head.Sequence, &hash, &head.DroppedSequence, &dropped)
			head.Hash, head.DroppedHash = hashOf(hash), hashOf(dropped)
			heads = append(heads, head)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read the heads of the audit chains: %w", err)
	}
	return heads, nil
}

// AppendCheckpoint adds a checkpoint, whose number must be the next one.
func (t *transaction) AppendCheckpoint(ctx context.Context, checkpoint iam.Checkpoint) error {
	body, err := json.Marshal(checkpoint)
	if err != nil {
		return fmt.Errorf("append audit checkpoint %d: %w", checkpoint.Number, err)
	}
	var last int64
	if err := queryOne(ctx, t, "SELECT checkpoint FROM meta", nil, &last); err != nil {
		return fmt.Errorf("append audit checkpoint %d: %w", checkpoint.Number, err)
	}
	if checkpoint.Number != last+1 {
		return fmt.Errorf("append audit checkpoint %d: the next one is number %d", checkpoint.Number, last+1)
	}
	err = t.exec(ctx, "INSERT INTO audit_checkpoints (number, body) VALUES (?, ?)", checkpoint.Number, string(body))
	if err == nil {
		err = t.exec(ctx, "UPDATE meta SET checkpoint = ?", checkpoint.Number)
	}
	if err != nil {
		return fmt.Errorf("append audit checkpoint %d: %w", checkpoint.Number, err)
	}
	t.appended = true
	return nil
}

// DropCheckpoints removes up to limit of the checkpoints with smaller numbers, oldest first.
func (t *transaction) DropCheckpoints(ctx context.Context, number int64, limit int) error {
	err := t.exec(ctx, `DELETE FROM audit_checkpoints
		WHERE number IN (SELECT number FROM audit_checkpoints WHERE number < ? ORDER BY number LIMIT ?)`, number, max(limit, 0))
	if err != nil {
		return fmt.Errorf("drop audit checkpoints: %w", err)
	}
	t.appended = true
	return nil
}

// Checkpoints gives up to limit checkpoints after a number, oldest first.
func (s *Store) Checkpoints(ctx context.Context, number int64, limit int) ([]iam.Checkpoint, error) {
	if limit <= 0 || limit > store.MaxPageSize {
		limit = store.MaxPageSize
	}
	return s.checkpoints(ctx, "SELECT number, body FROM audit_checkpoints WHERE number > ? ORDER BY number LIMIT ?", number, limit)
}

// LastCheckpoint gives the newest checkpoint; store.ErrNotFound if there is none.
func (s *Store) LastCheckpoint(ctx context.Context) (iam.Checkpoint, error) {
	found, err := s.checkpoints(ctx, "SELECT number, body FROM audit_checkpoints ORDER BY number DESC LIMIT 1")
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("read the newest audit checkpoint: %w", store.ErrNotFound)
	}
	if err != nil {
		return iam.Checkpoint{}, err
	}
	return found[0], nil
}

func (s *Store) checkpoints(ctx context.Context, text string, args ...any) ([]iam.Checkpoint, error) {
	var found []iam.Checkpoint
	err := s.query(ctx, text, args, func(rows *sql.Rows) error {
		var number int64
		var body []byte
		if err := rows.Scan(&number, &body); err != nil {
			return err
		}
		var checkpoint iam.Checkpoint
		if err := json.Unmarshal(body, &checkpoint); err != nil {
			return &store.UnreadableCheckpointError{Number: number, Err: err}
		}
		if checkpoint.Number != number {
			return &store.UnreadableCheckpointError{Number: number, Err: fmt.Errorf("it says that it is number %d", checkpoint.Number)}
		}
		if s.exact && !isExactly(body, checkpoint) {
			return &store.UnreadableCheckpointError{Number: number, Err: errInexact}
		}
		found = append(found, checkpoint)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit checkpoints: %w", err)
	}
	return found, nil
}

// Cursor gives how far a follower of the audit events has come; zero for one that nobody moved.
func (s *Store) Cursor(ctx context.Context, name string) (int64, error) {
	var sequence int64
	err := queryOne(ctx, s, "SELECT sequence FROM audit_cursors WHERE name = ?", []any{name}, &sequence)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, fmt.Errorf("read the cursor %s: %w", name, err)
	}
	return sequence, nil
}

// MoveCursor says how far a follower has come. A cursor never goes back.
func (s *Store) MoveCursor(ctx context.Context, name string, sequence int64) error {
	err := s.share(ctx, urgency{}, func(ctx context.Context, t *transaction) error {
		return t.exec(ctx, `INSERT INTO audit_cursors (name, sequence) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > sequence`, name, sequence)
	})
	if err != nil {
		return fmt.Errorf("move the cursor %s: %w", name, err)
	}
	return nil
}
