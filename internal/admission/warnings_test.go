// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

func groupIn(namespace, name string, edits ...func(*v1alpha1.Group)) *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: in(namespace, name), Spec: v1alpha1.GroupSpec{OrganizationRef: acmeRef}}
	for _, edit := range edits {
		edit(g)
	}
	return g
}

func projectIn(namespace, name string) *v1alpha1.Project {
	return &v1alpha1.Project{ObjectMeta: in(namespace, name), Spec: v1alpha1.ProjectSpec{OrganizationRef: acmeRef}}
}

func applicationIn(namespace, name string, groups ...v1alpha1.GroupRef) *v1alpha1.Application {
	return &v1alpha1.Application{ObjectMeta: in(namespace, name), Spec: v1alpha1.ApplicationSpec{OrganizationRef: acmeRef, Groups: groups}}
}

func joining(groups ...v1alpha1.GroupRef) *v1alpha1.Member {
	return memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Groups = groups })
}

// elsewhere gives an object of another Organization.
func elsewhere(g *v1alpha1.Group) *v1alpha1.Group {
	g.Spec.OrganizationRef = v1alpha1.OrganizationRef{Name: "other", Namespace: "home"}
	return g
}

func knownAs(users ...v1alpha1.UserName) func(*v1alpha1.Member) {
	return func(m *v1alpha1.Member) { m.Spec.KubernetesUsers = users }
}

