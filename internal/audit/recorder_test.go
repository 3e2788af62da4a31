// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

var (
	now      = created.Add(123456789 * time.Nanosecond)
	byMaya   = audit.Cause{Actor: iam.Actor{Kind: iam.ActorMember, ID: "member-maya", Name: "maya"}, KubernetesUser: "maya@corp.example", SourceIP: "192.0.2.7", UserAgent: "kubectl/v1.37", RequestID: "request-1"}
	recorder = &audit.Recorder{
		Now:       func() time.Time { return now.In(time.FixedZone("CEST", 2*60*60)) },
		NewID:     func() string { return uuid.Must(uuid.NewV7()).String() },
		Namespace: "iam-operator-system", NamespaceUID: "uid-system",
	}
)

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put writes entities in one transaction, and tells which of them changed.
func put(t *testing.T, s store.Store, cause audit.Cause, entities ...iam.Entity) (changed []bool, at store.Revision) {
	t.Helper()
	at, err := s.Write(t.Context(), func(tx store.Tx) error {
		changed = nil
		for _, entity := range entities {
			c, err := recorder.Put(t.Context(), tx, entity, cause)
			if err != nil {
				return err
			}
			changed = append(changed, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed, at
}

func remove(t *testing.T, s store.Store, cause audit.Cause, entities ...iam.Entity) {
	t.Helper()
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		for _, entity := range entities {
			if err := recorder.Delete(t.Context(), tx, entity.EntityKind(), entity.GetHead().ID, cause); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// events gives the events after a sequence, oldest first.
func events(t rapid.TB, s store.Store, after int64) []iam.Event {
	t.Helper()
	all, err := s.Events(context.Background(), store.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(e iam.Event) bool { return e.Sequence <= after })
}

func last(t rapid.TB, s store.Store) int64 {
	t.Helper()
	all := events(t, s, 0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Sequence
}

func methodsIn(all []iam.Event) []string {
	var names []string
	for _, e := range all {
		names = append(names, e.Method)
	}
	return names
}

func asJSON(t rapid.TB, v any) string {
	t.Helper()
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// An event says who, what, on what, from where and with what result.
func TestRecorderEvent(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization())
	before := last(t, s)
	_, at := put(t, s, byMaya, sshKey())
	got := events(t, s, before)
	if len(got) != 1 {
		t.Fatalf("events: %s", asJSON(t, got))
	}
	if id, err := uuid.Parse(got[0].ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q is no UUIDv7", got[0].ID)
	}
	if got[0].Revision != at.String() {
		t.Errorf("revision %s, want that of the change, %s", got[0].Revision, at)
	}
	want := iam.Event{
		Sequence: got[0].Sequence, ID: got[0].ID, Revision: got[0].Revision, RecordedAt: now,
		Organization: iam.EventOrganization{ID: organizationID, Name: "Acme Corp"}, Namespace: "acme", NamespaceUID: homeUID, ProjectID: "project-web",
		Principal: byMaya.Actor, KubernetesUser: "maya@corp.example", SourceIP: "192.0.2.7", UserAgent: "kubectl/v1.37", RequestID: "request-1",
		Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: "CreateSSHKey", Action: iam.ActionCreated, StatusCode: 200,
		Resources: []iam.EventResource{{Kind: iam.KindSSHKey, Type: "iam_ssh_key", ID: "ssh-maya", Name: "maya-laptop", Action: iam.ActionCreated}},
		Change:    got[0].Change,
	}
	if asJSON(t, got[0]) != asJSON(t, want) {
		t.Errorf("got %s\nwant %s", asJSON(t, got[0]), asJSON(t, want))
	}

	before = last(t, s)
	remove(t, s, byMaya, sshKey())
	got = events(t, s, before)
	if len(got) != 1 || got[0].Method != "DeleteSSHKey" || got[0].StatusCode != 204 || got[0].Resources[0].Name != "maya-laptop" {
		t.Errorf("deletion: %s", asJSON(t, got))
	}
}

func TestRecorderCause(t *testing.T) {
	redigested := with(apiKey(), func(k *iam.APIKey) { k.Digest = "digest-two" })
	system := iam.Actor{Kind: iam.ActorSystem, Name: "iam-operator"}
	admitted := &iam.Authorship{State: iam.AuthorshipAdmitted, Authors: []iam.Author{{Generation: 2, KubernetesUser: "ada", At: created}, {Generation: 3, KubernetesUser: "bob", At: now}}}
	authored := byMaya
	authored.Authorship = admitted
	locked := func(reason string) func(*iam.Member) { return func(m *iam.Member) { m.Locked = reason } }
	tests := []struct {
		name   string
		cause  audit.Cause
		entity iam.Entity
		want   iam.Event
	}{
		{"the operator", audit.System(), project(), iam.Event{Principal: system, SourceIP: "unknown", UserAgent: "unknown"}},
		{"only the requester's name is known", audit.Cause{KubernetesUser: "bob"}, project(),
			iam.Event{Principal: iam.Actor{Kind: iam.ActorKubernetesUser, Name: "bob"}, KubernetesUser: "bob", SourceIP: "unknown", UserAgent: "unknown"}},
		{"nothing is known", audit.Cause{}, project(),
			iam.Event{Principal: iam.Actor{Kind: iam.ActorKubernetesUser, Name: "unknown"}, SourceIP: "unknown", UserAgent: "unknown"}},
		{"how the requester is known", audit.Cause{KubernetesUser: "bob", Authorship: admitted}, project(), iam.Event{
			Principal: iam.Actor{Kind: iam.ActorKubernetesUser, Name: "bob"}, KubernetesUser: "bob", Authorship: admitted, SourceIP: "unknown", UserAgent: "unknown",
		}},
		{"what only the operator does is no person's", authored, redigested, iam.Event{Principal: system, SourceIP: "unknown", UserAgent: "unknown"}},
		{"a grace period begins for whoever logs in", authored, with(maya(), grace), iam.Event{Principal: system, SourceIP: "unknown", UserAgent: "unknown"}},
		{"a lock that nobody declared", authored, with(maya(), locked("TooManyAttempts")), iam.Event{Principal: system, SourceIP: "unknown", UserAgent: "unknown"}},
		{"a grace period lapses", authored, with(maya(), locked("GracePeriodExpired")), iam.Event{Principal: system, SourceIP: "unknown", UserAgent: "unknown"}},
		{"a lock that somebody declared", authored, with(maya(), locked("Declared")), iam.Event{
			Principal: authored.Actor, KubernetesUser: "maya@corp.example", Authorship: admitted, SourceIP: "192.0.2.7", UserAgent: "kubectl/v1.37", RequestID: "request-1",
		}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			put(t, s, audit.System(), organization(), apiKey(), maya())
			before := last(t, s)
			put(t, s, c.cause, c.entity)
			all := events(t, s, before)
			if len(all) == 0 {
				t.Error("no event")
			}
			for _, e := range all {
				if e.StatusCode != 200 || e.Reason != "" {
					t.Errorf("%s was done, and its event says %d %q", e.Method, e.StatusCode, e.Reason)
				}
				got := iam.Event{Principal: e.Principal, KubernetesUser: e.KubernetesUser, Authorship: e.Authorship, SourceIP: e.SourceIP, UserAgent: e.UserAgent, RequestID: e.RequestID}
				if asJSON(t, got) != asJSON(t, c.want) {
					t.Errorf("%s: got %s\nwant %s", e.Method, asJSON(t, got), asJSON(t, c.want))
				}
			}
		})
	}
}

// Law 7: what is already there takes no revision and no event; nor does removing nothing.
func TestRecorderIsSilentWithoutAChange(t *testing.T) {
	s := open(t)
	all := []iam.Entity{organization(), owner(), defaultProject(), project(), maya(), group(), application(), apiKey(), policy(), permissionSet(), sshKey()}
	changed, at := put(t, s, audit.System(), all...)
	if slices.Contains(changed, false) {
		t.Errorf("changed at first: %v", changed)
	}
	before := last(t, s)
	changed, then := put(t, s, audit.System(), all...)
	if slices.Contains(changed, true) || then != at {
		t.Errorf("changed again: %v, at %s after %s", changed, then, at)
	}
	remove(t, s, audit.System(), guest())
	if got := events(t, s, before); len(got) > 0 {
		t.Errorf("events: %s", asJSON(t, got))
	}
}

// Law 2: neither the change without its event, nor the event without its change.
func TestLawOneTransaction(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization(), group())
	at, before := revision(t, s), last(t, s)
	broken := errors.New("broken")
	joined := with(maya(), func(m *iam.Member) { m.Groups = []string{"group-ops"} })
	tests := []struct {
		name string
		tx   func(store.Tx) store.Tx
		want error
	}{
		{"the caller fails afterwards", func(tx store.Tx) store.Tx { return tx }, nil},
		{"the event cannot be written", func(tx store.Tx) store.Tx { return failing{Tx: tx, append: broken} }, broken},
		{"the Organization cannot be read", func(tx store.Tx) store.Tx { return failing{Tx: tx, get: broken, of: iam.KindOrganization} }, broken},
		{"the group cannot be read", func(tx store.Tx) store.Tx { return failing{Tx: tx, get: broken, of: iam.KindGroup} }, broken},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			for name, act := range map[string]func(tx store.Tx) error{
				"put":    func(tx store.Tx) error { _, err := recorder.Put(t.Context(), tx, joined, byMaya); return err },
				"delete": func(tx store.Tx) error { return recorder.Delete(t.Context(), tx, iam.KindGroup, "group-ops", byMaya) },
			} {
				if name == "delete" && c.name == "the group cannot be read" {
					continue // a deletion looks for no group
				}
				_, err := s.Write(t.Context(), func(tx store.Tx) error {
					if err := act(c.tx(tx)); !errors.Is(err, c.want) {
						t.Errorf("%s: error %v, want %v", name, err, c.want)
					}
					return broken
				})
				if !errors.Is(err, broken) {
					t.Fatal(err)
				}
			}
			if got := events(t, s, before); len(got) > 0 || revision(t, s) != at {
				t.Errorf("at %s after %s, events: %s", revision(t, s), at, asJSON(t, got))
			}
		})
	}
}

// failing is a transaction of which one part does not work.
type failing struct {
	store.Tx
	append, get error
	of          iam.Kind
}

func (f failing) Append(ctx context.Context, event iam.Event) error {
	if f.append != nil {
		return f.append
	}
	return f.Tx.Append(ctx, event)
}

func (f failing) Get(ctx context.Context, kind iam.Kind, id string) (store.Row, error) {
	if f.get != nil && kind == f.of {
		return store.Row{}, f.get
	}
	return f.Tx.Get(ctx, kind, id)
}

func revision(t *testing.T, s store.Store) store.Revision {
	t.Helper()
	at, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The reconciler tells a contested name from other failures by the store's own error.
func TestRecorderGivesTheStoresError(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization(), maya())
	before := last(t, s)
	other := with(maya(), func(m *iam.Member) { m.ID, m.Object.Name = "member-other", "other" })
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		_, err := recorder.Put(t.Context(), tx, other, byMaya)
		return err
	})
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("error %v, want a conflict", err)
	}
	if got := events(t, s, before); len(got) > 0 {
		t.Errorf("events: %s", asJSON(t, got))
	}
}

// An event is read in the home of its Organization, whatever namespace the object is in;
// what belongs to no Organization is the operator's, which is a place no tenant reads.
func TestRecorderPlace(t *testing.T) {
	elsewhere := with(application(), func(a *iam.Application) { a.Object.Namespace = "shop" })
	orphan := with(application(), func(a *iam.Application) { a.OrganizationID = "gone" })
	home := [4]string{"acme", homeUID, organizationID, "Acme Corp"}
	renamed := with(organization(), func(o *iam.Organization) { o.Name = "Acme Inc" })
	tests := []struct {
		name   string
		act    func(t *testing.T, s store.Store)
		method string
		want   [4]string
	}{
		{"of another namespace", func(t *testing.T, s store.Store) { put(t, s, byMaya, elsewhere) }, "CreateApplication", home},
		{"the default project", func(t *testing.T, s store.Store) {
			put(t, s, byMaya, with(defaultProject(), func(p *iam.Project) { p.Name = "main" }))
		}, "UpdateProject", home},
		{"the Organization, under its new name", func(t *testing.T, s store.Store) { put(t, s, byMaya, renamed) }, "UpdateOrganization", [4]string{"acme", homeUID, organizationID, "Acme Inc"}},
		{"the Organization deleted", func(t *testing.T, s store.Store) {
			remove(t, s, byMaya, owner(), defaultProject(), organization())
		}, "CloseOrganization", home},
		{"a permission set", func(t *testing.T, s store.Store) { put(t, s, byMaya, permissionSet()) }, "CreatePermissionSet", [4]string{"iam-operator-system", "uid-system", "", ""}},
		{"of an Organization that is gone", func(t *testing.T, s store.Store) { put(t, s, byMaya, orphan) }, "CreateApplication", [4]string{"iam-operator-system", "uid-system", "gone", ""}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			put(t, s, audit.System(), organization(), owner(), defaultProject())
			before := last(t, s)
			c.act(t, s)
			got := events(t, s, before)
			if len(got) != 1 || got[0].Method != c.method {
				t.Fatalf("events: %s", asJSON(t, got))
			}
			if at := [4]string{got[0].Namespace, got[0].NamespaceUID, got[0].Organization.ID, got[0].Organization.Name}; at != c.want {
				t.Errorf("read at %q, want %q", at, c.want)
			}
		})
	}
}

