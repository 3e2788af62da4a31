// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

// setsRule is a rule over a Project, or over the Organization where there is none.
func setsRule(project string, sets ...v1alpha1.PermissionSetName) v1alpha1.PolicyRule {
	if project == "" {
		return v1alpha1.PolicyRule{PermissionSets: sets, Scope: v1alpha1.ScopeOrganization}
	}
	return v1alpha1.PolicyRule{
		PermissionSets: sets, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: v1alpha1.ObjectName(project)}},
	}
}

func withCondition(rule v1alpha1.PolicyRule, condition string) v1alpha1.PolicyRule {
	rule.Condition = condition
	return rule
}

// edited gives an object after an edit.
func edited[T client.Object](obj T, edit func(T)) T {
	edit(obj)
	return obj
}

// A breach of the schema, or of a rule about fields that go together, never gets into the
// cluster, and the answer names the field and the rule in words.
func TestBadInputOfTheSchemaIsRefused(t *testing.T) {
	ns := newNamespace(t, nil)
	o := organization(ns, "acme")
	owner := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	for name, test := range map[string]struct {
		obj  client.Object
		says []string
	}{
		"a selector without from: Selector": {
			edited(organization(ns, "x"), func(o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll, Selector: selects("a", "b")}
			}), []string{"spec.allowedNamespaces", "selector goes with from: Selector"},
		},
		"an alias with capitals": {
			edited(organization(ns, "x"), func(o *v1alpha1.Organization) { o.Spec.Alias = "Acme" }),
			[]string{"spec.alias", "lower case letters and digits only"},
		},
		"a Project called default": {project(o, ns, "default"), []string{"which every Organization has without an object; choose another name"}},
		"a Member without a username": {
			edited(member(o, ns, "x1"), func(m *v1alpha1.Member) { m.Spec.Username = "" }),
			[]string{"spec.username", "username is required, except for a Guest"},
		},
		"a reserved username": {
			edited(member(o, ns, "x1"), func(m *v1alpha1.Member) { m.Spec.Username = "Root" }),
			[]string{"spec.username", "owner, root and scaleway are reserved usernames"},
		},
		"a password from two places": {
			edited(member(o, ns, "x1"), func(m *v1alpha1.Member) {
				m.Spec.Password = &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "a", Key: "b"}, Generate: &v1alpha1.GeneratedPassword{SecretName: "c"}}
			}), []string{"spec.password", "exactly one of secretRef and generate must be set"},
		},
		"members of a dynamic Group": {
			edited(group(o, ns, "x", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "maya"}), func(g *v1alpha1.Group) {
				g.Spec.Membership = v1alpha1.MembershipAllUsers
			}), []string{"spec.members", "members are listed only with membership: Declared"},
		},
		"the Owner by name": {
			apiKey(o, ns, "x", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner, Name: "ada"}), []string{"spec.bearer", "the Owner has none"},
		},
		"two ends of a key": {
			edited(apiKey(o, ns, "x", owner), func(k *v1alpha1.APIKey) {
				k.Spec.ExpiresIn, k.Spec.Rotation = "72h", &v1alpha1.Rotation{Every: "72h"}
			}), []string{"spec", "at most one of expiresAt, expiresIn and rotation may be set"},
		},
		"an overlap as long as the rotation": {
			edited(apiKey(o, ns, "x", owner), func(k *v1alpha1.APIKey) {
				k.Spec.Rotation = &v1alpha1.Rotation{Every: "72h", Overlap: "72h"}
			}), []string{"spec.rotation", "overlap must be shorter than every"},
		},
		"scope Projects without a Project": {
			policy(o, ns, "x", nil, v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeProjects}),
			[]string{"spec.rules[0]", "projectRefs go with scope: Projects"},
		},
		"a condition of 2049 characters": {
			policy(o, ns, "x", nil, withCondition(setsRule("", "IAMReadOnly"), strings.Repeat("x", 2049))), []string{"spec.rules[0].condition", "Too long", "2048"},
		},
		"a permission set under another name": {
			edited(customSet("Shop", v1alpha1.ScopeTypeProjects, "shop:order:read"), func(s *v1alpha1.PermissionSet) { s.Name = "market" }),
			[]string{"metadata.name must be spec.name in lower case"},
		},
		"half a permission": {
			customSet("Shop", v1alpha1.ScopeTypeProjects, "shop:read"), []string{"spec.permissions[0]", "must be service:resource:action"},
		},
		"a state that there is not": {
			edited(sshKey(o, ns, "x", "web"), func(k *v1alpha1.SSHKey) { k.Spec.State = "Maybe" }), []string{"spec.state", `"Enabled", "Disabled"`},
		},
		"a public key of 65001 characters": {
			edited(sshKey(o, ns, "x", "web"), func(k *v1alpha1.SSHKey) { k.Spec.PublicKey = strings.Repeat("x", 65001) }), []string{"spec.publicKey", "Too long"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := admin.Create(t.Context(), test.obj)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("the API server answers %v", err)
			}
			for _, words := range test.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("the answer does not say %q: %v", words, err)
				}
			}
		})
	}
}

