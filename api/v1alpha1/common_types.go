// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finalizer lets an object wait until its rows have left the canonical store.
const Finalizer = "iam-operator.dev/finalizer"

// Annotations that people set.
const (
	// ReconcileAtAnnotation asks for one reconciliation; any new value counts.
	// It is echoed in status.lastHandledReconcileAt once honoured.
	ReconcileAtAnnotation = "iam-operator.dev/reconcile-at"
	// RotateAtAnnotation, on an APIKey, mints a new key once: at the RFC 3339 time given.
	RotateAtAnnotation = "iam-operator.dev/rotate-at"
	// UnlockAtAnnotation, on a Member, ends a lock that arose at run time.
	UnlockAtAnnotation = "iam-operator.dev/unlock-at"
	// ResetMFAAtAnnotation, on a Member, forgets the second factor.
	ResetMFAAtAnnotation = "iam-operator.dev/reset-mfa-at"
	// IDAnnotation restores a former IAM id (a UUID); honoured at creation only.
	IDAnnotation = "iam-operator.dev/id"
)

// MemberCredentialsSecretType is the type of the operator's own Secret of a Member.
const MemberCredentialsSecretType = "iam-operator.dev/member-credentials"

// PasswordSecretType is the type by which a Secret opts in to holding a Member's password,
// together with WatchLabel.
const PasswordSecretType = "iam-operator.dev/password"

// Labels on what the operator writes and watches.
const (
	// WatchLabel, with the value "true", marks the Secrets and ConfigMaps that the operator watches.
	WatchLabel = "iam-operator.dev/watch"
	// ManagedLabel, with the value "true", marks the PermissionSets of the built-in catalogue.
	ManagedLabel = "iam-operator.dev/managed"
)

// Condition types. Ready is always present; Reconciling and Stalled only when true (kstatus).
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"
	// ConditionCredentialsValid says whether the credentials that the spec asks for are in force.
	// It never changes Ready.
	ConditionCredentialsValid = "CredentialsValid"
	// ConditionLocked, on a Member, says whether the Member is locked. It never changes Ready.
	ConditionLocked = "Locked"
)

// Reasons of conditions.
const (
	// ReasonApplied: the declared spec is in force.
	ReasonApplied = "Applied"
	// ReasonProgressing: the operator will try again by itself.
	ReasonProgressing = "Progressing"
	// ReasonInvalidSpec: the spec can't work as it is; the message says what would.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonReferenceNotFound: something referred to does not exist, or is not this Organization's.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonNamespaceNotAllowed: the Organization does not admit objects of this namespace.
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonConflict: another object holds the name that this one claims.
	ReasonConflict = "Conflict"
	// ReasonSecretConflict: a Secret (or ConfigMap) of the wanted name exists and is not the operator's.
	ReasonSecretConflict = "SecretConflict"
	// ReasonExpired: the API key is past its expiry.
	ReasonExpired = "Expired"
	// ReasonBearerDeleted: the principal that the API key was minted for is gone.
	ReasonBearerDeleted = "BearerDeleted"
	// ReasonPrincipalDeleted: the principal that the policy was bound to is gone.
	ReasonPrincipalDeleted = "PrincipalDeleted"
	// ReasonAdmissionMissing: the object was changed while the webhooks were not installed, so nobody judged it.
	ReasonAdmissionMissing = "AdmissionMissing"
	// ReasonSecretNotOptedIn: the password's Secret lacks the type or the label by which it opts in.
	ReasonSecretNotOptedIn = "SecretNotOptedIn"
	// ReasonPasswordRefused: the password does not meet the policy; the former one, if any, stays in force.
	ReasonPasswordRefused = "PasswordRefused"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonFailed: an attempt failed for a reason that may pass; the operator tries again.
	ReasonFailed = "Failed"
	// ReasonNotEnforced: the field is stored but not enforced by this version.
	ReasonNotEnforced = "NotEnforced"
	// ReasonDeclared: the state was asked for in the spec.
	ReasonDeclared = "Declared"
)

// DefaultProjectName is how every Organization's default Project is referred to. No Project may have it.
const DefaultProjectName = "default"

// ObjectName is the metadata.name of an object.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')`,message="must be the name of an object: lower case letters, digits, - and ., beginning and ending with a letter or digit"
type ObjectName string

// NamespaceName is the name of a namespace.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')`,message="must be the name of a namespace: lower case letters, digits and -, beginning and ending with a letter or digit"
type NamespaceName string

// DisplayName is a name for people: words of letters, digits and _ ( ) . - , separated by single or several spaces.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[\w().\-]+( +[\w().\-]+)*$')`,message="must be words of letters, digits and _ ( ) . -, with spaces only between them"
type DisplayName string

// Tag is a label for people and for filters of the IAM API.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=70
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-zA-Z0-9._\-/=+@ ]+$')`,message="may hold letters, digits, spaces and . _ - / = + @ only"
type Tag string

// Email is an e-mail address.
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[^@\s]+@[^@\s]+$')`,message="must be an e-mail address, such as maya@acme.example"
type Email string

// UserName is the name by which the Kubernetes API server knows a user.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type UserName string

// Duration is a length of time in the form of the Gateway API (GEP-2257): up to four
// pairs of a number and a unit of h, m, s, ms, such as 72h or 1h30m. It is kept as written.
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$')`,message="must be a duration such as 72h or 1h30m: up to four whole numbers, each with its unit h, m, s or ms"
type Duration string

// Parse gives the duration's value; an error if it has not the form above.
func (d Duration) Parse() (time.Duration, error) {
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		return 0, fmt.Errorf("duration %q has not the form of 72h or 1h30m", string(d))
	}
	return parsed, nil
}

// OrganizationRef names the Organization that an object belongs to.
type OrganizationRef struct {
	// name of the Organization.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the Organization; the object's own namespace when absent. The
	// Organization must admit the object's namespace in spec.allowedNamespaces.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// ProjectRef names a Project of the same Organization.
type ProjectRef struct {
	// name of the Project; `default` is the Organization's default Project, which has no object.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the Project; the object's own namespace when absent. It has no
	// meaning for `default`.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// GroupRef names a Group of the same Organization.
type GroupRef struct {
	// name of the Group.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the Group; the object's own namespace when absent.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// ObjectStatus is what the status of every kind begins with.
type ObjectStatus struct {
	// id is the object's IAM id: what the IAM API, audit events and decisions call it.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	ID string `json:"id,omitempty"`
	// observedGeneration is the metadata.generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// observedMarks is a digest of the annotations and labels that the operator acted upon, such as
	// rotate-at and unlock-at, which no generation counts; empty where there were none.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	ObservedMarks string `json:"observedMarks,omitempty"`
	// conditions say how the object stands. Ready=True means that the declared spec is
	// applied. Reconciling and Stalled are present only when true: Stalled means that
	// nothing will change until the spec, or what it refers to, does.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// lastHandledReconcileAt is the last value of annotation iam-operator.dev/reconcile-at that was honoured.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}