// A membership that both sides declare ends only with the second of them: the first raises
// no RemoveGroupMember, which would report a revocation that did not happen.
func TestRecorderMembershipFromBothSides(t *testing.T) {
	listing := with(group(), func(g *iam.Group) { g.Members = []string{"member-maya", "application-ci", "nobody"} })
	joined := with(maya(), func(m *iam.Member) { m.Groups = []string{"group-ops"} })
	s := open(t)
	steps := []struct {
		name   string
		entity iam.Entity
		want   []string
	}{
		{"created by itself", maya(), []string{"CreateUser maya"}},
		{"an application", application(), []string{"CreateApplication ci"}},
		{"listed", listing, []string{"CreateGroup Operations", "AddGroupMembers Operations"}},
		{"joins as well", joined, []string{"UpdateUser maya"}},
		{"no longer listed", with(group(), func(g *iam.Group) { g.Members = []string{"nobody"} }), []string{"UpdateGroup Operations", "RemoveGroupMember Operations"}},
		{"leaves", maya(), []string{"RemoveGroupMember Operations"}},
	}
	for _, step := range steps {
		before := last(t, s)
		put(t, s, byMaya, step.entity)
		var got []string
		for _, e := range events(t, s, before) {
			got = append(got, e.Method+" "+e.Resources[0].Name)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	added, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{Method: "AddGroupMembers"}})
	if err != nil || len(added) != 1 {
		t.Fatalf("events: %v, %v", added, err)
	}
	want := `{"members":[{"id":"member-maya","kind":"Member","name":"maya"},{"id":"application-ci","kind":"Application","name":"ci"},{"id":"nobody"}]}`
	if got := string(added[0].Change.After); got != want {
		t.Errorf("added %s\nwant %s", got, want)
	}
}

