// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"iter"
	"sync"
)

// methodRow is a method of the HTTP API and the one permission that it asks for.
type methodRow struct{ method, permission string }

// methodTables name every method of the IAM, account (projects) and audit-trail APIs. A permission is necessary, not
// always enough: resources named self_… act on the caller alone; API keys are made for oneself or an application only;
// nobody changes the Owner's credentials. Who serves the method knows; a permission cannot say it.
var methodTables = [][]methodRow{iamMethods, accountMethods, auditTrailMethods}

var iamMethods = []methodRow{
	{"ListSSHKeys", "iam:ssh_key:list"},
	{"CreateSSHKey", "iam:ssh_key:create"},
	{"GetSSHKey", "iam:ssh_key:read"},
	{"UpdateSSHKey", "iam:ssh_key:write"},
	{"DeleteSSHKey", "iam:ssh_key:delete"},

	{"ListUsers", "iam:user:list"},
	{"CreateUser", "iam:user:create"},
	{"GetUser", "iam:user:read"},
	{"UpdateUser", "iam:user:write"},
	{"DeleteUser", "iam:user:delete"},
	// A name and a password open the account: apart from write, so that a set for a help desk can hold one of them.
	{"UpdateUserUsername", "iam:user:set_username"},
	{"UpdateUserPassword", "iam:user:set_password"},
	{"LockUser", "iam:user:lock"},
	{"UnlockUser", "iam:user:unlock"},
	{"ListGracePeriods", "iam:grace_period:list"},

	// An administrator may take a second factor away, and only its bearer may set one up.
	{"CreateUserMFAOTP", "iam:self_mfa_otp:create"},
	{"ValidateUserMFAOTP", "iam:self_mfa_otp:validate"},
	{"DeleteUserMFAOTP", "iam:mfa_otp:delete"},
	{"StartUserWebAuthnRegistration", "iam:self_webauthn_authenticator:register"},
	{"FinishUserWebAuthnRegistration", "iam:self_webauthn_authenticator:register"},
	{"ListUserWebAuthnAuthenticators", "iam:webauthn_authenticator:list"},
	{"UpdateWebAuthnAuthenticator", "iam:webauthn_authenticator:write"},
	{"DeleteWebAuthnAuthenticator", "iam:webauthn_authenticator:delete"},

	{"GetUserConnections", "iam:self_connection:list"},
	{"InitiateUserConnection", "iam:self_connection:create"},
	{"JoinUserConnection", "iam:self_connection:create"},
	{"RemoveUserConnection", "iam:self_connection:delete"},
	// self_jwt is the resource that Scaleway's own refusals name.
	{"ListJWTs", "iam:self_jwt:list"},
	{"CreateJWT", "iam:self_jwt:create"},
	{"GetJWT", "iam:self_jwt:read"},
	{"DeleteJWT", "iam:self_jwt:delete"},
	{"CheckPermissions", "iam:self_permission:check"},

	{"ListApplications", "iam:application:list"},
	{"CreateApplication", "iam:application:create"},
	{"GetApplication", "iam:application:read"},
	{"UpdateApplication", "iam:application:write"},
	{"DeleteApplication", "iam:application:delete"},

	{"ListGroups", "iam:group:list"},
	{"CreateGroup", "iam:group:create"},
	{"GetGroup", "iam:group:read"},
	{"UpdateGroup", "iam:group:write"},
	{"DeleteGroup", "iam:group:delete"},
	// Membership gives what the group is granted, a new name does not: apart from write.
	{"SetGroupMembers", "iam:group:set_members"},
	{"AddGroupMember", "iam:group:add_member"},
	{"AddGroupMembers", "iam:group:add_member"},
	{"RemoveGroupMember", "iam:group:remove_member"},

	{"ListPolicies", "iam:policy:list"},
	{"CreatePolicy", "iam:policy:create"},
	{"GetPolicy", "iam:policy:read"},
	{"UpdatePolicy", "iam:policy:write"},
	{"DeletePolicy", "iam:policy:delete"},
	{"ClonePolicy", "iam:policy:create"},
	{"SetRules", "iam:rule:write"},
	{"ListRules", "iam:rule:list"},
	{"ListPermissionSets", "iam:permission_set:list"},

	{"ListAPIKeys", "iam:api_key:list"},
	{"CreateAPIKey", "iam:api_key:create"},
	{"GetAPIKey", "iam:api_key:read"},
	{"UpdateAPIKey", "iam:api_key:write"},
	{"DeleteAPIKey", "iam:api_key:delete"},

	{"ListQuota", "iam:quota:list"},
	{"GetQuotum", "iam:quota:read"},
	{"ListLogs", "iam:log:list"},
	{"GetLog", "iam:log:read"},

	{"GetOrganization", "iam:organization:read"},
	{"SetOrganizationAlias", "iam:organization:set_alias"},
	{"GetOrganizationSecuritySettings", "iam:security_settings:read"},
	{"UpdateOrganizationSecuritySettings", "iam:security_settings:write"},
	{"UpdateOrganizationLoginMethods", "iam:login_methods:write"},

	{"GetOrganizationSaml", "iam:saml:read"},
	{"EnableOrganizationSaml", "iam:saml:create"},
	{"UpdateSaml", "iam:saml:write"},
	{"DeleteSaml", "iam:saml:delete"},
	// Changes nothing, but is of use only to whoever is setting SAML up.
	{"ParseSamlMetadata", "iam:saml:write"},
	{"ListSamlCertificates", "iam:saml_certificate:list"},
	{"AddSamlCertificate", "iam:saml_certificate:create"},
	{"GetSamlCertificate", "iam:saml_certificate:read"},
	{"DeleteSamlCertificate", "iam:saml_certificate:delete"},

	{"GetOrganizationScim", "iam:scim:read"},
	{"EnableOrganizationScim", "iam:scim:create"},
	{"DeleteScim", "iam:scim:delete"},
	{"ListScimTokens", "iam:scim_token:list"},
	{"CreateScimToken", "iam:scim_token:create"},
	{"GetScimToken", "iam:scim_token:read"},
	{"DeleteScimToken", "iam:scim_token:delete"},
}

