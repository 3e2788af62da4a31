// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Note is what an event says of a change, apart from who caused it, when and where.
type Note struct {
	Method    string
	Action    iam.Action
	Product   string
	Service   string
	ProjectID string
	Resources []iam.EventResource
	// Change holds all declared fields of what was created or deleted; of what was updated
	// only those that differ, and nothing at all when only derived ones do.
	Change iam.EventChange
	// OwnAct is true for what only the operator itself does, whoever gave it the occasion.
	OwnAct bool
}

// Describe gives the events that tell how an entity went from before to after, in the order
// in which they are written; either may be nil. There is at least one whenever the two
// differ, but for the coming and going of the owner and of the default Project, which the
// Organization's own event tells. It looks at nothing else, so that it cannot name the
// group that somebody joins, nor know of a membership that holds from the other side too;
// Recorder does.
func Describe(before, after iam.Entity) []Note {
	return describer{find: func(iam.Kind, string) iam.Entity { return nil }}.describe(before, after)
}

// describer makes notes. find gives another entity of the store, or nil.
type describer struct {
	find func(kind iam.Kind, id string) iam.Entity
}

func (d describer) describe(before, after iam.Entity) []Note {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return d.created(after)
	case after == nil:
		return d.deleted(before)
	case before.EntityKind() != after.EntityKind() || before.GetHead().ID != after.GetHead().ID:
		// Two entities, not two states of one.
		return append(d.deleted(before), d.created(after)...)
	case same(before, after):
		return nil
	}
	return d.updated(before, after)
}

func (d describer) created(entity iam.Entity) []Note {
	create, _, _ := methodsOf(entity)
	if create == noMethod {
		return nil
	}
	n := note(create, entity)
	n.Change.After = declared(entity).withoutEmpty().encode()
	notes := []Note{n}
	switch e := entity.(type) {
	case *iam.Member:
		// A lock or a group has a name of its own in the log: whoever looks for it must not
		// have to know that it can be there from the start.
		if e.Locked != "" {
			n := note(lockMember, e)
			n.Change.After, n.OwnAct = fields{"locked": e.Locked}.encode(), automatic(e.Locked)
			notes = append(notes, n)
		}
		joins, _ := d.joined(e, nil, e.Groups)
		notes = append(notes, joins...)
	case *iam.Application:
		joins, _ := d.joined(e, nil, e.Groups)
		notes = append(notes, joins...)
	case *iam.Group:
		members, _ := d.listed(e, nil, e.Members)
		notes = append(notes, members...)
	}
	return notes
}

// deleted says nothing of groups: a membership ends with either of its ends, as it does at Scaleway.
func (d describer) deleted(entity iam.Entity) []Note {
	_, _, remove := methodsOf(entity)
	if remove == noMethod {
		return nil
	}
	n := note(remove, entity)
	n.Change.Before = declared(entity).withoutEmpty().encode()
	return []Note{n}
}

func (d describer) updated(before, after iam.Entity) []Note {
	rest := diff(declared(before), declared(after))
	notes := d.special(before, after, rest)
	_, update, _ := methodsOf(after)
	// What nobody declared may differ alone: the ids of a policy's rules, the UID of an
	// object that was re-created. The store changed, so there is an event; it is the
	// unspecific one, without a change to show, rather than one that claims an edit.
	if !rest.empty() || len(notes) == 0 {
		n := note(update, after)
		n.Change = rest.change()
		notes = append([]Note{n}, notes...)
	}
	return notes
}

// special gives the events of those fields that have a method of their own, and takes these
// fields out of rest.
func (d describer) special(before, after iam.Entity, rest delta) []Note {
	switch a := after.(type) {
	case *iam.Organization:
		return organizationUpdated(a, rest)
	case *iam.Member:
		b, _ := before.(*iam.Member)
		return d.memberUpdated(b, a, rest)
	case *iam.Application:
		b, _ := before.(*iam.Application)
		return d.groupsUpdated(a, b.Groups, a.Groups, rest)
	case *iam.Group:
		b, _ := before.(*iam.Group)
		return d.groupUpdated(b, a, rest)
	case *iam.APIKey:
		b, _ := before.(*iam.APIKey)
		return apiKeyUpdated(b, a)
	case *iam.Policy:
		return taken(setRules, a, rest.take("rules"))
	}
	return nil
}

func organizationUpdated(o *iam.Organization, rest delta) []Note {
	notes := taken(setOrganizationAlias, o, rest.take("alias"))
	notes = append(notes, taken(updateSecuritySettings, o, rest.take(securityFields()...))...)
	return append(notes, taken(updateLoginMethods, o, rest.take("loginMethods"))...)
}

