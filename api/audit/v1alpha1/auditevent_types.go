// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// AuditEvent says who did what to which resource of an Organization, from where, and with what
// result. It was written in the same transaction as the change that it tells of. Audit events are
// read only: they are listed, watched and read in the home namespace of their Organization, and
// what belongs to none in the operator's own.
//
// Field selectors: principal, principalID, principalKind, method, action, resource, resourceID,
// resourceKind, project, product, service, sourceIP and statusCode with = and !=, and since and
// until with =, which take a time (RFC 3339) or a duration back from now, such as 24h or 7d.
//
// +kubebuilder:object:root=true
type AuditEvent struct {
	metav1.TypeMeta `json:",inline"`
	// metadata names the event by its id. creationTimestamp is recordedAt, to the second; resourceVersion is the sequence.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// id of the event, a UUIDv7 (RFC 9562); also its name.
	// +kubebuilder:validation:MaxLength=36
	// +required
	ID string `json:"id"`
	// recordedAt is when the event was recorded, in UTC and to the nanosecond (RFC 3339), such as 2026-11-29T19:56:39.123456789Z.
	// +kubebuilder:validation:MaxLength=35
	// +required
	RecordedAt string `json:"recordedAt"`
	// locality is where the resources are: `global`, as for all of IAM.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Locality string `json:"locality"`
	// organization that the event belongs to; absent for what belongs to none, such as a permission set.
	// +optional
	Organization *EventOrganization `json:"organization,omitempty"`
	// project is the id of the Project that the event belongs to; absent where it belongs to none.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	Project string `json:"project,omitempty"`
	// principal is whoever did it.
	// +required
	Principal EventPrincipal `json:"principal"`
	// kubernetesUser is the name under which the API server knows who asked, such as
	// maya@acme.example or system:serviceaccount:flux-system:kustomize-controller. It is there whoever
	// the principal is; absent where nobody asked, as for what the operator does by itself.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	KubernetesUser string `json:"kubernetesUser,omitempty"`
	// authorship says how it is known who asked; absent for what the operator did by itself, and for what was refused.
	// +optional
	Authorship *Authorship `json:"authorship,omitempty"`
	// sourceIP is the address that the request came from, or `unknown`.
	// +kubebuilder:validation:MaxLength=64
	// +required
	SourceIP string `json:"sourceIP"`
	// userAgent is the program that made the request, by its own account, or `unknown`.
	// +kubebuilder:validation:MaxLength=4096
	// +required
	UserAgent string `json:"userAgent"`
	// product is `iam` or `account`.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Product string `json:"product"`
	// service is the API that the method belongs to, such as scaleway.iam.v1alpha1.Api.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Service string `json:"service"`
	// method is what was done, by its name in IAM, such as CreatePolicy, SetRules or LockMember.
	// +kubebuilder:validation:MaxLength=253
	// +required
	Method string `json:"method"`
	// action is what the method does to its resource: created, updated or deleted.
	// +kubebuilder:validation:Enum=created;updated;deleted
	// +required
	Action Action `json:"action"`
	// requestID is the uid of the admission request, which is also in the API server's own audit log; absent where nobody asked.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RequestID string `json:"requestID,omitempty"`
	// statusCode is what was answered, as in HTTP: 200 for what was done, 403 for an attempt that was refused.
	// +required
	StatusCode int32 `json:"statusCode"`
	// reason says why an attempt was refused; absent for what was done.
	// +kubebuilder:validation:MaxLength=32768
	// +optional
	Reason string `json:"reason,omitempty"`
	// resources are what it was done to.
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Resources []AffectedResource `json:"resources,omitempty"`
	// change is what was declared before and after, without anything secret.
	// +optional
	Change *Change `json:"change,omitempty"`
	// revision of the store at which the change counts, as decisions name it too.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Revision string `json:"revision,omitempty"`
	// seal ties the event to all that were recorded before it, so that nobody alters one unseen.
	// +required
	Seal Seal `json:"seal"`
}

// EventOrganization is the Organization that an event belongs to.
type EventOrganization struct {
	// id of the Organization.
	// +kubebuilder:validation:MaxLength=36
	// +required
	ID string `json:"id"`
	// name that the Organization had then.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
}

// EventPrincipalKind is the kind of whoever did something.
type EventPrincipalKind string

// EventPrincipal is whoever did something.
type EventPrincipal struct {
	// kind is Owner, Member, Guest or Application for who is declared in the Organization; KubernetesUser for who is only
	// known to the API server; System for the operator itself.
	// +kubebuilder:validation:Enum=Owner;Member;Guest;Application;KubernetesUser;System
	// +required
	Kind EventPrincipalKind `json:"kind"`
	// id in IAM; absent for a KubernetesUser and for System.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	ID string `json:"id,omitempty"`
	// name that the principal had then.
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Name string `json:"name"`
}

// Authorship says how it is known who asked for a change.
type Authorship struct {
	// state is Admitted where admission recorded who asked for just what was stored, and AdmissionAbsent where there is no
	// such record: admission was off, absent or could not record.
	// +kubebuilder:validation:Enum=Admitted;AdmissionAbsent
	// +required
	State string `json:"state"`
	// fieldManager is the program that wrote the object last, by its own account; only where state is AdmissionAbsent.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	FieldManager string `json:"fieldManager,omitempty"`
	// authors are all who asked for one of the generations that the change covers, oldest first; only where there are several.
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	// +optional
	Authors []Author `json:"authors,omitempty"`
}

// Author is one of those who asked for a change that covers several generations of its object.
type Author struct {
	// generation that was asked for.
	// +required
	Generation int64 `json:"generation"`
	// kubernetesUser who asked for it; absent where nobody knows.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	KubernetesUser string `json:"kubernetesUser,omitempty"`
	// at is when (RFC 3339); absent where nobody knows.
	// +kubebuilder:validation:MaxLength=35
	// +optional
	At string `json:"at,omitempty"`
}

// Action is what is done to a resource.
type Action string

// AffectedResource is one of the things that something was done to.
type AffectedResource struct {
	// kind of the object, such as Policy.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// type is the name of the kind in IAM, such as iam_policy.
	// +kubebuilder:validation:MaxLength=63
	// +required
	Type string `json:"type"`
	// id in IAM; absent for what was refused before it had one.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ID string `json:"id,omitempty"`
	// name that it had then.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
	// action is what was done to it: created, updated or deleted.
	// +kubebuilder:validation:Enum=created;updated;deleted
	// +required
	Action Action `json:"action"`
}

// Change is what was declared before and after, with everything secret left out.
type Change struct {
	// before is absent for what was created, and for what was refused.
	// +optional
	Before *runtime.RawExtension `json:"before,omitempty"`
	// after is absent for what was deleted, and for what was refused.
	// +optional
	After *runtime.RawExtension `json:"after,omitempty"`
}

// Seal ties an event to all that were recorded before it in its Organization.
type Seal struct {
	// sequence orders all events of the operator's store, over all Organizations.
	// +required
	Sequence int64 `json:"sequence"`
	// hash is a SHA-256 over what the event says and over the hash of the one before it in its Organization; in hexadecimal.
	// `iam-operator audit verify` checks it.
	// +kubebuilder:validation:MaxLength=64
	// +required
	Hash string `json:"hash"`
}

// AuditEventList is a list of audit events, newest first.
//
// +kubebuilder:object:root=true
type AuditEventList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are the events of this page. They are at most 1,000, and 500 where limit says nothing.
	Items []AuditEvent `json:"items"`
}
