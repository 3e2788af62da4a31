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

// attributionTrim is how many old records a commit of new ones removes at most beside as many
// as it adds, so that no request pays for a long backlog.
const attributionTrim = 100

// attributionBody is what a record holds that nothing is looked up by.
type attributionBody struct {
	Requester iam.Requester `json:"requester"`
	RequestID string        `json:"requestID,omitempty"`
}

// Attribute records who asked for what, in one commit, which concurrent calls share.
func (s *Store) Attribute(ctx context.Context, records ...iam.Attribution) error {
	rows := make([][]any, len(records))
	for i, record := range records {
		if record.ObjectUID == "" {
			return errors.New("record who asked: the record names no object")
		}
		if record.Deletion {
			record.Generation, record.Digest = 0, ""
		}
		body, err := json.Marshal(attributionBody{record.Requester, record.RequestID})
		if err != nil {
			return fmt.Errorf("record who asked: %w", err)
		}
		rows[i] = []any{
			record.ObjectUID, record.Generation, record.Digest, record.Deletion, nanoseconds(record.At), nanoseconds(s.clock()), string(body),
		}
	}
	if len(rows) == 0 {
		return s.nothing()
	}
	// No admitted request waits for the disk. What is lost with the machine is the record of what
	// was not applied yet: the change itself waits for the disk, and takes the record along.
	err := s.share(ctx, urgency{wakes: true, relaxed: true}, func(ctx context.Context, t *transaction) error {
		for _, row := range rows {
			// The conflict is with the first deletion, which stands.
			err := t.exec(ctx, `INSERT INTO attributions (object_uid, generation, digest, deletion, at, made_at, body)
				VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, row...)
			if err != nil {
				return err
			}
		}
		t.attributed += len(rows)
		return nil
	})
	if err != nil {
		return fmt.Errorf("record who asked: %w", err)
	}
	return nil
}

// nothing is what a call without anything to write gives.
func (s *Store) nothing() error {
	if s.isClosed() {
		return store.ErrClosed
	}
	return nil
}

// aged selects the oldest records that were made before a time.
const aged = "FROM attributions WHERE made_at < ? ORDER BY made_at LIMIT ?"

// trimAttributions removes records that no event has used in time.
func (t *transaction) trimAttributions(ctx context.Context) error {
	if t.attributed == 0 {
		return nil
	}
	return t.exec(ctx, "DELETE FROM attributions WHERE sequence IN (SELECT sequence "+aged+")",
		nanoseconds(t.s.clock().Add(-store.AttributionKept)), t.attributed+attributionTrim)
}

// Attributions gives the records about an object, in the order in which they were made.
func (s *Store) Attributions(ctx context.Context, objectUID string) ([]iam.Attribution, error) {
	var records []iam.Attribution
	err := s.query(ctx, attributionsText, []any{objectUID}, func(rows *sql.Rows) error {
		record := iam.Attribution{ObjectUID: objectUID}
		var at int64
		var text []byte
		if err := rows.Scan(&record.Generation, &record.Digest, &record.Deletion, &at, &text); err != nil {
			return err
		}
		var body attributionBody
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("decode a record: %w", err)
		}
		record.Requester, record.RequestID, record.At = body.Requester, body.RequestID, fromNanoseconds(at)
		records = append(records, record)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read who asked about object %s: %w", objectUID, err)
	}
	return records, nil
}

const attributionsText = "SELECT generation, digest, deletion, at, body FROM attributions WHERE object_uid = ? ORDER BY sequence"

// forgotten selects the records that an event has used or passed by.
const forgotten = "FROM attributions WHERE object_uid = ? AND deletion = 0 AND (generation < ? OR generation = ? AND digest = ?)"

// ForgetAttributions removes the records about an object that an event has used or passed by.
func (s *Store) ForgetAttributions(ctx context.Context, objectUID string, generation int64, digest string) error {
	// What comes back with the machine is forgotten again: the next look finds it.
	err := s.sweep(ctx, urgency{relaxed: true}, forgotten, objectUID, generation, generation, digest)
	if err != nil {
		return fmt.Errorf("forget who asked about object %s: %w", objectUID, err)
	}
	return nil
}

// sweep deletes rows, if there are any. To look first costs no turn: mostly there are none.
func (s *Store) sweep(ctx context.Context, as urgency, which string, args ...any) error {
	var some bool
	if err := queryOne(ctx, s, "SELECT EXISTS (SELECT 1 "+which+")", args, &some); err != nil || !some {
		return err
	}
	return s.share(ctx, as, func(ctx context.Context, t *transaction) error {
		return t.exec(ctx, "DELETE "+which, args...)
	})
}

// Tell keeps what happened to Members until it is settled; concurrent calls share a commit.
func (s *Store) Tell(ctx context.Context, events ...iam.MemberEvent) error {
	for _, event := range events {
		if event.MemberID == "" || event.Kind == "" {
			return errors.New("tell what happened to a Member: it needs both the Member's id and what happened")
		}
	}
	if len(events) == 0 {
		return s.nothing()
	}
	events = slices.Clone(events) // they may be read still when the caller has left
	err := s.share(ctx, urgency{wakes: true}, func(ctx context.Context, t *transaction) error {
		for _, event := range events {
			err := t.exec(ctx, "INSERT INTO told (member_id, kind, at) VALUES (?, ?, ?)",
				event.MemberID, string(event.Kind), nanoseconds(event.At))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell what happened to a Member: %w", err)
	}
	return nil
}

// Told gives what was told of a Member and is not settled, in order.
func (s *Store) Told(ctx context.Context, memberID string) ([]iam.MemberEvent, error) {
	var events []iam.MemberEvent
	err := s.query(ctx, toldText, []any{memberID}, func(rows *sql.Rows) error {
		event := iam.MemberEvent{MemberID: memberID}
		var kind string
		var at int64
		err := rows.Scan(&event.Sequence, &kind, &at)
		event.Kind, event.At = iam.MemberEventKind(kind), fromNanoseconds(at)
		events = append(events, event)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what happened to Member %s: %w", memberID, err)
	}
	return events, nil
}

const toldText = "SELECT sequence, kind, at FROM told WHERE member_id = ? ORDER BY sequence"

// ToldAbout lists the Members of whom something is not settled, by id.
func (s *Store) ToldAbout(ctx context.Context) ([]string, error) {
	var ids []string
	err := s.query(ctx, "SELECT DISTINCT member_id FROM told ORDER BY member_id", nil, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the Members to whom something happened: %w", err)
	}
	return ids, nil
}

// settled selects what was told of a Member up to and with a sequence.
const settled = "FROM told WHERE member_id = ? AND sequence <= ?"

// Settle removes what was told of a Member up to and with a sequence.
func (s *Store) Settle(ctx context.Context, memberID string, through int64) error {
	if err := s.sweep(ctx, urgency{}, settled, memberID, through); err != nil {
		return fmt.Errorf("settle what happened to Member %s: %w", memberID, err)
	}
	return nil
}
