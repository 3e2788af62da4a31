// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// OrganizationSpec declares an Organization, its owner, and the rules that hold in it.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.alias) || (has(self.alias) && self.alias == oldSelf.alias)",message="alias cannot change once it is set",fieldPath=".alias",reason="FieldValueForbidden"
type OrganizationSpec struct {
	// displayName is the Organization's name for people; metadata.name when absent.
	// +optional
	DisplayName DisplayName `json:"displayName,omitempty"`
	// alias is the short name by which Members name the Organization at log-in. It is
	// unique among all Organizations of the cluster and cannot change once set.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]+$')`,message="may hold lower case letters and digits only"
	// +optional
	Alias string `json:"alias,omitempty"`
	// owner is the one person who may do everything in the Organization, without any policy.
	// +required
	Owner Owner `json:"owner"`
	// defaultProject describes the Project that every Organization has. It needs no
	// Project object, and references call it `default`.
	// +optional
	DefaultProject *DefaultProject `json:"defaultProject,omitempty"`
	// allowedNamespaces says from which namespaces other objects may join the
	// Organization; its own namespace always may. Absent: from its own only. A namespace
	// that leaves the selection stops counting at once.
	// +optional
	AllowedNamespaces *AllowedNamespaces `json:"allowedNamespaces,omitempty"`
	// security holds the rules for the credentials of Members and API keys.
	// +optional
	Security *Security `json:"security,omitempty"`
	// quotas limit how many objects the Organization may have. Absent: no limit.
	// +optional
	Quotas *Quotas `json:"quotas,omitempty"`
	// auditLog says how long audit events are kept.
	// +optional
	AuditLog *AuditLog `json:"auditLog,omitempty"`
}

// Owner is the person an Organization belongs to: no Member, not deletable, not lockable.
type Owner struct {
	// email of the owner. Changing it hands the Organization over: the owner's id
	// stays, the predecessor's API keys and sessions end.
	// +required
	Email Email `json:"email"`
	// firstName of the owner.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	FirstName string `json:"firstName,omitempty"`
	// lastName of the owner.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	LastName string `json:"lastName,omitempty"`
	// kubernetesUsers are the names by which the API server knows the owner, so that
	// audit events name the person. They count in this Organization only.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +optional
	KubernetesUsers []UserName `json:"kubernetesUsers,omitempty"`
}

// DefaultProject describes the default Project. Its id equals the Organization's.
type DefaultProject struct {
	// displayName of the default Project; `default` when absent.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-zA-Z0-9\._\- ]+$')`,message="may hold letters, digits, spaces and . _ - only"
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// description says in a sentence what the default Project is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
}

// NamespacesFrom says how namespaces are selected.
// +kubebuilder:validation:Enum=Same;Selector;All
type NamespacesFrom string

// The ways to select namespaces.
const (
	NamespacesSame     NamespacesFrom = "Same"
	NamespacesSelector NamespacesFrom = "Selector"
	NamespacesAll      NamespacesFrom = "All"
)

