// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the declared side of iam-operator: the nine kinds that
// people write, their schema, and the rules that the API server enforces on them.
//
// +kubebuilder:object:generate=true
// +groupName=iam-operator.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "iam-operator.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Organization{}, &OrganizationList{},
		&Project{}, &ProjectList{},
		&Member{}, &MemberList{},
		&Group{}, &GroupList{},
		&Application{}, &ApplicationList{},
		&APIKey{}, &APIKeyList{},
		&Policy{}, &PolicyList{},
		&PermissionSet{}, &PermissionSetList{},
		&SSHKey{}, &SSHKeyList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
