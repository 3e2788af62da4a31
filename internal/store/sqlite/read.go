// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// reader is a store.Reader of whatever state its querier sees.
type reader struct{ q querier }

// Get gives one entity, or store.ErrNotFound.
func (r reader) Get(ctx context.Context, kind iam.Kind, id string) (store.Row, error) {
	var updated int64
	var body []byte
	err := queryOne(ctx, r.q, "SELECT updated_at, body FROM entities WHERE kind = ? AND id = ?",
		[]any{string(kind), id}, &updated, &body)
	if err != nil {
		return store.Row{}, fmt.Errorf("get %s %s: %w", kind, id, err)
	}
	return row(kind, updated, body)
}

// List gives a page of entities; store.ErrBadCursor for a cursor of another query.
func (r reader) List(ctx context.Context, query store.Query) (store.Page, error) {
	if err := check(query); err != nil {
		return store.Page{}, err
	}
	text, args, err := listText(query)
	if err != nil {
		return store.Page{}, err
	}
	var page store.Page
	var last cursor
	err = r.q.query(ctx, text, args, func(rows *sql.Rows) error {
		if query.Limit > 0 && len(page.Rows) == query.Limit {
			page.Next = last.encode(query)
			return nil
		}
		var updated int64
		var body []byte
		if err := rows.Scan(&last.ID, &last.Created, &last.Label, &updated, &body); err != nil {
			return err
		}
		row, err := row(query.Kind, updated, body)
		page.Rows = append(page.Rows, row)
		return err
	})
	if err != nil {
		return store.Page{}, fmt.Errorf("list %s: %w", query.Kind, err)
	}
	return page, nil
}

// listText gives a list as SQL. It asks for one more than the limit, which tells whether
// there is a next page.
func listText(query store.Query) (string, []any, error) {
	where, args := conditions(query)
	if query.Cursor != "" {
		after, err := parseCursor(query)
		if err != nil {
			return "", nil, err
		}
		condition, position := after.condition(query.Order)
		where, args = append(where, condition), append(args, position...)
	}
	text := "SELECT id, created_at, label, updated_at, body FROM entities AS e WHERE " +
		strings.Join(where, " AND ") + " ORDER BY " + sorting(query)
	if query.Limit > 0 {
		text, args = text+" LIMIT ?", append(args, query.Limit+1)
	}
	return text, args, nil
}

// Count gives the number of entities that a query selects, its limit and cursor apart.
func (r reader) Count(ctx context.Context, query store.Query) (int, error) {
	query.Limit, query.Cursor = 0, ""
	if err := check(query); err != nil {
		return 0, err
	}
	where, args := conditions(query)
	var count int
	err := queryOne(ctx, r.q, "SELECT count(*) FROM entities AS e WHERE "+strings.Join(where, " AND "), args, &count)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", query.Kind, err)
	}
	return count, nil
}

func check(query store.Query) error {
	switch {
	case !slices.Contains(iam.Kinds(), query.Kind):
		return fmt.Errorf("list: there is no kind %q", query.Kind)
	case query.Limit < 0 || query.Limit > store.MaxPageSize:
		return fmt.Errorf("list %s: the limit %d is not between 0 and %d", query.Kind, query.Limit, store.MaxPageSize)
	case query.Order < store.OrderCreatedAsc || query.Order > store.OrderLabelDesc:
		return fmt.Errorf("list %s: there is no order %d", query.Kind, query.Order)
	}
	return nil
}

// conditions gives a query's filters as SQL. SQLite compares bytes, so case counts.
func conditions(query store.Query) (where []string, args []any) {
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	add("e.kind = ?", string(query.Kind))
	if query.OrganizationID != "" && isSelective(query) {
		add("+e.organization_id = ?", query.OrganizationID) // the sign takes the index away
	} else if query.OrganizationID != "" {
		add("e.organization_id = ?", query.OrganizationID)
	}
	if len(query.IDs) > 0 {
		// One argument however many ids there are: SQLite limits the number of arguments.
		ids, _ := json.Marshal(query.IDs) // strings always encode
		add("e.id IN (SELECT value FROM json_each(?))", string(ids))
	}
	if o := query.Object; o != nil {
		add("e.object_kind = ? AND e.object_namespace = ? AND e.object_name = ?", string(o.Kind), o.Namespace, o.Name)
		if o.UID != "" {
			add("e.object_uid = ?", o.UID)
		}
	}
	if query.Label != "" {
		add("e.label = ?", query.Label)
	}
	if query.UniqueName != "" {
		add("e.unique_name = ? AND e.unique_name <> ''", query.UniqueName) // the index has only names
	}
	if to := query.RefersTo; to != nil {
		condition, values := "", []any{to.ID}
		if to.Relation != "" {
			condition, values = " AND r.relation = ?", append(values, string(to.Relation))
		}
		add("e.id IN (SELECT r.id FROM entity_references AS r WHERE r.kind = e.kind AND r.target_id = ?"+condition+")", values...)
	}
	return where, args
}

// isSelective says whether a filter leaves few entities. SQLite knows no numbers, and
// would rather go through an Organization's whole kind in the right order than find those
// few and sort them.
func isSelective(query store.Query) bool {
	return len(query.IDs) > 0 || query.Object != nil || query.UniqueName != "" || query.RefersTo != nil
}

func sorting(query store.Query) string {
	if query.Label != "" && query.Order <= store.OrderCreatedDesc {
		// Few have one label: with the signs, they are found by it, and sorted then.
		return []string{"+e.created_at, +e.id", "+e.created_at DESC, +e.id DESC"}[query.Order]
	}
	switch query.Order {
	case store.OrderCreatedDesc:
		return "e.created_at DESC, e.id DESC"
	case store.OrderLabelAsc:
		return "e.label, e.id"
	case store.OrderLabelDesc:
		return "e.label DESC, e.id DESC"
	case store.OrderCreatedAsc:
	}
	return "e.created_at, e.id"
}

func row(kind iam.Kind, updated int64, body []byte) (store.Row, error) {
	entity, err := iam.Decode(kind, body)
	if err != nil {
		return store.Row{}, err
	}
	return store.Row{Entity: entity, UpdatedAt: fromNanoseconds(updated)}, nil
}

// nanoseconds gives a time as it is sorted by. What 64 bits cannot hold, such as the zero
// time, sorts first or last.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// fromNanoseconds gives the time back, in UTC.
func fromNanoseconds(n int64) time.Time { return time.Unix(0, n).UTC() }
