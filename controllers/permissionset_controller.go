// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=permissionsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=permissionsets/status,verbs=patch

type permissionSets struct{ *Environment }

func (c permissionSets) sync(_ context.Context, s *v1alpha1.PermissionSet) (outcome, error) {
	if err := invalid(declared.ValidatePermissionSet(s)); err != nil {
		return outcome{}, err
	}
	s.Status.Permissions = int32(len(s.Spec.Permissions)) //nolint:gosec // bounded by the schema
	return outcome{entities: []iam.Entity{declared.PermissionSet(s)}}, nil
}

func (permissionSets) remove(context.Context, *v1alpha1.PermissionSet) error { return nil }

func (permissionSets) references(*v1alpha1.PermissionSet) []reference { return nil }

func (permissionSets) claims(*v1alpha1.PermissionSet) []string { return nil }
