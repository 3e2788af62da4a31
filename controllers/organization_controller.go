// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=organizations,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=organizations/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

type organizations struct{ *Environment }

func (c organizations) sync(ctx context.Context, o *v1alpha1.Organization) (outcome, error) {
	status := &o.Status
	status.OwnerID = iam.OwnerID(idOf(o))
	status.DefaultProjectID = idOf(o)
	setNotEnforced(&status.ObjectStatus, governsLogin(o.Spec.Security), "spec.security.loginMethods and maxLoginSession are stored, and not enforced by this version, in which nobody can log in", o.Generation, c.Clock.Now())
	err := invalid(declared.ValidateOrganization(o))
	if err == nil {
		err = c.judgeAlias(ctx, o)
	}
	if err != nil {
		status.Alias = ""
		return outcome{known: settled(err)}, firstError(c.withdrawAuthorizedKeys(ctx, o, defaultAuthorizedKeys), err)
	}
	status.Alias = o.Spec.Alias
	home := &corev1.Namespace{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: o.Namespace}, home); err != nil {
		return outcome{}, fmt.Errorf("read the home namespace: %w", err)
	}
	result := outcome{known: true, entities: []iam.Entity{
		declared.Organization(o, string(home.UID)), declared.Owner(o), declared.DefaultProject(o),
	}}
	_, _, err = c.newTenant(o).syncAuthorizedKeys(ctx, o, c.self(o), defaultAuthorizedKeys)
	result.lookAgainAt = c.pollConflict(err)
	return result, err
}

// governsLogin says whether rules for credentials ask for something of log-in itself.
func governsLogin(security *v1alpha1.Security) bool {
	return security != nil && (len(security.LoginMethods) > 0 || security.MaxLoginSession != "")
}

// defaultAuthorizedKeys is the ConfigMap of the default Project's SSH keys.
const defaultAuthorizedKeys = v1alpha1.DefaultProjectName + authorizedKeysSuffix

func (c organizations) judgeAlias(ctx context.Context, o *v1alpha1.Organization) error {
	if o.Spec.Alias == "" {
		return nil
	}
	return judge(ctx, c.Environment, o, &v1alpha1.OrganizationList{}, contest[*v1alpha1.Organization]{
		claim: aliasClaim(o.Spec.Alias),
		what:  fmt.Sprintf("spec.alias %q", o.Spec.Alias),
		holds: func(other *v1alpha1.Organization) bool { return other.Status.Alias == o.Spec.Alias },
	})
}

func (c organizations) remove(ctx context.Context, o *v1alpha1.Organization) error {
	if err := c.withdrawAuthorizedKeys(ctx, o, defaultAuthorizedKeys); err != nil {
		return err
	}
	return c.holdForContent(ctx, o, c.self(o), organizationContent()...)
}

func (organizations) self(o *v1alpha1.Organization) reference {
	return reference{iam.KindOrganization, o.Namespace, o.Name}
}

func (organizations) references(o *v1alpha1.Organization) []reference {
	return []reference{{kindNamespace, "", o.Namespace}}
}

// claims lists the alias, and the owner's id, which belongs to no object of its own.
func (organizations) claims(o *v1alpha1.Organization) []string {
	claims := []string{idClaim(iam.OwnerID(idOf(o)))}
	if o.Spec.Alias != "" {
		claims = append(claims, aliasClaim(o.Spec.Alias))
	}
	return claims
}

func aliasClaim(alias string) string { return "alias/" + alias }

// watch wakes an Organization when an SSH key of its default Project changes, and, while
// it is being deleted, when what it holds goes.
func (c organizations) watch(b *builder.Builder) {
	c.watchAuthorizedKeys(b, func(ref reference) bool { return ref.kind == iam.KindOrganization })
	watchContent(b, func(obj client.Object) []reconcile.Request {
		ref := organizationOf(obj.(belonging))
		if ref.namespace != obj.GetNamespace() {
			return nil
		}
		return requestFor(ref)
	}, organizationContent()...)
}
