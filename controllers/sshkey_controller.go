// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=sshkeys,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=sshkeys/status,verbs=patch

type sshKeys struct{ *Environment }

func (c sshKeys) sync(ctx context.Context, k *v1alpha1.SSHKey) (outcome, error) {
	k.Status.Fingerprint = ""
	tenant, err := c.tenantOf(ctx, k)
	if err != nil {
		return outcome{}, err
	}
	if err := invalid(declared.ValidateSSHKey(k)); err != nil {
		return outcome{}, err
	}
	projectID, found, err := tenant.projectID(ctx, k, k.Spec.ProjectRef)
	if err != nil {
		return outcome{}, err
	}
	entity, err := declared.SSHKey(k, tenant.id, projectID)
	if err != nil {
		return outcome{}, stalled(v1alpha1.ReasonInvalidSpec, "%s", err)
	}
	k.Status.Fingerprint = entity.Fingerprint
	if !found {
		return outcome{}, waiting(v1alpha1.ReasonReferenceNotFound, "%s", notFound(projectReference(k, k.Spec.ProjectRef)))
	}
	return outcome{entities: []iam.Entity{entity}}, nil
}

func (sshKeys) remove(context.Context, *v1alpha1.SSHKey) error { return nil }

func (sshKeys) references(k *v1alpha1.SSHKey) []reference {
	return membershipReferences(k, projectReference(k, k.Spec.ProjectRef))
}

func (sshKeys) claims(*v1alpha1.SSHKey) []string { return nil }
