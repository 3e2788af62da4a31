// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// describeCase is a row of the method table: a change, and each of its events as
// "product method action type id name".
type describeCase struct {
	name          string
	before, after iam.Entity
	want          []string
}

const (
	aboutAcme   = "account_organization " + organizationID + " Acme Corp"
	aboutWeb    = "account_project project-web web"
	aboutMaya   = "iam_user member-maya maya"
	aboutGroup  = "iam_group group-ops Operations"
	aboutCI     = "iam_application application-ci ci"
	aboutKey    = "iam_api_key SCWAAAAAAAAAAAAAAAAA SCWAAAAAAAAAAAAAAAAA"
	aboutPolicy = "iam_policy policy-deploy deploy"
	aboutSet    = "iam_permission_set set-print PrintReadOnly"
	aboutSSHKey = "iam_ssh_key ssh-maya maya-laptop"
)

func organizationCases() []describeCase {
	ownerID := iam.OwnerID(organizationID)
	return []describeCase{
		{"organization created", nil, organization(), []string{"account CreateOrganization created " + aboutAcme}},
		{"organization created with an alias", nil, with(organization(), func(o *iam.Organization) { o.Alias = "acme" }),
			[]string{"account CreateOrganization created " + aboutAcme}},
		{"organization deleted", organization(), nil, []string{"account CloseOrganization deleted " + aboutAcme}},
		{"organization renamed", organization(), with(organization(), func(o *iam.Organization) { o.Name = "Acme Inc" }),
			[]string{"account UpdateOrganization updated account_organization " + organizationID + " Acme Inc"}},
		{"quota", organization(), with(organization(), func(o *iam.Organization) { o.Quotas.Members = nil }),
			[]string{"account UpdateOrganization updated " + aboutAcme}},
		{"retention", organization(), with(organization(), func(o *iam.Organization) { o.AuditRetention = 24 * time.Hour }),
			[]string{"account UpdateOrganization updated " + aboutAcme}},
		{"alias", organization(), with(organization(), func(o *iam.Organization) { o.Alias = "acme" }),
			[]string{"iam SetOrganizationAlias updated " + aboutAcme}},
		{"security", organization(), with(organization(), func(o *iam.Organization) { o.Security.MFARequired = true }),
			[]string{"iam UpdateOrganizationSecuritySettings updated " + aboutAcme}},
		{"log-in methods", organization(), with(organization(), func(o *iam.Organization) { o.Security.LoginMethods = []string{"SAML"} }),
			[]string{"iam UpdateOrganizationLoginMethods updated " + aboutAcme}},
		{"everything of an organization at once", organization(), with(organization(), func(o *iam.Organization) {
			o.AuditRetention, o.Alias, o.Security = time.Hour, "acme", iam.Security{}
		}), []string{
			"account UpdateOrganization updated " + aboutAcme, "iam SetOrganizationAlias updated " + aboutAcme,
			"iam UpdateOrganizationSecuritySettings updated " + aboutAcme, "iam UpdateOrganizationLoginMethods updated " + aboutAcme,
		}},
		{"organization whose namespace was re-created", organization(), with(organization(), func(o *iam.Organization) { o.NamespaceUID = "other" }),
			[]string{"account UpdateOrganization updated " + aboutAcme}},

		{"owner created", nil, owner(), nil},
		{"owner deleted", owner(), nil, nil},
		{"ownership handed over", owner(), with(owner(), func(m *iam.Member) { m.Email = "bob@acme.example" }),
			[]string{"account ChangeUserEmail updated account_user " + ownerID + " bob@acme.example"}},
		{"ownership handed over to somebody of another name", owner(), with(owner(), func(m *iam.Member) { m.Email, m.FirstName = "bob@acme.example", "Bob" }),
			[]string{
				"account UpdateUser updated account_user " + ownerID + " bob@acme.example",
				"account ChangeUserEmail updated account_user " + ownerID + " bob@acme.example",
			}},
		{"owner's password set", owner(), with(owner(), password), []string{"account ChangeUserPassword updated account_user " + ownerID + " ada@acme.example"}},
		{"owner's second factor set", owner(), with(owner(), secondFactor), []string{"account CreateMFAOTP updated account_user " + ownerID + " ada@acme.example"}},
		{"owner's second factor reset", with(owner(), secondFactor), owner(), []string{"account DeleteMFAOTP updated account_user " + ownerID + " ada@acme.example"}},
		{"owner's Kubernetes users", owner(), with(owner(), func(m *iam.Member) { m.KubernetesUsers = nil }),
			[]string{"account UpdateUser updated account_user " + ownerID + " ada@acme.example"}},

		{"default project created", nil, defaultProject(), nil},
		{"default project deleted", defaultProject(), nil, nil},
		{"default project renamed", defaultProject(), with(defaultProject(), func(p *iam.Project) { p.Name = "main" }),
			[]string{"account UpdateProject updated account_project " + organizationID + " main"}},
		{"project created", nil, project(), []string{"account CreateProject created " + aboutWeb}},
		{"project described", project(), with(project(), func(p *iam.Project) { p.Description = "" }), []string{"account UpdateProject updated " + aboutWeb}},
		{"project deleted", project(), nil, []string{"account DeleteProject deleted " + aboutWeb}},
	}
}

