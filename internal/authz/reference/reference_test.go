// SPDX-License-Identifier: Apache-2.0

package reference_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// TestSharesNoCode protects the worth of the reference: a mistake in the engine, or in the conditions that it evaluates, must
// not be one of the reference, too. Of internal/iam it may use what entities hold, and the services of the catalogue, but
// nothing that works out what they mean.
func TestSharesNoCode(t *testing.T) {
	t.Parallel()
	meanings := []string{
		"Active", "Live", "Effective", "Grants", "Covers", "HasWildcard", "ParsePermission", "ExpandPermissions", "ContributedServices",
		"IsOrganizationService", "IsOrganizationPermission", "ValidatePermissionSet", "Catalogue", "Without", "References", "UniqueName",
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range parsed.Imports {
			path, err := strconv.Unquote(imported.Path.Value)
			if err != nil || strings.Contains(path, ".") && path != "github.com/iam-operator/iam-operator/internal/iam" {
				t.Errorf("%s imports %s (%v)", file, path, err)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if used, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(meanings, used.Sel.Name) {
				t.Errorf("%s uses %s", file, used.Sel.Name)
			}
			return true
		})
	}
}

// TestDecide holds the reference to what the specification says in words, case by case: it is nobody's copy.
func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 3, 14, 30, 0, 0, time.UTC)
	head := func(id string) iam.Head { return iam.Head{ID: id, OrganizationID: "acme"} }
	policy := func(kind iam.PrincipalKind, principal string, rule iam.Rule) *iam.Policy {
		rule.ID = "rule"
		return &iam.Policy{Head: head("policy"), PrincipalKind: kind, PrincipalID: principal, Rules: []iam.Rule{rule}}
	}
	wholeOf := func(sets ...string) iam.Rule { return iam.Rule{PermissionSets: sets, OrganizationScope: true} }
	onWeb := func(sets ...string) iam.Rule { return iam.Rule{PermissionSets: sets, ProjectIDs: []string{"web"}} }
	under := func(rule iam.Rule, condition string) iam.Rule {
		rule.Condition = condition
		return rule
	}
	world := []iam.Entity{
		&iam.Organization{Head: head("acme"), OwnerID: "owner"},
		&iam.Member{Head: head("owner"), Type: iam.TypeOwner, Email: "owner@acme.example"},
		&iam.Project{Head: head("acme")}, &iam.Project{Head: head("web")}, &iam.Project{Head: head("shop")},
		&iam.Member{Head: head("maya"), Type: iam.TypeMember, Groups: []string{"deployers"}},
		&iam.Application{Head: head("ci")},
		&iam.Group{Head: head("deployers"), Membership: iam.MembershipDeclared, Members: []string{"ci"}},
		&iam.Group{Head: head("outer"), Membership: iam.MembershipDeclared, Members: []string{"deployers"}},
		&iam.Group{Head: head("users"), Membership: iam.MembershipAllUsers},
		&iam.APIKey{Head: head("SCWMAYA"), BearerKind: iam.PrincipalMember, BearerID: "maya", ExpiresAt: &now},
		&iam.PermissionSet{Head: iam.Head{ID: "1"}, Name: "Everything", ScopeType: iam.ScopeProjects, Permissions: []string{"*:*:*"}},
		&iam.PermissionSet{Head: iam.Head{ID: "2"}, Name: "Users", ScopeType: iam.ScopeOrganization, Permissions: []string{"iam:user:*"}},
	}
	tests := map[string]struct {
		granted              *iam.Policy
		kind, id, permission string
		project              string
		want                 string
	}{
		"the owner may do everything":        {kind: "owner", id: "owner", permission: "iam:user:delete", want: reference.Owner},
		"a Member is no owner":               {kind: "owner", id: "maya", permission: "iam:user:delete", want: reference.UnknownSubject},
		"nobody grants":                      {kind: "user", id: "maya", permission: "instances:server:read", want: reference.NotGranted},
		"a key at the time at which it ends": {kind: "api_key", id: "SCWMAYA", permission: "instances:server:read", want: reference.KeyExpired},
		"a Project of nobody":                {kind: "user", id: "maya", permission: "instances:server:read", project: "none", want: reference.UnknownScope},
		"a wildcard":                         {kind: "owner", id: "owner", permission: "instances:*:read", want: reference.Malformed},
		"a Project":                          {policy(iam.PrincipalMember, "maya", onWeb("Everything")), "user", "maya", "instances:server:read", "web", reference.Granted},
		"another Project":                    {policy(iam.PrincipalMember, "maya", onWeb("Everything")), "user", "maya", "instances:server:read", "shop", reference.OutOfScope},
		"all Projects":                       {policy(iam.PrincipalMember, "maya", wholeOf("everything")), "user", "maya", "instances:server:read", "shop", reference.Granted},
		"the Organization":                   {policy(iam.PrincipalMember, "maya", wholeOf("Everything")), "user", "maya", "instances:server:list", "", reference.Granted},
		"the default Project is not all":     {policy(iam.PrincipalMember, "maya", iam.Rule{PermissionSets: []string{"Everything"}, ProjectIDs: []string{"acme"}}), "user", "maya", "instances:server:list", "", reference.OutOfScope},
		"a set for Organizations":            {policy(iam.PrincipalMember, "maya", wholeOf("Users")), "user", "maya", "iam:user:read", "web", reference.Granted},
		"such a set on a Project":            {policy(iam.PrincipalMember, "maya", onWeb("Users")), "user", "maya", "iam:user:read", "web", reference.NotGranted},
		"* is no service of Organizations":   {policy(iam.PrincipalMember, "maya", wholeOf("Everything")), "user", "maya", "iam:user:read", "", reference.NotGranted},
		"but SSH keys":                       {policy(iam.PrincipalMember, "maya", wholeOf("Everything")), "user", "maya", "iam:ssh_key:read", "", reference.Granted},
		"* is not the cluster":               {policy(iam.PrincipalMember, "maya", wholeOf("Everything")), "user", "maya", "k8s:pod:read", "", reference.NotGranted},
		"a group that is joined":             {policy(iam.PrincipalGroup, "deployers", wholeOf("Everything")), "user", "maya", "instances:server:read", "", reference.Granted},
		"a group that lists":                 {policy(iam.PrincipalGroup, "deployers", wholeOf("Everything")), "application", "ci", "instances:server:read", "", reference.Granted},
		"a group in a group":                 {policy(iam.PrincipalGroup, "outer", wholeOf("Everything")), "application", "ci", "instances:server:read", "", reference.NotGranted},
		"all users":                          {policy(iam.PrincipalGroup, "users", wholeOf("Everything")), "user", "maya", "instances:server:read", "", reference.Granted},
		"an application is no user":          {policy(iam.PrincipalGroup, "users", wholeOf("Everything")), "application", "ci", "instances:server:read", "", reference.NotGranted},
		"a condition that holds":             {policy(iam.PrincipalMember, "maya", under(wholeOf("Everything"), "late")), "user", "maya", "instances:server:read", "", reference.Granted},
		"a condition that is false":          {policy(iam.PrincipalMember, "maya", under(wholeOf("Everything"), "early")), "user", "maya", "instances:server:read", "", reference.ConditionFalse},
		"a condition without its attribute":  {policy(iam.PrincipalMember, "maya", under(wholeOf("Everything"), "named")), "user", "maya", "instances:server:read", "", reference.ConditionFailed},
		"a condition that is none":           {policy(iam.PrincipalMember, "maya", under(wholeOf("Everything"), "&&")), "user", "maya", "instances:server:read", "", reference.ConditionFailed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := world
			if test.granted != nil {
				all = append(all[:len(all):len(all)], test.granted)
			}
			permission, err := iam.ParsePermission(test.permission)
			if err != nil {
				t.Fatal(err)
			}
			conditions := map[string]reference.Condition{
				"late": reference.NotBefore{Time: now}, "early": reference.Before{Time: now}, "named": reference.NamePrefix{Prefix: "web-"},
			}
			r := reference.Request{SubjectKind: test.kind, SubjectID: test.id, Permission: permission, ProjectID: test.project}
			answer := reference.Decide(reference.World{Entities: all, Conditions: conditions}, r, now)
			if answer.Reason != test.want || answer.Allowed != (test.want == reference.Granted || test.want == reference.Owner) {
				t.Errorf("%+v, want %s", answer, test.want)
			}
		})
	}
}
