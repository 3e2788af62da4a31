// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/builder"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=projects,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=projects/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;update

type projects struct{ *Environment }

func (c projects) sync(ctx context.Context, p *v1alpha1.Project) (outcome, error) {
	tenant, err := c.tenantOf(ctx, p)
	if err == nil {
		err = invalid(declared.ValidateProject(p))
	}
	if err != nil {
		p.Status.SSHKeys = 0
		return outcome{known: settled(err)}, firstError(c.withdrawAuthorizedKeys(ctx, p, p.Name+authorizedKeysSuffix), err)
	}
	result := outcome{entities: []iam.Entity{declared.Project(p, tenant.id)}, known: true}
	name, keys, err := tenant.syncAuthorizedKeys(ctx, p, c.self(p), p.Name+authorizedKeysSuffix)
	p.Status.AuthorizedKeys, p.Status.SSHKeys = name, int32(keys) //nolint:gosec // a count of objects in memory
	result.lookAgainAt = c.pollConflict(err)
	return result, err
}

func (c projects) remove(ctx context.Context, p *v1alpha1.Project) error {
	if err := c.withdrawAuthorizedKeys(ctx, p, p.Name+authorizedKeysSuffix); err != nil {
		return err
	}
	return c.holdForContent(ctx, p, c.self(p), sshKeyContent())
}

func (projects) self(p *v1alpha1.Project) reference {
	return reference{iam.KindProject, p.Namespace, p.Name}
}

func (projects) references(p *v1alpha1.Project) []reference { return membershipReferences(p) }

func (projects) claims(*v1alpha1.Project) []string { return nil }

// watch wakes a Project when one of its SSH keys changes or goes.
func (c projects) watch(b *builder.Builder) {
	c.watchAuthorizedKeys(b, func(ref reference) bool { return ref.kind == iam.KindProject })
}