var accountMethods = []methodRow{
	{"ListProjects", "account:project:list"},
	{"CreateProject", "account:project:create"},
	{"GetProject", "account:project:read"},
	{"UpdateProject", "account:project:write"},
	{"DeleteProject", "account:project:delete"},
	// Destroys what is in the project, where DeleteProject asks for an empty one.
	{"DeleteProjectWithResources", "account:project:delete_with_resources"},
	{"SetProjectQualification", "account:project:write"},
}

var auditTrailMethods = []methodRow{
	{"ListEvents", "audit_trail:event:list"},
	{"ListAuthenticationEvents", "audit_trail:authentication_event:list"},
	{"ListSystemEvents", "audit_trail:system_event:list"},
	{"ListCombinedEvents", "audit_trail:combined_event:list"},
	{"GetLastEventsOverview", "audit_trail:last_events_overview:read"},
	{"ListProducts", "audit_trail:product:list"},

	{"ListExportJobs", "audit_trail:export_job:list"},
	{"CreateExportJob", "audit_trail:export_job:create"},
	{"DeleteExportJob", "audit_trail:export_job:delete"},

	{"ListAlertRules", "audit_trail:alert_rule:list"},
	{"SetEnabledAlertRules", "audit_trail:alert_rule:write"},
	{"EnableAlertRules", "audit_trail:alert_rule:write"},
	{"DisableAlertRules", "audit_trail:alert_rule:write"},

	{"ListCustomAlertRules", "audit_trail:custom_alert_rule:list"},
	{"CreateCustomAlertRule", "audit_trail:custom_alert_rule:create"},
	{"UpdateCustomAlertRule", "audit_trail:custom_alert_rule:write"},
	{"DeleteCustomAlertRule", "audit_trail:custom_alert_rule:delete"},
	{"SetEnabledCustomAlertRules", "audit_trail:custom_alert_rule:write"},
	{"EnableCustomAlertRules", "audit_trail:custom_alert_rule:write"},
	{"DisableCustomAlertRules", "audit_trail:custom_alert_rule:write"},
	// Both read what a rule would look at, and keep nothing.
	{"TestCustomAlertRule", "audit_trail:custom_alert_rule:read"},
	{"RetrieveAvailableFieldsForCustomAlertRules", "audit_trail:custom_alert_rule:read"},
}

// methodPermissions compiles the tables once. It panics on a malformed permission or a method named twice: the tables
// are part of the program, and its tests would fail.
var methodPermissions = sync.OnceValue(func() map[string]Permission {
	permissions := make(map[string]Permission)
	for _, table := range methodTables {
		for _, row := range table {
			p, err := ParsePermission(row.permission)
			if _, twice := permissions[row.method]; err != nil || twice {
				panic(fmt.Sprintf("iam: method %s is malformed or named twice: %v", row.method, err))
			}
			permissions[row.method] = p
		}
	}
	return permissions
})

// MethodPermission returns the one permission that a method of the IAM, account or audit-trail API asks for, and false
// for a method that does not exist. Method names are the SDK's, such as CreateAPIKey; they are unique across the three.
func MethodPermission(method string) (Permission, bool) {
	p, ok := methodPermissions()[method]
	return p, ok
}

// MethodPermissions yields every method with its permission, in the order of the tables.
func MethodPermissions() iter.Seq2[string, Permission] {
	return func(yield func(string, Permission) bool) {
		for _, table := range methodTables {
			for _, row := range table {
				if !yield(row.method, methodPermissions()[row.method]) {
					return
				}
			}
		}
	}
}