// AllowedNamespaces selects the namespaces whose objects may join an Organization.
// +kubebuilder:validation:XValidation:rule="(self.from == 'Selector') == has(self.selector)",message="selector goes with from: Selector, and only with it"
type AllowedNamespaces struct {
	// from is Same (the Organization's own namespace), Selector (those that match the selector as well) or All.
	// +required
	From NamespacesFrom `json:"from"`
	// selector of namespaces by their labels; with from: Selector.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// LoginMethod is a way for Members to log in.
// +kubebuilder:validation:Enum=Password;MagicCode;OAuth2;SAML
type LoginMethod string

// The ways to log in.
const (
	LoginPassword  LoginMethod = "Password"
	LoginMagicCode LoginMethod = "MagicCode"
	LoginOAuth2    LoginMethod = "OAuth2"
	LoginSAML      LoginMethod = "SAML"
)

// MFARequirement says whether a second factor is needed.
// +kubebuilder:validation:Enum=Optional;Required
type MFARequirement string

// The values of security.mfa.
const (
	MFAOptional MFARequirement = "Optional"
	MFARequired MFARequirement = "Required"
)

// PasswordRenewal says when Members must change the password they were given.
// +kubebuilder:validation:Enum=Never;FirstLogin
type PasswordRenewal string

// The values of security.passwordRenewal.
const (
	PasswordRenewalNever      PasswordRenewal = "Never"
	PasswordRenewalFirstLogin PasswordRenewal = "FirstLogin"
)

// Security holds the rules for credentials. What binds log-in itself (loginMethods and
// maxLoginSession) is stored and not enforced by this version, and condition
// CredentialsValid says NotEnforced where it is set.
type Security struct {
	// loginMethods that Members may use, at least one. Absent: Password and MagicCode.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +optional
	LoginMethods []LoginMethod `json:"loginMethods,omitempty"`
	// mfa is Required when everybody, the owner too, needs a second factor. A Member who
	// has none is given a grace period from the first log-in on, or from when this was
	// set, and is locked at its end. Absent: Optional.
	// +optional
	MFA MFARequirement `json:"mfa,omitempty"`
	// passwordRenewal is FirstLogin when Members must change the password they were
	// given at their first log-in, within the grace period. Absent: Never.
	// +optional
	PasswordRenewal PasswordRenewal `json:"passwordRenewal,omitempty"`
	// passwordPolicy binds new passwords; those in force stay.
	// +optional
	PasswordPolicy *PasswordPolicy `json:"passwordPolicy,omitempty"`
	// gracePeriod is the time to renew a password or to set a second factor, before the
	// Member is locked; between 1h and 8760h. A grace period that runs keeps its end.
	// Absent: 72h.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('1h') && duration(self) <= duration('8760h'))`,message="gracePeriod must be between 1h and 8760h"
	// +optional
	GracePeriod Duration `json:"gracePeriod,omitempty"`
	// loginAttemptsBeforeLock is the number of failed log-ins in a row after which a Member is locked. Absent: 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	// +optional
	LoginAttemptsBeforeLock *int32 `json:"loginAttemptsBeforeLock,omitempty"`
	// maxLoginSession is the longest a log-in lasts; between 5m and 8760h. Absent: 720h.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('5m') && duration(self) <= duration('8760h'))`,message="maxLoginSession must be between 5m and 8760h"
	// +optional
	MaxLoginSession Duration `json:"maxLoginSession,omitempty"`
	// maxAPIKeyLifetime is the longest lifetime of a new API key, which then needs an
	// expiry; between 1h and 87600h. It binds what is minted from then on, whoever bears
	// it; keys in force stay. Absent: no maximum.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('1h') && duration(self) <= duration('87600h'))`,message="maxAPIKeyLifetime must be between 1h and 87600h"
	// +optional
	MaxAPIKeyLifetime Duration `json:"maxAPIKeyLifetime,omitempty"`
}

// PasswordPolicy binds new passwords, never those in force.
type PasswordPolicy struct {
	// minLength in characters. Absent: 15, or 8 where a second factor is required (NIST SP 800-63B rev. 4).
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=72
	// +optional
	MinLength *int32 `json:"minLength,omitempty"`
}

// Quotas limit how many objects of each kind an Organization may have. Absent: no limit.
type Quotas struct {
	// members at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Members *int32 `json:"members,omitempty"`
	// applications at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Applications *int32 `json:"applications,omitempty"`
	// groups at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Groups *int32 `json:"groups,omitempty"`
	// policies at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Policies *int32 `json:"policies,omitempty"`
	// apiKeys at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	APIKeys *int32 `json:"apiKeys,omitempty"`
	// projects at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Projects *int32 `json:"projects,omitempty"`
	// sshKeys at most.
	// +kubebuilder:validation:Minimum=0
	// +optional
	SSHKeys *int32 `json:"sshKeys,omitempty"`
}

// AuditLog says how the audit log is kept.
type AuditLog struct {
	// retention is how long audit events are kept; between 24h and 87600h. Absent: 720h.
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) >= duration('24h') && duration(self) <= duration('87600h'))`,message="retention must be between 24h and 87600h"
	// +optional
	Retention Duration `json:"retention,omitempty"`
}

// OrganizationStatus says how the Organization stands.
type OrganizationStatus struct {
	ObjectStatus `json:",inline"`
	// ownerID is the owner's IAM id. It stays when ownership is handed over.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	OwnerID string `json:"ownerID,omitempty"`
	// defaultProjectID is the default Project's IAM id; it equals the Organization's.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	DefaultProjectID string `json:"defaultProjectID,omitempty"`
	// alias that the Organization holds.
	// +kubebuilder:validation:MaxLength=32
	// +optional
	Alias string `json:"alias,omitempty"`
}

// Organization is a tenant: the frame that projects, people, applications, keys and
// policies belong to. Its namespace is its home; one Organization a namespace is recommended.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iamorg,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Alias",type=string,JSONPath=`.status.alias`
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner.email`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.alias`
// +kubebuilder:validation:XValidation:rule="has(self.spec.displayName) || size(self.metadata.name) <= 64",message="metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"
type Organization struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec OrganizationSpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status OrganizationStatus `json:"status,omitzero"`
}

// OrganizationList is a list of Organizations.
// +kubebuilder:object:root=true
type OrganizationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Organization `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Organization) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }
