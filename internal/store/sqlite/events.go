// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Append adds an audit event, with the revision of the latest change so far.
func (t *transaction) Append(ctx context.Context, event iam.Event) error {
	if err := t.ledger().append(ctx, event, t.sequence+1, t.last); err != nil {
		return fmt.Errorf("append an audit event: %w", err)
	}
	t.sequence++
	t.appended = true
	return nil
}

func (t *transaction) ledger() ledger { return ledger{t, t.s.incarnation, t.s.key} }

// Submit appends audit events that come with no change, in one commit, which concurrent calls share.
func (s *Store) Submit(ctx context.Context, events ...iam.Event) error {
	if len(events) == 0 {
		return s.nothing()
	}
	events = slices.Clone(events) // they may be read still when the caller has left
	var refused error
	err := s.share(ctx, urgency{wakes: true}, func(ctx context.Context, t *transaction) error {
		var bad *store.BadEventError
		err := t.appendAll(ctx, events)
		if errors.As(err, &bad) { // which is nobody's fault but this caller's
			refused = err
			return nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("submit audit events: %w", err)
	}
	return nil
}

// appendAll adds all of some events, or none after a *store.BadEventError.
func (t *transaction) appendAll(ctx context.Context, events []iam.Event) error {
	if len(events) == 1 {
		return t.Append(ctx, events[0])
	}
	before := t.sequence
	if err := t.exec(ctx, "SAVEPOINT submitted"); err != nil {
		return err
	}
	for _, event := range events {
		err := t.Append(ctx, event)
		var bad *store.BadEventError
		if errors.As(err, &bad) {
			t.sequence = before
			if err := t.exec(ctx, "ROLLBACK TO submitted"); err != nil {
				return err
			}
			return errors.Join(err, t.exec(ctx, "RELEASE submitted"))
		}
		if err != nil {
			return err
		}
	}
	return t.exec(ctx, "RELEASE submitted")
}

// Events gives audit events, newest first.
func (s *Store) Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	if query.Limit < 0 || query.Limit > store.MaxPageSize {
		return nil, fmt.Errorf("query audit events: the limit %d is not between 0 and %d", query.Limit, store.MaxPageSize)
	}
	if query.Limit == 0 {
		query.Limit = store.MaxPageSize
	}
	events, err := s.events(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("query audit events: %w", err)
	}
	return events, nil
}

// events reads on until it has as many as are wanted: not all that have the terms of a query are meant.
func (s *Store) events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	w, err := s.windowOf(ctx, query)
	if err != nil {
		return nil, err
	}
	terms, err := s.rarestFirst(ctx, s.key.termsFor(query), w)
	if err != nil {
		return nil, err
	}
	var found []iam.Event
	for batch := query.Limit; ; batch = min(2*batch, store.MaxPageSize) {
		text, args := selectText(terms, w, batch)
		read := 0
		err := s.query(ctx, text, args, func(rows *sql.Rows) error {
			event, err := s.scanShown(rows)
			if err != nil {
				return err
			}
			read++
			w.below = event.Sequence
			if len(found) < query.Limit && query.Selects(event) {
				found = append(found, event)
			}
			return nil
		})
		if err != nil || read < batch || len(found) == query.Limit {
			return found, err
		}
	}
}

// window is where the events of a query are.
type window struct {
	// from and below bound their sequences.
	from, below int64
	// since and until bound when they were recorded, in nanoseconds; the latter only if bounded.
	since, until int64
	bounded      bool
}

// windowOf finds the blocks that have events of the time of a query. Without one, it is all below Before.
func (s *Store) windowOf(ctx context.Context, query store.EventQuery) (window, error) {
	const last = 1 << 62
	w := window{below: last, since: nanoseconds(query.Since), until: nanoseconds(query.Until), bounded: !query.Until.IsZero()}
	if query.Before > 0 {
		w.below = query.Before
	}
	if query.Since.IsZero() && !w.bounded {
		return w, nil
	}
	text, args := "SELECT coalesce(min(block), 0), coalesce(max(block), -1) FROM audit_blocks WHERE max_at >= ?", []any{w.since}
	if w.bounded {
		text, args = text+" AND min_at < ?", append(args, w.until)
	}
	var first, final int64
	if err := queryOne(ctx, s, text, args, &first, &final); err != nil {
		return window{}, err
	}
	w.from, w.below = first<<blockBits, min(w.below, (final+1)<<blockBits)
	return w, nil
}

// rarestReach is how many events of each term are looked at to find the one that has the fewest.
const rarestReach = 1000

// rarestFirst puts the term first that has the fewest events near the top of a window: the
// one whose thousandth is the oldest, or that has no thousand.
func (s *Store) rarestFirst(ctx context.Context, terms []int64, w window) ([]int64, error) {
	if len(terms) == 1 {
		return terms, nil
	}
	rarest, oldest := 0, int64(0)
	for i, term := range terms {
		reach := int64(-1)
		err := queryOne(ctx, s, rarestText, []any{term, w.from, w.below, rarestReach}, &reach)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if i == 0 || reach < oldest {
			rarest, oldest = i, reach
		}
	}
	terms[0], terms[rarest] = terms[rarest], terms[0]
	return terms, nil
}

const rarestText = "SELECT sequence FROM audit_index WHERE term = ? AND sequence >= ? AND sequence < ? ORDER BY sequence DESC LIMIT 1 OFFSET ?"

