// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func writeContracts() []contract {
	return []contract{
		{"a batch commits state, changes and events together", testBatch},
		{"a batch that fails at any step leaves nothing", testFailingBatch},
		{"a panic leaves nothing and goes on", testPanic},
		{"an ended context leaves nothing", testEndedContext},
		{"an engine's error that is overlooked leaves nothing", testOverlookedError},
		{"reads see the transaction's own writes, and nobody else does", testOwnWrites},
		{"a transaction ends with its function", testLeakedTransaction},
		{"an unchanged put is silent", testSilentPut},
		{"put and delete give what was there", testBefore},
		{"put and delete refuse what cannot be", testImpossible},
		{"an entity comes back as it was, of each kind", testRoundTrip},
		{"the time of a change is the clock's", testUpdatedAt},
	}
}

func testBatch(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	revision := write(t, s, func(tx store.Tx) error {
		if err := putAll(t.Context(), tx, project("o", "a", "A"), project("o", "b", "B")); err != nil {
			return err
		}
		if err := tx.Append(t.Context(), event("e", "a")); err != nil {
			return err
		}
		_, err := tx.Delete(t.Context(), iam.KindProject, "a")
		return err
	})
	if revision.N != 3 || revision != revisionOf(t, s) {
		t.Errorf("three changes came to revision %s, and the store is at %s", revision, revisionOf(t, s))
	}
	if ids, _ := list(t, s, store.Query{Kind: iam.KindProject}); fmt.Sprint(ids) != "[b]" {
		t.Errorf("Projects %v, want b alone", ids)
	}
	changes := changesAfter(t, s, store.Revision{Incarnation: revision.Incarnation})
	want := []store.Change{
		{Operation: store.OperationPut, ID: "a", Entity: project("o", "a", "A")},
		{Operation: store.OperationPut, ID: "b", Entity: project("o", "b", "B")},
		{Operation: store.OperationDelete, ID: "a"},
	}
	if len(changes) != len(want) {
		t.Fatalf("%d changes, want %d", len(changes), len(want))
	}
	for i, change := range changes {
		w := want[i]
		if change.Revision.N != int64(i+1) || change.Operation != w.Operation || change.Kind != iam.KindProject ||
			change.ID != w.ID || !same(t, change.Entity, w.Entity) {
			t.Errorf("change %d is %+v, want %+v", i, change, w)
		}
	}
	if got := events(t, s, store.EventQuery{}); len(got) != 1 || got[0].ID != "e" {
		t.Errorf("events %+v, want e alone", got)
	}
}

func testFailingBatch(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, organization("o", "alias"), project("o", "old", "Old"), member("o", "m", "ann"))
	before := stateOf(t, s)
	steps := []func(tx store.Tx) error{
		func(tx store.Tx) error { return putAll(t.Context(), tx, project("o", "new", "New")) },
		func(tx store.Tx) error { return putAll(t.Context(), tx, project("o", "old", "Renamed")) },
		func(tx store.Tx) error { return tx.Append(t.Context(), event("e", "new", "old")) },
		func(tx store.Tx) error { _, err := tx.Delete(t.Context(), iam.KindMember, "m"); return err },
		func(tx store.Tx) error { return tx.Append(t.Context(), event("f")) },
	}
	mine := errors.New("mine")
	for fail := range len(steps) + 1 {
		_, err := s.Write(t.Context(), func(tx store.Tx) error {
			for _, step := range steps[:fail] {
				if err := step(tx); err != nil {
					return err
				}
			}
			return mine
		})
		wantError(t, err, mine)
		if after := stateOf(t, s); after != before {
			t.Errorf("failed after %d steps: the store holds\n%+v\nwant\n%+v", fail, after, before)
		}
	}
	write(t, s, func(tx store.Tx) error { // the steps themselves are sound
		for _, step := range steps {
			if err := step(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func testPanic(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, project("o", "old", "Old"))
	before := stateOf(t, s)
	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Errorf("recovered %v, want what was panicked with", got)
			}
		}()
		_, _ = s.Write(t.Context(), func(tx store.Tx) error {
			if err := putAll(t.Context(), tx, project("o", "new", "New")); err != nil {
				return err
			}
			panic("mine")
		})
	}()
	if after := stateOf(t, s); after != before {
		t.Errorf("the store holds\n%+v\nwant\n%+v", after, before)
	}
	put(t, s, project("o", "new", "New")) // the next writer has its turn
}

