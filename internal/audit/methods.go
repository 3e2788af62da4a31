// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// The products and services that events name, as Scaleway's Audit Trail does. Methods of
// our own go under the service where Scaleway would have them: clients of the Audit Trail
// accept no service outside of scaleway.
const (
	productIAM     = "iam"
	productAccount = "account"

	serviceIAM          = "scaleway.iam.v1alpha1.Api"
	serviceProject      = "scaleway.account.v3.ProjectApi"
	serviceOrganization = "scaleway.account.v3.OrganizationApi"
	serviceUser         = "scaleway.account.v3.UserApi"
)

// MethodInfo says what a method name in an audit event means.
type MethodInfo struct {
	Name    string
	Product string
	Service string
	// Kind and Type are those of the resource that the event is about.
	Kind   iam.Kind
	Type   string
	Action iam.Action
	// Ours is true where Scaleway's Audit Trail has no such method.
	Ours bool
	// OwnAct is true for what only the operator itself does, whoever gave it the occasion.
	OwnAct bool
	// When says when the event is raised: the end of a sentence that starts with the name.
	When string
}

// Methods lists every method that Describe gives, in the order of the documentation. A name
// appears twice where two services have it.
func Methods() []MethodInfo { return slices.Clone(methods[noMethod+1:]) }

// MethodFor gives the method that does an action to an object of a kind as a whole: what an
// attempt that was refused goes by, since nothing of it happened that could be told apart.
// There is none for a kind or an action that the domain does not know.
func MethodFor(kind iam.Kind, action iam.Action) (MethodInfo, bool) {
	create, update, remove := methodsOfKind(kind)
	m := map[iam.Action]method{iam.ActionCreated: create, iam.ActionUpdated: update, iam.ActionDeleted: remove}[action]
	return methods[m], m != noMethod
}

// method is an index into methods, so that no event can carry a name that is not listed.
type method int

const (
	noMethod method = iota
	createOrganization
	updateOrganization
	closeOrganization
	setOrganizationAlias
	updateSecuritySettings
	updateLoginMethods
	changeOwnerEmail
	changeOwnerPassword
	createOwnerMFAOTP
	deleteOwnerMFAOTP
	updateOwner
	createProject
	updateProject
	deleteProject
	createUser
	updateUser
	updateUserUsername
	updateUserPassword
	createMFAOTP
	deleteMFAOTP
	updateGracePeriods
	lockMember
	unlockMember
	deleteUser
	createGroup
	updateGroup
	addGroupMember
	addGroupMembers
	setGroupMembers
	removeGroupMember
	deleteGroup
	createApplication
	updateApplication
	deleteApplication
	createAPIKey
	updateAPIKey
	redigestAPIKey
	deleteAPIKey
	createPolicy
	updatePolicy
	setRules
	deletePolicy
	createSSHKey
	updateSSHKey
	deleteSSHKey
	createPermissionSet
	updatePermissionSet
	deletePermissionSet
)

