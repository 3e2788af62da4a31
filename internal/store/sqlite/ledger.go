// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// blockBits is how many bits of a sequence count within its block.
const blockBits = 10

// writer is a transaction that writes.
type writer interface {
	querier
	exec(ctx context.Context, text string, args ...any) error
}

// ledger adds audit events in a transaction, of the store's writer or of a migration.
type ledger struct {
	w           writer
	incarnation string
	key         termKey
}

// append seals an event after the newest of its chain, and writes it, with the sequence and the
// revision that it is given. After a *store.BadEventError nothing was written.
func (l ledger) append(ctx context.Context, event iam.Event, sequence, revision int64) error {
	event, body, err := normalize(event)
	if err != nil {
		return err
	}
	if err := l.check(ctx, event); err != nil {
		return err
	}
	event.Sequence, event.Revision = sequence, store.Revision{Incarnation: l.incarnation, N: revision}.String()
	content, err := event.ContentHash()
	if err != nil {
		return err
	}
	previous, err := l.newest(ctx, event.Organization.ID)
	if err != nil {
		return err
	}
	event.Seal = iam.SealAfter(previous, content)
	at := nanoseconds(event.RecordedAt)
	err = l.w.exec(ctx, "INSERT INTO audit_events (sequence, recorded_at, revision, previous, hash, body) VALUES (?, ?, ?, ?, ?, ?)",
		sequence, at, revision, event.Seal.Previous[:], event.Seal.Hash[:], string(body))
	if err != nil {
		return err
	}
	err = l.w.exec(ctx, `INSERT INTO audit_blocks (block, min_at, max_at) VALUES (?1, ?2, ?2)
		ON CONFLICT DO UPDATE SET min_at = min(min_at, ?2), max_at = max(max_at, ?2)`, sequence>>blockBits, at)
	if err != nil {
		return err
	}
	if err := l.list(ctx, event); err != nil {
		return err
	}
	return l.advance(ctx, event)
}

// normalize gives an event as it will be read back, and its text: what is sealed must not
// depend on the zone of a time, or on bytes that JSON cannot hold.
func normalize(event iam.Event) (iam.Event, []byte, error) {
	event.RecordedAt = event.RecordedAt.UTC()
	text, err := json.Marshal(event)
	if err != nil {
		return iam.Event{}, nil, badEvent(event, "it cannot be encoded: "+err.Error())
	}
	var read iam.Event
	if err := json.Unmarshal(text, &read); err != nil {
		return iam.Event{}, nil, badEvent(event, "it cannot be read back: "+err.Error())
	}
	body, err := json.Marshal(read)
	if err != nil {
		return iam.Event{}, nil, badEvent(event, "it cannot be encoded: "+err.Error())
	}
	return read, body, nil
}

func badEvent(event iam.Event, reason string) error {
	return &store.BadEventError{ID: event.ID, Reason: reason}
}

// check refuses what would leave the log in doubt about which event is meant.
func (l ledger) check(ctx context.Context, event iam.Event) error {
	if event.ID == "" {
		return badEvent(event, "it has no id")
	}
	known, err := l.known(ctx, event.ID)
	if err != nil {
		return err
	}
	if known {
		return &store.BadEventError{ID: event.ID, Reason: "an event with that id is there already", Known: true}
	}
	if event.Origin == nil {
		return nil
	}
	_, err = l.earlier(ctx, event)
	return err
}

// known says whether there is an event with an id.
func (l ledger) known(ctx context.Context, id string) (known bool, err error) {
	err = l.w.query(ctx, "SELECT e.sequence, e.body FROM audit_index AS d CROSS JOIN audit_events AS e ON e.sequence = d.sequence WHERE d.term = ?",
		[]any{l.key.term("", facet{"id", id})}, func(rows *sql.Rows) error {
			var sequence int64
			var body []byte
			if err := rows.Scan(&sequence, &body); err != nil {
				return err
			}
			event, err := decodeEvent(sequence, body)
			known = known || event.ID == id
			return err
		})
	return known, err
}

