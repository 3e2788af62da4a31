// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func listContracts() []contract {
	return []contract{
		{"each filter selects, and counts", testFilters},
		{"each order sorts, ties by id", testOrders},
		{"references follow their entity", testReferences},
		{"lists that make no sense are refused", testBadLists},
	}
}

func testFilters(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	key := func(id, bearer string) iam.Entity {
		return &iam.APIKey{Head: head(iam.KindAPIKey, "o", id), BearerKind: iam.PrincipalMember, BearerID: bearer, DefaultProjectID: "o"}
	}
	fromOrganization := project("o", "o", "default")
	fromOrganization.Object = organization("o", "").Object
	put(t, s, organization("o", "acme"), organization("o2", ""), fromOrganization, project("o", "p", "P"), project("o2", "q", "P"),
		member("o", "a", "ann", "g", "h"), member("o", "b", "bea", "h"), member("o2", "c", "ann"),
		key("SCW1", "a"), key("SCW2", "b"), key("SCW3", "g"),
		policy("o", "x", "a", "p", "o"), policy("o", "y", "p"))
	object := func(e iam.Entity, uid string) *iam.Object {
		o := e.GetHead().Object
		o.UID = uid
		return &o
	}
	to := func(relation iam.Relation, id string) *iam.Reference {
		return &iam.Reference{Relation: relation, ID: id}
	}
	tests := []struct {
		name  string
		query store.Query
		want  []string
	}{
		{"kind", store.Query{Kind: iam.KindProject}, []string{"o", "p", "q"}},
		{"a kind of which there is none", store.Query{Kind: iam.KindGroup}, nil},
		{"Organization", store.Query{Kind: iam.KindProject, OrganizationID: "o"}, []string{"o", "p"}},
		{"an Organization that is not", store.Query{Kind: iam.KindProject, OrganizationID: "x"}, nil},
		{"ids", store.Query{Kind: iam.KindProject, IDs: []string{"q", "p", "nobody", "p"}}, []string{"p", "q"}},
		{"ids and Organization", store.Query{Kind: iam.KindProject, OrganizationID: "o", IDs: []string{"q", "p"}}, []string{"p"}},
		{"very many ids", store.Query{Kind: iam.KindProject, IDs: append(make([]string, 40_000), "p")}, []string{"p"}},
		{"object", store.Query{Kind: iam.KindProject, Object: object(project("o", "p", ""), "")}, []string{"p"}},
		{"object and UID", store.Query{Kind: iam.KindProject, Object: object(project("o", "p", ""), "uid-p")}, []string{"p"}},
		{"object and another UID", store.Query{Kind: iam.KindProject, Object: object(project("o", "p", ""), "uid-x")}, nil},
		{"object of another kind", store.Query{Kind: iam.KindProject, Object: object(organization("o", ""), "")}, []string{"o"}},
		{"label", store.Query{Kind: iam.KindProject, Label: "P"}, []string{"p", "q"}},
		{"label and Organization", store.Query{Kind: iam.KindProject, Label: "P", OrganizationID: "o2"}, []string{"q"}},
		{"unique name", store.Query{Kind: iam.KindMember, UniqueName: "ann"}, []string{"a", "c"}},
		{"unique name and Organization", store.Query{Kind: iam.KindMember, UniqueName: "ann", OrganizationID: "o"}, []string{"a"}},
		{"who joins a group", store.Query{Kind: iam.KindMember, RefersTo: to(iam.RelationGroup, "h")}, []string{"a", "b"}},
		{"who is listed instead", store.Query{Kind: iam.KindMember, RefersTo: to(iam.RelationMember, "h")}, nil},
		{"whose keys", store.Query{Kind: iam.KindAPIKey, RefersTo: to(iam.RelationBearer, "a")}, []string{"SCW1"}},
		{"referred to by another kind only", store.Query{Kind: iam.KindProject, RefersTo: to(iam.RelationBearer, "a")}, nil},
		{"a Project", store.Query{Kind: iam.KindPolicy, RefersTo: to(iam.RelationProject, "p")}, []string{"x"}},
		{"a principal", store.Query{Kind: iam.KindPolicy, RefersTo: to(iam.RelationPrincipal, "p")}, []string{"y"}},
		{"referred to in any way", store.Query{Kind: iam.KindPolicy, RefersTo: to("", "p")}, []string{"x", "y"}},
		{"all at once", store.Query{
			Kind: iam.KindMember, OrganizationID: "o", IDs: []string{"a", "b"}, Object: object(member("o", "a", ""), "uid-a"),
			Label: "ann", UniqueName: "ann", RefersTo: to(iam.RelationGroup, "g"),
		}, []string{"a"}},
	}
	for _, test := range tests {
		ids, next := list(t, s, test.query)
		slices.Sort(ids)
		if !slices.Equal(ids, test.want) || next != "" {
			t.Errorf("by %s: %v, next page %q, want %v alone", test.name, ids, next, test.want)
		}
		test.query.Limit, test.query.Cursor = 1, "neither counts"
		if count, err := s.Count(t.Context(), test.query); err != nil || count != len(test.want) {
			t.Errorf("by %s: count %d (%v), want %d", test.name, count, err, len(test.want))
		}
	}
}

func testOrders(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	at := func(id, name string, created time.Time) iam.Entity {
		p := project("o", id, name)
		p.CreatedAt = created
		return p
	}
	put(t, s,
		at("d", "Zoe", birth),
		at("c", "ann", birth.Add(time.Nanosecond)),
		at("b", "Ann", birth.Add(-time.Hour)),
		at("a", "ann", birth),
		at("f", "émile", time.Time{}), // no time at all is before all times
		at("e", "zoe", time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)))
	want := map[store.Order]string{
		store.OrderCreatedAsc:  "[f b a d c e]",
		store.OrderCreatedDesc: "[e c d a b f]",
		store.OrderLabelAsc:    "[b d a c e f]", // byte by byte, in every engine and locale
		store.OrderLabelDesc:   "[f e c a d b]",
	}
	for order, want := range want {
		for _, organization := range []string{"", "o"} {
			ids, _ := list(t, s, store.Query{Kind: iam.KindProject, OrganizationID: organization, Order: order})
			if fmt.Sprint(ids) != want {
				t.Errorf("order %d, Organization %q: %v, want %s", order, organization, ids, want)
			}
		}
	}
}

func testReferences(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	joins := func(group string) string {
		ids, _ := list(t, s, store.Query{Kind: iam.KindMember, RefersTo: &iam.Reference{Relation: iam.RelationGroup, ID: group}})
		return fmt.Sprint(ids)
	}
	put(t, s, member("o", "a", "ann", "g", "h"), member("o", "b", "bea", "g", "g")) // twice is once
	if joins("g") != "[a b]" || joins("h") != "[a]" {
		t.Errorf("g has %s, h has %s", joins("g"), joins("h"))
	}
	put(t, s, member("o", "a", "ann", "i"))
	if joins("g") != "[b]" || joins("h") != "[]" || joins("i") != "[a]" {
		t.Errorf("after the change g has %s, h has %s, i has %s", joins("g"), joins("h"), joins("i"))
	}
	remove(t, s, iam.KindMember, "b")
	if joins("g") != "[]" {
		t.Errorf("after the deletion g has %s", joins("g"))
	}
	put(t, s, member("o", "b", "bea"))
	if joins("g") != "[]" {
		t.Errorf("made again without groups, g has %s", joins("g"))
	}
}

func testBadLists(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	for name, query := range map[string]store.Query{
		"no kind":        {},
		"no such kind":   {Kind: "project"},
		"negative limit": {Kind: iam.KindProject, Limit: -1},
		"limit too high": {Kind: iam.KindProject, Limit: store.MaxPageSize + 1},
		"no such order":  {Kind: iam.KindProject, Order: 17},
	} {
		if _, err := s.List(t.Context(), query); err == nil {
			t.Errorf("%s: there was no error", name)
		}
	}
}
