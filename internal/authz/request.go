// SPDX-License-Identifier: Apache-2.0

// Package authz decides: may this bearer do this, on that, here and now? It answers from an immutable snapshot in memory
// that follows the store, so that a decision touches neither database nor API server.
//
// A bearer that counts and is no owner may do what a rule of a policy grants that reaches it: directly, through the groups
// that it belongs to, or through the dynamic groups. The rule must hold the permission in one of its sets, reach the scope,
// and have a condition that holds, or none. Nothing denies; what nobody grants is denied. The owner may do everything in
// its Organization.
package authz

import (
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// SubjectKind says what a subject's id is.
type SubjectKind string

// The kinds of subjects.
const (
	// SubjectUser is a user by id: a Member, a Guest who has accepted, or an owner.
	SubjectUser SubjectKind = "user"
	// SubjectApplication is an application by id.
	SubjectApplication SubjectKind = "application"
	// SubjectAPIKey is whoever bears an API key, by access key.
	SubjectAPIKey SubjectKind = "api_key"
	// SubjectOwner is an owner by id; no other user.
	SubjectOwner SubjectKind = "owner"
)

// exists says whether it is one of those above.
func (k SubjectKind) exists() bool {
	switch k {
	case SubjectUser, SubjectApplication, SubjectAPIKey, SubjectOwner:
		return true
	}
	return false
}

// Subject says who would do it.
type Subject struct {
	Kind SubjectKind
	// ID is the IAM id, or the access key. It is compared exactly.
	ID string
}

// Scope says where it would be done: in a Project, or in the Organization as a whole, which takes a grant on all of its
// present and future Projects. Empty means the subject's own Organization.
type Scope struct {
	OrganizationID string
	ProjectID      string
}

// Request is one question.
type Request struct {
	Subject Subject
	// Permission has no wildcard.
	Permission iam.Permission
	Scope      Scope
	// Attributes are what conditions see. Time is when it is decided unless it is set; whether subject and key are live
	// goes by the clock alone.
	Attributes condition.Attributes
}

// Reason says why a decision is what it is.
type Reason string

// The reasons to allow.
const (
	// ReasonOwner: the owner may do everything in its Organization.
	ReasonOwner Reason = "Owner"
	// ReasonGranted: a rule grants it.
	ReasonGranted Reason = "Granted"
)

// The reasons to deny.
const (
	// ReasonMalformed: the permission is none that anybody could have, or the kind of subject does not exist.
	ReasonMalformed Reason = "Malformed"
	// ReasonUnknownSubject: there is no such key, user or application.
	ReasonUnknownSubject Reason = "UnknownSubject"
	// ReasonKeyExpired: the key's time is over.
	ReasonKeyExpired Reason = "KeyExpired"
	// ReasonBearerGone: the key's bearer does not exist, or is not whom the key was made for.
	ReasonBearerGone Reason = "BearerGone"
	// ReasonLocked: the user is locked.
	ReasonLocked Reason = "Locked"
	// ReasonInvited: the Guest has not accepted.
	ReasonInvited Reason = "Invited"
	// ReasonUnknownScope: there is no such Project or Organization, or it is not of the subject's Organization.
	ReasonUnknownScope Reason = "UnknownScope"
	// ReasonNotGranted: nothing that reaches the subject grants the permission, anywhere.
	ReasonNotGranted Reason = "NotGranted"
	// ReasonOutOfScope: the permission is granted, but not there.
	ReasonOutOfScope Reason = "OutOfScope"
	// ReasonConditionFalse: it is granted there under a condition that does not hold.
	ReasonConditionFalse Reason = "ConditionFalse"
	// ReasonConditionFailed: it is granted there under a condition that could not be evaluated, and no other.
	ReasonConditionFailed Reason = "ConditionFailed"
	// ReasonStale: the snapshot is out of touch with the store for too long.
	ReasonStale Reason = "Stale"
)

// Reasons lists all of them, those that allow first.
func Reasons() []Reason {
	return []Reason{
		ReasonOwner, ReasonGranted, ReasonMalformed, ReasonUnknownSubject, ReasonKeyExpired, ReasonBearerGone, ReasonLocked,
		ReasonInvited, ReasonUnknownScope, ReasonNotGranted, ReasonOutOfScope, ReasonConditionFalse, ReasonConditionFailed, ReasonStale,
	}
}

// Principal is whom a decision is about.
type Principal struct {
	// Kind is Owner, Member or Application; it and ID are empty when nobody was found who counts.
	Kind iam.PrincipalKind
	ID   string
	// OrganizationID is the Organization of the key, too, whose bearer does not count or whose time is over.
	OrganizationID string
}

// Grant is one permission set of one rule.
type Grant struct {
	PolicyID, PolicyName string
	RuleID               string
	// PermissionSet is the set's name as the policy writes it.
	PermissionSet string
	// Condition of the rule, as it is written; empty if it has none.
	Condition string
}

// Decision is the answer.
type Decision struct {
	Allowed   bool
	Reason    Reason
	Principal Principal
	// Grant is what allows; with ReasonConditionFalse and ReasonConditionFailed, the first whose condition stands in the way. It is
	// nil with other reasons, and never to be changed.
	Grant *Grant
	// ConditionErrors is how many conditions could not be evaluated, and Err is what the first of them said.
	ConditionErrors int
	Err             error
	// Revision of the store at which it was decided.
	Revision store.Revision
}