// password, secondFactor and grace give a user what it may come to have.
func password(m *iam.Member)     { m.PasswordUpdatedAt = &created }
func secondFactor(m *iam.Member) { m.MFA = true }
func grace(m *iam.Member) {
	m.GracePeriods = []iam.MemberGracePeriod{{Type: "SetMFA", StartedAt: created, ExpiresAt: created.Add(72 * time.Hour)}}
}

func credentialCases() []describeCase {
	later := created.Add(time.Hour)
	changed := func(m *iam.Member) { m.PasswordUpdatedAt = &later }
	longer := func(m *iam.Member) { m.GracePeriods[0].ExpiresAt = created.Add(96 * time.Hour) }
	lapsed := func(m *iam.Member) { m.Locked, m.GracePeriods = "GracePeriodExpired", nil }
	return []describeCase{
		{"member created with all credentials", nil, with(maya(), password, secondFactor, grace), []string{"iam CreateUser created " + aboutMaya}},
		{"password set", maya(), with(maya(), password), []string{"iam UpdateUserPassword updated " + aboutMaya}},
		{"password changed", with(maya(), password), with(maya(), changed), []string{"iam UpdateUserPassword updated " + aboutMaya}},
		{"password taken away", with(maya(), password), maya(), []string{"iam UpdateUserPassword updated " + aboutMaya}},
		{"second factor set", maya(), with(maya(), secondFactor), []string{"iam CreateMFAOTP updated " + aboutMaya}},
		{"second factor reset", with(maya(), secondFactor), maya(), []string{"iam DeleteMFAOTP updated " + aboutMaya}},
		{"grace period begins", maya(), with(maya(), grace), []string{"iam UpdateGracePeriods updated " + aboutMaya}},
		{"grace period lengthened", with(maya(), grace), with(maya(), grace, longer), []string{"iam UpdateGracePeriods updated " + aboutMaya}},
		{"grace period met", with(maya(), grace), with(maya(), secondFactor),
			[]string{"iam CreateMFAOTP updated " + aboutMaya, "iam UpdateGracePeriods updated " + aboutMaya}},
		{"grace period lapses", with(maya(), grace), with(maya(), lapsed),
			[]string{"iam UpdateGracePeriods updated " + aboutMaya, "iam LockMember updated " + aboutMaya}},
		{"unlocked into a new grace period", with(maya(), lapsed), with(maya(), grace),
			[]string{"iam UpdateGracePeriods updated " + aboutMaya, "iam UnlockMember updated " + aboutMaya}},
		{"everything of a member's credentials, and a name", maya(), with(maya(), password, secondFactor, grace, func(m *iam.Member) { m.FirstName = "Maia" }), []string{
			"iam UpdateUser updated " + aboutMaya, "iam UpdateUserPassword updated " + aboutMaya,
			"iam CreateMFAOTP updated " + aboutMaya, "iam UpdateGracePeriods updated " + aboutMaya,
		}},
	}
}

