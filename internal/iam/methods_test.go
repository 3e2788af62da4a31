// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"slices"
	"strings"
	"testing"
)

// The methods of the specification, §4.4 (with CheckPermissions), §4.6 and §4.7, kept apart from the tables.
const documentedMethods = `
	ListSSHKeys CreateSSHKey GetSSHKey UpdateSSHKey DeleteSSHKey
	ListUsers GetUser UpdateUser DeleteUser CreateUser UpdateUserUsername UpdateUserPassword
	CreateUserMFAOTP ValidateUserMFAOTP DeleteUserMFAOTP LockUser UnlockUser ListGracePeriods
	GetUserConnections InitiateUserConnection JoinUserConnection RemoveUserConnection
	ListApplications CreateApplication GetApplication UpdateApplication DeleteApplication
	ListGroups CreateGroup GetGroup UpdateGroup SetGroupMembers AddGroupMember AddGroupMembers RemoveGroupMember DeleteGroup
	ListPolicies CreatePolicy GetPolicy UpdatePolicy DeletePolicy ClonePolicy SetRules ListRules ListPermissionSets
	ListAPIKeys CreateAPIKey GetAPIKey UpdateAPIKey DeleteAPIKey
	ListQuota GetQuotum ListJWTs CreateJWT GetJWT DeleteJWT ListLogs GetLog
	GetOrganizationSecuritySettings UpdateOrganizationSecuritySettings SetOrganizationAlias GetOrganization
	UpdateOrganizationLoginMethods
	GetOrganizationSaml EnableOrganizationSaml UpdateSaml DeleteSaml ParseSamlMetadata
	ListSamlCertificates AddSamlCertificate GetSamlCertificate DeleteSamlCertificate
	GetOrganizationScim EnableOrganizationScim DeleteScim ListScimTokens CreateScimToken DeleteScimToken
	StartUserWebAuthnRegistration FinishUserWebAuthnRegistration ListUserWebAuthnAuthenticators
	UpdateWebAuthnAuthenticator DeleteWebAuthnAuthenticator
	CheckPermissions

	CreateProject ListProjects GetProject UpdateProject DeleteProject DeleteProjectWithResources SetProjectQualification

	ListEvents ListAuthenticationEvents ListSystemEvents ListCombinedEvents ListProducts GetLastEventsOverview
	CreateExportJob DeleteExportJob ListExportJobs
	ListAlertRules SetEnabledAlertRules EnableAlertRules DisableAlertRules
	ListCustomAlertRules CreateCustomAlertRule UpdateCustomAlertRule DeleteCustomAlertRule
	SetEnabledCustomAlertRules EnableCustomAlertRules DisableCustomAlertRules`

// Methods of scaleway-sdk-go v1.39.0 that are younger than the specification.
const youngerMethods = `GetScimToken TestCustomAlertRule RetrieveAvailableFieldsForCustomAlertRules`