// What the schema lets in and can't work is told in the status: which field, what is wrong
// with it, what would do. Nothing is tried again until the spec changes.
func TestBadInputOfTheSpecIsTold(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	o, ns := w.organization, w.home
	create(t, project(o, ns, "web"))
	policyOf := func(rules ...v1alpha1.PolicyRule) controllers.Object { return policy(o, ns, "bad", nil, rules...) }
	const privateHalf = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
	for name, test := range map[string]struct {
		obj  controllers.Object
		says []string
	}{
		"a condition that is cut short": {
			policyOf(withCondition(setsRule("", "IAMReadOnly"), `request.ip ==`)),
			[]string{"spec.rules[0].condition", "line 1, column 14", "Syntax error: mismatched input '<EOF>'"},
		},
		"a condition that is wrong on its second line": {
			policyOf(setsRule("", "IAMReadOnly"), withCondition(setsRule("", "IAMReadOnly"), "request.ip == \"10.0.0.1\" &&\n  request.agent == \"x\"")),
			[]string{"spec.rules[1].condition", "line 2, column 10", "undefined field 'agent'"},
		},
		"a condition that is no yes or no": {
			policyOf(withCondition(setsRule("", "IAMReadOnly"), "request.ip")), []string{"line 1, column 8", "expected type 'bool' but found 'string'"},
		},
		"sets of different scope types": {
			policyOf(setsRule("", "IAMReadOnly", "InstancesReadOnly")),
			[]string{"spec.rules[0].permissionSets", "InstancesReadOnly has Projects and IAMReadOnly has Organization", "write a rule for each"},
		},
		"a set about the Organization on a Project": {
			policyOf(setsRule("web", "IAMReadOnly")),
			[]string{"spec.rules[0].permissionSets[0]", "scope type is Organization, which goes with scope: Organization only"},
		},
		"an e-mail address of no domain": {
			edited(member(o, ns, "bad"), func(m *v1alpha1.Member) { m.Spec.Email = "maya@localhost" }),
			[]string{"spec.email", "no complete domain", "maya@acme.example"},
		},
		"the owner's e-mail as username": {
			edited(member(o, ns, "bad"), func(m *v1alpha1.Member) { m.Spec.Username = "OWNER@acme.example" }),
			[]string{"spec.username", "choose another username"},
		},
		"options before an SSH key": {
			edited(sshKey(o, ns, "bad", "web"), func(k *v1alpha1.SSHKey) { k.Spec.PublicKey = `command="sh" ` + k.Spec.PublicKey }),
			[]string{"spec.publicKey", "options before the key, such as command= or from=, are not accepted"},
		},
		"the private half of an SSH key": {
			edited(sshKey(o, ns, "bad", "web"), func(k *v1alpha1.SSHKey) {
				k.Spec.PublicKey = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + privateHalf + "\n-----END OPENSSH PRIVATE KEY-----"
			}), []string{"spec.publicKey", "take the line of the .pub file"},
		},
		"a second line after an SSH key": {
			edited(sshKey(o, ns, "bad", "web"), func(k *v1alpha1.SSHKey) { k.Spec.PublicKey += "\nssh-ed25519 AAAA" }),
			[]string{"spec.publicKey", "a public key is one line"},
		},
		"a label that is none": {
			edited(apiKey(o, ns, "bad", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}), func(k *v1alpha1.APIKey) {
				k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]string{"team": "-web-"}}
			}), []string{"spec.secretTemplate.labels[team]"},
		},
		"an id that is none": {
			edited(group(o, ns, "bad"), func(g *v1alpha1.Group) { g.Annotations = map[string]string{v1alpha1.IDAnnotation: "42"} }),
			[]string{"metadata.annotations[iam-operator.dev/id]", "a UUID in lower case"},
		},
		"a permission on what is the Organization's": {
			customSet("Bad"+alias(ns), v1alpha1.ScopeTypeProjects, "billing:invoice:read"), []string{"spec.permissions[0]", "only a set of scope type Organization may name it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			create(t, test.obj)
			t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), test.obj)) })
			condition := awaitCondition(t, test.obj, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
			for _, words := range test.says {
				if !strings.Contains(condition.Message, words) {
					t.Errorf("the status does not say %q: %s", words, condition.Message)
				}
			}
			if strings.Contains(condition.Message, privateHalf) {
				t.Error("the status repeats a private key")
			}
			remove(t, test.obj)
		})
	}
}

