// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Append adds an audit event, with the revision of the latest change so far.
func (t *transaction) Append(ctx context.Context, event iam.Event) error {
	if event.ID == "" {
		return errors.New("append an audit event: it has no id")
	}
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("append audit event %s: %w", event.ID, err)
	}
	var sequence int64
	err = queryOne(ctx, t, `INSERT INTO audit_events (id, recorded_at, organization_id, namespace, namespace_uid, method,
			action, principal_kind, principal_id, principal_name, revision, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING sequence`,
		[]any{event.ID, nanoseconds(event.RecordedAt), event.Organization.ID, event.Namespace, event.NamespaceUID, event.Method,
			string(event.Action), string(event.Principal.Kind), event.Principal.ID, event.Principal.Name, t.last, string(body)}, &sequence)
	if err != nil {
		return fmt.Errorf("append audit event %s: %w", event.ID, err)
	}
	t.appended = true
	for _, resource := range event.Resources {
		if resource.ID == "" { // of an attempt to create: nobody can ask for it
			continue
		}
		err := t.exec(ctx, "INSERT INTO audit_resources (resource_id, sequence) VALUES (?, ?) ON CONFLICT DO NOTHING",
			resource.ID, sequence)
		if err != nil {
			return fmt.Errorf("append audit event %s: %w", event.ID, err)
		}
	}
	return nil
}

// Events gives audit events, newest first.
func (s *Store) Events(ctx context.Context, query store.EventQuery) ([]iam.Event, error) {
	if query.Limit < 0 || query.Limit > store.MaxPageSize {
		return nil, fmt.Errorf("query audit events: the limit %d is not between 0 and %d", query.Limit, store.MaxPageSize)
	}
	if query.Limit == 0 {
		query.Limit = store.MaxPageSize
	}
	text, args := eventText(query)
	var events []iam.Event
	err := s.query(ctx, text, args, func(rows *sql.Rows) error {
		var event iam.Event
		var sequence, n int64
		var body []byte
		if err := rows.Scan(&sequence, &n, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return fmt.Errorf("decode audit event %d: %w", sequence, err)
		}
		event.Sequence, event.Revision = sequence, s.revision(n).String()
		events = append(events, event)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("query audit events: %w", err)
	}
	return events, nil
}

func eventText(query store.EventQuery) (string, []any) {
	where, args := []string{"TRUE"}, []any(nil)
	// A resource has few events. Where one is asked for, the sign keeps SQLite from going
	// through all that match another filter instead.
	sign := ""
	if query.ResourceID != "" {
		sign = "+"
	}
	add := func(condition, value string) {
		if value != "" {
			where, args = append(where, condition), append(args, value)
		}
	}
	if query.Before > 0 {
		where, args = append(where, "e.sequence < ?"), append(args, query.Before)
	}
	add(sign+"e.organization_id = ?", query.OrganizationID)
	add(sign+"e.namespace = ?", query.Namespace)
	add(sign+"e.method = ?", query.Method)
	add(sign+"e.action = ?", string(query.Action))
	add(sign+"e.principal_name = ?", query.PrincipalName)
	if query.StatusCode != 0 {
		where, args = append(where, sign+"e.status_code = ?"), append(args, query.StatusCode)
	}
	add("e.sequence IN (SELECT r.sequence FROM audit_resources AS r WHERE r.resource_id = ?)", query.ResourceID)
	return "SELECT sequence, revision, body FROM audit_events AS e WHERE " + strings.Join(where, " AND ") +
		" ORDER BY sequence DESC LIMIT ?", append(args, query.Limit)
}