func (d describer) memberUpdated(before, after *iam.Member, rest delta) []Note {
	password, setMFA, resetMFA := updateUserPassword, createMFAOTP, deleteMFAOTP
	var notes []Note
	if after.Type == iam.TypeOwner {
		password, setMFA, resetMFA = changeOwnerPassword, createOwnerMFAOTP, deleteOwnerMFAOTP
		notes = taken(changeOwnerEmail, after, rest.take("email"))
	}
	notes = append(notes, taken(updateUserUsername, after, rest.take("username"))...)
	notes = append(notes, taken(password, after, rest.take("passwordUpdatedAt"))...)
	mfa := setMFA
	if !after.MFA {
		mfa = resetMFA
	}
	notes = append(notes, taken(mfa, after, rest.take("mfa"))...)
	notes = append(notes, taken(updateGracePeriods, after, rest.take("gracePeriods"))...)
	notes = append(notes, lockUpdated(after, rest.take("locked"))...)
	return append(notes, d.groupsUpdated(after, before.Groups, after.Groups, rest)...)
}

// lockUpdated tells of a lock that begins, changes its reason or ends.
func lockUpdated(m *iam.Member, differ delta) []Note {
	if m.Locked == "" {
		return taken(unlockMember, m, differ)
	}
	notes := taken(lockMember, m, differ)
	for i := range notes {
		notes[i].OwnAct = automatic(m.Locked)
	}
	return notes
}

// declaredLock is the reason of a lock that somebody declared.
const declaredLock = "Declared"

// automatic says that the operator itself locks for this reason: after too many attempts,
// or at the end of a grace period. Whoever edits the Member at that moment locks nobody.
func automatic(reason string) bool { return reason != declaredLock }

// apiKeyUpdated tells of a new digest of the same secret. Nobody declared it and the key
// works as before; yet it is what a credential is compared with, and a log that is silent
// when that changes cannot tell an honest re-digest from a planted one. Neither digest is shown.
func apiKeyUpdated(before, after *iam.APIKey) []Note {
	if before.Digest == after.Digest && before.DigestKeyID == after.DigestKeyID {
		return nil
	}
	return []Note{note(redigestAPIKey, after)}
}

// taken is an event about fields that have a method of their own; none if none of them differs.
func taken(m method, entity iam.Entity, differ delta) []Note {
	if differ.empty() {
		return nil
	}
	n := note(m, entity)
	n.Change = differ.change()
	return []Note{n}
}

// note is an event about one entity, without its change.
func note(m method, entity iam.Entity) Note {
	n := noteAbout(m, entity.GetHead().ID, entity.Label())
	n.ProjectID = projectOf(entity)
	return n
}

func noteAbout(m method, id, name string) Note { return noteOf(methods[m], id, name) }

// projectOf is the Project that an entity belongs to. An API key's default Project is not
// one: it is only preferred, and grants nothing.
func projectOf(entity iam.Entity) string {
	switch e := entity.(type) {
	case *iam.Project:
		return e.ID
	case *iam.SSHKey:
		return e.ProjectID
	}
	return ""
}

// methodsOf gives the methods that create, update and delete an entity. The owner and the
// default Project come and go with the Organization, whose event tells of them.
func methodsOf(entity iam.Entity) (create, update, remove method) {
	switch e := entity.(type) {
	case *iam.Project:
		if e.ID == e.OrganizationID {
			return noMethod, updateProject, noMethod
		}
	case *iam.Member:
		if e.Type == iam.TypeOwner {
			return noMethod, updateOwner, noMethod
		}
	}
	return methodsOfKind(entity.EntityKind())
}

// methodsOfKind gives the methods that create, update and delete the objects of a kind.
func methodsOfKind(kind iam.Kind) (create, update, remove method) {
	switch kind {
	case iam.KindOrganization:
		return createOrganization, updateOrganization, closeOrganization
	case iam.KindProject:
		return createProject, updateProject, deleteProject
	case iam.KindMember:
		return createUser, updateUser, deleteUser
	case iam.KindGroup:
		return createGroup, updateGroup, deleteGroup
	case iam.KindApplication:
		return createApplication, updateApplication, deleteApplication
	case iam.KindAPIKey:
		return createAPIKey, updateAPIKey, deleteAPIKey
	case iam.KindPolicy:
		return createPolicy, updatePolicy, deletePolicy
	case iam.KindPermissionSet:
		return createPermissionSet, updatePermissionSet, deletePermissionSet
	case iam.KindSSHKey:
		return createSSHKey, updateSSHKey, deleteSSHKey
	}
	return noMethod, noMethod, noMethod
}

// same compares what the store compares. What cannot be encoded cannot have been stored.
func same(a, b iam.Entity) bool {
	x, errX := iam.Encode(a)
	y, errY := iam.Encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