// What refers to nothing is admitted and waits, says for what, and goes on by itself when
// that appears.
func TestBadInputReferencesToNothingWait(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	o, ns := w.organization, w.home
	create(t, project(o, ns, "there"))
	late := customSet("Late"+alias(ns), v1alpha1.ScopeTypeProjects, "shop:order:read")
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), late)) })
	other := organization(ns, "other")
	for name, test := range map[string]struct {
		obj, lacks controllers.Object
		names      string
	}{
		"an Organization":             {obj: project(other, ns, "a"), lacks: other, names: "Organization other not found"},
		"a member of a Group":         {obj: group(o, ns, "b", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "bea"}), lacks: member(o, ns, "bea"), names: "Member bea not found"},
		"a Group that is joined":      {obj: edited(member(o, ns, "cleo"), func(m *v1alpha1.Member) { m.Spec.Groups = []v1alpha1.GroupRef{{Name: "c"}} }), lacks: group(o, ns, "c"), names: "Group c not found"},
		"the bearer of a key":         {obj: apiKey(o, ns, "d", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "d"}), lacks: application(o, ns, "d"), names: "Application d not found"},
		"the Project of a key":        {obj: edited(apiKey(o, ns, "e", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}), func(k *v1alpha1.APIKey) { k.Spec.DefaultProjectRef = &v1alpha1.ProjectRef{Name: "e"} }), lacks: project(o, ns, "e"), names: "Project e not found"},
		"the principal of a policy":   {obj: policy(o, ns, "f", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "f"}), lacks: group(o, ns, "f"), names: "Group f not found"},
		"a Project of a policy":       {obj: policy(o, ns, "g", nil, setsRule("there", "InstancesReadOnly"), setsRule("g", "InstancesReadOnly")), lacks: project(o, ns, "g"), names: "spec.rules[1]: Project g not found"},
		"a permission set":            {obj: policy(o, ns, "h", nil, setsRule("there", late.Spec.Name)), lacks: late, names: "spec.rules[0]: PermissionSet " + string(late.Spec.Name) + " not found"},
		"the Project of an SSH key":   {obj: sshKey(o, ns, "i", "i"), lacks: project(o, ns, "i"), names: "Project i not found"},
		"an application in a Group":   {obj: group(o, ns, "j", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: "j"}), lacks: application(o, ns, "j"), names: "Application j not found"},
		"a Group in an application's": {obj: edited(application(o, ns, "k"), func(a *v1alpha1.Application) { a.Spec.Groups = []v1alpha1.GroupRef{{Name: "k"}} }), lacks: group(o, ns, "k"), names: "Group k not found"},
	} {
		t.Run(name, func(t *testing.T) {
			create(t, test.obj)
			if condition := awaitReason(t, test.obj, v1alpha1.ReasonReferenceNotFound); !strings.Contains(condition.Message, test.names) {
				t.Errorf("the status does not say %q: %s", test.names, condition.Message)
			}
			create(t, test.lacks)
			awaitReady(t, test.lacks, test.obj)
		})
	}
	misspelt := policy(o, ns, "misspelt", nil, setsRule("there", "instancesReadOnly"))
	create(t, misspelt)
	awaitReason(t, misspelt, v1alpha1.ReasonReferenceNotFound)
	change(t, misspelt, func(p *v1alpha1.Policy) { p.Spec.Rules[0].PermissionSets[0] = "InstancesReadOnly" })
	awaitReady(t, misspelt)
}

