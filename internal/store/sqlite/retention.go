// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// DropEvents removes the oldest events of a chain that were recorded before a time.
func (t *transaction) DropEvents(ctx context.Context, organizationID string, before time.Time, limit int) (store.Dropped, error) {
	dropped, err := t.drop(ctx, organizationID, nanoseconds(before), max(limit, 0))
	if err != nil {
		return store.Dropped{}, fmt.Errorf("drop audit events: %w", err)
	}
	return dropped, nil
}

func (t *transaction) drop(ctx context.Context, organizationID string, before int64, limit int) (store.Dropped, error) {
	oldest, err := t.oldest(ctx, organizationID, before, limit)
	if err != nil || len(oldest) == 0 {
		return store.Dropped{}, err
	}
	t.appended = true
	if err := t.removeEvents(ctx, oldest); err != nil {
		return store.Dropped{}, err
	}
	first, last := oldest[0], oldest[len(oldest)-1]
	dropped := store.Dropped{
		Count: len(oldest), First: first.Sequence, Last: last.Sequence, FirstAt: first.RecordedAt, LastAt: last.RecordedAt,
	}
	others := 0
	for _, event := range oldest {
		if event.Method != store.MethodDropAuditEvents {
			others++
		}
	}
	return dropped, t.exec(ctx, `UPDATE audit_chains SET dropped_sequence = ?2, dropped_hash = ?3,
		untold_first = iif(untold_count, untold_first, ?4), untold_first_at = iif(untold_count, untold_first_at, ?5),
		untold_last = ?2, untold_last_at = ?6, untold_count = untold_count + ?7, untold_other = untold_other + ?8
		WHERE organization_id = ?1`, organizationID, last.Sequence, last.Seal.Hash[:],
		first.Sequence, nanoseconds(first.RecordedAt), nanoseconds(last.RecordedAt), len(oldest), others)
}

// UntoldChains gives the chains of which something was removed that no event tells of, but should.
func (t *transaction) UntoldChains(ctx context.Context) ([]string, error) {
	var chains []string
	err := t.query(ctx, "SELECT organization_id FROM audit_chains WHERE untold_other > 0 ORDER BY organization_id", nil, func(rows *sql.Rows) error {
		var chain string
		err := rows.Scan(&chain)
		chains = append(chains, chain)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the chains of which audit events were dropped: %w", err)
	}
	return chains, nil
}

// TakeDropped gives what was removed of a chain and not told of, and counts anew.
func (t *transaction) TakeDropped(ctx context.Context, organizationID string) (store.Dropped, error) {
	var dropped store.Dropped
	var firstAt, lastAt int64
	err := queryOne(ctx, t, `SELECT untold_count, untold_first, untold_first_at, untold_last, untold_last_at
		FROM audit_chains WHERE organization_id = ? AND untold_other > 0`, []any{organizationID},
		&dropped.Count, &dropped.First, &firstAt, &dropped.Last, &lastAt)
	if errors.Is(err, store.ErrNotFound) {
		return store.Dropped{}, nil
	}
	if err == nil {
		t.appended = true
		err = t.exec(ctx, `UPDATE audit_chains SET untold_count = 0, untold_other = 0, untold_first = 0, untold_first_at = 0,
			untold_last = 0, untold_last_at = 0 WHERE organization_id = ?`, organizationID)
	}
	if err != nil {
		return store.Dropped{}, fmt.Errorf("take what was dropped of the audit events: %w", err)
	}
	dropped.FirstAt, dropped.LastAt = fromNanoseconds(firstAt), fromNanoseconds(lastAt)
	return dropped, nil
}

// oldest gives the events of a chain up to the first that was not recorded before a time, as readers see them. Those of
// another chain whose term is the same are passed by.
func (t *transaction) oldest(ctx context.Context, organizationID string, before int64, limit int) ([]iam.Event, error) {
	list := facet{listChain, organizationID}
	term, origins := t.s.key.term("", list), t.s.key.term("", list.of(true))
	var found []iam.Event
	for sequence, read, end := int64(0), limit, false; limit > 0 && read == limit && len(found) == 0 && !end; {
		read = 0
		err := t.query(ctx, "SELECT "+shownColumns+", e.recorded_at FROM "+bothLists+
			" AS d CROSS JOIN audit_events AS e ON e.sequence = d.sequence "+shownJoins+" ORDER BY d.sequence",
			[]any{term, sequence, origins, sequence, limit}, func(rows *sql.Rows) error {
				var at int64
				event, err := t.s.scanShown(rows, &at)
				if err != nil {
					return err
				}
				read++
				sequence = event.Sequence
				if end || event.Organization.ID != organizationID {
					return nil
				}
				end = at >= before || len(found) > 0 && event.Sequence-found[0].Sequence >= listingSpan
				if !end {
					found = append(found, event)
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// removeEvents removes events, and all that there is of them besides.
func (t *transaction) removeEvents(ctx context.Context, events []iam.Event) error {
	var sequences []int64
	newest := map[store.EventScope]int64{}
	for _, e := range events {
		sequences = append(sequences, e.Sequence)
		newest[store.EventScope{OrganizationID: e.Organization.ID, Namespace: e.Namespace, NamespaceUID: e.NamespaceUID}] = e.Sequence
	}
	packed, base := t.s.key.listings(events)
	err := t.exec(ctx, `DELETE FROM audit_index
		WHERE (term, sequence) IN (SELECT value >> 31, ? + (value & 0x7fffffff) FROM json_each(?))`, base, jsonOf(packed))
	if err != nil {
		return err
	}
	for _, text := range []string{
		"DELETE FROM audit_origins WHERE event_sequence IN (SELECT value FROM json_each(?))",
		"DELETE FROM audit_events WHERE sequence IN (SELECT value FROM json_each(?))",
	} {
		if err := t.exec(ctx, text, jsonOf(sequences)); err != nil {
			return err
		}
	}
	for place, sequence := range newest {
		err := t.exec(ctx, `INSERT INTO audit_dropped (organization_id, namespace, namespace_uid, sequence) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET sequence = excluded.sequence`, place.OrganizationID, place.Namespace, place.NamespaceUID, sequence)
		if err != nil {
			return err
		}
	}
	return t.exec(ctx, "DELETE FROM audit_blocks WHERE block < (SELECT coalesce(min(sequence), ?) FROM audit_events) >> ?", t.sequence, blockBits)
}