var methods = [...]MethodInfo{
	createOrganization: organizationMethod("CreateOrganization", iam.ActionCreated, "an Organization appears, with its owner and its default Project"),
	updateOrganization: organizationMethod("UpdateOrganization", iam.ActionUpdated, "its name, quotas or audit retention change"),
	// Scaleway's name for the same act, and so preferred to a DeleteOrganization of ours.
	closeOrganization:      theirs(organizationMethod("CloseOrganization", iam.ActionDeleted, "an Organization is deleted, with its owner and its default Project")),
	setOrganizationAlias:   settingsMethod("SetOrganizationAlias", "its alias is set"),
	updateSecuritySettings: settingsMethod("UpdateOrganizationSecuritySettings", "its rules for credentials change"),
	updateLoginMethods:     settingsMethod("UpdateOrganizationLoginMethods", "its log-in methods change"),

	// The owner is an account, not a user that IAM manages: its changes are the account's.
	changeOwnerEmail:    ownerMethod("ChangeUserEmail", "the owner's e-mail changes, which hands the Organization over"),
	changeOwnerPassword: ownerMethod("ChangeUserPassword", "the owner's password is set, changed or taken away"),
	createOwnerMFAOTP:   ownerMethod("CreateMFAOTP", "the owner sets a second factor"),
	deleteOwnerMFAOTP:   ownerMethod("DeleteMFAOTP", "the owner's second factor is taken away"),
	updateOwner:         ownerMethod("UpdateUser", "anything else of the owner changes"),

	createProject: projectMethod("CreateProject", iam.ActionCreated, "a Project other than the default one appears"),
	updateProject: projectMethod("UpdateProject", iam.ActionUpdated, "a Project's name or description changes"),
	deleteProject: projectMethod("DeleteProject", iam.ActionDeleted, "a Project other than the default one is deleted"),

	createUser:         iamMethod("CreateUser", iam.KindMember, "iam_user", iam.ActionCreated, "a Member appears, or a Guest is invited"),
	updateUser:         iamMethod("UpdateUser", iam.KindMember, "iam_user", iam.ActionUpdated, "anything of a user changes that no other method tells of"),
	updateUserUsername: iamMethod("UpdateUserUsername", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member's username changes"),
	updateUserPassword: iamMethod("UpdateUserPassword", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member's password is set, changed or taken away"),
	createMFAOTP:       iamMethod("CreateMFAOTP", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member sets a second factor"),
	deleteMFAOTP:       iamMethod("DeleteMFAOTP", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member's second factor is taken away"),
	updateGracePeriods: ownAct(iamMethod("UpdateGracePeriods", iam.KindMember, "iam_user", iam.ActionUpdated, "a user's time to meet a requirement begins, changes or ends")),
	lockMember:         iamMethod("LockMember", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member is locked, or locked for another reason"),
	unlockMember:       iamMethod("UnlockMember", iam.KindMember, "iam_user", iam.ActionUpdated, "a Member's lock ends"),
	deleteUser:         iamMethod("DeleteUser", iam.KindMember, "iam_user", iam.ActionDeleted, "a Member or a Guest is deleted, or an invitation lapses"),

	createGroup:       groupMethod("CreateGroup", iam.ActionCreated, "a group appears; who is in it from the start is told by AddGroupMember(s)"),
	updateGroup:       groupMethod("UpdateGroup", iam.ActionUpdated, "a group's name, description, tags or kind of membership change"),
	addGroupMember:    groupMethod("AddGroupMember", iam.ActionUpdated, "one principal joins a group, from either side"),
	addGroupMembers:   groupMethod("AddGroupMembers", iam.ActionUpdated, "a group lists several more principals"),
	setGroupMembers:   groupMethod("SetGroupMembers", iam.ActionUpdated, "a group lists several principals less, or some more and some less"),
	removeGroupMember: groupMethod("RemoveGroupMember", iam.ActionUpdated, "one principal leaves a group, from either side"),
	deleteGroup:       groupMethod("DeleteGroup", iam.ActionDeleted, "a group is deleted"),

	createApplication: iamMethod("CreateApplication", iam.KindApplication, "iam_application", iam.ActionCreated, "an application appears"),
	updateApplication: iamMethod("UpdateApplication", iam.KindApplication, "iam_application", iam.ActionUpdated, "an application's name, description, tags or ServiceAccounts change"),
	deleteApplication: iamMethod("DeleteApplication", iam.KindApplication, "iam_application", iam.ActionDeleted, "an application is deleted"),

	createAPIKey:   apiKeyMethod("CreateAPIKey", iam.ActionCreated, "an API key is minted, be it by a rotation"),
	updateAPIKey:   apiKeyMethod("UpdateAPIKey", iam.ActionUpdated, "an API key's description, Project or expiry change, or it begins to retire"),
	redigestAPIKey: ownAct(apiKeyMethod("RedigestAPIKey", iam.ActionUpdated, "the stored digest of an unchanged API key is made anew, under another digest key")),
	deleteAPIKey:   apiKeyMethod("DeleteAPIKey", iam.ActionDeleted, "an API key dies: deleted, rotated away, or with its bearer"),

	createPolicy: iamMethod("CreatePolicy", iam.KindPolicy, "iam_policy", iam.ActionCreated, "a policy appears, with its rules"),
	updatePolicy: iamMethod("UpdatePolicy", iam.KindPolicy, "iam_policy", iam.ActionUpdated, "a policy's name, description, tags or principal change"),
	setRules:     iamMethod("SetRules", iam.KindPolicy, "iam_policy", iam.ActionUpdated, "what a policy's rules say, or what they reach, changes"),
	deletePolicy: iamMethod("DeletePolicy", iam.KindPolicy, "iam_policy", iam.ActionDeleted, "a policy is deleted"),

	createSSHKey: iamMethod("CreateSSHKey", iam.KindSSHKey, "iam_ssh_key", iam.ActionCreated, "an SSH key appears"),
	updateSSHKey: iamMethod("UpdateSSHKey", iam.KindSSHKey, "iam_ssh_key", iam.ActionUpdated, "an SSH key changes, is disabled or enabled"),
	deleteSSHKey: iamMethod("DeleteSSHKey", iam.KindSSHKey, "iam_ssh_key", iam.ActionDeleted, "an SSH key is deleted"),

	createPermissionSet: permissionSetMethod("CreatePermissionSet", iam.ActionCreated, "a permission set appears"),
	updatePermissionSet: permissionSetMethod("UpdatePermissionSet", iam.ActionUpdated, "a permission set changes"),
	deletePermissionSet: permissionSetMethod("DeletePermissionSet", iam.ActionDeleted, "a permission set is deleted"),
}

func iamMethod(name string, kind iam.Kind, resource string, action iam.Action, when string) MethodInfo {
	return MethodInfo{Name: name, Product: productIAM, Service: serviceIAM, Kind: kind, Type: resource, Action: action, When: when}
}

func groupMethod(name string, action iam.Action, when string) MethodInfo {
	return iamMethod(name, iam.KindGroup, "iam_group", action, when)
}

func apiKeyMethod(name string, action iam.Action, when string) MethodInfo {
	return iamMethod(name, iam.KindAPIKey, "iam_api_key", action, when)
}

// settingsMethod is a method on an Organization that Scaleway has under IAM.
func settingsMethod(name, when string) MethodInfo {
	return iamMethod(name, iam.KindOrganization, "account_organization", iam.ActionUpdated, when)
}

// organizationMethod is a method on an Organization; Scaleway has none to create or change one.
func organizationMethod(name string, action iam.Action, when string) MethodInfo {
	return MethodInfo{Name: name, Product: productAccount, Service: serviceOrganization, Kind: iam.KindOrganization, Type: "account_organization", Action: action, Ours: true, When: when}
}

// permissionSetMethod is a method of ours on a permission set: Scaleway's sets are fixed.
func permissionSetMethod(name string, action iam.Action, when string) MethodInfo {
	info := iamMethod(name, iam.KindPermissionSet, "iam_permission_set", action, when)
	info.Ours = true
	return info
}

func projectMethod(name string, action iam.Action, when string) MethodInfo {
	return MethodInfo{Name: name, Product: productAccount, Service: serviceProject, Kind: iam.KindProject, Type: "account_project", Action: action, When: when}
}

func ownerMethod(name, when string) MethodInfo {
	return MethodInfo{Name: name, Product: productAccount, Service: serviceUser, Kind: iam.KindMember, Type: "account_user", Action: iam.ActionUpdated, When: when}
}

func theirs(info MethodInfo) MethodInfo {
	info.Ours = false
	return info
}

func ownAct(info MethodInfo) MethodInfo {
	info.Ours, info.OwnAct = true, true
	return info
}