// Of two that claim one name the holder keeps it; the other waits, and has it when it is
// freed.
func TestBadInputContestedNamesWait(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 0)
	o, ns := w.organization, w.home
	owner := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	robots := func(name string) *v1alpha1.Application {
		return edited(application(o, ns, name), func(a *v1alpha1.Application) { a.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "robot"}} })
	}
	aliased := func(namespace string) *v1alpha1.Organization {
		return edited(organization(namespace, "aliased"), func(o *v1alpha1.Organization) { o.Spec.Alias = "x" + alias(ns)[2:] })
	}
	inSecret := func(name, secret string) *v1alpha1.APIKey {
		return edited(apiKey(o, ns, name, owner), func(k *v1alpha1.APIKey) { k.Spec.SecretName = secret })
	}
	for name, test := range map[string]struct {
		holder, other controllers.Object
		names         string
	}{
		"a username":           {member(o, ns, "maya"), edited(member(o, w.guest, "rival"), func(m *v1alpha1.Member) { m.Spec.Username = "Maya" }), `spec.username "Maya"`},
		"an alias":             {aliased(ns), aliased(w.guest), "spec.alias"},
		"a ServiceAccount":     {robots("first"), robots("second"), `ServiceAccount "robot"`},
		"a Secret":             {inSecret("a", "same"), inSecret("b", "same"), `Secret "same"`},
		"a Secret yet to come": {inSecret("c", "next"), inSecret("d", "next-retiring"), `Secret "next-retiring"`},
	} {
		t.Run(name, func(t *testing.T) {
			create(t, test.holder)
			awaitReady(t, test.holder)
			create(t, test.other)
			condition := awaitReason(t, test.other, v1alpha1.ReasonConflict)
			if !strings.Contains(condition.Message, test.names) || strings.Contains(condition.Message, test.holder.GetName()+" ") {
				t.Errorf("the status is to name %s, and not who holds it: %s", test.names, condition.Message)
			}
			awaitReady(t, test.holder)
			remove(t, test.holder)
			awaitReady(t, test.other)
		})
	}
}

// managedSets gives the names of so many built-in sets of a scope type.
func managedSets(t *testing.T, scopeType v1alpha1.PermissionSetScopeType, count int) []v1alpha1.PermissionSetName {
	t.Helper()
	var names []v1alpha1.PermissionSetName
	eventually(t, fmt.Sprintf("%d permission sets", count), func(ctx context.Context) (bool, string) {
		list := &v1alpha1.PermissionSetList{}
		if err := admin.List(ctx, list, client.MatchingLabels{v1alpha1.ManagedLabel: "true"}); err != nil {
			return false, err.Error()
		}
		names = nil
		for _, set := range list.Items {
			if set.Spec.ScopeType == scopeType {
				names = append(names, set.Spec.Name)
			}
		}
		return len(names) >= count, fmt.Sprintf("%d", len(names))
	})
	slices.Sort(names)
	return names[:count]
}