func memberCases() []describeCase {
	locked := func(m *iam.Member) { m.Locked = "Declared" }
	joined := func(m *iam.Member) { m.Groups = []string{"group-ops", "group-dev"} }
	return []describeCase{
		{"member created", nil, maya(), []string{"iam CreateUser created " + aboutMaya}},
		{"member created locked and in groups", nil, with(maya(), locked, joined), []string{
			"iam CreateUser created " + aboutMaya, "iam LockMember updated " + aboutMaya,
			"iam AddGroupMember updated iam_group group-ops group-ops", "iam AddGroupMember updated iam_group group-dev group-dev",
		}},
		{"member changed", maya(), with(maya(), func(m *iam.Member) { m.Email = "maya@other.example" }), []string{"iam UpdateUser updated " + aboutMaya}},
		{"member's Kubernetes users", maya(), with(maya(), func(m *iam.Member) { m.KubernetesUsers = []string{"maya"} }), []string{"iam UpdateUser updated " + aboutMaya}},
		{"username", maya(), with(maya(), func(m *iam.Member) { m.Username = "maia" }), []string{"iam UpdateUserUsername updated iam_user member-maya maia"}},
		{"locked", maya(), with(maya(), locked), []string{"iam LockMember updated " + aboutMaya}},
		{"locked for another reason", with(maya(), locked), with(maya(), func(m *iam.Member) { m.Locked = "TooManyAttempts" }), []string{"iam LockMember updated " + aboutMaya}},
		{"unlocked", with(maya(), locked), maya(), []string{"iam UnlockMember updated " + aboutMaya}},
		{"member joins groups", maya(), with(maya(), joined),
			[]string{"iam AddGroupMember updated iam_group group-ops group-ops", "iam AddGroupMember updated iam_group group-dev group-dev"}},
		{"member changes groups", with(maya(), joined), with(maya(), func(m *iam.Member) { m.Groups = []string{"group-dev", "group-qa"} }),
			[]string{"iam RemoveGroupMember updated iam_group group-ops group-ops", "iam AddGroupMember updated iam_group group-qa group-qa"}},
		{"member lists its groups in another order", with(maya(), joined), with(maya(), func(m *iam.Member) { m.Groups = []string{"group-dev", "group-ops"} }),
			[]string{"iam UpdateUser updated " + aboutMaya}},
		{"member deleted", with(maya(), locked, joined), nil, []string{"iam DeleteUser deleted " + aboutMaya}},
		{"member's object re-created", maya(), with(maya(), func(m *iam.Member) { m.Object.UID = "other" }), []string{"iam UpdateUser updated " + aboutMaya}},
		{"guest invited", nil, guest(), []string{"iam CreateUser created iam_user member-gus gus@elsewhere.example"}},
		{"guest accepts", guest(), with(guest(), func(m *iam.Member) { m.Invited = false }), []string{"iam UpdateUser updated iam_user member-gus gus@elsewhere.example"}},
		{"invitation lapses", guest(), nil, []string{"iam DeleteUser deleted iam_user member-gus gus@elsewhere.example"}},
	}
}

