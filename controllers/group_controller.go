// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=groups,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=groups/status,verbs=patch

type groups struct{ *Environment }

func declaresMembers(g *v1alpha1.Group) bool {
	return g.Spec.Membership == "" || g.Spec.Membership == v1alpha1.MembershipDeclared
}

func (c groups) sync(ctx context.Context, g *v1alpha1.Group) (outcome, error) {
	tenant, err := c.tenantOf(ctx, g)
	if err != nil {
		return outcome{}, err
	}
	if err := invalid(declared.ValidateGroup(g)); err != nil {
		return outcome{}, err
	}
	var ids []string
	var absent missing
	for _, ref := range memberReferences(g) {
		principal := newPrincipal(ref.kind)
		found, err := tenant.findOwn(ctx, ref, principal)
		if err != nil {
			return outcome{}, err
		}
		if !found {
			absent.add(ref)
			continue
		}
		ids = append(ids, idOf(principal))
	}
	if g.Status.Members, err = c.count(ctx, tenant, g, ids); err != nil {
		return outcome{}, err
	}
	return outcome{entities: []iam.Entity{declared.Group(g, tenant.id, ids)}}, absent.failure()
}

// count gives the number of principals that the group lists or that join it by themselves.
// Of a dynamic group it counts none: its members are all that there are.
func (c groups) count(ctx context.Context, tenant *tenant, g *v1alpha1.Group, listed []string) (int32, error) {
	if !declaresMembers(g) {
		return 0, nil
	}
	all := map[string]bool{}
	for _, id := range listed {
		all[id] = true
	}
	key := reference{iam.KindGroup, g.Namespace, g.Name}.String()
	joiners, err := joinersOf(ctx, c.Client, key)
	if err != nil {
		return 0, fmt.Errorf("list who joins the group: %w", err)
	}
	for _, joiner := range joiners {
		belongs, err := tenant.has(ctx, joiner)
		if err != nil {
			return 0, err
		}
		if belongs && joiner.GetDeletionTimestamp().IsZero() {
			all[idOf(joiner)] = true
		}
	}
	return int32(len(all)), nil //nolint:gosec // a count of objects in memory
}

func joinersOf(ctx context.Context, reader client.Reader, key string) ([]belonging, error) {
	people, err := listByIndex[*v1alpha1.Member](ctx, reader, &v1alpha1.MemberList{}, referenceIndex, key)
	if err != nil {
		return nil, err
	}
	applications, err := listByIndex[*v1alpha1.Application](ctx, reader, &v1alpha1.ApplicationList{}, referenceIndex, key)
	if err != nil {
		return nil, err
	}
	joiners := make([]belonging, 0, len(people)+len(applications))
	for _, m := range people {
		joiners = append(joiners, m)
	}
	for _, a := range applications {
		joiners = append(joiners, a)
	}
	return joiners, nil
}

// newPrincipal gives an empty object of a kind that can be in a group or have a policy.
func newPrincipal(kind iam.Kind) belonging {
	switch kind {
	case iam.KindMember:
		return &v1alpha1.Member{}
	case iam.KindGroup:
		return &v1alpha1.Group{}
	default:
		return &v1alpha1.Application{}
	}
}

func (groups) remove(context.Context, *v1alpha1.Group) error { return nil }

func memberReferences(g *v1alpha1.Group) []reference {
	refs := make([]reference, len(g.Spec.Members))
	for i, member := range g.Spec.Members {
		refs[i] = reference{iam.Kind(member.Kind), g.Namespace, string(member.Name)}
	}
	return refs
}

func (groups) references(g *v1alpha1.Group) []reference {
	return membershipReferences(g, memberReferences(g)...)
}

func (groups) claims(*v1alpha1.Group) []string { return nil }

// watch wakes a group when a principal joins or leaves it from its own side.
func (c groups) watch(b *builder.Builder) {
	wake := func(joiner client.Object) []reconcile.Request {
		var requests []reconcile.Request
		for _, ref := range groupReferences(joiner.(belonging), joinedBy(joiner)) {
			requests = append(requests, requestFor(ref)...)
		}
		return requests
	}
	watchFromBelow(b, c.Client, &v1alpha1.Member{}, &v1alpha1.MemberList{}, wake)
	watchFromBelow(b, c.Client, &v1alpha1.Application{}, &v1alpha1.ApplicationList{}, wake)
}

func joinedBy(obj client.Object) []v1alpha1.GroupRef {
	switch principal := obj.(type) {
	case *v1alpha1.Member:
		return principal.Spec.Groups
	case *v1alpha1.Application:
		return principal.Spec.Groups
	}
	return nil
}
