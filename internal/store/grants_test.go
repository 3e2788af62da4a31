// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// world is a small Organization in which Ann's key SCWANN has one grant by each way that
// there is. Each test breaks one link of it.
type world struct {
	organization *iam.Organization
	projects     []*iam.Project
	owner        *iam.Member
	ann          *iam.Member
	robot        *iam.Application
	listing      *iam.Group // lists Ann
	joined       *iam.Group // Ann joins it
	annKey       *iam.APIKey
	robotKey     *iam.APIKey
	ownerKey     *iam.APIKey
	policy       *iam.Policy
	set          *iam.PermissionSet // of Projects
	organSet     *iam.PermissionSet // of Organizations
	more         []iam.Entity
}

func head(kind iam.Kind, organization, id string) iam.Head {
	return iam.Head{
		ID: id, OrganizationID: organization, CreatedAt: now.Add(-time.Hour),
		Object: iam.Object{Kind: kind, Namespace: organization, Name: id, UID: id},
	}
}

func newWorld() *world {
	key := func(id string, kind iam.PrincipalKind, bearer string) *iam.APIKey {
		return &iam.APIKey{Head: head(iam.KindAPIKey, "o", id), BearerKind: kind, BearerID: bearer, DefaultProjectID: "o"}
	}
	group := func(id string, members ...string) *iam.Group {
		return &iam.Group{Head: head(iam.KindGroup, "o", id), Name: id, Membership: iam.MembershipDeclared, Members: members}
	}
	set := func(name string, scope iam.ScopeType, permission string) *iam.PermissionSet {
		return &iam.PermissionSet{Head: head(iam.KindPermissionSet, "", name), Name: name, ScopeType: scope, Permissions: []string{permission}}
	}
	return &world{
		organization: &iam.Organization{Head: head(iam.KindOrganization, "o", "o"), Name: "O", OwnerID: "owner"},
		projects: []*iam.Project{
			{Head: head(iam.KindProject, "o", "o"), Name: "default"},
			{Head: head(iam.KindProject, "o", "p"), Name: "P"},
		},
		owner:    &iam.Member{Head: head(iam.KindMember, "o", "owner"), Type: iam.TypeOwner, Email: "owner@example.com"},
		ann:      &iam.Member{Head: head(iam.KindMember, "o", "ann"), Type: iam.TypeMember, Username: "ann", Groups: []string{"joined"}},
		robot:    &iam.Application{Head: head(iam.KindApplication, "o", "robot"), Name: "robot"},
		listing:  group("listing", "ann"),
		joined:   group("joined"),
		annKey:   key("SCWANN", iam.PrincipalMember, "ann"),
		robotKey: key("SCWROBOT", iam.PrincipalApplication, "robot"),
		ownerKey: ofOwner(key("SCWOWNER", iam.PrincipalOwner, "owner"), "Owner@example.com"),
		policy: &iam.Policy{
			Head: head(iam.KindPolicy, "o", "policy"), Name: "policy", PrincipalKind: iam.PrincipalMember, PrincipalID: "ann",
			Rules: []iam.Rule{{ID: "rule", PermissionSets: []string{"InstancesReadOnly"}, ProjectIDs: []string{"p"}, Condition: "true"}},
		},
		set:      set("InstancesReadOnly", iam.ScopeProjects, "instance:server:read"),
		organSet: set("IAMReadOnly", iam.ScopeOrganization, "iam:user:read"),
	}
}

func ofOwner(k *iam.APIKey, email string) *iam.APIKey {
	k.OwnerEmail = email
	return k
}

func (w *world) entities() []iam.Entity {
	all := []iam.Entity{
		w.organization, w.owner, w.ann, w.robot, w.listing, w.joined, w.annKey, w.robotKey, w.ownerKey, w.policy, w.set, w.organSet,
	}
	for _, project := range w.projects {
		all = append(all, project)
	}
	all = append(all, w.more...)
	var present []iam.Entity
	for _, entity := range all {
		if !reflect.ValueOf(entity).IsNil() {
			present = append(present, entity)
		}
	}
	return present
}

// another gives the policy to another principal.
func (w *world) another(kind iam.PrincipalKind, id string) {
	w.policy.PrincipalKind, w.policy.PrincipalID = kind, id
}

