// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PermissionSetScopeType says what the permissions of a set are about.
// +kubebuilder:validation:Enum=Projects;Organization
type PermissionSetScopeType string

// The scope types.
const (
	// ScopeTypeProjects: resources of Projects.
	ScopeTypeProjects PermissionSetScopeType = "Projects"
	// ScopeTypeOrganization: the Organization itself.
	ScopeTypeOrganization PermissionSetScopeType = "Organization"
)

// Permission is service:resource:action, each in lower case letters, digits and _, or * for the whole segment.
// +kubebuilder:validation:MinLength=5
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(\*|[a-z0-9_]+):(\*|[a-z0-9_]+):(\*|[a-z0-9_]+)$')`,message="must be service:resource:action, each of lower case letters, digits and _, or * for all"
type Permission string

// PermissionSetSpec declares a PermissionSet.
// +kubebuilder:validation:XValidation:rule="!has(self.includedInAllProducts) || !self.includedInAllProducts || self.scopeType == 'Projects'",message="includedInAllProducts goes with scopeType: Projects only",fieldPath=".includedInAllProducts",reason="FieldValueForbidden"
type PermissionSetSpec struct {
	// name by which policies call the set, such as ObjectStorageReadOnly. It cannot
	// change; metadata.name is the same in lower case.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="name cannot change; create another set",reason="FieldValueForbidden"
	// +required
	Name PermissionSetName `json:"name"`
	// scopeType is Projects or Organization. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="scopeType cannot change; create another set",reason="FieldValueForbidden"
	// +required
	ScopeType PermissionSetScopeType `json:"scopeType"`
	// description says in a sentence what this is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
	// categories that the set is listed under.
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	// +optional
	Categories []string `json:"categories,omitempty"`
	// permissions that the set holds.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +required
	Permissions []Permission `json:"permissions"`
	// includedInAllProducts makes the services of this set part of what * as a service
	// means in sets of scope type Projects, AllProductsFullAccess among them.
	// +optional
	IncludedInAllProducts bool `json:"includedInAllProducts,omitempty"`
}

// PermissionSetStatus says how the PermissionSet stands.
type PermissionSetStatus struct {
	ObjectStatus `json:",inline"`
	// permissions is the number of permissions in the set.
	// +optional
	Permissions int32 `json:"permissions"`
}

// PermissionSet is a named list of permissions that policies grant. The documented
// catalogue is built in; platform teams add sets for their own services.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=iampset,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Name",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scopeType`
// +kubebuilder:printcolumn:name="Permissions",type=integer,JSONPath=`.status.permissions`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.scopeType`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.name.lowerAscii()",message="metadata.name must be spec.name in lower case, so that a name exists once in the cluster"
type PermissionSet struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec PermissionSetSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status PermissionSetStatus `json:"status,omitzero"`
}

// PermissionSetList is a list of PermissionSets.
// +kubebuilder:object:root=true
type PermissionSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PermissionSet `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *PermissionSet) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }
