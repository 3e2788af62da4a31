// SPDX-License-Identifier: Apache-2.0

// Package storetest holds the contract that every engine of the canonical store keeps,
// and what tests need to compare stores.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// patience is how long a contract waits for what must come. It is long: nothing but a
// broken engine ever waits it out.
const patience = time.Minute

// Options say how a contract wants its store.
type Options struct {
	// KeepChanges is how many of the last changes are kept at least; zero means many.
	KeepChanges int64
	// Clock gives the time of changes, and by which records grow old; nil means the real one.
	Clock func() time.Time
}

// Harness opens the stores of one engine.
type Harness struct {
	// Open gives a new, empty store, which is closed when the test ends.
	Open func(t testing.TB, options Options) store.Store
	// Reopen closes a store, and opens again what it left, with the same options.
	Reopen func(t testing.TB, s store.Store) store.Store
}

type contract struct {
	name string
	test func(t *testing.T, h Harness)
}

// Run runs every contract against an engine, each as a subtest on a store of its own.
func Run(t *testing.T, h Harness) {
	var contracts []contract
	contracts = append(contracts, writeContracts()...)
	contracts = append(contracts, nameContracts()...)
	contracts = append(contracts, revisionContracts()...)
	contracts = append(contracts, followContracts()...)
	contracts = append(contracts, listContracts()...)
	contracts = append(contracts, pageContracts()...)
	contracts = append(contracts, eventContracts()...)
	contracts = append(contracts, selectContracts()...)
	contracts = append(contracts, sealContracts()...)
	contracts = append(contracts, retentionContracts()...)
	contracts = append(contracts, attributionContracts()...)
	contracts = append(contracts, doorContracts()...)
	contracts = append(contracts, historyContracts()...)
	contracts = append(contracts, lifeContracts()...)
	contracts = append(contracts, contract{"agrees with a naive model", testModel}, contract{"the audit log agrees with a naive model", testLogModel})
	for _, c := range contracts {
		t.Run(c.name, func(t *testing.T) { c.test(t, h) })
	}
}

// Written counts the changes and audit events that were ever committed: a system is
// silent as long as it stays.
func Written(ctx context.Context, s store.Store) (int64, error) {
	revision, err := s.Revision(ctx)
	if err != nil {
		return 0, err
	}
	there, err := s.EventRange(ctx, store.EventScope{})
	return revision.N + there.Newest, err
}

// birth is when the entities of the contracts were created.
var birth = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

func head(kind iam.Kind, organization, id string) iam.Head {
	return iam.Head{
		ID: id, OrganizationID: organization, CreatedAt: birth,
		Object: iam.Object{Kind: kind, Namespace: "home-" + organization, Name: "object-" + id, UID: "uid-" + id},
	}
}

func organization(id, alias string) *iam.Organization {
	return &iam.Organization{Head: head(iam.KindOrganization, id, id), Name: "Organization " + id, Alias: alias}
}

func project(organization, id, name string) *iam.Project {
	return &iam.Project{Head: head(iam.KindProject, organization, id), Name: name}
}

func member(organization, id, username string, groups ...string) *iam.Member {
	return &iam.Member{
		Head: head(iam.KindMember, organization, id), Type: iam.TypeMember,
		Username: username, Email: id + "@example.com", Groups: groups,
	}
}

func policy(organization, id, principalID string, projects ...string) *iam.Policy {
	return &iam.Policy{
		Head: head(iam.KindPolicy, organization, id), Name: "policy " + id,
		PrincipalKind: iam.PrincipalMember, PrincipalID: principalID,
		Rules: []iam.Rule{{ID: "rule-" + id, PermissionSets: []string{"InstancesReadOnly"}, ProjectIDs: projects}},
	}
}

func event(id string, resources ...string) iam.Event {
	e := iam.Event{ID: id, RecordedAt: birth, Method: "CreateProject", Action: iam.ActionCreated, Principal: iam.Actor{Kind: iam.ActorSystem, Name: "system"}}
	for _, resource := range resources {
		e.Resources = append(e.Resources, iam.EventResource{Kind: iam.KindProject, ID: resource})
	}
	return e
}

// write commits what fn does, or ends the test.
func write(t testing.TB, s store.Store, fn func(tx store.Tx) error) store.Revision {
	t.Helper()
	revision, err := s.Write(t.Context(), fn)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return revision
}

// put commits entities, all in one transaction.
func put(t testing.TB, s store.Store, entities ...iam.Entity) store.Revision {
	t.Helper()
	return write(t, s, func(tx store.Tx) error { return putAll(t.Context(), tx, entities...) })
}

func putAll(ctx context.Context, tx store.Tx, entities ...iam.Entity) error {
	for _, entity := range entities {
		if _, err := tx.Put(ctx, entity); err != nil {
			return err
		}
	}
	return nil
}

func remove(t testing.TB, s store.Store, kind iam.Kind, id string) store.Revision {
	t.Helper()
	return write(t, s, func(tx store.Tx) error {
		_, err := tx.Delete(t.Context(), kind, id)
		return err
	})
}

// list gives the ids of a page.
func list(t testing.TB, r store.Reader, query store.Query) (ids []string, next string) {
	t.Helper()
	page, err := r.List(t.Context(), query)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, row := range page.Rows {
		ids = append(ids, row.Entity.GetHead().ID)
	}
	return ids, page.Next
}

func revisionOf(t testing.TB, s store.Store) store.Revision {
	t.Helper()
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatalf("revision: %v", err)
	}
	return revision
}

func events(t testing.TB, s store.Store, query store.EventQuery) []iam.Event {
	t.Helper()
	found, err := s.Events(t.Context(), query)
	if err != nil {
		t.Fatalf("events: %v", err)
	}
	return found
}

// changesAfter gives every change after a revision.
func changesAfter(t testing.TB, s store.Store, after store.Revision) (all []store.Change) {
	t.Helper()
	for {
		changes, err := s.Changes(t.Context(), after, 7)
		if err != nil {
			t.Fatalf("changes after %s: %v", after, err)
		}
		if len(changes) == 0 {
			return all
		}
		all, after = append(all, changes...), changes[len(changes)-1].Revision
	}
}

// state is all that a store holds, in a form that compares.
type state struct {
	content  string
	revision store.Revision
	events   int
}

func stateOf(t testing.TB, s store.Store) state {
	t.Helper()
	content, err := Content(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return state{content, revisionOf(t, s), len(events(t, s, store.EventQuery{}))}
}

func encoded(t testing.TB, entity iam.Entity) string {
	t.Helper()
	body, err := iam.Encode(entity)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// same says whether two entities, either of which may be nil, are equal.
func same(t testing.TB, a, b iam.Entity) bool {
	t.Helper()
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.EntityKind() == b.EntityKind() && encoded(t, a) == encoded(t, b)
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got the error %v, want %v", err, want)
	}
}

// await waits for a channel to close.
func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
}