// theGrant is the one of the world's policy.
func theGrant() store.Grant {
	return store.Grant{
		PolicyID: "policy", RuleID: "rule", PermissionSet: "InstancesReadOnly", Permissions: []string{"instance:server:read"},
		ScopeType: iam.ScopeProjects, OrganizationID: "o", ProjectIDs: []string{"p"}, Condition: "true",
	}
}

func grantsOf(t *testing.T, w *world, key string) []store.Grant {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Write(t.Context(), func(tx store.Tx) error {
		for _, entity := range w.entities() {
			if _, err := tx.Put(t.Context(), entity); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	grants, err := store.EffectiveGrants(t.Context(), s, key, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := store.EffectiveGrants(t.Context(), s, key, now)
	if err != nil || !reflect.DeepEqual(grants, again) {
		t.Errorf("read again there are %+v (%v), and before %+v", again, err, grants)
	}
	return grants
}

func TestEffectiveGrants(t *testing.T) {
	inOrganization := func(set, permission string, scope iam.ScopeType) store.Grant {
		g := theGrant()
		g.PermissionSet, g.Permissions, g.ScopeType, g.ProjectIDs = set, []string{permission}, scope, nil
		return g
	}
	tests := []struct {
		name  string
		key   string
		setup func(w *world)
		want  []store.Grant
	}{
		{"the bearer itself", "SCWANN", func(*world) {}, []store.Grant{theGrant()}},
		{"an application", "SCWROBOT", func(w *world) { w.another(iam.PrincipalApplication, "robot") }, []store.Grant{theGrant()}},
		{"the owner", "SCWOWNER", func(*world) {}, []store.Grant{{Owner: true, OrganizationID: "o"}}},
		{"a guest who accepted", "SCWANN", func(w *world) { w.ann.Type = iam.TypeGuest }, []store.Grant{theGrant()}},
		{"a group that lists the bearer", "SCWANN", func(w *world) { w.another(iam.PrincipalGroup, "listing") }, []store.Grant{theGrant()}},
		{"a group that the bearer joins", "SCWANN", func(w *world) { w.another(iam.PrincipalGroup, "joined") }, []store.Grant{theGrant()}},
		{"a group by both sides counts once", "SCWANN", func(w *world) {
			w.another(iam.PrincipalGroup, "joined")
			w.joined.Members = []string{"ann"}
		}, []store.Grant{theGrant()}},
		{"a group that an application joins", "SCWROBOT", func(w *world) {
			w.another(iam.PrincipalGroup, "joined")
			w.robot.Groups = []string{"joined"}
		}, []store.Grant{theGrant()}},
		{"all users", "SCWANN", func(w *world) {
			w.another(iam.PrincipalGroup, "joined")
			w.ann.Groups, w.joined.Membership = nil, iam.MembershipAllUsers
		}, []store.Grant{theGrant()}},
		{"all applications", "SCWROBOT", func(w *world) {
			w.another(iam.PrincipalGroup, "joined")
			w.joined.Membership = iam.MembershipAllApplications
		}, []store.Grant{theGrant()}},
		{"a key that is about to expire", "SCWANN", func(w *world) { w.annKey.ExpiresAt = new(now.Add(time.Nanosecond)) }, []store.Grant{theGrant()}},
		{"the whole Organization", "SCWANN", func(w *world) {
			w.policy.Rules[0].ProjectIDs, w.policy.Rules[0].OrganizationScope = nil, true
			w.policy.Rules[0].PermissionSets = []string{"IAMReadOnly", "InstancesReadOnly"}
		}, []store.Grant{
			inOrganization("IAMReadOnly", "iam:user:read", iam.ScopeOrganization),
			inOrganization("InstancesReadOnly", "instance:server:read", iam.ScopeProjects),
		}},
		{"of two Projects one is left, of two sets one, of two rules one", "SCWANN", func(w *world) {
			w.policy.Rules[0].ProjectIDs = []string{"gone", "p"}
			w.policy.Rules[0].PermissionSets = []string{"Gone", "InstancesReadOnly"}
			refused := w.policy.Rules[0]
			refused.Refused = "its condition does not compile"
			w.policy.Rules = append([]iam.Rule{refused}, w.policy.Rules...)
		}, []store.Grant{theGrant()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.setup(w)
			if got := grantsOf(t, w, test.key); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// TestLockedBearer takes a bearer's keys out with the commit that locks it, and gives them back with the
// one that unlocks it, whatever the reason: the keys themselves, and what is granted, stay as they are.
func TestLockedBearer(t *testing.T) {
	for _, reason := range []string{"Declared", "TooManyAttempts", "GracePeriodExpired"} {
		t.Run(reason, func(t *testing.T) {
			w := newWorld()
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			unlocked := *w.ann
			locked, relocked := unlocked, unlocked
			locked.Locked, relocked.Locked = reason, "Declared"
			everything := []store.Grant{theGrant()}
			for i, step := range []struct {
				put  []iam.Entity
				want []store.Grant
			}{
				{w.entities(), everything},
				{[]iam.Entity{&locked}, nil},
				{[]iam.Entity{&relocked}, nil}, // for another reason
				{[]iam.Entity{&locked}, nil},
				{[]iam.Entity{&unlocked}, everything},
			} {
				_, err := s.Write(t.Context(), func(tx store.Tx) error {
					for _, entity := range step.put {
						if _, err := tx.Put(t.Context(), entity); err != nil {
							return err
						}
					}
					// In this very transaction already: no commit lies between the lock and its effect.
					got, err := store.EffectiveGrants(t.Context(), tx, "SCWANN", now)
					if err != nil || !reflect.DeepEqual(got, step.want) {
						t.Errorf("step %d: got %+v (%v), want %+v", i, got, err, step.want)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := store.EffectiveGrants(t.Context(), s, "SCWANN", now); err != nil || !reflect.DeepEqual(got, step.want) {
					t.Errorf("after step %d: got %+v (%v), want %+v", i, got, err, step.want)
				}
			}
		})
	}
}

func TestEffectiveGrantsInOrder(t *testing.T) {
	w := newWorld()
	older, first := *w.policy, w.policy.Rules[0]
	older.ID, older.Object.Name, older.CreatedAt = "zz-older", "zz-older", w.policy.CreatedAt.Add(-time.Hour)
	older.PrincipalKind, older.PrincipalID = iam.PrincipalGroup, "listing"
	second := first
	second.ID = "a-second"
	older.Rules = []iam.Rule{first, second}
	w.more = append(w.more, &older)
	var got [][2]string
	for _, g := range grantsOf(t, w, "SCWANN") {
		got = append(got, [2]string{g.PolicyID, g.RuleID})
	}
	want := [][2]string{{"zz-older", "rule"}, {"zz-older", "a-second"}, {"policy", "rule"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLawFailClosed holds law 5 for what the store says: each cause alone leaves nothing.
func TestLawFailClosed(t *testing.T) {
	tests := []struct {
		name  string
		key   string
		cause func(w *world)
	}{
		{"unknown key", "SCWNOBODY", func(*world) {}},
		{"key in other case", "scwann", func(*world) {}},
		{"no key", "", func(*world) {}},
		{"expired key", "SCWANN", func(w *world) { w.annKey.ExpiresAt = new(now) }},
		{"expired key of the owner", "SCWOWNER", func(w *world) { w.ownerKey.ExpiresAt = new(now.Add(-time.Hour)) }},
		{"missing organization", "SCWANN", func(w *world) { w.organization = nil }},
		{"missing organization of the owner", "SCWOWNER", func(w *world) { w.organization = nil }},
		{"missing bearer", "SCWANN", func(w *world) { w.ann = nil }},
		{"missing owner", "SCWOWNER", func(w *world) { w.owner = nil }},
		{"missing application", "SCWROBOT", func(w *world) { w.robot = nil; w.another(iam.PrincipalApplication, "robot") }},
		{"key without a bearer", "SCWANN", func(w *world) { w.annKey.BearerKind, w.annKey.BearerID = "", "" }},
		{"key of a group", "SCWANN", func(w *world) {
			w.annKey.BearerKind, w.annKey.BearerID = iam.PrincipalGroup, "listing"
			w.another(iam.PrincipalGroup, "listing")
		}},
		{"key of another kind than its bearer", "SCWANN", func(w *world) { w.annKey.BearerKind = iam.PrincipalApplication }},
		{"key that calls a member the owner", "SCWANN", func(w *world) { w.annKey.BearerKind = iam.PrincipalOwner }},
		{"key that calls the owner a member", "SCWOWNER", func(w *world) { w.ownerKey.BearerKind = iam.PrincipalMember; w.another(iam.PrincipalMember, "owner") }},
		{"owner whom the organization does not name", "SCWOWNER", func(w *world) { w.organization.OwnerID = "another" }},
		{"locked member, declared", "SCWANN", func(w *world) { w.ann.Locked = "Declared" }},
		{"locked member, after too many attempts", "SCWANN", func(w *world) { w.ann.Locked = "TooManyAttempts" }},
		{"locked member, when a grace period ended", "SCWANN", func(w *world) { w.ann.Locked = "GracePeriodExpired" }},
		{"locked member, for a reason of a later version", "SCWANN", func(w *world) { w.ann.Locked = "?" }},
		{"locked member of a group", "SCWANN", func(w *world) { w.ann.Locked = "Declared"; w.another(iam.PrincipalGroup, "listing") }},
		{"locked member of all users", "SCWANN", func(w *world) {
			w.ann.Locked, w.listing.Membership = "TooManyAttempts", iam.MembershipAllUsers
			w.another(iam.PrincipalGroup, "listing")
		}},
		{"key of the former owner", "SCWOWNER", func(w *world) { w.owner.Email = "next@example.com" }},
		{"locked owner", "SCWOWNER", func(w *world) { w.owner.Locked = "by hand" }},
		{"invited guest", "SCWANN", func(w *world) { w.ann.Type, w.ann.Invited = iam.TypeGuest, true }},
		{"bearer of another organization", "SCWANN", func(w *world) { w.ann.OrganizationID = "other" }},
		{"application of another organization", "SCWROBOT", func(w *world) {
			w.robot.OrganizationID = "other"
			w.another(iam.PrincipalApplication, "robot")
		}},
		{"missing policy", "SCWANN", func(w *world) { w.policy = nil }},
		{"policy without principal", "SCWANN", func(w *world) { w.another("", "") }},
		{"policy for somebody else", "SCWANN", func(w *world) { w.another(iam.PrincipalMember, "owner") }},
		{"policy for the bearer's id in another kind", "SCWANN", func(w *world) { w.another(iam.PrincipalGroup, "ann") }},
		{"policy of another organization", "SCWANN", func(w *world) { w.policy.OrganizationID = "other" }},
		{"group of another organization", "SCWANN", func(w *world) { w.listing.OrganizationID = "other"; w.another(iam.PrincipalGroup, "listing") }},
		{"joined group of another organization", "SCWANN", func(w *world) { w.joined.OrganizationID = "other"; w.another(iam.PrincipalGroup, "joined") }},
		{"missing group", "SCWANN", func(w *world) { w.listing = nil; w.another(iam.PrincipalGroup, "listing") }},
		{"missing joined group", "SCWANN", func(w *world) { w.joined = nil; w.another(iam.PrincipalGroup, "joined") }},
		{"group that neither side names", "SCWROBOT", func(w *world) { w.another(iam.PrincipalGroup, "joined") }},
		{"group without a membership", "SCWANN", func(w *world) { w.listing.Membership = ""; w.another(iam.PrincipalGroup, "listing") }},
		{"group of all applications, for a member", "SCWANN", func(w *world) {
			w.listing.Membership = iam.MembershipAllApplications // which lists nobody, whatever the row says
			w.another(iam.PrincipalGroup, "listing")
		}},
		{"group of all users, for an application", "SCWROBOT", func(w *world) {
			w.listing.Membership = iam.MembershipAllUsers
			w.another(iam.PrincipalGroup, "listing")
		}},
		{"no rule", "SCWANN", func(w *world) { w.policy.Rules = nil }},
		{"refused rule", "SCWANN", func(w *world) { w.policy.Rules[0].Refused = "its condition does not compile" }},
		{"rule without sets", "SCWANN", func(w *world) { w.policy.Rules[0].PermissionSets = nil }},
		{"rule without scope", "SCWANN", func(w *world) { w.policy.Rules[0].ProjectIDs = nil }},
		{"missing set", "SCWANN", func(w *world) { w.set = nil }},
		{"set of organizations on a project", "SCWANN", func(w *world) { w.policy.Rules[0].PermissionSets = []string{"IAMReadOnly"} }},
		{"missing project", "SCWANN", func(w *world) { w.projects = w.projects[:1] }},
		{"project of another organization", "SCWANN", func(w *world) { w.projects[1].OrganizationID = "other" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.cause(w)
			if got := grantsOf(t, w, test.key); len(got) > 0 {
				t.Errorf("there are %+v, want nothing", got)
			}
		})
	}
}