// The log alone tells who was in which group when: replaying the membership events gives
// the union of what both sides declare, whatever was written in whatever order.
func TestMembershipEventsReplay(t *testing.T) {
	s, checks := open(t), 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		m := newModel(fmt.Sprintf("check-%d", checks))
		steps := rapid.SliceOfN(rapid.Custom(m.step), 1, 25).Draw(t, "steps")
		_, err := s.Write(context.Background(), func(tx store.Tx) error {
			for _, step := range steps {
				if err := m.apply(tx, step); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.Events(context.Background(), store.EventQuery{EventScope: store.EventScope{OrganizationID: m.organization}})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(all) // oldest first
		members := replay(t, all)
		for id, g := range m.groups {
			for principal, groups := range m.principals {
				want := slices.Contains(g, principal) || slices.Contains(groups, id)
				if got := members[id][principal]; got != want {
					t.Fatalf("%s in %s: the log says %t, the declarations %t\n%v\n%s", principal, id, got, want, steps, methodsIn(all))
				}
			}
		}
	})
}

// model holds who declares what in an Organization of its own; ids are not used again, as
// UIDs are not.
type model struct {
	organization       string
	names              map[bool][]string
	groups, principals map[string][]string
	gone               map[string]bool
}

// step is a write of a group's members or of a principal's groups, or a deletion.
type step struct {
	group  bool
	id     string
	others []string
	remove bool
}

func newModel(prefix string) *model {
	return &model{
		organization: prefix,
		names: map[bool][]string{
			true:  {prefix + "-g0", prefix + "-g1"},
			false: {prefix + "-m0", prefix + "-m1", prefix + "-a0"},
		},
		groups: map[string][]string{}, principals: map[string][]string{}, gone: map[string]bool{},
	}
}

func (m *model) step(t *rapid.T) step {
	group := rapid.Bool().Draw(t, "group")
	return step{
		group:  group,
		id:     rapid.SampledFrom(m.names[group]).Draw(t, "id"),
		others: rapid.SliceOfNDistinct(rapid.SampledFrom(m.names[!group]), 0, 2, rapid.ID).Draw(t, "others"),
		remove: rapid.IntRange(0, 9).Draw(t, "remove") == 0,
	}
}

func (m *model) apply(tx store.Tx, s step) error {
	if m.gone[s.id] {
		return nil
	}
	entity := s.entity(m.organization)
	side := m.principals
	if s.group {
		side = m.groups
	}
	if s.remove {
		if _, there := side[s.id]; there {
			delete(side, s.id)
			m.gone[s.id] = true
		}
		return recorder.Delete(context.Background(), tx, entity.EntityKind(), s.id, byMaya)
	}
	side[s.id] = s.others
	_, err := recorder.Put(context.Background(), tx, entity, byMaya)
	return err
}

func (s step) entity(organizationID string) iam.Entity {
	headOf := func(kind iam.Kind) iam.Head {
		h := head(kind, s.id, s.id)
		h.OrganizationID = organizationID
		return h
	}
	switch {
	case s.group:
		return &iam.Group{Head: headOf(iam.KindGroup), Name: s.id, Membership: iam.MembershipDeclared, Members: s.others}
	case s.id[len(s.id)-2] == 'a':
		return &iam.Application{Head: headOf(iam.KindApplication), Name: s.id, Groups: s.others}
	}
	return &iam.Member{Head: headOf(iam.KindMember), Type: iam.TypeMember, Username: s.id, Groups: s.others}
}

// replay gives the members of each group by what the log says of them.
func replay(t rapid.TB, all []iam.Event) map[string]map[string]bool {
	members := map[string]map[string]bool{}
	for _, e := range all {
		id := e.Resources[0].ID
		switch e.Method {
		case "AddGroupMember", "AddGroupMembers", "SetGroupMembers", "RemoveGroupMember":
			if members[id] == nil {
				members[id] = map[string]bool{}
			}
			maps.DeleteFunc(members[id], func(member string, _ bool) bool { return slices.Contains(membersIn(t, e.Change.Before), member) })
			for _, member := range membersIn(t, e.Change.After) {
				members[id][member] = true
			}
		case "DeleteGroup":
			delete(members, id)
		case "DeleteUser", "DeleteApplication":
			for _, in := range members {
				delete(in, id)
			}
		}
	}
	return members
}

func membersIn(t rapid.TB, change json.RawMessage) []string {
	var shown struct{ Members []struct{ ID string } }
	if err := json.Unmarshal(change, &shown); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range shown.Members {
		ids = append(ids, m.ID)
	}
	return ids
}
