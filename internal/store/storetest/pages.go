// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func pageContracts() []contract {
	return []contract{
		{"pages join to the whole list, in each order and size", testPages},
		{"paging is stable while others insert and delete", testStablePages},
		{"a cursor is of its query", testCursors},
	}
}

// crowd puts Projects that share names and times of creation, so that ties are common.
func crowd(t testing.TB, s store.Store, count int) {
	t.Helper()
	var all []iam.Entity
	for i := range count {
		p := project("o", fmt.Sprintf("p%02d", i*7%count), fmt.Sprintf("name %d", i%3))
		p.CreatedAt = birth.Add(time.Duration(i%4) * time.Second)
		all = append(all, p)
	}
	put(t, s, all...)
}

func testPages(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	crowd(t, s, 20)
	for order := store.OrderCreatedAsc; order <= store.OrderLabelDesc; order++ {
		whole, _ := list(t, s, store.Query{Kind: iam.KindProject, OrganizationID: "o", Order: order})
		for _, limit := range []int{1, 3, 10, 19, 20, 21} {
			query := store.Query{Kind: iam.KindProject, OrganizationID: "o", Order: order, Limit: limit}
			var joined []string
			for more := true; more; more = query.Cursor != "" {
				ids, next := list(t, s, query)
				if len(ids) > limit || next != "" && len(ids) < limit {
					t.Errorf("order %d: a page of %d has %d, and then %q", order, limit, len(ids), next)
				}
				joined, query.Cursor = append(joined, ids...), next
			}
			if !slices.Equal(joined, whole) {
				t.Errorf("order %d: pages of %d join to %v, want %v", order, limit, joined, whole)
			}
		}
	}
	// The size may change between the pages.
	query := store.Query{Kind: iam.KindProject, Limit: 5}
	first, next := list(t, s, query)
	query.Limit, query.Cursor = 0, next
	if rest, next := list(t, s, query); len(first)+len(rest) != 20 || next != "" {
		t.Errorf("a page of %d, and without limit %d, and then %q", len(first), len(rest), next)
	}
}

// testStablePages removes and adds around the very place where a page ends, the last
// entity of each page among them.
func testStablePages(t *testing.T, h Harness) {
	for order := store.OrderCreatedAsc; order <= store.OrderLabelDesc; order++ {
		s := h.Open(t, Options{})
		crowd(t, s, 24)
		seen := map[string]int{}
		query := store.Query{Kind: iam.KindProject, OrganizationID: "o", Order: order, Limit: 4}
		gone := map[string]bool{}
		for page, more := 0, true; more; page, more = page+1, query.Cursor != "" {
			ids, next := list(t, s, query)
			query.Cursor = next
			for _, id := range ids {
				seen[id]++
			}
			last := ids[len(ids)-1]
			row, err := s.Get(t.Context(), iam.KindProject, last)
			if err != nil {
				t.Fatal(err)
			}
			twin, _ := row.Entity.(*iam.Project)
			for _, prefix := range []string{"a", "z"} { // ties before and after the last
				added := *twin
				added.ID = fmt.Sprintf("%s%s-%d", prefix, last, page)
				added.Object.Name = added.ID
				if page < 8 {
					put(t, s, &added)
				}
			}
			remove(t, s, iam.KindProject, last)
			gone[last] = true
		}
		for i := range 24 {
			id := fmt.Sprintf("p%02d", i)
			if !gone[id] && seen[id] != 1 {
				t.Errorf("order %d: %s existed throughout and was on %d pages", order, id, seen[id])
			}
		}
		for id, times := range seen {
			if times > 1 {
				t.Errorf("order %d: %s was on %d pages", order, id, times)
			}
		}
	}
}

func testCursors(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	crowd(t, s, 6)
	query := store.Query{Kind: iam.KindProject, OrganizationID: "o", Limit: 2}
	_, cursor := list(t, s, query)
	others := map[string]func(q *store.Query){
		"another kind":         func(q *store.Query) { q.Kind = iam.KindMember },
		"another Organization": func(q *store.Query) { q.OrganizationID = "o2" },
		"every Organization":   func(q *store.Query) { q.OrganizationID = "" },
		"another order":        func(q *store.Query) { q.Order = store.OrderCreatedDesc },
		"another label":        func(q *store.Query) { q.Label = "x" },
		"another unique name":  func(q *store.Query) { q.UniqueName = "x" },
		"ids":                  func(q *store.Query) { q.IDs = []string{"p00"} },
		"an object":            func(q *store.Query) { q.Object = &iam.Object{Kind: iam.KindProject} },
		"a reference":          func(q *store.Query) { q.RefersTo = &iam.Reference{ID: "x"} },
		"garbage":              func(q *store.Query) { q.Cursor = "garbage" },
		"a space":              func(q *store.Query) { q.Cursor = " " },
		"bytes":                func(q *store.Query) { q.Cursor = "\x00\xff" },
		"a cut cursor":         func(q *store.Query) { q.Cursor = q.Cursor[:len(q.Cursor)-3] },
		"a longer cursor":      func(q *store.Query) { q.Cursor += "AAAA" },
		"a long one":           func(q *store.Query) { q.Cursor = strings.Repeat("A", 1<<20) },
	}
	for name, other := range others {
		q := query
		q.Cursor = cursor
		other(&q)
		if _, err := s.List(t.Context(), q); !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("%s: got the error %v, want %v", name, err, store.ErrBadCursor)
		}
	}
	query.Cursor = cursor
	s = h.Reopen(t, s)
	if ids, _ := list(t, s, query); fmt.Sprint(ids) == "[]" {
		t.Error("the cursor leads nowhere after the store was opened again")
	}
}
