// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=applications,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=applications/status,verbs=patch

type applications struct{ *Environment }

func (c applications) sync(ctx context.Context, a *v1alpha1.Application) (outcome, error) {
	setNotEnforced(&a.Status.ObjectStatus, len(a.Spec.ServiceAccounts) > 0, "Nobody can authenticate by spec.serviceAccounts yet: this version only names the Application by them in audit events", a.Generation, c.Clock.Now())
	tenant, err := c.tenantOf(ctx, a)
	if err == nil {
		err = invalid(declared.ValidateApplication(a))
	}
	if err == nil {
		err = c.judgeServiceAccounts(ctx, a)
	}
	if err != nil {
		// Whoever does not count holds no name.
		a.Status.ServiceAccounts = nil
		return outcome{}, err
	}
	a.Status.ServiceAccounts = serviceAccountNames(a)
	if a.Status.APIKeys, err = c.countKeys(ctx, a); err != nil {
		return outcome{}, err
	}
	groups, absent, err := tenant.groupIDs(ctx, a, a.Spec.Groups)
	if err != nil {
		return outcome{}, err
	}
	return outcome{entities: []iam.Entity{declared.Application(a, tenant.id, groups)}}, absent.failure()
}

func (c applications) judgeServiceAccounts(ctx context.Context, a *v1alpha1.Application) error {
	for _, name := range serviceAccountNames(a) {
		err := judge(ctx, c.Environment, a, &v1alpha1.ApplicationList{}, contest[*v1alpha1.Application]{
			claim: serviceAccountClaim(a, name),
			what:  fmt.Sprintf("ServiceAccount %q", name),
			holds: func(other *v1alpha1.Application) bool { return slices.Contains(other.Status.ServiceAccounts, name) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c applications) countKeys(ctx context.Context, a *v1alpha1.Application) (int32, error) {
	key := reference{iam.KindApplication, a.Namespace, a.Name}.String()
	keys, err := listByIndex[*v1alpha1.APIKey](ctx, c.Client, &v1alpha1.APIKeyList{}, referenceIndex, key)
	if err != nil {
		return 0, fmt.Errorf("list the application's API keys: %w", err)
	}
	keys = slices.DeleteFunc(keys, func(k *v1alpha1.APIKey) bool { return !k.DeletionTimestamp.IsZero() })
	return int32(len(keys)), nil //nolint:gosec // a count of objects in memory
}

func (applications) remove(context.Context, *v1alpha1.Application) error { return nil }

func (applications) references(a *v1alpha1.Application) []reference {
	return membershipReferences(a, groupReferences(a, a.Spec.Groups)...)
}

func (applications) claims(a *v1alpha1.Application) []string {
	var claims []string
	for _, name := range serviceAccountNames(a) {
		claims = append(claims, serviceAccountClaim(a, name))
	}
	return claims
}

func serviceAccountClaim(a *v1alpha1.Application, name string) string {
	return "serviceaccount/" + a.Namespace + "/" + name
}

func serviceAccountNames(a *v1alpha1.Application) []string {
	var names []string
	for _, account := range a.Spec.ServiceAccounts {
		names = append(names, string(account.Name))
	}
	slices.Sort(names)
	return names
}

// watch wakes an application when an API key of its comes or goes.
func (applications) watch(b *builder.Builder) {
	b.Watches(&v1alpha1.APIKey{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		key := obj.(*v1alpha1.APIKey)
		if key.Spec.Bearer.Kind != v1alpha1.BearerApplication {
			return nil
		}
		return requestFor(bearerReference(key))
	}), builder.WithPredicates(declaredChanged()))
}
