// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ProjectSpec declares a Project.
type ProjectSpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// displayName is the name for people and of the IAM API; metadata.name when absent.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-zA-Z0-9\._\- ]+$')`,message="may hold letters, digits, spaces and . _ - only"
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// description says in a sentence what this is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
}

// ProjectStatus says how the Project stands.
type ProjectStatus struct {
	ObjectStatus `json:",inline"`
	// authorizedKeys is the ConfigMap that holds the Project's enabled SSH keys, under the key authorized_keys.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	AuthorizedKeys string `json:"authorizedKeys,omitempty"`
	// sshKeys is the number of enabled SSH keys in it.
	// +optional
	SSHKeys int32 `json:"sshKeys"`
}

// Project groups resources; policies grant on it. Its enabled SSH keys appear in the
// ConfigMap <name>-authorized-keys, so that a machine or a chart can use them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamproj,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Organization",type=string,JSONPath=`.spec.organizationRef.name`
// +kubebuilder:printcolumn:name="SSH Keys",type=integer,JSONPath=`.status.sshKeys`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:validation:XValidation:rule="has(self.spec.displayName) || size(self.metadata.name) <= 64",message="metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"
// +kubebuilder:validation:XValidation:rule="self.metadata.name != 'default'",message="`default` is the default Project, which every Organization has without an object; choose another name"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 237",message="metadata.name may have at most 237 characters, so that the ConfigMap <name>-authorized-keys can be named after it"
type Project struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec ProjectSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status ProjectStatus `json:"status,omitzero"`
}

// ProjectList is a list of Projects.
// +kubebuilder:object:root=true
type ProjectList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Project `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Project) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *Project) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
