// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GroupMembership says who belongs to a group.
// +kubebuilder:validation:Enum=Declared;AllUsers;AllApplications
type GroupMembership string

// The kinds of membership.
const (
	// MembershipDeclared: those listed, and those who join from their own side.
	MembershipDeclared GroupMembership = "Declared"
	// MembershipAllUsers: the owner, every Member and every accepted Guest.
	MembershipAllUsers GroupMembership = "AllUsers"
	// MembershipAllApplications: every Application.
	MembershipAllApplications GroupMembership = "AllApplications"
)

// GroupMemberKind is the kind of a group's member. Groups do not nest.
// +kubebuilder:validation:Enum=Member;Application
type GroupMemberKind string

// The kinds of members.
const (
	GroupMemberMember      GroupMemberKind = "Member"
	GroupMemberApplication GroupMemberKind = "Application"
)

// GroupMember names a Member or an Application of the Group's namespace.
type GroupMember struct {
	// kind is Member or Application.
	// +required
	Kind GroupMemberKind `json:"kind"`
	// name of the object.
	// +required
	Name ObjectName `json:"name"`
}

// GroupSpec declares a Group.
// +kubebuilder:validation:XValidation:rule="!has(self.membership) || self.membership == 'Declared' || !has(self.members) || size(self.members) == 0",message="members are listed only with membership: Declared",fieldPath=".members",reason="FieldValueForbidden"
type GroupSpec struct {
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
	// membership is Declared (when absent), AllUsers or AllApplications.
	// +optional
	Membership GroupMembership `json:"membership,omitempty"`
	// members of this namespace. Those of other namespaces join from their own side, in
	// their spec.groups. A missing member does not stop the others.
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Members []GroupMember `json:"members,omitempty"`
}

// GroupStatus says how the Group stands.
type GroupStatus struct {
	ObjectStatus `json:",inline"`
	// members is the number of principals in the group, from both sides.
	// +optional
	Members int32 `json:"members"`
}

// Group is a set of Members and Applications that policies can grant to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamgrp,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Organization",type=string,JSONPath=`.spec.organizationRef.name`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.membership`
// +kubebuilder:validation:XValidation:rule="has(self.spec.displayName) || size(self.metadata.name) <= 64",message="metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"
type Group struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec GroupSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status GroupStatus `json:"status,omitzero"`
}

// GroupList is a list of Groups.
// +kubebuilder:object:root=true
type GroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Group `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Group) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *Group) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