// What is admitted, and yet will not do what its author may think, is warned of.
func TestWarnings(t *testing.T) {
	granting := func(rule v1alpha1.PolicyRule) *v1alpha1.Policy {
		p := policyIn("shop", "p", rule)
		p.Spec.Principal = &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers"}
		return p
	}
	lowered := func(most v1alpha1.Duration) *v1alpha1.Organization {
		return securing(func(s *v1alpha1.Security) { s.MaxAPIKeyLifetime = most })
	}
	rotating := another(keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"} }))
	guest := memberIn("shop", "gus", func(m *v1alpha1.Member) { m.Spec.Type, m.Spec.Username = v1alpha1.TypeGuest, "" })
	orphan := func(namespace string) *v1alpha1.Member {
		return memberIn("shop", "maya", func(m *v1alpha1.Member) {
			m.Spec.OrganizationRef = v1alpha1.OrganizationRef{Name: "late", Namespace: v1alpha1.NamespaceName(namespace)}
		})
	}
	for name, test := range map[string]struct {
		world    []client.Object
		obj, old declared.Object
		warnings []string
	}{
		"nothing to warn of":                       {world: []client.Object{acme()}, obj: memberIn("shop", "maya")},
		"an Organization of the namespace to come": {obj: orphan(""), warnings: []string{"spec.organizationRef: Organization late not found in namespace shop; the object counts once there is one"}},
		"an Organization elsewhere to come":        {obj: orphan("home"), warnings: []string{"spec.organizationRef: Organization late in namespace home does not exist, or does not admit namespace shop in its spec.allowedNamespaces; the object counts once it does"}},
		"an Organization that does not admit the namespace": {world: []client.Object{acme()}, obj: memberIn("wild", "maya"), warnings: []string{
			"spec.organizationRef: Organization acme in namespace home does not exist, or does not admit namespace wild in its spec.allowedNamespaces; the object counts once it does"}},
		"a group to come":                           {world: []client.Object{acme()}, obj: joining(v1alpha1.GroupRef{Name: "late"}), warnings: []string{"spec.groups[0]: Group late not found in namespace shop of this Organization; it counts once there is one"}},
		"a group that is there":                     {world: []client.Object{acme(), groupIn("home", "ops")}, obj: joining(v1alpha1.GroupRef{Name: "ops", Namespace: "home"})},
		"a group of another Organization":           {world: []client.Object{acme(), elsewhere(groupIn("home", "ops"))}, obj: joining(v1alpha1.GroupRef{Name: "ops", Namespace: "home"}), warnings: []string{"spec.groups[0]: Group ops not found in namespace home of this Organization; it counts once there is one"}},
		"a group of a namespace that does not join": {world: []client.Object{acme(), groupIn("wild", "ops")}, obj: joining(v1alpha1.GroupRef{Name: "ops", Namespace: "wild"}), warnings: []string{"spec.groups[0]: Group ops not found in namespace wild of this Organization; it counts once there is one"}},
		"a group on its way out":                    {world: []client.Object{acme(), going(groupIn("shop", "ops"))}, obj: joining(v1alpha1.GroupRef{Name: "ops"}), warnings: []string{"spec.groups[0]: Group ops not found in namespace shop of this Organization; it counts once there is one"}},
		"a group of an Application":                 {world: []client.Object{acme()}, obj: applicationIn("shop", "ci", v1alpha1.GroupRef{Name: "late"}), warnings: []string{"spec.groups[0]: Group late not found in namespace shop of this Organization; it counts once there is one"}},
		"members of a group": {world: []client.Object{acme(), memberIn("shop", "maya")}, obj: groupIn("shop", "ops", func(g *v1alpha1.Group) {
			g.Spec.Members = []v1alpha1.GroupMember{{Kind: v1alpha1.GroupMemberMember, Name: "maya"}, {Kind: v1alpha1.GroupMemberApplication, Name: "bot"}}
		}), warnings: []string{"spec.members[1]: Application bot not found in namespace shop of this Organization; it counts once there is one"}},
		"the bearer and the Project of a key": {world: []client.Object{acme()}, obj: keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.DefaultProjectRef = &v1alpha1.ProjectRef{Name: "web"} }), warnings: []string{
			"spec.bearer: Application ci not found in namespace shop of this Organization; it counts once there is one",
			"spec.defaultProjectRef: Project web not found in namespace shop of this Organization; it counts once there is one"}},
		"the default Project of a key": {world: []client.Object{acme(), applicationIn("shop", "ci")}, obj: keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.DefaultProjectRef = &v1alpha1.ProjectRef{Name: "default"} })},
		"the owner as bearer":          {world: []client.Object{acme()}, obj: keyIn("home", "ci", func(k *v1alpha1.APIKey) { k.Spec.Bearer = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner} })},
		"the Project of an SSH key": {world: []client.Object{acme()}, obj: &v1alpha1.SSHKey{ObjectMeta: in("shop", "laptop"), Spec: v1alpha1.SSHKeySpec{
			OrganizationRef: acmeRef, ProjectRef: v1alpha1.ProjectRef{Name: "web", Namespace: "home"}, PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWx0LWZvci10ZXN0cywgbm9ib2R5IGhhcyB0aGlz"}},
			warnings: []string{"spec.projectRef: Project web not found in namespace home of this Organization; it counts once there is one"}},
		"all that a policy names": {world: []client.Object{acme(), projectIn("shop", "web")}, obj: granting(v1alpha1.PolicyRule{
			PermissionSets: []v1alpha1.PermissionSetName{"Late"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}, {Name: "late"}, {Name: "default"}},
		}), warnings: []string{
			"spec.principal: Group deployers not found in namespace shop of this Organization; it counts once there is one",
			"spec.rules[0].permissionSets[0]: PermissionSet Late not found; it is granted once there is one",
			"spec.rules[0].projectRefs[1]: Project late not found in namespace shop of this Organization; it counts once there is one"}},
		"a permission set in other letters": {world: []client.Object{acme(), setOf("Shop", v1alpha1.ScopeTypeProjects)}, obj: policyIn("shop", "p", v1alpha1.PolicyRule{
			PermissionSets: []v1alpha1.PermissionSetName{"SHOP"}, Scope: v1alpha1.ScopeOrganization}), warnings: []string{"spec.rules[0].permissionSets[0]: PermissionSet SHOP not found; it is granted once there is one"}},
		"more than anybody reads": {world: []client.Object{acme()}, obj: joining(slices.Repeat([]v1alpha1.GroupRef{{Name: "late"}}, 9)...), warnings: fiveGroups()},

		"a username that another has":              {world: []client.Object{acme(), another(memberIn("home", "maya"))}, obj: memberIn("shop", "m", func(m *v1alpha1.Member) { m.Spec.Username = "MAYA" }), warnings: []string{`spec.username: "MAYA" is held by another object; choose another, or wait until it is freed`}},
		"a username that a stranger has":           {world: []client.Object{acme(), another(memberIn("wild", "maya"))}, obj: memberIn("shop", "m", func(m *v1alpha1.Member) { m.Spec.Username = "maya" })},
		"a username that is freed":                 {world: []client.Object{acme(), going(another(memberIn("home", "maya")))}, obj: memberIn("shop", "m", func(m *v1alpha1.Member) { m.Spec.Username = "maya" })},
		"its own username":                         {world: []client.Object{acme(), memberIn("shop", "maya")}, obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.FirstName = "Maya" }), old: memberIn("shop", "maya")},
		"a Kubernetes user of another":             {world: []client.Object{acme(), another(memberIn("home", "tom", knownAs("m@corp")))}, obj: memberIn("shop", "maya", knownAs("x@corp", "m@corp")), warnings: []string{`spec.kubernetesUsers[1]: another of this Organization claims "m@corp" too, so that audit events name neither; remove it from one`}},
		"a Kubernetes user of the owner":           {world: []client.Object{acme(func(o *v1alpha1.Organization) { o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{"o@corp"} })}, obj: memberIn("shop", "maya", knownAs("o@corp")), warnings: []string{`spec.kubernetesUsers[0]: another of this Organization claims "o@corp" too, so that audit events name neither; remove it from one`}},
		"an owner's Kubernetes user of a Member's": {world: []client.Object{another(memberIn("home", "tom", knownAs("o@corp")))}, obj: acme(func(o *v1alpha1.Organization) { o.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{"o@corp"} }), warnings: []string{`spec.owner.kubernetesUsers[0]: another of this Organization claims "o@corp" too, so that audit events name neither; remove it from one`}},
		"a Kubernetes user of a stranger":          {world: []client.Object{acme(), another(memberIn("wild", "eve", knownAs("m@corp")))}, obj: memberIn("shop", "maya", knownAs("m@corp"))},

		"a Guest":            {world: []client.Object{acme()}, obj: guest, warnings: []string{"spec.type: Guest is deprecated: declare a Member, with a username, instead; it may have the same e-mail in several Organizations"}},
		"a Guest once more":  {world: []client.Object{acme()}, obj: edited(guest.DeepCopy(), func(m *v1alpha1.Member) { m.Spec.Tags = []v1alpha1.Tag{"x"} }), old: guest},
		"a built-in set":     {obj: edited(setOf("InstancesReadOnly", v1alpha1.ScopeTypeProjects), func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = []v1alpha1.Permission{"instance:*:read"} }), warnings: []string{"PermissionSet InstancesReadOnly is built in, and the operator puts it back as it is documented; create another set"}},
		"a lowered maximum":  {world: []client.Object{rotating}, obj: lowered("100h"), old: acme(), warnings: []string{"spec.security.maxAPIKeyLifetime: API keys that rotate less often than this allows: 1. Each keeps the pair in force until its end, and gets no other; shorten their spec.rotation"}},
		"a maximum for all":  {world: []client.Object{rotating}, obj: lowered("1000h"), old: acme()},
		"a raised maximum":   {world: []client.Object{rotating}, obj: lowered("100h"), old: lowered("50h")},
		"a maximum at first": {world: []client.Object{rotating}, obj: lowered("100h")},
	} {
		t.Run(name, func(t *testing.T) {
			answer := newBench(t, test.world...).Handle(t.Context(), requestTo(t, test.obj, test.old))
			mustAllow(t, answer)
			if !slices.Equal(answer.Warnings, test.warnings) {
				t.Errorf("warned of\n%s\nwant\n%s", strings.Join(answer.Warnings, "\n"), strings.Join(test.warnings, "\n"))
			}
			for _, warning := range answer.Warnings {
				if len(warning) > maxWarning {
					t.Errorf("a warning has %d bytes: %s", len(warning), warning)
				}
			}
		})
	}
}

func fiveGroups() []string {
	warnings := make([]string, maxWarnings)
	for i := range warnings {
		warnings[i] = fmt.Sprintf("spec.groups[%d]: Group late not found in namespace shop of this Organization; it counts once there is one", i)
	}
	return warnings
}

// Who is warned, or refused, cannot tell what is missing from what is another's.
func TestNothingTellsWhatExistsElsewhere(t *testing.T) {
	attempts := map[string]declared.Object{
		"a group":           joining(v1alpha1.GroupRef{Name: "ops", Namespace: "wild"}),
		"an Organization":   memberIn("wild", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "owner@acme.example" }),
		"a key":             keyIn("wild", "ci"),
		"a Kubernetes user": memberIn("wild", "maya", knownAs("o@corp")),
	}
	secret := securing(func(s *v1alpha1.Security) { s.MaxAPIKeyLifetime = "1h" })
	secret.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{"o@corp"}
	secret.Spec.Quotas = &v1alpha1.Quotas{Members: new(int32), APIKeys: new(int32)}
	for name, obj := range attempts {
		t.Run(name, func(t *testing.T) {
			var answers []string
			for _, world := range [][]client.Object{
				{another(memberIn("home", "maya", knownAs("o@corp")))},
				{another(memberIn("home", "maya", knownAs("o@corp"))), groupIn("wild", "ops"), secret},
			} {
				if name == "a group" {
					world = append(world[:len(world):len(world)], acme())
					world = slices.DeleteFunc(world, func(obj client.Object) bool { return obj == client.Object(secret) })
				}
				answer := newBench(t, world...).Handle(t.Context(), requestTo(t, obj, nil))
				answers = append(answers, fmt.Sprint(answer.Allowed, answer.Result, answer.Warnings))
			}
			if answers[0] != answers[1] {
				t.Errorf("the answers differ:\n%s\n%s", answers[0], answers[1])
			}
		})
	}
}

func TestShortened(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", maxWarning), strings.Repeat("x", maxWarning+1), strings.Repeat("ü", maxWarning)} {
		got := shortened(text)
		if len(got) > maxWarning || !utf8.ValidString(got) || len(text) <= maxWarning && got != text || len(text) > maxWarning && !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes were shortened to %d: %q", len(text), len(got), got)
		}
	}
}

// A folder that is applied at once is faster than the cache: what the API server has already is not warned of.
func TestWarningsLookTwice(t *testing.T) {
	behind, current := newBench(t), newBench(t, acme(), groupIn("shop", "ops"), setOf("Shop", v1alpha1.ScopeTypeProjects))
	behind.live = current.cache
	m := joining(v1alpha1.GroupRef{Name: "ops"})
	p := policyIn("shop", "p", v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"Shop"}, Scope: v1alpha1.ScopeOrganization})
	for _, obj := range []declared.Object{m, p} {
		answer := behind.Handle(t.Context(), requestTo(t, obj, nil))
		mustAllow(t, answer)
		if len(answer.Warnings) > 0 {
			t.Errorf("warned of what is there: %v", answer.Warnings)
		}
	}
}
