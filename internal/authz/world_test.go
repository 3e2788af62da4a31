// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// The world of the tests: Organization acme with Project web, the owner, Members alice and bob with a key each, application ci, and
// group ops, which lists bob.
func acme(more ...iam.Entity) []iam.Entity {
	head := func(id string) iam.Head {
		return iam.Head{ID: id, OrganizationID: "acme", CreatedAt: noon.Add(-time.Hour)}
	}
	return append([]iam.Entity{
		&iam.Organization{Head: head("acme"), Name: "acme", OwnerID: "owner"},
		&iam.Project{Head: head("acme"), Name: "default"},
		&iam.Project{Head: head("web"), Name: "web"},
		&iam.Project{Head: iam.Head{ID: "foreign", OrganizationID: "other"}, Name: "foreign"},
		&iam.Member{Head: head("owner"), Type: iam.TypeOwner, Email: "owner@acme.example"},
		&iam.Member{Head: head("alice"), Type: iam.TypeMember, Username: "alice"},
		&iam.Member{Head: head("bob"), Type: iam.TypeMember, Username: "bob"},
		&iam.Application{Head: head("ci"), Name: "ci"},
		&iam.Group{Head: head("ops"), Name: "ops", Membership: iam.MembershipDeclared, Members: []string{"bob"}},
		&iam.APIKey{Head: head("SCWBOB"), BearerKind: iam.PrincipalMember, BearerID: "bob", Digest: "digest of bob's secret"},
		&iam.PermissionSet{Head: iam.Head{ID: "set-buckets"}, Name: "Buckets", ScopeType: iam.ScopeProjects, Permissions: []string{"object_storage:bucket:read", "object_storage:bucket:write"}},
		&iam.PermissionSet{Head: iam.Head{ID: "set-all"}, Name: "Everything", ScopeType: iam.ScopeProjects, Permissions: []string{"*:*:*"}},
		&iam.PermissionSet{Head: iam.Head{ID: "set-people"}, Name: "People", ScopeType: iam.ScopeOrganization, Permissions: []string{"iam:user:*"}},
	}, more...)
}

// grant gives sets to a principal by a policy of one rule, on the Organization unless Projects are named.
func grant(id string, kind iam.PrincipalKind, principal, condition string, sets []string, projects ...string) *iam.Policy {
	return &iam.Policy{
		Head: iam.Head{ID: id, OrganizationID: "acme", CreatedAt: noon}, Name: id, PrincipalKind: kind, PrincipalID: principal,
		Rules: []iam.Rule{{ID: id + "-rule", PermissionSets: sets, OrganizationScope: len(projects) == 0, ProjectIDs: projects, Condition: condition}},
	}
}

func ask(kind authz.SubjectKind, id, permission, project string) *authz.Request {
	parsed, _ := iam.ParsePermission(permission)
	return &authz.Request{Subject: authz.Subject{Kind: kind, ID: id}, Permission: parsed, Scope: authz.Scope{ProjectID: project}}
}

func at(n int64) store.Revision { return store.Revision{Incarnation: "one", N: n} }

func decide(t *testing.T, entities []iam.Entity, r *authz.Request) authz.Decision {
	t.Helper()
	return authz.NewSnapshot(entities, at(1)).Decide(r, noon)
}
