// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MemberType says what kind of user somebody is.
// +kubebuilder:validation:Enum=Member;Guest
type MemberType string

// The types of users.
const (
	// TypeMember is an account that lives and dies in its Organization.
	TypeMember MemberType = "Member"
	// TypeGuest is somebody invited by e-mail. Deprecated by the model: declare a Member instead.
	TypeGuest MemberType = "Guest"
)

// MemberState is the declared state of a Member.
// +kubebuilder:validation:Enum=Active;Locked
type MemberState string

// The declared states.
const (
	StateActive MemberState = "Active"
	StateLocked MemberState = "Locked"
)

// MemberSpec declares a Member: a person with an account in one Organization.
// +kubebuilder:validation:XValidation:rule="(has(self.type) ? self.type : 'Member') == (has(oldSelf.type) ? oldSelf.type : 'Member')",message="type cannot change; delete the object and create another",fieldPath=".type",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Guest') || has(self.username)",message="username is required, except for a Guest",fieldPath=".username",reason="FieldValueRequired"
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'Guest') || !(has(self.username) || has(self.firstName) || has(self.lastName) || has(self.phoneNumber) || has(self.locale) || has(self.password) || has(self.state) || has(self.kubernetesUsers))",message="a Guest has an e-mail only: no username, names, phoneNumber, locale, password, state or kubernetesUsers; declare a Member instead",fieldPath=".type",reason="FieldValueForbidden"
type MemberSpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// type is Member (when absent) or Guest. It cannot change. Guest is deprecated: a
	// Guest has an e-mail only and no credentials here.
	// +optional
	Type MemberType `json:"type,omitempty"`
	// username by which the Member logs in: 2 to 150 letters, digits and @ . _ -. Unique
	// in the Organization without regard to case, freed on deletion. Not owner, root or
	// scaleway, and not the owner's e-mail.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=150
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-zA-Z0-9@._-]+$')`,message="may hold letters, digits and @ . _ - only"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['owner', 'root', 'scaleway'])",message="owner, root and scaleway are reserved usernames"
	// +optional
	Username string `json:"username,omitempty"`
	// email of the Member. It need not be unique.
	// +required
	Email Email `json:"email"`
	// firstName of the Member.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	FirstName string `json:"firstName,omitempty"`
	// lastName of the Member.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastName string `json:"lastName,omitempty"`
	// phoneNumber in E.164 form, such as +33612345678.
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\+[1-9][0-9]{1,14}$')`,message="must be a phone number in international form, such as +33612345678"
	// +kubebuilder:validation:MaxLength=16
	// +optional
	PhoneNumber string `json:"phoneNumber,omitempty"`
	// locale of the Member, such as en_US (when absent) or fr_FR.
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z]{2,3}_[A-Z]{2}$')`,message="must be a language and a country, such as en_US"
	// +kubebuilder:validation:MaxLength=6
	// +optional
	Locale string `json:"locale,omitempty"`
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
	// state is Locked for a declared lock: the Member cannot log in and its API keys do
	// not count. Active (or absent) declares none; it never lifts a lock that arose at
	// run time, which annotation iam-operator.dev/unlock-at does, with a time that has come.
	// +optional
	State MemberState `json:"state,omitempty"`
	// password of the Member, from a Secret or generated. It sets the password when the
	// Secret's content changes, never in between, since a Member may have changed it.
	// Without it the Member has no password. Condition CredentialsValid says whether the
	// password is in force.
	// +optional
	Password *MemberPassword `json:"password,omitempty"`
	// kubernetesUsers are the names by which the API server knows this Member, so that
	// audit events name the Member. They count in the Member's own Organization only.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	KubernetesUsers []UserName `json:"kubernetesUsers,omitempty"`
}

// MemberPassword says where a password comes from: exactly one of its fields.
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.generate)",message="exactly one of secretRef and generate must be set"
type MemberPassword struct {
	// secretRef names a key of a Secret of this namespace. The Secret must opt in: type
	// iam-operator.dev/password and label iam-operator.dev/watch: "true". The password in
	// it must meet the Organization's security.passwordPolicy; one that is refused leaves
	// the former one in force.
	// +optional
	SecretRef *SecretKeyRef `json:"secretRef,omitempty"`
	// generate lets the operator make a password once, into keys username and password
	// of a Secret of this namespace.
	// +optional
	Generate *GeneratedPassword `json:"generate,omitempty"`
}

// SecretKeyRef names a key of a Secret of the same namespace.
type SecretKeyRef struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`
	// key in the Secret's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[-._a-zA-Z0-9]+$')`,message="may hold letters, digits and - . _ only"
	// +required
	Key string `json:"key"`
}

// GeneratedPassword says into which Secret a generated password goes.
type GeneratedPassword struct {
	// secretName is the Secret that the operator makes. Deleting it makes a new password.
	// A Secret of that name that is not the operator's is left alone.
	// +required
	SecretName ObjectName `json:"secretName"`
}