// selectText goes through the list of the first term. The joins are CROSS, so that SQLite goes no other way.
func selectText(terms []int64, w window, limit int) (string, []any) {
	var text strings.Builder
	text.WriteString("SELECT " + shownColumns + ` FROM audit_index AS d CROSS JOIN audit_events AS e ON e.sequence = d.sequence ` + shownJoins +
		` WHERE d.term = ? AND d.sequence >= ? AND d.sequence < ? AND e.recorded_at >= ?`)
	args := []any{terms[0], w.from, w.below, w.since}
	if w.bounded {
		text.WriteString(" AND e.recorded_at < ?")
		args = append(args, w.until)
	}
	for _, term := range terms[1:] {
		text.WriteString(" AND EXISTS (SELECT 1 FROM audit_index AS x WHERE x.term = ? AND x.sequence = d.sequence)")
		args = append(args, term)
	}
	text.WriteString(" ORDER BY d.sequence DESC LIMIT ?")
	return text.String(), append(args, limit)
}

// The columns of an event as it was sealed, and as readers see it: with the event that gives its origin.
const (
	sealedColumns = "e.sequence, e.revision, e.previous, e.hash, e.body"
	shownColumns  = sealedColumns + ", o.body"
	shownJoins    = "LEFT JOIN audit_origins AS j ON j.event_sequence = e.sequence LEFT JOIN audit_events AS o ON o.sequence = j.origin_sequence"
)

// scanSealed scans sealedColumns, and whatever comes after.
func (s *Store) scanSealed(rows *sql.Rows, more ...any) (iam.Event, error) {
	var sequence, n int64
	var previous, hash, body []byte
	if err := rows.Scan(append([]any{&sequence, &n, &previous, &hash, &body}, more...)...); err != nil {
		return iam.Event{}, err
	}
	event, err := decodeEvent(sequence, body)
	if err == nil && s.exact && !isExactly(body, event) {
		err = &store.UnreadableEventError{Sequence: sequence, Err: errInexact}
	}
	event.Revision = s.revision(n).String()
	event.Seal = iam.Seal{Previous: hashOf(previous), Hash: hashOf(hash)}
	return event, err
}

// scanShown scans shownColumns, and whatever comes after.
func (s *Store) scanShown(rows *sql.Rows, more ...any) (iam.Event, error) {
	var originBody []byte
	event, err := s.scanSealed(rows, append([]any{&originBody}, more...)...)
	if err != nil || originBody == nil {
		return event, err
	}
	origin, err := decodeEvent(event.Sequence, originBody)
	if err == nil && origin.Origin != nil {
		event = withOrigin(event, origin)
	}
	return event, err
}

// EventsAfter gives audit events as they were sealed, oldest first.
func (s *Store) EventsAfter(ctx context.Context, scope store.EventScope, sequence int64, limit int) ([]iam.Event, error) {
	if limit <= 0 || limit > store.MaxPageSize {
		limit = store.MaxPageSize
	}
	var events []iam.Event
	err := s.view(ctx, func(v view) error {
		there, err := eventRange(ctx, v, scope)
		if err != nil {
			return err
		}
		if there.Dropped > sequence {
			return store.ErrEventsGone
		}
		events, err = s.eventsAfter(ctx, v, scope, sequence, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit events after %d: %w", sequence, err)
	}
	return events, nil
}

func (s *Store) eventsAfter(ctx context.Context, q querier, scope store.EventScope, sequence int64, limit int) ([]iam.Event, error) {
	var found []iam.Event
	for {
		text, args := s.afterText(scope, sequence, limit)
		read := 0
		err := q.query(ctx, text, args, func(rows *sql.Rows) error {
			event, err := s.scanSealed(rows)
			if err != nil {
				return err
			}
			read++
			sequence = event.Sequence
			if len(found) < limit && scope.Includes(event) {
				found = append(found, event)
			}
			return nil
		})
		if err != nil || read < limit || len(found) == limit {
			return found, err
		}
	}
}

// afterText goes through all events, or through the two lists that have those of a scope.
func (s *Store) afterText(scope store.EventScope, sequence int64, limit int) (string, []any) {
	list, scoped := listOf(scope)
	if !scoped {
		return "SELECT " + sealedColumns + " FROM audit_events AS e WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?", []any{sequence, limit}
	}
	return "SELECT " + sealedColumns + " FROM " + bothLists + " AS d CROSS JOIN audit_events AS e ON e.sequence = d.sequence ORDER BY d.sequence",
		[]any{s.key.term("", list), sequence, s.key.term("", list.of(true)), sequence, limit}
}

// bothLists merges a list with that of the origins beside it, oldest first.
const bothLists = `(SELECT sequence FROM audit_index WHERE term = ? AND sequence > ?
	UNION SELECT sequence FROM audit_index WHERE term = ? AND sequence > ? ORDER BY sequence LIMIT ?)`

// EventRange says which audit events of a scope there are.
func (s *Store) EventRange(ctx context.Context, scope store.EventScope) (store.EventRange, error) {
	there, err := eventRange(ctx, s, scope)
	if err != nil {
		return there, fmt.Errorf("read the range of the audit events: %w", err)
	}
	return there, nil
}

func eventRange(ctx context.Context, q querier, scope store.EventScope) (store.EventRange, error) {
	var there store.EventRange
	err := queryOne(ctx, q, `SELECT sequence, (SELECT coalesce(max(d.sequence), 0) FROM audit_dropped AS d
			WHERE (?1 = '' OR d.organization_id = ?1) AND (NOT ?2 OR d.organization_id = '')
			AND (?3 = '' OR d.namespace = ?3) AND (?4 = '' OR d.namespace_uid = ?4)) FROM meta`,
		[]any{scope.OrganizationID, scope.OwnChain, scope.Namespace, scope.NamespaceUID}, &there.Newest, &there.Dropped)
	return there, err
}