func groupCases() []describeCase {
	members := func(ids ...string) *iam.Group { return with(group(), func(g *iam.Group) { g.Members = ids }) }
	everybody := with(group(), func(g *iam.Group) { g.Membership = iam.MembershipAllUsers })
	return []describeCase{
		{"group created", nil, group(), []string{"iam CreateGroup created " + aboutGroup}},
		{"group created for everybody", nil, everybody, []string{"iam CreateGroup created " + aboutGroup}},
		{"group created with a member", nil, members("a"), []string{"iam CreateGroup created " + aboutGroup, "iam AddGroupMember updated " + aboutGroup}},
		{"group created with members", nil, members("a", "b"), []string{"iam CreateGroup created " + aboutGroup, "iam AddGroupMembers updated " + aboutGroup}},
		{"group changed", group(), with(group(), func(g *iam.Group) { g.Tags = []string{"x"} }), []string{"iam UpdateGroup updated " + aboutGroup}},
		{"group changed, member added", group(), with(members("a"), func(g *iam.Group) { g.Description = "x" }),
			[]string{"iam UpdateGroup updated " + aboutGroup, "iam AddGroupMember updated " + aboutGroup}},
		{"one member added", members("a"), members("a", "b"), []string{"iam AddGroupMember updated " + aboutGroup}},
		{"several members added", members("a"), members("c", "a", "b"), []string{"iam AddGroupMembers updated " + aboutGroup}},
		{"one member added, listed twice", members("a"), members("a", "b", "b"), []string{"iam AddGroupMember updated " + aboutGroup}},
		{"one member removed", members("a", "b"), members("b"), []string{"iam RemoveGroupMember updated " + aboutGroup}},
		{"several members removed", members("a", "b"), members(), []string{"iam SetGroupMembers updated " + aboutGroup}},
		{"one member for another", members("a", "b"), members("a", "c"), []string{"iam SetGroupMembers updated " + aboutGroup}},
		{"members in another order", members("a", "b"), members("b", "a"), []string{"iam UpdateGroup updated " + aboutGroup}},
		{"group opened to everybody", members("a"), everybody, []string{"iam UpdateGroup updated " + aboutGroup}},
		{"group deleted", members("a", "b"), nil, []string{"iam DeleteGroup deleted " + aboutGroup}},

		{"application created", nil, application(), []string{"iam CreateApplication created " + aboutCI}},
		{"application created in a group", nil, with(application(), func(a *iam.Application) { a.Groups = []string{"group-ops"} }),
			[]string{"iam CreateApplication created " + aboutCI, "iam AddGroupMember updated iam_group group-ops group-ops"}},
		{"application changed", application(), with(application(), func(a *iam.Application) { a.ServiceAccounts = []string{"ci"} }),
			[]string{"iam UpdateApplication updated " + aboutCI}},
		{"application leaves a group", with(application(), func(a *iam.Application) { a.Groups = []string{"group-ops"} }), application(),
			[]string{"iam RemoveGroupMember updated iam_group group-ops group-ops"}},
		{"application deleted", application(), nil, []string{"iam DeleteApplication deleted " + aboutCI}},
	}
}

