// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=permissionsets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=iam-operator.dev,resources=permissionsets/status,verbs=patch

type permissionSets struct{ *Environment }

func (c permissionSets) sync(_ context.Context, s *v1alpha1.PermissionSet) (outcome, error) {
	effective := s
	if builtIn := catalogueSets()[s.Name]; builtIn != nil {
		// An edit never counts, not even until it is put back.
		effective = s.DeepCopy()
		effective.Spec, effective.Labels = builtIn.Spec, builtIn.Labels
	}
	if err := invalid(declared.ValidatePermissionSet(effective)); err != nil {
		return outcome{}, err
	}
	s.Status.Permissions = int32(len(effective.Spec.Permissions)) //nolint:gosec // bounded by the schema
	return outcome{entities: []iam.Entity{declared.PermissionSet(effective)}}, nil
}

func (permissionSets) remove(context.Context, *v1alpha1.PermissionSet) error { return nil }

func (permissionSets) references(*v1alpha1.PermissionSet) []reference { return nil }

func (permissionSets) claims(*v1alpha1.PermissionSet) []string { return nil }
