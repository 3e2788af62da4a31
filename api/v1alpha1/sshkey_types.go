// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SSHKeyState says whether an SSH key counts.
// +kubebuilder:validation:Enum=Enabled;Disabled
type SSHKeyState string

// The states of an SSH key.
const (
	SSHKeyEnabled  SSHKeyState = "Enabled"
	SSHKeyDisabled SSHKeyState = "Disabled"
)

// SSHKeySpec declares an SSH key.
type SSHKeySpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// projectRef is the Project that the key belongs to.
	// +required
	ProjectRef ProjectRef `json:"projectRef"`
	// displayName is the name for people and of the IAM API; metadata.name when absent.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// publicKey in the form of an authorized_keys line: type, key, and a comment, which is not kept.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65000
	// +required
	PublicKey string `json:"publicKey"`
	// state is Enabled (when absent) or Disabled.
	// +optional
	State SSHKeyState `json:"state,omitempty"`
}

// SSHKeyStatus says how the SSHKey stands.
type SSHKeyStatus struct {
	ObjectStatus `json:",inline"`
	// fingerprint of the key, such as 256 MD5:94:db:… (ssh-ed25519).
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
}

// SSHKey is a public key that machines of a Project let in.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamssh,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Project",type=string,JSONPath=`.spec.projectRef.name`
// +kubebuilder:printcolumn:name="Fingerprint",type=string,JSONPath=`.status.fingerprint`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.projectRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.state`
type SSHKey struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec SSHKeySpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status SSHKeyStatus `json:"status,omitzero"`
}

// SSHKeyList is a list of SSHKeys.
// +kubebuilder:object:root=true
type SSHKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SSHKey `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *SSHKey) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *SSHKey) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
