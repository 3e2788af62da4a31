// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func nameContracts() []contract {
	return []contract{
		{"names are unique in a kind and an Organization", testUniqueNames},
		{"an alias is unique in the cluster", testUniqueAlias},
		{"a name is free again once its holder is gone or renamed", testFreedName},
		{"a conflict leaves the transaction usable", testConflictGoesOn},
		{"an id is held by its object", testHeldID},
		{"ids and names respect case", testCase},
	}
}

// conflict puts an entity in a transaction of its own, and gives the conflict it met.
func conflict(t *testing.T, s store.Store, entity iam.Entity) *store.ConflictError {
	t.Helper()
	_, err := s.Write(t.Context(), func(tx store.Tx) error { return putAll(t.Context(), tx, entity) })
	var found *store.ConflictError
	if err != nil && !errors.As(err, &found) {
		t.Fatalf("got the error %v, want a conflict or none", err)
	}
	return found
}

func testUniqueNames(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, member("o", "a", "ann"), member("o", "nameless", ""), project("o", "p", "same"))
	tests := []struct {
		name   string
		entity iam.Entity
		want   bool
	}{
		{"the name of another", member("o", "b", "ann"), true},
		{"the name of another in other case, which UniqueName takes for the same", member("o", "b", "ANN"), true},
		{"its own name", member("o", "a", "ann", "g"), false},
		{"the name in another Organization", member("o2", "c", "ann"), false},
		{"a second one without a name", member("o", "d", ""), false},
		{"a kind whose names are not unique", project("o", "q", "same"), false},
	}
	for _, test := range tests {
		got := conflict(t, s, test.entity)
		if (got != nil) != test.want {
			t.Errorf("%s: conflict %v, want one: %t", test.name, got, test.want)
		}
		if got != nil && (got.Kind != iam.KindMember || got.Name != "ann" || got.ID != "") {
			t.Errorf("%s: conflict %+v does not name what is taken", test.name, got)
		}
	}
}

func testUniqueAlias(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, organization("o", "acme"))
	if got := conflict(t, s, organization("o2", "acme")); got == nil || got.Name != "acme" {
		t.Errorf("a second Organization with the alias met the conflict %v", got)
	}
	set := func(id string) iam.Entity {
		return &iam.PermissionSet{Head: head(iam.KindPermissionSet, "", id), Name: "Mine"}
	}
	put(t, s, set("a"))
	if got := conflict(t, s, set("b")); got == nil {
		t.Error("a second permission set with the name met no conflict")
	}
	put(t, s, organization("o2", ""), organization("o3", ""))
}

func testFreedName(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, member("o", "a", "ann"), organization("o", "acme"))
	remove(t, s, iam.KindMember, "a")
	put(t, s, member("o", "b", "ann"), organization("o", "other"), organization("o2", "acme"))
	put(t, s, member("o", "b", "bea"), member("o", "c", "ann")) // in one transaction, in this order
}

func testConflictGoesOn(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, member("o", "a", "ann"), project("o", "p", "P"))
	other := project("o", "p", "Other")
	other.Object.Name = "another"
	write(t, s, func(tx store.Tx) error {
		for _, entity := range []iam.Entity{member("o", "b", "ann"), other} {
			var found *store.ConflictError
			if _, err := tx.Put(t.Context(), entity); !errors.As(err, &found) {
				t.Errorf("got the error %v, want a conflict", err)
			}
		}
		return putAll(t.Context(), tx, member("o", "b", "bea"))
	})
	if _, err := s.Get(t.Context(), iam.KindMember, "b"); err != nil {
		t.Error(err)
	}
	row, err := s.Get(t.Context(), iam.KindProject, "p")
	if err != nil || !same(t, row.Entity, project("o", "p", "P")) {
		t.Errorf("the row of the other object is %+v (%v)", row.Entity, err)
	}
}

func testHeldID(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, project("o", "a", "A"))
	as := func(object iam.Object) *iam.Project {
		p := project("o", "a", "A")
		p.Object = object
		return p
	}
	held := project("o", "a", "A").Object
	for name, object := range map[string]iam.Object{
		"kind":      {Kind: iam.KindOrganization, Namespace: held.Namespace, Name: held.Name, UID: held.UID},
		"namespace": {Kind: held.Kind, Namespace: "elsewhere", Name: held.Name, UID: held.UID},
		"name":      {Kind: held.Kind, Namespace: held.Namespace, Name: "other", UID: held.UID},
	} {
		got := conflict(t, s, as(object))
		if got == nil || got.Kind != iam.KindProject || got.ID != "a" || got.Name != "" {
			t.Errorf("an object of another %s met the conflict %+v", name, got)
		}
	}
	// Deleted and made again under the same name, with the id restored by annotation.
	put(t, s, as(iam.Object{Kind: held.Kind, Namespace: held.Namespace, Name: held.Name, UID: "new"}))
	// The same id in another kind is another row: the default Project has the Organization's.
	put(t, s, organization("a", ""))
	remove(t, s, iam.KindProject, "a")
	put(t, s, as(iam.Object{Kind: held.Kind, Namespace: "elsewhere", Name: held.Name, UID: held.UID}))
}

func testCase(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, project("o", "a", "same"), project("o", "A", "Same"), project("O", "b", "same"),
		organization("o", "acme"), organization("O", "ACME"), member("o", "m", "", "g"), member("o", "M", "", "G"))
	for _, id := range []string{"a", "A"} {
		row, err := s.Get(t.Context(), iam.KindProject, id)
		if err != nil || row.Entity.GetHead().ID != id {
			t.Errorf("get %s gave %+v (%v)", id, row.Entity, err)
		}
	}
	_, err := s.Get(t.Context(), iam.KindProject, "B")
	wantError(t, err, store.ErrNotFound)
	object := project("o", "a", "").Object
	tests := []struct {
		name  string
		query store.Query
		want  string
	}{
		{"id", store.Query{Kind: iam.KindProject, IDs: []string{"A"}}, "A"},
		{"Organization", store.Query{Kind: iam.KindProject, OrganizationID: "O"}, "b"},
		{"label", store.Query{Kind: iam.KindProject, Label: "Same"}, "A"},
		{"object", store.Query{Kind: iam.KindProject, Object: &object}, "a"},
		{"unique name", store.Query{Kind: iam.KindOrganization, UniqueName: "ACME"}, "O"},
		{"reference", store.Query{Kind: iam.KindMember, RefersTo: &iam.Reference{Relation: iam.RelationGroup, ID: "G"}}, "M"},
	}
	for _, test := range tests {
		if ids, _ := list(t, s, test.query); len(ids) != 1 || ids[0] != test.want {
			t.Errorf("by %s: %v, want %s alone", test.name, ids, test.want)
		}
	}
	remove(t, s, iam.KindProject, "a")
	if _, err := s.Get(t.Context(), iam.KindProject, "A"); err != nil {
		t.Errorf("deleting a took A along: %v", err)
	}
}