func testEndedContext(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, project("o", "old", "Old"))
	before := stateOf(t, s)
	attempts := map[string]func(ctx context.Context, end func()) error{
		"before the write": func(ctx context.Context, end func()) error {
			end()
			_, err := s.Write(ctx, func(tx store.Tx) error { return putAll(t.Context(), tx, project("o", "a", "A")) })
			return err
		},
		"between two puts": func(ctx context.Context, end func()) error {
			_, err := s.Write(ctx, func(tx store.Tx) error {
				if err := putAll(ctx, tx, project("o", "a", "A")); err != nil {
					return err
				}
				end()
				return putAll(ctx, tx, project("o", "b", "B"))
			})
			return err
		},
		"before the commit": func(ctx context.Context, end func()) error {
			_, err := s.Write(ctx, func(tx store.Tx) error {
				defer end()
				return putAll(ctx, tx, project("o", "a", "A"))
			})
			return err
		},
		"in the line of writers": func(ctx context.Context, end func()) error {
			var err error
			write(t, s, func(store.Tx) error {
				end()
				_, err = s.Write(ctx, func(store.Tx) error { return errors.New("two writers at once") })
				return nil
			})
			return err
		},
	}
	for name, attempt := range attempts {
		ctx, end := context.WithCancel(t.Context())
		if err := attempt(ctx, end); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got the error %v, want %v", name, err, context.Canceled)
		}
		end()
		if after := stateOf(t, s); after != before {
			t.Errorf("%s: the store holds\n%+v\nwant\n%+v", name, after, before)
		}
	}
	put(t, s, project("o", "new", "New"))
}

// An engine may have rolled back by itself; were fn's nil taken for success, then what
// came before the error would be missing and what came after it there.
func testOverlookedError(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	write(t, s, func(tx store.Tx) error { return tx.Append(t.Context(), event("before")) })
	before := stateOf(t, s)
	ended, end := context.WithCancel(t.Context())
	end()
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		if err := putAll(t.Context(), tx, project("o", "before", "B")); err != nil {
			return err
		}
		if err := tx.Append(ended, event("canceled")); err == nil {
			t.Error("an event was appended in a context that had ended")
		}
		if err := putAll(t.Context(), tx, project("o", "after", "A")); err == nil {
			t.Error("a put went on after the error")
		}
		return nil
	})
	if err == nil {
		t.Error("the transaction committed in spite of an error")
	}
	if after := stateOf(t, s); after != before {
		t.Errorf("the store holds\n%+v\nwant\n%+v", after, before)
	}
}

func testOwnWrites(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	put(t, s, project("o", "a", "A"))
	projects := store.Query{Kind: iam.KindProject, OrganizationID: "o"}
	write(t, s, func(tx store.Tx) error {
		if err := putAll(t.Context(), tx, project("o", "b", "B")); err != nil {
			return err
		}
		if _, err := tx.Delete(t.Context(), iam.KindProject, "a"); err != nil {
			return err
		}
		if ids, _ := list(t, tx, projects); fmt.Sprint(ids) != "[b]" {
			t.Errorf("inside: %v, want b alone", ids)
		}
		if count, err := tx.Count(t.Context(), projects); count != 1 || err != nil {
			t.Errorf("inside: count %d, %v", count, err)
		}
		if _, err := tx.Get(t.Context(), iam.KindProject, "b"); err != nil {
			t.Errorf("inside: %v", err)
		}
		_, err := tx.Get(t.Context(), iam.KindProject, "a")
		wantError(t, err, store.ErrNotFound)
		if ids, _ := list(t, s, projects); fmt.Sprint(ids) != "[a]" {
			t.Errorf("outside: %v, want a alone", ids)
		}
		return nil
	})
}

func testLeakedTransaction(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	var leaked store.Tx
	write(t, s, func(tx store.Tx) error {
		leaked = tx
		return putAll(t.Context(), tx, project("o", "a", "A"))
	})
	before := stateOf(t, s)
	if err := putAll(t.Context(), leaked, project("o", "b", "B")); err == nil {
		t.Error("a put went on after the transaction")
	}
	if err := leaked.Append(t.Context(), event("e")); err == nil {
		t.Error("an append went on after the transaction")
	}
	if _, err := leaked.Get(t.Context(), iam.KindProject, "a"); err == nil {
		t.Error("a read went on after the transaction")
	}
	if after := stateOf(t, s); after != before {
		t.Errorf("the store holds\n%+v\nwant\n%+v", after, before)
	}
}

func testSilentPut(t *testing.T, h Harness) {
	now := birth
	s := h.Open(t, Options{Clock: func() time.Time { return now }})
	ann := member("o", "m", "ann", "g", "h")
	first := put(t, s, ann)
	now = now.Add(time.Hour)
	var before iam.Entity
	again := write(t, s, func(tx store.Tx) (err error) {
		before, err = tx.Put(t.Context(), member("o", "m", "ann", "g", "h"))
		return err
	})
	if again != first {
		t.Errorf("an unchanged put took revision %s after %s", again, first)
	}
	if !same(t, before, ann) {
		t.Errorf("an unchanged put gave %+v, want what is there", before)
	}
	row, err := s.Get(t.Context(), iam.KindMember, "m")
	if err != nil || !row.UpdatedAt.Equal(birth) {
		t.Errorf("an unchanged put gave the row the time %s (%v), want %s", row.UpdatedAt, err, birth)
	}
	if changed := put(t, s, member("o", "m", "ann", "g")); changed.N != first.N+1 {
		t.Errorf("a changed put took revision %s after %s", changed, first)
	}
}