// LockReason says why a Member is locked.
// +kubebuilder:validation:Enum=Declared;GracePeriodExpired;TooManyAttempts
type LockReason string

// The reasons of a lock.
const (
	LockDeclared           LockReason = "Declared"
	LockGracePeriodExpired LockReason = "GracePeriodExpired"
	LockTooManyAttempts    LockReason = "TooManyAttempts"
)

// MemberLock says since when, and why, a Member is locked.
type MemberLock struct {
	// since is when the lock began.
	// +required
	Since metav1.Time `json:"since"`
	// reason of the lock.
	// +required
	Reason LockReason `json:"reason"`
}

// GracePeriodType says what a grace period is for.
// +kubebuilder:validation:Enum=SetMFA;UpdatePassword
type GracePeriodType string

// The types of grace periods.
const (
	GracePeriodSetMFA         GracePeriodType = "SetMFA"
	GracePeriodUpdatePassword GracePeriodType = "UpdatePassword"
)

// GracePeriod is a time within which a Member must meet a requirement.
type GracePeriod struct {
	// type is SetMFA or UpdatePassword.
	// +required
	Type GracePeriodType `json:"type"`
	// startedAt is when it began.
	// +required
	StartedAt metav1.Time `json:"startedAt"`
	// expiresAt is when the Member is locked.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// InvitationState says how a Guest's invitation stands.
// +kubebuilder:validation:Enum=Pending;Accepted;Expired
type InvitationState string

// The states of an invitation.
const (
	InvitationPending  InvitationState = "Pending"
	InvitationAccepted InvitationState = "Accepted"
	InvitationExpired  InvitationState = "Expired"
)

// Invitation says how a Guest's invitation stands.
type Invitation struct {
	// state is Pending, Accepted or Expired.
	// +required
	State InvitationState `json:"state"`
	// expiresAt is when a pending invitation lapses: 7 days after creation.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// MFAState says whether a second factor is set.
// +kubebuilder:validation:Enum=Enabled;Disabled
type MFAState string

// The states of a second factor.
const (
	MFAEnabled  MFAState = "Enabled"
	MFADisabled MFAState = "Disabled"
)

// MemberStatus says how the Member stands.
type MemberStatus struct {
	ObjectStatus `json:",inline"`
	// username that the Member holds.
	// +kubebuilder:validation:MaxLength=150
	// +optional
	Username string `json:"username,omitempty"`
	// locked is present while the Member is locked.
	// +optional
	Locked *MemberLock `json:"locked,omitempty"`
	// mfa says whether the Member has set a second factor.
	// +optional
	MFA MFAState `json:"mfa,omitempty"`
	// gracePeriods that run.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=2
	// +optional
	GracePeriods []GracePeriod `json:"gracePeriods,omitempty"`
	// passwordUpdatedAt is when the password last changed; absent without one.
	// +optional
	PasswordUpdatedAt *metav1.Time `json:"passwordUpdatedAt,omitempty"`
	// invitation of a Guest.
	// +optional
	Invitation *Invitation `json:"invitation,omitempty"`
	// credentials is what the operator knows of its own Secret of the Member; absent while
	// there is nothing to keep in one.
	// +optional
	Credentials *MemberCredentials `json:"credentials,omitempty"`
}

// MemberCredentials records the operator's own Secret of a Member as it was last written
// or read, so that one that was altered, lost or put back from a copy is not believed.
type MemberCredentials struct {
	// revision of the Secret's content. It grows with each change that the operator makes.
	// +kubebuilder:validation:Minimum=1
	// +required
	Revision int64 `json:"revision"`
	// digestKeyID names the operator's digest key that vouches for the Secret's content.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	DigestKeyID string `json:"digestKeyID,omitempty"`
	// secretResourceVersion is the Secret's metadata.resourceVersion when it was last read.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	SecretResourceVersion string `json:"secretResourceVersion,omitempty"`
	// firstLoginAt is when the Member first logged in.
	// +optional
	FirstLoginAt *metav1.Time `json:"firstLoginAt,omitempty"`
	// lock that arose at run time. status.locked shows it, unless spec.state declares one.
	// +optional
	Lock *MemberLock `json:"lock,omitempty"`
}

// Member is a person with an account in one Organization, managed by its administrators.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iammbr,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Organization",type=string,JSONPath=`.spec.organizationRef.name`
// +kubebuilder:printcolumn:name="Username",type=string,JSONPath=`.spec.username`
// +kubebuilder:printcolumn:name="Locked",type=string,JSONPath=`.status.conditions[?(@.type=="Locked")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.username`
// +kubebuilder:selectablefield:JSONPath=`.spec.email`
// +kubebuilder:selectablefield:JSONPath=`.spec.state`
// +kubebuilder:selectablefield:JSONPath=`.spec.type`
type Member struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec MemberSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status MemberStatus `json:"status,omitzero"`
}

// MemberList is a list of Members.
// +kubebuilder:object:root=true
type MemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Member `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Member) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *Member) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