func otherCases() []describeCase {
	redigested := func(k *iam.APIKey) { k.Digest, k.DigestKeyID = "digest-two", "digest-key-two" }
	renumbered := func(p *iam.Policy) {
		for i := range p.Rules {
			p.Rules[i].ID = iam.RuleID(p.ID, 2, i)
		}
	}
	described := func(p *iam.Policy) { p.Description = "for deployments" }
	return []describeCase{
		{"API key minted", nil, apiKey(), []string{"iam CreateAPIKey created " + aboutKey}},
		{"API key described", apiKey(), with(apiKey(), func(k *iam.APIKey) { k.Description = "" }), []string{"iam UpdateAPIKey updated " + aboutKey}},
		{"API key retires", apiKey(), with(apiKey(), func(k *iam.APIKey) {
			sooner := created.Add(time.Hour)
			k.Retiring, k.ExpiresAt = true, &sooner
		}), []string{"iam UpdateAPIKey updated " + aboutKey}},
		{"API key re-digested", apiKey(), with(apiKey(), redigested), []string{"iam RedigestAPIKey updated " + aboutKey}},
		{"API key re-digested and described", apiKey(), with(apiKey(), redigested, func(k *iam.APIKey) { k.Description = "" }),
			[]string{"iam UpdateAPIKey updated " + aboutKey, "iam RedigestAPIKey updated " + aboutKey}},
		{"API key dies", apiKey(), nil, []string{"iam DeleteAPIKey deleted " + aboutKey}},

		{"policy created", nil, policy(), []string{"iam CreatePolicy created " + aboutPolicy}},
		{"policy described", policy(), with(policy(), described), []string{"iam UpdatePolicy updated " + aboutPolicy}},
		{"policy described, so its rules renumbered", policy(), with(policy(), described, renumbered), []string{"iam UpdatePolicy updated " + aboutPolicy}},
		{"policy's rules only renumbered", policy(), with(policy(), renumbered), []string{"iam UpdatePolicy updated " + aboutPolicy}},
		{"principal switched", policy(), with(policy(), func(p *iam.Policy) { p.PrincipalKind, p.PrincipalID = iam.PrincipalMember, "member-maya" }),
			[]string{"iam UpdatePolicy updated " + aboutPolicy}},
		{"principal gone", policy(), with(policy(), func(p *iam.Policy) { p.PrincipalKind, p.PrincipalID = "", "" }), []string{"iam UpdatePolicy updated " + aboutPolicy}},
		{"rule added", policy(), with(policy(), func(p *iam.Policy) { p.Rules = append(p.Rules, iam.Rule{ID: "x"}) }), []string{"iam SetRules updated " + aboutPolicy}},
		{"rules in another order", policy(), with(policy(), func(p *iam.Policy) { slices.Reverse(p.Rules) }), []string{"iam SetRules updated " + aboutPolicy}},
		{"condition", policy(), with(policy(), func(p *iam.Policy) { p.Rules[0].Condition = "true" }), []string{"iam SetRules updated " + aboutPolicy}},
		{"rule loses its project", policy(), with(policy(), func(p *iam.Policy) { p.Rules[0].ProjectIDs = nil }), []string{"iam SetRules updated " + aboutPolicy}},
		{"rules and description", policy(), with(policy(), described, func(p *iam.Policy) { p.Rules = nil }),
			[]string{"iam UpdatePolicy updated " + aboutPolicy, "iam SetRules updated " + aboutPolicy}},
		{"policy deleted", policy(), nil, []string{"iam DeletePolicy deleted " + aboutPolicy}},

		{"permission set created", nil, permissionSet(), []string{"iam CreatePermissionSet created " + aboutSet}},
		{"permission set changed", permissionSet(), with(permissionSet(), func(s *iam.PermissionSet) { s.Permissions = nil }), []string{"iam UpdatePermissionSet updated " + aboutSet}},
		{"permission set deleted", permissionSet(), nil, []string{"iam DeletePermissionSet deleted " + aboutSet}},

		{"SSH key created", nil, sshKey(), []string{"iam CreateSSHKey created " + aboutSSHKey}},
		{"SSH key disabled", sshKey(), with(sshKey(), func(k *iam.SSHKey) { k.Disabled = true }), []string{"iam UpdateSSHKey updated " + aboutSSHKey}},
		{"SSH key deleted", sshKey(), nil, []string{"iam DeleteSSHKey deleted " + aboutSSHKey}},

		{"nothing to nothing", nil, nil, nil},
		{"one entity for another", project(), with(project(), func(p *iam.Project) { p.ID = "project-2" }),
			[]string{"account DeleteProject deleted " + aboutWeb, "account CreateProject created account_project project-2 web"}},
		{"one kind for another", sshKey(), project(),
			[]string{"iam DeleteSSHKey deleted " + aboutSSHKey, "account CreateProject created " + aboutWeb}},
	}
}

func describeCases() []describeCase {
	return slices.Concat(organizationCases(), memberCases(), credentialCases(), groupCases(), otherCases())
}

// The name of a change is the model's, and a change that nobody made is not claimed.
func TestDescribe(t *testing.T) {
	for _, c := range describeCases() {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range audit.Describe(c.before, c.after) {
				for _, r := range n.Resources {
					got = append(got, strings.Join([]string{n.Product, n.Method, string(n.Action), r.Type, r.ID, r.Name}, " "))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("events:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

// The documentation's method table is made from Methods: what it says must be what happens.
func TestMethodsAreThoseOfDescribe(t *testing.T) {
	listed := map[string]audit.MethodInfo{}
	for _, m := range audit.Methods() {
		key := m.Service + "." + m.Name
		if _, twice := listed[key]; twice {
			t.Errorf("%s is listed twice", key)
		}
		if m.Name == "" || m.When == "" || m.Type == "" {
			t.Errorf("%+v is incomplete", m)
		}
		listed[key] = m
	}
	raised := map[string]bool{}
	for _, c := range describeCases() {
		for _, n := range audit.Describe(c.before, c.after) {
			key := n.Service + "." + n.Method
			m, ok := listed[key]
			if !ok {
				t.Errorf("%s: %s is not listed", c.name, key)
			}
			r := n.Resources[0]
			if n.Product != m.Product || n.Action != m.Action || r.Action != m.Action || r.Kind != m.Kind || r.Type != m.Type || !ownActAsListed(n, m) {
				t.Errorf("%s: the event %+v is not as listed: %+v", c.name, n, m)
			}
			raised[key] = true
		}
	}
	for key := range listed {
		if !raised[key] {
			t.Errorf("%s is listed, but no change of the table raises it", key)
		}
	}
}

// The page that people look a method up in lists what Methods does, in that order.
func TestMethodsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| method | product | resource | action | when |\n|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, m := range audit.Methods() {
		name := "`" + m.Name + "`"
		if m.Ours {
			name += " *ours*"
		}
		want = append(want, fmt.Sprintf("| %s | %s | `%s` | %s | %s |", name, m.Product, m.Type, m.Action, m.When))
	}
	if got := strings.Split(table, "\n"); !slices.Equal(got, want) {
		t.Errorf("the table is\n%s\nwant\n%s", table, strings.Join(want, "\n"))
	}
}

// ownActAsListed says whether a note is an own act as its method says. Only a lock is the
// operator's own act or not by its reason.
func ownActAsListed(n audit.Note, m audit.MethodInfo) bool {
	if n.Method == "LockMember" {
		return n.OwnAct == !strings.Contains(string(n.Change.After), `"Declared"`)
	}
	return n.OwnAct == m.OwnAct
}

// What an attempt goes by is a method that the documentation lists, of that kind and action.
func TestMethodFor(t *testing.T) {
	want := map[iam.Kind]string{
		iam.KindOrganization: "CreateOrganization UpdateOrganization CloseOrganization", iam.KindProject: "CreateProject UpdateProject DeleteProject",
		iam.KindMember: "CreateUser UpdateUser DeleteUser", iam.KindGroup: "CreateGroup UpdateGroup DeleteGroup",
		iam.KindApplication: "CreateApplication UpdateApplication DeleteApplication", iam.KindAPIKey: "CreateAPIKey UpdateAPIKey DeleteAPIKey",
		iam.KindPolicy: "CreatePolicy UpdatePolicy DeletePolicy", iam.KindSSHKey: "CreateSSHKey UpdateSSHKey DeleteSSHKey",
		iam.KindPermissionSet: "CreatePermissionSet UpdatePermissionSet DeletePermissionSet",
	}
	for _, kind := range iam.Kinds() {
		var names []string
		for _, action := range []iam.Action{iam.ActionCreated, iam.ActionUpdated, iam.ActionDeleted} {
			m, ok := audit.MethodFor(kind, action)
			if !ok || m.Kind != kind || m.Action != action || !slices.Contains(audit.Methods(), m) {
				t.Errorf("%s %s: %+v, %t", kind, action, m, ok)
			}
			names = append(names, m.Name)
		}
		if got := strings.Join(names, " "); got != want[kind] {
			t.Errorf("%s: %q, want %q", kind, got, want[kind])
		}
	}
	for _, unknown := range []struct {
		kind   iam.Kind
		action iam.Action
	}{{"Secret", iam.ActionCreated}, {iam.KindMember, "read"}, {"", ""}} {
		if m, ok := audit.MethodFor(unknown.kind, unknown.action); ok {
			t.Errorf("%q %q has the method %+v", unknown.kind, unknown.action, m)
		}
	}
}

func TestDescribeChange(t *testing.T) {
	tests := []struct {
		name          string
		before, after iam.Entity
		want          []string
	}{
		{"created: everything declared, nothing empty", nil, project(),
			[]string{`CreateProject null → {"description":"the shop","name":"web","object":{"name":"web","namespace":"acme"}}`}},
		{"deleted", project(), nil,
			[]string{`DeleteProject {"description":"the shop","name":"web","object":{"name":"web","namespace":"acme"}} → null`}},
		{"updated: only what differs", project(), with(project(), func(p *iam.Project) { p.Description = "" }),
			[]string{`UpdateProject {"description":"the shop"} → {"description":""}`}},
		{"each event shows its own part", maya(), with(maya(), func(m *iam.Member) { m.Username, m.Locked, m.FirstName = "maia", "Declared", "Maia" }),
			[]string{`UpdateUser {"firstName":"Maya"} → {"firstName":"Maia"}`, `UpdateUserUsername {"username":"maya"} → {"username":"maia"}`, `LockMember {"locked":""} → {"locked":"Declared"}`}},
		{"when a password was set, and never the password", maya(), with(maya(), password),
			[]string{`UpdateUserPassword {"passwordUpdatedAt":null} → {"passwordUpdatedAt":"2026-10-01T08:30:00Z"}`}},
		{"a second factor", with(maya(), secondFactor), maya(), []string{`DeleteMFAOTP {"mfa":true} → {"mfa":false}`}},
		{"grace periods", maya(), with(maya(), grace),
			[]string{`UpdateGracePeriods {"gracePeriods":[]} → {"gracePeriods":[{"expiresAt":"2026-10-04T08:30:00Z","startedAt":"2026-10-01T08:30:00Z","type":"SetMFA"}]}`}},
		{"a quota that goes is no quota of 0", organization(), with(organization(), func(o *iam.Organization) { o.Quotas = iam.Quotas{} }),
			[]string{`UpdateOrganization {"quotas":{"members":50}} → {"quotas":{}}`}},
		{"durations are for people, and no maximum is none", organization(), with(organization(), func(o *iam.Organization) { o.Security.MaxAPIKeyLifetime = 2160 * time.Hour }),
			[]string{`UpdateOrganizationSecuritySettings {"maxAPIKeyLifetime":null} → {"maxAPIKeyLifetime":"2160h0m0s"}`}},
		{"a digest never shows", apiKey(), with(apiKey(), func(k *iam.APIKey) { k.Digest = "digest-two" }), []string{`RedigestAPIKey null → null`}},
		{"what nobody declared does not show", policy(), with(policy(), func(p *iam.Policy) { p.Rules[0].ID = "x" }), []string{`UpdatePolicy null → null`}},
		{"rules without their ids", with(policy(), func(p *iam.Policy) { p.Rules = p.Rules[:1] }), with(policy(), func(p *iam.Policy) { p.Rules = nil }),
			[]string{`SetRules {"rules":[{"permissionSets":["InstancesFullAccess"],"projectIDs":["project-web"]}]} → {"rules":[]}`}},
		{"who joins, from the member's side", maya(), with(maya(), func(m *iam.Member) { m.Groups = []string{"group-ops"} }),
			[]string{`AddGroupMember {"members":[]} → {"members":[{"id":"member-maya","kind":"Member","name":"maya"}]}`}},
		{"who came and went, and nobody else", with(group(), func(g *iam.Group) { g.Members = []string{"a", "b"} }), with(group(), func(g *iam.Group) { g.Members = []string{"b", "c"} }),
			[]string{`SetGroupMembers {"members":[{"id":"a"}]} → {"members":[{"id":"c"}]}`}},
		{"the kind of membership with the list", with(group(), func(g *iam.Group) { g.Members = []string{"a"} }), with(group(), func(g *iam.Group) { g.Membership = iam.MembershipAllUsers }),
			[]string{`UpdateGroup {"memberIDs":["a"],"membership":"Declared"} → {"memberIDs":[],"membership":"AllUsers"}`}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, n := range audit.Describe(c.before, c.after) {
				got = append(got, fmt.Sprintf("%s %s → %s", n.Method, orNull(n.Change.Before), orNull(n.Change.After)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("changes:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

func orNull(body json.RawMessage) string {
	if body == nil {
		return "null"
	}
	return string(body)
}

// Events of a Project's resources are found by the Project; an API key's preferred Project
// owns nothing.
func TestDescribeProject(t *testing.T) {
	for want, entities := range map[string][]iam.Entity{
		"project-web": {project(), sshKey()},
		"":            {organization(), maya(), group(), application(), apiKey(), policy(), permissionSet()},
	} {
		for _, entity := range entities {
			if got := audit.Describe(nil, entity)[0].ProjectID; got != want {
				t.Errorf("%s: project %q, want %q", entity.EntityKind(), got, want)
			}
		}
	}
}
