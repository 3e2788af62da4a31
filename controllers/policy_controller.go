// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=policies,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=policies/status,verbs=patch

type policies struct{ *Environment }

func (c policies) sync(ctx context.Context, p *v1alpha1.Policy) (outcome, error) {
	describeRules(p)
	if p.Status.ObservedGeneration != p.Generation || declared.IsHeld(p) {
		p.Status.PrincipalID = "" // What an earlier generation was bound to says nothing of this one.
	}
	tenant, err := c.tenantOf(ctx, p)
	if err != nil {
		p.Status.Effective = false
		return outcome{}, err
	}
	if err := invalid(declared.PolicyErrors(p)); err != nil {
		p.Status.Effective = false
		return outcome{}, err
	}
	principalID, principalFailure, err := c.bind(ctx, tenant, p)
	if err != nil {
		return outcome{}, err
	}
	rules, rulesFailure, err := c.resolveRules(ctx, tenant, p)
	if err != nil {
		return outcome{}, err
	}
	entity := declared.Policy(p, tenant.id, principalID, rules)
	p.Status.Effective = principalID != "" && slices.ContainsFunc(entity.Rules, iam.Rule.Effective)
	return outcome{entities: []iam.Entity{entity}}, worse(principalFailure, rulesFailure)
}

// describeRules counts what the rules name, resolved or not.
func describeRules(p *v1alpha1.Policy) {
	sets, scopes := map[v1alpha1.PermissionSetName]bool{}, map[reference]bool{}
	for _, rule := range p.Spec.Rules {
		for _, name := range rule.PermissionSets {
			sets[name] = true
		}
		if rule.Scope == v1alpha1.ScopeOrganization {
			scopes[reference{}] = true // The Organization as a whole is a scope of its own, which no reference names.
		}
		for _, ref := range rule.ProjectRefs {
			scopes[projectReference(p, ref)] = true
		}
	}
	p.Status.Rules = int32(len(p.Spec.Rules))  //nolint:gosec // bounded by the schema
	p.Status.PermissionSets = int32(len(sets)) //nolint:gosec // bounded by the schema
	p.Status.Scopes = int32(len(scopes))       //nolint:gosec // bounded by the schema
}

// bind finds the principal. Once a generation was bound, a successor of the same name is
// not: somebody must edit the policy, and answer for it.
func (c policies) bind(ctx context.Context, tenant *tenant, p *v1alpha1.Policy) (id string, failure, err error) {
	status := &p.Status
	bound := status.PrincipalID
	if p.Spec.Principal == nil {
		status.PrincipalID = ""
		return "", nil, nil
	}
	ref := principalReference(p)
	principal := newPrincipal(ref.kind)
	found, err := tenant.findOwn(ctx, ref, principal)
	switch {
	case err != nil:
		return "", nil, err
	case bound != "" && (!found || idOf(principal) != bound):
		return "", stalled(v1alpha1.ReasonPrincipalDeleted,
			"%s %s, which this policy was bound to, is gone; the policy grants nothing. Delete it, or edit it to bind it to what has that name now", ref.kind, ref.name), nil
	case !found:
		status.PrincipalID = ""
		return "", waiting(v1alpha1.ReasonReferenceNotFound, "%s", notFound(ref)), nil
	}
	status.PrincipalID = idOf(principal)
	return status.PrincipalID, nil, nil
}

// resolveRules finds what each rule names. A rule that can't work grants nothing, and does
// not stop the others.
func (c policies) resolveRules(ctx context.Context, tenant *tenant, p *v1alpha1.Policy) ([]declared.Rule, error, error) {
	rules := make([]declared.Rule, len(p.Spec.Rules))
	var refused []string
	var absent missing
	for i, rule := range p.Spec.Rules {
		path := declared.RulePath(i)
		scopeTypes := map[string]iam.ScopeType{}
		for _, name := range rule.PermissionSets {
			set, err := c.permissionSet(ctx, name)
			if err != nil {
				return nil, nil, err
			}
			if set == nil {
				absent = append(absent, path.String()+": PermissionSet "+string(name)+" not found, or not valid")
				continue
			}
			scopeTypes[strings.ToLower(string(name))] = iam.ScopeType(set.Spec.ScopeType)
			rules[i].PermissionSets = append(rules[i].PermissionSets, string(name))
		}
		for _, ref := range rule.ProjectRefs {
			id, found, err := tenant.projectID(ctx, p, ref)
			if err != nil {
				return nil, nil, err
			}
			if !found {
				absent = append(absent, path.String()+": "+notFound(projectReference(p, ref)))
				continue
			}
			rules[i].ProjectIDs = append(rules[i].ProjectIDs, id)
		}
		errs := append(declared.ConditionErrors(path, rule), declared.RuleErrors(path, rule, scopeTypes)...)
		if len(errs) > 0 {
			rules[i].Refused = errs.ToAggregate().Error()
			refused = append(refused, rules[i].Refused)
		}
	}
	if len(refused) > 0 {
		return rules, stalled(v1alpha1.ReasonInvalidSpec, "%s", strings.Join(refused, "; ")), nil
	}
	return rules, absent.failure(), nil
}

// permissionSet finds a set by its spec.name, which must be written as the set has it.
func (c policies) permissionSet(ctx context.Context, name v1alpha1.PermissionSetName) (*v1alpha1.PermissionSet, error) {
	set := &v1alpha1.PermissionSet{}
	found, err := c.find(ctx, permissionSetReference(name), set)
	if err != nil || !found || set.Spec.Name != name {
		return nil, err
	}
	// A set that is refused holds nothing, as if it were not there. A built-in one holds what
	// is documented, whatever somebody made of its object.
	if !isCatalogueSet(set) && len(declared.ValidatePermissionSet(set)) > 0 {
		return nil, nil
	}
	return set, nil
}

// worse gives the failure that people must do something about.
func worse(a, b error) error {
	if f, ok := asFailure(a); ok && f.class == stalledClass || b == nil {
		return a
	}
	if f, ok := asFailure(b); ok && f.class == stalledClass || a == nil {
		return b
	}
	return waiting(v1alpha1.ReasonReferenceNotFound, "%s; %s", a, b)
}

func (policies) remove(context.Context, *v1alpha1.Policy) error { return nil }

func principalReference(p *v1alpha1.Policy) reference {
	principal := p.Spec.Principal
	return referenceTo(iam.Kind(principal.Kind), p.Namespace, principal.Namespace, principal.Name)
}

func permissionSetReference(name v1alpha1.PermissionSetName) reference {
	return reference{iam.KindPermissionSet, "", strings.ToLower(string(name))}
}

func (policies) references(p *v1alpha1.Policy) []reference {
	var others []reference
	if p.Spec.Principal != nil {
		others = append(others, principalReference(p))
	}
	for _, rule := range p.Spec.Rules {
		for _, name := range rule.PermissionSets {
			others = append(others, permissionSetReference(name))
		}
		for _, ref := range rule.ProjectRefs {
			others = append(others, projectReference(p, ref))
		}
	}
	return membershipReferences(p, others...)
}

func (policies) claims(*v1alpha1.Policy) []string { return nil }