func testBefore(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	write(t, s, func(tx store.Tx) error {
		if before, err := tx.Put(t.Context(), project("o", "a", "A")); before != nil || err != nil {
			t.Errorf("the first put gave %v, %v", before, err)
		}
		if before, err := tx.Put(t.Context(), project("o", "a", "B")); err != nil || !same(t, before, project("o", "a", "A")) {
			t.Errorf("the second put gave %v, %v", before, err)
		}
		if before, err := tx.Delete(t.Context(), iam.KindProject, "a"); err != nil || !same(t, before, project("o", "a", "B")) {
			t.Errorf("the deletion gave %v, %v", before, err)
		}
		_, err := tx.Delete(t.Context(), iam.KindProject, "a")
		wantError(t, err, store.ErrNotFound)
		_, err = tx.Delete(t.Context(), iam.KindProject, "never")
		wantError(t, err, store.ErrNotFound)
		return nil // to look for what is not there does no harm
	})
}

func testImpossible(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Put(t.Context(), project("o", "", "nameless"))
		return err
	})
	if err == nil {
		t.Error("an entity without id was put")
	}
	_, err = s.Write(t.Context(), func(tx store.Tx) error { return tx.Append(t.Context(), iam.Event{}) })
	if err == nil {
		t.Error("an event without id was appended")
	}
	_, err = s.Get(t.Context(), "Nothing", "a")
	wantError(t, err, store.ErrNotFound)
}

func testRoundTrip(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	expiry, limit := birth.Add(time.Hour+time.Nanosecond), 0
	all := []iam.Entity{
		&iam.Organization{
			Head: head(iam.KindOrganization, "o", "o"), Name: "Ünïcode and 'quotes'", Alias: "a", OwnerID: "w",
			Security: iam.Security{LoginMethods: []string{"password"}}, Quotas: iam.Quotas{Members: &limit}, AuditRetention: time.Hour,
		},
		&iam.PermissionSet{Head: head(iam.KindPermissionSet, "", "s"), Name: "Set", Permissions: []string{"a:b:c"}},
		project("o", "o", "default"),
		&iam.Group{Head: head(iam.KindGroup, "o", "g"), Name: "g", Membership: iam.MembershipDeclared, Members: []string{"m", "x"}},
		&iam.Member{
			Head: head(iam.KindMember, "o", "m"), Type: iam.TypeMember, Username: "Ann", Groups: []string{"g"}, MFA: true, PasswordUpdatedAt: &expiry,
			GracePeriods: []iam.MemberGracePeriod{{Type: "SetMFA", StartedAt: birth, ExpiresAt: expiry}},
		},
		&iam.Application{Head: head(iam.KindApplication, "o", "x"), Name: "x", Groups: []string{"g"}},
		&iam.APIKey{Head: head(iam.KindAPIKey, "o", "SCW1"), BearerKind: iam.PrincipalMember, BearerID: "m", ExpiresAt: &expiry},
		policy("o", "p", "m", "o"),
		&iam.SSHKey{Head: head(iam.KindSSHKey, "o", "k"), Name: "k", ProjectID: "o"},
	}
	put(t, s, all...)
	for _, entity := range all {
		row, err := s.Get(t.Context(), entity.EntityKind(), entity.GetHead().ID)
		if err != nil || !same(t, row.Entity, entity) {
			t.Errorf("%s came back as %+v (%v), want %+v", entity.EntityKind(), row.Entity, err, entity)
		}
	}
	snapshot, _, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := contentOf(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	want, err := contentOf(all)
	if err != nil || got != want {
		t.Errorf("the snapshot is\n%swant\n%s", got, want)
	}
}

func testUpdatedAt(t *testing.T, h Harness) {
	now := birth
	s := h.Open(t, Options{Clock: func() time.Time { return now }})
	put(t, s, project("o", "a", "A"))
	now = now.Add(time.Minute + time.Nanosecond)
	put(t, s, project("o", "a", "B"))
	row, err := s.Get(t.Context(), iam.KindProject, "a")
	if err != nil || !row.UpdatedAt.Equal(now) || row.UpdatedAt.Location() != time.UTC {
		t.Errorf("updated at %s (%v), want %s", row.UpdatedAt, err, now)
	}
}
