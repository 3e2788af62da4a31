// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// The laws of "only what is newly granted is checked", over policies from a small world, so that they often overlap.

func drawPolicy(t *rapid.T, label string) *v1alpha1.Policy {
	p := guardedPolicy()
	p.Spec.Principal = drawPrincipal(t, label)
	p.Spec.Rules = rapid.SliceOfN(rapid.Custom(drawRule), 0, 4).Draw(t, label+" rules")
	return p
}

func drawPrincipal(t *rapid.T, label string) *v1alpha1.Principal {
	return rapid.SampledFrom([]*v1alpha1.Principal{
		{Kind: v1alpha1.PrincipalGroup, Name: "deployers"},
		{Kind: v1alpha1.PrincipalGroup, Name: "deployers", Namespace: "shop"},
		{Kind: v1alpha1.PrincipalGroup, Name: "deployers", Namespace: "home"},
		{Kind: v1alpha1.PrincipalMember, Name: "deployers"},
		nil,
	}).Draw(t, label+" principal")
}

func drawRule(t *rapid.T) v1alpha1.PolicyRule {
	rule := v1alpha1.PolicyRule{
		PermissionSets: rapid.SliceOfNDistinct(rapid.SampledFrom([]v1alpha1.PermissionSetName{"A", "a", "B", "C"}), 1, 3, rapid.ID).Draw(t, "sets"),
		Scope:          rapid.SampledFrom([]v1alpha1.RuleScope{v1alpha1.ScopeProjects, v1alpha1.ScopeOrganization}).Draw(t, "scope"),
		Condition:      rapid.SampledFrom([]string{"", "true", "false"}).Draw(t, "condition"),
	}
	if rule.Scope == v1alpha1.ScopeProjects {
		rule.ProjectRefs = rapid.SliceOfN(rapid.SampledFrom([]v1alpha1.ProjectRef{
			{Name: "web"}, {Name: "web", Namespace: "shop"}, {Name: "web", Namespace: "attic"}, {Name: "default"}, {Name: "default", Namespace: "attic"},
		}), 1, 3).Draw(t, "projects")
	}
	return rule
}

// rightsFor are the needs as a set of questions.
func rightsFor(t *rapid.T, object, former *v1alpha1.Policy) map[Need]bool {
	f := facts{object: object}
	if former != nil {
		f.former = former
	}
	list, err := needsOf(f)
	if err != nil {
		t.Fatal(err)
	}
	rights := map[Need]bool{}
	for _, need := range list {
		if rights[need.forOne()] {
			t.Fatalf("%s is listed twice", need)
		}
		rights[need.forOne()] = true
	}
	return rights
}

func checkWithin(t *rapid.T, some, all map[Need]bool, what string) {
	for need := range some {
		if !all[need] {
			t.Fatalf("%s: %s", what, need)
		}
	}
}

// What only narrows a policy, or says it in other words, needs nothing.
func TestNarrowingAPolicyNeedsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		former := drawPolicy(t, "former")
		object := former.DeepCopy()
		object.Spec.Description = rapid.String().Draw(t, "description")
		for range rapid.IntRange(0, 4).Draw(t, "edits") {
			if len(object.Spec.Rules) == 0 {
				break
			}
			i := rapid.IntRange(0, len(object.Spec.Rules)-1).Draw(t, "rule")
			rule := &object.Spec.Rules[i]
			switch rapid.SampledFrom([]string{"rule", "set", "project", "principal", "order", "split"}).Draw(t, "edit") {
			case "rule":
				object.Spec.Rules = slices.Delete(object.Spec.Rules, i, i+1)
			case "set":
				rule.PermissionSets = rule.PermissionSets[1:]
			case "project":
				if rule.ProjectRefs != nil {
					rule.ProjectRefs = rule.ProjectRefs[1:]
				}
			case "principal":
				object.Spec.Principal = nil
			case "order":
				object.Spec.Rules = rapid.Permutation(object.Spec.Rules).Draw(t, "order")
			case "split":
				object.Spec.Rules = append(object.Spec.Rules, *rule.DeepCopy())
			}
			if len(rule.PermissionSets) == 0 || rule.Scope == v1alpha1.ScopeProjects && len(rule.ProjectRefs) == 0 {
				break // such a rule grants nothing, and the schema forbids it
			}
		}
		if rights := rightsFor(t, object, former); len(rights) > 0 {
			t.Fatalf("a policy that grants no more needs %v", rights)
		}
	})
}

// A policy that grants more needs no less, and one whose former version granted more needs no more.
func TestNeedsAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object, former := drawPolicy(t, "object"), drawPolicy(t, "former")
		rights := rightsFor(t, object, former)
		checkWithin(t, rights, rightsFor(t, object, nil), "a right that is not needed to create the policy is needed to change it")

		wider := object.DeepCopy()
		wider.Spec.Rules = append(wider.Spec.Rules, drawRule(t))
		checkWithin(t, rights, rightsFor(t, wider, former), "a rule more needs a right less")

		granted := former.DeepCopy()
		granted.Spec.Rules = append(granted.Spec.Rules, drawRule(t))
		checkWithin(t, rightsFor(t, object, granted), rights, "a right is needed because more was granted before")
	})
}

// Whoever may make two changes one after the other may make them at once, and the other way round nothing is gained: no
// detour over a version in between takes fewer rights.
func TestADetourNeedsNoLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		former, between, object := drawPolicy(t, "former"), drawPolicy(t, "between"), drawPolicy(t, "object")
		detour := rightsFor(t, between, former)
		for need := range rightsFor(t, object, between) {
			detour[need] = true
		}
		checkWithin(t, rightsFor(t, object, former), detour, "a detour saves a right")
	})
}

// grantedOnce is one grant in full, as the slow and obvious reading of a policy has it.
type grantedOnce struct {
	principal      principal
	set, condition string
	target         target
}

func grantedBy(p *v1alpha1.Policy) map[grantedOnce]bool {
	grants := map[grantedOnce]bool{}
	if p.Spec.Principal == nil {
		return grants
	}
	lower := map[v1alpha1.PermissionSetName]string{"A": "a", "a": "a", "B": "b", "C": "c"}
	for _, rule := range p.Spec.Rules {
		for _, set := range rule.PermissionSets {
			for _, target := range targetsOf(p, rule) {
				grants[grantedOnce{principalOf(p), lower[set], rule.Condition, target}] = true
			}
		}
	}
	return grants
}

// The needs are those of the grants that are in the new version and were not in the former one, and no others.
func TestNeedsAreThoseOfTheNewGrants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object, former := drawPolicy(t, "object"), drawPolicy(t, "former")
		before, want := grantedBy(former), map[Need]bool{}
		for grant := range grantedBy(object) {
			if !before[grant] {
				on := grant.target
				want[Need{Verb: "bind", Group: "iam-operator.dev", Resource: on.resource, Namespace: on.namespace, Name: on.name}] = true
				want[Need{Verb: "bind", Group: "iam-operator.dev", Resource: "permissionsets", Namespace: on.namespace, Name: grant.set}] = true
			}
		}
		got := rightsFor(t, object, former)
		checkWithin(t, want, got, "a new grant lacks its need")
		checkWithin(t, got, want, "a need has no new grant")
	})
}