func TestMethodTablesNameTheDocumentedMethods(t *testing.T) {
	want := strings.Fields(documentedMethods + " " + youngerMethods)
	var got []string
	for method := range MethodPermissions() {
		got = append(got, method)
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, method := range want {
		if _, ok := MethodPermission(method); !ok {
			t.Errorf("%s is missing", method)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d methods, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

func TestMethodPermissionIsGrantedBySomeSet(t *testing.T) {
	for method, permission := range MethodPermissions() {
		t.Run(method, func(t *testing.T) {
			if permission.HasWildcard() {
				t.Fatalf("%s asks for %s; one permission has no wildcard", method, permission)
			}
			if again, ok := MethodPermission(method); !ok || again != permission {
				t.Fatalf("listed with %s, looked up as %s", permission, again)
			}
			for _, set := range Catalogue() {
				if Grants(set.ScopeType, set.Permissions, nil, permission) {
					return
				}
			}
			t.Fatalf("no set grants %s", permission)
		})
	}
}

// The first word of a method says what is done; a table that says otherwise is mistyped, or gives its reason here.
func TestMethodNamesAgreeWithTheirActions(t *testing.T) {
	reasons := map[string]string{
		"GetUserConnections":         "answers with a list",
		"UpdateUserUsername":         "apart from write: it opens the account",
		"UpdateUserPassword":         "apart from write: it opens the account",
		"DeleteProjectWithResources": "destroys what is in the project",
	}
	actions := map[string]string{"List": "list", "Get": "read", "Create": "create", "Update": "write", "Delete": "delete"}
	for method, permission := range MethodPermissions() {
		for word, action := range actions {
			if strings.HasPrefix(method, word) && permission.Action != action && reasons[method] == "" {
				t.Errorf("%s asks for %s, want the action %s", method, permission, action)
			}
		}
	}
}

// Who may do what, as the documentation tells it: a sample that would change if a table slipped.
func TestMethodsByPermissionSet(t *testing.T) {
	sets := map[string]CatalogueSet{}
	for _, set := range Catalogue() {
		sets[set.Name] = set
	}
	for name, tc := range map[string]struct{ may, mayNot string }{
		"OrganizationManager":    {"SetOrganizationAlias UpdateOrganizationSecuritySettings SetRules CreateProject DeleteProjectWithResources ListEvents ListQuota", "CreateExportJob CreateSSHKey ListSSHKeys"},
		"OrganizationReadOnly":   {"GetOrganization ListQuota GetQuotum", "ListUsers SetOrganizationAlias"},
		"IAMManager":             {"CreateUser LockUser CreateAPIKey SetRules AddGroupMember CreateProject DeleteProject UpdateSaml CreateScimToken", "SetOrganizationAlias CreateSSHKey DeleteProjectWithResources"},
		"IAMReadOnly":            {"GetUser ListPolicies ListRules ListPermissionSets GetAPIKey ListLogs GetOrganizationSecuritySettings", "CreateUser SetRules DeleteAPIKey"},
		"IAMUserManager":         {"CreateUser UpdateUserPassword UnlockUser DeleteUserMFAOTP ListAPIKeys", "CreateAPIKey DeleteAPIKey CreateApplication AddGroupMember"},
		"IAMApplicationManager":  {"CreateApplication CreateAPIKey DeleteAPIKey", "CreateUser CreatePolicy"},
		"IAMApplicationReadOnly": {"GetApplication ListAPIKeys", "CreateAPIKey UpdateApplication"},
		"IAMGroupManager":        {"CreateGroup SetGroupMembers AddGroupMembers RemoveGroupMember", "CreatePolicy ListUsers"},
		"IAMPolicyManager":       {"CreatePolicy ClonePolicy SetRules ListPermissionSets", "CreateGroup CreateAPIKey"},
		"IAMPolicyReadOnly":      {"GetPolicy ListRules ListPermissionSets", "SetRules"},
		"ProjectManager":         {"CreateProject UpdateProject DeleteProject", "DeleteProjectWithResources ListUsers"},
		"AuditTrailReadOnly":     {"ListEvents ListCombinedEvents ListExportJobs ListAlertRules", "CreateExportJob EnableAlertRules"},
		"AuditTrailExportRead":   {"ListExportJobs", "ListEvents DeleteExportJob"},
		"SSHKeysFullAccess":      {"CreateSSHKey DeleteSSHKey", "ListUsers"},
		"SSHKeysReadOnly":        {"GetSSHKey ListSSHKeys", "CreateSSHKey"},
		"AllProductsFullAccess":  {"CreateSSHKey", "ListUsers CreateProject ListEvents CheckPermissions"},
	} {
		for _, method := range strings.Fields(tc.may) {
			if p, _ := MethodPermission(method); !Grants(sets[name].ScopeType, sets[name].Permissions, nil, p) {
				t.Errorf("%s does not grant %s (%s)", name, method, p)
			}
		}
		for _, method := range strings.Fields(tc.mayNot) {
			if p, ok := MethodPermission(method); !ok || Grants(sets[name].ScopeType, sets[name].Permissions, nil, p) {
				t.Errorf("%s grants %s (%s)", name, method, p)
			}
		}
	}
}

func TestMethodUnknown(t *testing.T) {
	for _, method := range []string{"", "listusers", "DropTables"} {
		if p, ok := MethodPermission(method); ok {
			t.Errorf("%q asks for %s", method, p)
		}
	}
}
