// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

const restored = "50000000-0000-4000-8000-000000000000"

func withAnnotation[T client.Object](obj T, name, value string) T {
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	obj.SetAnnotations(annotations)
	return obj
}

func securing(edit func(*v1alpha1.Security)) *v1alpha1.Organization {
	return acme(func(o *v1alpha1.Organization) {
		o.Spec.Security = &v1alpha1.Security{}
		edit(o.Spec.Security)
	})
}

func limited(quotas v1alpha1.Quotas) *v1alpha1.Organization {
	return acme(func(o *v1alpha1.Organization) { o.Spec.Quotas = &quotas })
}

func at(hours int) *metav1.Time {
	return ptr.To(metav1.NewTime(noon.Add(time.Duration(hours) * time.Hour)))
}

// A rule of admission, each with what breaks it and what does not.
func TestRules(t *testing.T) {
	most := securing(func(s *v1alpha1.Security) { s.MaxAPIKeyLifetime = "100h" })
	expiring := func(hours int, edits ...func(*v1alpha1.APIKey)) *v1alpha1.APIKey {
		return keyIn("shop", "ci", append([]func(*v1alpha1.APIKey){func(k *v1alpha1.APIKey) { k.Spec.ExpiresAt = at(hours) }}, edits...)...)
	}
	rotating := func(every, overlap v1alpha1.Duration) *v1alpha1.APIKey {
		return keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.Rotation = &v1alpha1.Rotation{Every: every, Overlap: overlap} })
	}
	described := func(k *v1alpha1.APIKey) *v1alpha1.APIKey {
		return edited(k.DeepCopy(), func(k *v1alpha1.APIKey) { k.Spec.Description = "used by CI" })
	}
	ruleOf := func(scope v1alpha1.RuleScope, sets ...v1alpha1.PermissionSetName) v1alpha1.PolicyRule {
		rule := v1alpha1.PolicyRule{PermissionSets: sets, Scope: scope}
		if scope == v1alpha1.ScopeProjects {
			rule.ProjectRefs = []v1alpha1.ProjectRef{{Name: "default"}}
		}
		return rule
	}
	conditioned := func(condition string) v1alpha1.PolicyRule {
		rule := ruleOf(v1alpha1.ScopeOrganization, "Shop")
		rule.Condition = condition
		return rule
	}
	sets := []client.Object{setOf("Shop", v1alpha1.ScopeTypeProjects), setOf("Staff", v1alpha1.ScopeTypeOrganization)}
	for name, test := range map[string]struct {
		world    []client.Object
		obj, old declared.Object
		says     []string // none: admitted
	}{
		"a rule that the object alone tells": {obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Email = "maya@localhost" }), says: []string{"spec.email", "no complete domain"}},
		"a slip in an annotation":            {obj: withAnnotation(expiring(1), v1alpha1.RotateAtAnnotation, "tomorrow"), says: []string{"metadata.annotations[iam-operator.dev/rotate-at]"}},

		"the owner's e-mail as username":                       {world: []client.Object{acme()}, obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "Owner@acme.example" }), says: []string{"spec.username", "owner"}},
		"the owner's e-mail as e-mail":                         {world: []client.Object{acme()}, obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Email = "owner@acme.example" })},
		"the e-mail of the owner of an Organization of others": {world: []client.Object{acme()}, obj: memberIn("wild", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "owner@acme.example" })},
		"a username while there is no Organization":            {obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "owner@acme.example" })},

		"an id at creation":                 {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored)},
		"an id that is none":                {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, "42"), says: []string{"metadata.annotations[iam-operator.dev/id]", "a UUID in lower case"}},
		"an id that comes late":             {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored), old: memberIn("shop", "maya"), says: []string{"metadata.annotations[iam-operator.dev/id]", "restored at creation only", "delete the object and create it again"}},
		"another id":                        {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored), old: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, "60000000-0000-4000-8000-000000000000"), says: []string{"restored at creation only"}},
		"the id that the object has anyway": {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, "20000000-0000-4000-8000-000000000000"), old: memberIn("shop", "maya")},
		"an id that stays":                  {obj: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored), old: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored)},
		"an id that is removed":             {obj: memberIn("shop", "maya"), old: withAnnotation(memberIn("shop", "maya"), v1alpha1.IDAnnotation, restored)},

		"a condition that does not compile":          {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeOrganization, "Shop"), conditioned("request.ip ==")), says: []string{"spec.rules[1].condition", "line 1, column 14", "Syntax error: mismatched input '<EOF>'"}},
		"a condition that compiles":                  {world: sets, obj: policyIn("shop", "p", conditioned(`request.ip == "10.0.0.1"`))},
		"sets of two scope types":                    {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeOrganization, "Staff", "Shop")), says: []string{"spec.rules[0].permissionSets", "Shop has Projects and Staff has Organization"}},
		"sets of two scope types in a rule each":     {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeOrganization, "Staff"), ruleOf(v1alpha1.ScopeOrganization, "Shop"))},
		"an organization-type set on a Project":      {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeProjects, "Staff")), says: []string{"spec.rules[0].permissionSets[0]", "goes with scope: Organization only"}},
		"a set that is not there":                    {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeProjects, "Late"))},
		"a set in other letters, which is not there": {world: sets, obj: policyIn("shop", "p", ruleOf(v1alpha1.ScopeProjects, "STAFF"))},

		"an owner's key outside of the home":              {world: []client.Object{acme()}, obj: keyIn("shop", "k", func(k *v1alpha1.APIKey) { k.Spec.Bearer = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner} }), says: []string{"spec.bearer.kind", "own namespace only"}},
		"an owner's key at home":                          {world: []client.Object{acme()}, obj: keyIn("home", "k", func(k *v1alpha1.APIKey) { k.Spec.Bearer = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner} })},
		"a key without end under a maximum":               {world: []client.Object{most}, obj: keyIn("shop", "ci"), says: []string{"spec.expiresAt", "require an expiry", "at most 100h"}},
		"a key beyond a maximum":                          {world: []client.Object{most}, obj: expiring(101), says: []string{"spec.expiresAt", "at most 100h from its creation", "2026-03-05T16:00:00Z"}},
		"a key within a maximum":                          {world: []client.Object{most}, obj: expiring(100)},
		"an owner's key beyond a maximum":                 {world: []client.Object{most}, obj: expiringOwner(101), says: []string{"spec.expiresAt"}},
		"a rotation beyond a maximum":                     {world: []client.Object{most}, obj: rotating("90h", "11h"), says: []string{"spec.rotation", "every + overlap, which is 101h"}},
		"a rotation within a maximum":                     {world: []client.Object{most}, obj: rotating("90h", "10h")},
		"a key without end and without maximum":           {world: []client.Object{acme()}, obj: keyIn("shop", "ci")},
		"a key of an Organization yet to come":            {obj: keyIn("shop", "ci")},
		"a key in a namespace of others":                  {world: []client.Object{most}, obj: keyIn("wild", "ci")},
		"a key that is extended within":                   {world: []client.Object{most}, obj: expiring(100), old: expiring(50)},
		"a key that is extended beyond":                   {world: []client.Object{most}, obj: expiring(101), old: expiring(50), says: []string{"spec.expiresAt"}},
		"a key from before, extended":                     {world: []client.Object{most}, obj: expiring(300), old: expiring(200), says: []string{"spec.expiresAt"}},
		"a key from before, described":                    {world: []client.Object{most}, obj: described(expiring(200)), old: expiring(200)},
		"a key from before, shortened":                    {world: []client.Object{most}, obj: expiring(150), old: expiring(200)},
		"an end for a key from before":                    {world: []client.Object{most}, obj: expiring(200), old: keyIn("shop", "ci")},
		"no end any more":                                 {world: []client.Object{most}, obj: keyIn("shop", "ci"), old: expiring(50), says: []string{"require an expiry"}},
		"a rotation from before, described":               {world: []client.Object{most}, obj: described(rotating("200h", "")), old: rotating("200h", "")},
		"a rotation from before, with more of an overlap": {world: []client.Object{most}, obj: rotating("200h", "1h"), old: rotating("200h", ""), says: []string{"spec.rotation"}},
		"a rotation in the place of an end":               {world: []client.Object{most}, obj: rotating("101h", ""), old: expiring(200), says: []string{"spec.rotation"}},
		"an end in the place of a rotation":               {world: []client.Object{most}, obj: expiring(101), old: rotating("50h", ""), says: []string{"spec.expiresAt"}},
		"the same end in other words":                     {world: []client.Object{most}, obj: keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "200h" }), old: expiring(200)},
		"a pair more for a key from before":               {world: []client.Object{most}, obj: withAnnotation(expiring(200), v1alpha1.RotateAtAnnotation, "2026-03-02T00:00:00Z"), old: expiring(200), says: []string{"spec.expiresAt"}},

		"beyond a quota":                            {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](1)}), another(memberIn("home", "tom"))}, obj: memberIn("shop", "maya"), says: []string{"quota members: 1 of 1 used; raise spec.quotas.members of Organization acme or delete one"}},
		"within a quota":                            {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](2)}), another(memberIn("home", "tom"))}, obj: memberIn("shop", "maya")},
		"a quota of another kind":                   {world: []client.Object{limited(v1alpha1.Quotas{Groups: ptr.To[int32](0)})}, obj: memberIn("shop", "maya")},
		"a quota of nothing":                        {world: []client.Object{limited(v1alpha1.Quotas{APIKeys: ptr.To[int32](0)})}, obj: keyIn("shop", "ci"), says: []string{"quota apiKeys: 0 of 0 used"}},
		"an update beyond a quota":                  {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](0)})}, obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.FirstName = "Maya" }), old: memberIn("shop", "maya")},
		"a quota that strangers seem to use up":     {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](1)}), another(memberIn("wild", "eve"))}, obj: memberIn("shop", "maya")},
		"a quota that is freed":                     {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](1)}), going(another(memberIn("shop", "tom")))}, obj: memberIn("shop", "maya")},
		"the quota of an Organization of others":    {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](0)})}, obj: memberIn("wild", "maya")},
		"a quota, and the objects of another of it": {world: []client.Object{limited(v1alpha1.Quotas{Members: ptr.To[int32](1)}), another(memberIn("home", "tom", func(m *v1alpha1.Member) { m.Spec.OrganizationRef.Name = "other" }))}, obj: memberIn("shop", "maya")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.world...)
			answer := b.Handle(t.Context(), requestTo(t, test.obj, test.old))
			if len(test.says) == 0 {
				mustAllow(t, answer)
				return
			}
			mustRefuse(t, answer, http.StatusUnprocessableEntity, test.says...)
		})
	}
}

