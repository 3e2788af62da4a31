// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ServiceAccountRef names a Kubernetes ServiceAccount of the same namespace.
type ServiceAccountRef struct {
	// name of the ServiceAccount.
	// +required
	Name ObjectName `json:"name"`
}

// ApplicationSpec declares an Application.
type ApplicationSpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// displayName is the name for people and of the IAM API; metadata.name when absent.
	// +optional
	DisplayName DisplayName `json:"displayName,omitempty"`
	// description says in a sentence what this is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
	// tags for people and for filters of the IAM API.
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Tags []Tag `json:"tags,omitempty"`
	// groups that this principal joins from its own side, in any namespace of the
	// Organization. What a Group lists by itself counts as well.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Groups []GroupRef `json:"groups,omitempty"`
	// serviceAccounts of this namespace that are this Application, with no API key at
	// all; a ServiceAccount is at most one Application. In this version audit events name
	// the Application by them, but nobody can authenticate by them yet, and condition
	// CredentialsValid says NotEnforced.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	ServiceAccounts []ServiceAccountRef `json:"serviceAccounts,omitempty"`
}

// ApplicationStatus says how the Application stands.
type ApplicationStatus struct {
	ObjectStatus `json:",inline"`
	// apiKeys is the number of APIKey objects that this Application bears.
	// +optional
	APIKeys int32 `json:"apiKeys"`
	// serviceAccounts that the Application holds.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// Application is a principal that is no person: a service, a pipeline, a machine.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamapp,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Organization",type=string,JSONPath=`.spec.organizationRef.name`
// +kubebuilder:printcolumn:name="API Keys",type=integer,JSONPath=`.status.apiKeys`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:validation:XValidation:rule="has(self.spec.displayName) || size(self.metadata.name) <= 64",message="metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"
type Application struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec ApplicationSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status ApplicationStatus `json:"status,omitzero"`
}

// ApplicationList is a list of Applications.
// +kubebuilder:object:root=true
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Application `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Application) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *Application) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
