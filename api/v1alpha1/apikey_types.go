// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BearerKind is the kind of principal that an API key acts for.
// +kubebuilder:validation:Enum=Application;Member;Owner
type BearerKind string

// The kinds of bearers.
const (
	BearerApplication BearerKind = "Application"
	BearerMember      BearerKind = "Member"
	BearerOwner       BearerKind = "Owner"
)

// Bearer is the principal that an API key acts for, with all its permissions.
// +kubebuilder:validation:XValidation:rule="(self.kind == 'Owner') != has(self.name)",message="name is required for an Application or a Member; the Owner has none"
type Bearer struct {
	// kind is Application or Member, of this namespace, or Owner, in the Organization's home namespace only.
	// +required
	Kind BearerKind `json:"kind"`
	// name of the Application or Member.
	// +optional
	Name ObjectName `json:"name,omitempty"`
}

// Rotation replaces a key by a new one at regular times.
// +kubebuilder:validation:XValidation:rule=`!has(self.overlap) || !(self.every + ' ' + self.overlap).matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4} ([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self.overlap) < duration(self.every)`,message="overlap must be shorter than every"
type Rotation struct {
	// every is the time from one key to the next; between 1m and 87600h.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('1m') && duration(self) <= duration('87600h'))`,message="every must be between 1m and 87600h"
	// +required
	Every Duration `json:"every"`
	// overlap is how long the old key still works beside the new one; shorter than every. Absent: not at all.
	// +optional
	Overlap Duration `json:"overlap,omitempty"`
}

// SecretTemplate adds labels and annotations to the Secret.
type SecretTemplate struct {
	// labels of the Secret, beside the operator's own.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('iam-operator.dev/'))",message="labels under iam-operator.dev/ are the operator's own"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue() && size(self[k]) <= 63)",message="a label's key must be a name, such as team or acme.example/team, and its value may have at most 63 characters"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// annotations of the Secret, beside the operator's own.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('iam-operator.dev/'))",message="annotations under iam-operator.dev/ are the operator's own"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k.lowerAscii()).hasValue() && size(self[k]) <= 4096)",message="an annotation's key must be a name, such as contact or acme.example/contact, and its value may have at most 4096 characters"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// APIKeySpec declares an API key.
// +kubebuilder:validation:XValidation:rule="[has(self.expiresAt), has(self.expiresIn), has(self.rotation)].filter(x, x).size() <= 1",message="at most one of expiresAt, expiresIn and rotation may be set"
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)",message="secretName cannot change; delete the object and create another",fieldPath=".secretName",reason="FieldValueForbidden"
type APIKeySpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// bearer is the principal that the key acts for. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="bearer cannot change; delete the object and create another",reason="FieldValueForbidden"
	// +required
	Bearer Bearer `json:"bearer"`
	// description says in a sentence what this is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
	// defaultProjectRef is the preferred Project for Object Storage. It grants nothing.
	// Absent: the default Project.
	// +optional
	DefaultProjectRef *ProjectRef `json:"defaultProjectRef,omitempty"`
	// expiresAt is when the key stops working.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// expiresIn is how long the key works, from the creation of this object; between 1m and 87600h.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('1m') && duration(self) <= duration('87600h'))`,message="expiresIn must be between 1m and 87600h"
	// +optional
	ExpiresIn Duration `json:"expiresIn,omitempty"`
	// rotation replaces the key by a new one at regular times. Each key expires at its
	// minting + every + overlap.
	// +optional
	Rotation *Rotation `json:"rotation,omitempty"`
	// secretName is the Secret that holds the key; metadata.name when absent. It cannot change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=244
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="must be the name of an object: lower case letters, digits, - and ., beginning and ending with a letter or digit"
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// secretTemplate adds labels and annotations to the Secret.
	// +optional
	SecretTemplate *SecretTemplate `json:"secretTemplate,omitempty"`
}

// KeyState says how a minted key stands.
// +kubebuilder:validation:Enum=Active;Retiring
type KeyState string

// The states of a minted key.
const (
	KeyActive   KeyState = "Active"
	KeyRetiring KeyState = "Retiring"
)

// MintedKey is one access key and secret key that were made for an APIKey.
type MintedKey struct {
	// accessKey is the public half: SCW and 17 letters or digits.
	// +kubebuilder:validation:MaxLength=20
	// +required
	AccessKey string `json:"accessKey"`
	// state is Active, or Retiring for the old key during an overlap.
	// +required
	State KeyState `json:"state"`
	// createdAt is when the key was minted.
	// +required
	CreatedAt metav1.Time `json:"createdAt"`
	// expiresAt is when the key stops working; absent: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// digestKeyID names the operator's digest key that vouches for the Secret's content.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	DigestKeyID string `json:"digestKeyID,omitempty"`
	// secretResourceVersion is the Secret's metadata.resourceVersion when it was last read.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SecretResourceVersion string `json:"secretResourceVersion,omitempty"`
}

// BoundBearer records which principal a key was minted for, so that a successor of the
// same name never gets it.
type BoundBearer struct {
	// id is the principal's IAM id.
	// +kubebuilder:validation:MaxLength=36
	// +required
	ID string `json:"id"`
	// ownerEmail is the owner's e-mail at that time, for a key of the Owner.
	// +kubebuilder:validation:MaxLength=254
	// +optional
	OwnerEmail string `json:"ownerEmail,omitempty"`
	// goneAt is when that principal was found to be gone; no key is ever minted for this object again.
	// +optional
	GoneAt *metav1.Time `json:"goneAt,omitempty"`
}

// APIKeyStatus says how the APIKey stands.
type APIKeyStatus struct {
	ObjectStatus `json:",inline"`
	// accessKey of the active key.
	// +kubebuilder:validation:MaxLength=20
	// +optional
	AccessKey string `json:"accessKey,omitempty"`
	// secretName is the Secret that holds the key.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// bearer that the key was minted for.
	// +optional
	Bearer *BoundBearer `json:"bearer,omitempty"`
	// expiresAt is when the active key stops working; absent: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// nextRotationAt is when the next key is minted; absent: not by itself.
	// +optional
	NextRotationAt *metav1.Time `json:"nextRotationAt,omitempty"`
	// keys that were minted and not yet ended: the active one, and the retiring one during an overlap.
	// +listType=map
	// +listMapKey=accessKey
	// +kubebuilder:validation:MaxItems=2
	// +optional
	Keys []MintedKey `json:"keys,omitempty"`
}

// APIKey is a credential of an Application, a Member or the owner. The operator mints it
// into a Secret that is usable with envFrom as it is; deleting that Secret mints a new key at once.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamkey,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Bearer",type=string,JSONPath=`.spec.bearer.name`
// +kubebuilder:printcolumn:name="Access Key",type=string,JSONPath=`.status.accessKey`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.bearer.kind`
// +kubebuilder:selectablefield:JSONPath=`.spec.bearer.name`
// +kubebuilder:validation:XValidation:rule="has(self.spec.secretName) || size(self.metadata.name) <= 244",message="metadata.name is the Secret's name when spec.secretName is absent, and may then have at most 244 characters"
type APIKey struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec APIKeySpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status APIKeyStatus `json:"status,omitzero"`
}

// APIKeyList is a list of APIKeys.
// +kubebuilder:object:root=true
type APIKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []APIKey `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *APIKey) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *APIKey) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