// earlier gives the event whose origin another one gives, as it was sealed.
func (l ledger) earlier(ctx context.Context, event iam.Event) (iam.Event, error) {
	of := event.Origin
	var body []byte
	var has bool
	err := queryOne(ctx, l.w, `SELECT body, EXISTS (SELECT 1 FROM audit_origins AS o WHERE o.event_sequence = e.sequence)
		FROM audit_events AS e WHERE sequence = ?`, []any{of.EventSequence}, &body, &has)
	if errors.Is(err, store.ErrNotFound) {
		return iam.Event{}, badEvent(event, fmt.Sprintf("it gives the origin of event %d, which is not there", of.EventSequence))
	}
	if err != nil {
		return iam.Event{}, err
	}
	earlier, err := decodeEvent(of.EventSequence, body)
	switch {
	case err != nil:
		return iam.Event{}, err
	case earlier.ID != of.EventID:
		return iam.Event{}, badEvent(event, fmt.Sprintf("it gives the origin of event %d, which is %s, and names it %s",
			of.EventSequence, earlier.ID, of.EventID))
	case earlier.Organization.ID != event.Organization.ID:
		return iam.Event{}, badEvent(event, fmt.Sprintf("it gives the origin of event %s, which is of another chain", of.EventID))
	case earlier.Origin != nil:
		return iam.Event{}, badEvent(event, fmt.Sprintf("it gives the origin of event %s, which gives one itself", of.EventID))
	case has:
		return iam.Event{}, &store.BadEventError{
			ID: event.ID, Reason: fmt.Sprintf("the origin of event %s is known already", of.EventID), Known: true,
		}
	}
	return earlier, nil
}

// newest gives the hash of a chain's newest event.
func (l ledger) newest(ctx context.Context, organizationID string) (hash iam.Hash, err error) {
	var sum []byte
	err = queryOne(ctx, l.w, "SELECT hash FROM audit_chains WHERE organization_id = ?", []any{organizationID}, &sum)
	if errors.Is(err, store.ErrNotFound) {
		return iam.GenesisHash(l.incarnation, organizationID), nil
	}
	copy(hash[:], sum)
	return hash, err
}

// advance makes an event the newest of its chain.
func (l ledger) advance(ctx context.Context, event iam.Event) error {
	genesis := iam.GenesisHash(l.incarnation, event.Organization.ID)
	return l.w.exec(ctx, `INSERT INTO audit_chains (organization_id, sequence, hash, dropped_sequence, dropped_hash)
		VALUES (?, ?, ?, 0, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash`,
		event.Organization.ID, event.Sequence, event.Seal.Hash[:], genesis[:])
}

// list puts an event into the lists that it is found by. One that gives another's origin moves
// the other from the list of the source that was known before.
func (l ledger) list(ctx context.Context, event iam.Event) error {
	if err := l.addTerms(ctx, event.Sequence, l.key.termsOf(event)); err != nil || event.Origin == nil {
		return err
	}
	earlier, err := l.earlier(ctx, event)
	if err != nil {
		return err
	}
	before, after := l.key.termsOf(earlier), l.key.termsOf(withOrigin(earlier, event))
	of := event.Origin.EventSequence
	err = l.w.exec(ctx, "INSERT INTO audit_origins (event_sequence, origin_sequence) VALUES (?, ?)", of, event.Sequence)
	if err == nil {
		err = l.removeTerms(ctx, of, without(before, after))
	}
	if err == nil {
		err = l.addTerms(ctx, of, without(after, before))
	}
	return err
}

// without gives the terms that are not among others.
func without(terms, others []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(terms), func(term int64) bool { return slices.Contains(others, term) })
}

// addTerms gives all terms to SQLite as one argument: to run one statement a term takes longer
// than what the statement does. With OR FAIL it need not keep a copy of each page so that it could
// undo half of a statement; whoever meets an error ends the whole transaction.
func (l ledger) addTerms(ctx context.Context, sequence int64, terms []int64) error {
	return l.w.exec(ctx, "INSERT OR FAIL INTO audit_index (term, sequence) SELECT value, ? FROM json_each(?)", sequence, jsonOf(terms))
}

func (l ledger) removeTerms(ctx context.Context, sequence int64, terms []int64) error {
	return l.w.exec(ctx, "DELETE FROM audit_index WHERE sequence = ? AND term IN (SELECT value FROM json_each(?))", sequence, jsonOf(terms))
}

func jsonOf(numbers []int64) string {
	text, _ := json.Marshal(numbers) // numbers always encode
	return string(text)
}

// withOrigin gives an event as readers see it when another gives its origin.
func withOrigin(event, origin iam.Event) iam.Event {
	event.SourceIP, event.UserAgent = origin.Origin.SourceIP, origin.Origin.UserAgent
	return event
}

// decodeEvent reads the text of an event.
func decodeEvent(sequence int64, body []byte) (iam.Event, error) {
	var event iam.Event
	if err := json.Unmarshal(body, &event); err != nil {
		return iam.Event{}, &store.UnreadableEventError{Sequence: sequence, Err: err}
	}
	event.Sequence = sequence
	return event, nil
}