func expiringOwner(hours int) *v1alpha1.APIKey {
	return keyIn("home", "k", func(k *v1alpha1.APIKey) {
		k.Spec.Bearer, k.Spec.ExpiresAt = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}, at(hours)
	})
}

// going gives an object that is being deleted.
func going[T client.Object](obj T) T {
	obj.SetDeletionTimestamp(at(0))
	obj.SetFinalizers([]string{v1alpha1.Finalizer})
	return obj
}

// Each kind that an Organization can limit is limited.
func TestQuotaOfEachKind(t *testing.T) {
	zero := ptr.To[int32](0)
	all := limited(v1alpha1.Quotas{Members: zero, Applications: zero, Groups: zero, Policies: zero, APIKeys: zero, Projects: zero, SSHKeys: zero})
	for kind, of := range quotaKinds() {
		if limit := of.limit(all.Spec.Quotas); limit == nil {
			t.Errorf("%s has no quota", kind)
		}
		b := newBench(t, all)
		obj := newObject(kind)
		obj.SetNamespace("home")
		setOrganization(t, obj, acmeRef)
		errs, err := b.quotaErrors(t.Context(), &attempt{Attempt: Attempt{Object: obj}, kind: kind}, all)
		want := fmt.Sprintf("quota %s: 0 of 0 used; raise spec.quotas.%s of Organization acme or delete one", of.field, of.field)
		if err != nil || len(errs) != 1 || errs[0].Detail != want {
			t.Errorf("%s beyond its quota is answered by %v, %v", kind, errs, err)
		}
		if _, known := any(of.list).(client.ObjectList); !known || !strings.HasSuffix(fmt.Sprintf("%T", of.list), string(kind)+"List") {
			t.Errorf("%s is counted in a %T", kind, of.list)
		}
	}
	if got, want := len(quotaKinds()), 7; got != want {
		t.Errorf("%d kinds have quotas, want %d", got, want)
	}
}

func setOrganization(t *testing.T, obj declared.Object, ref v1alpha1.OrganizationRef) {
	t.Helper()
	switch obj := obj.(type) {
	case *v1alpha1.Member:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.Application:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.Group:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.Policy:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.APIKey:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.Project:
		obj.Spec.OrganizationRef = ref
	case *v1alpha1.SSHKey:
		obj.Spec.OrganizationRef = ref
	default:
		t.Fatalf("%T belongs to no Organization", obj)
	}
}

// Whatever of the nine kinds comes, empty or not, is judged and not met by a panic.
func TestEveryKindIsJudged(t *testing.T) {
	for _, kind := range append(iam.Kinds(), "Robot") {
		obj := newObject(kind)
		if obj == nil {
			if kind != "Robot" {
				t.Errorf("%s is not known", kind)
			}
			continue
		}
		b := newBench(t, acme())
		obj.SetNamespace("home")
		answer := b.Handle(t.Context(), requestTo(t, obj, nil))
		if !answer.Allowed && answer.Result.Code == http.StatusInternalServerError {
			t.Errorf("an empty %s is answered by %s", kind, answer.Result.Message)
		}
	}
}
