// SPDX-License-Identifier: Apache-2.0

package iam

// What the IAM sets are put together from. Resources are named one by one, never `iam:*`, because that would take in
// iam:ssh_key, which belongs to projects.
const (
	// Resources named self_… are the caller's own. Whoever serves such a method holds it to the caller, whatever the
	// permissions say: a session made for somebody else would be that somebody.
	selfSee    = "iam:self_permission:check iam:self_jwt:read,list iam:self_connection:list"
	selfManage = "iam:self_permission:* iam:self_jwt:* iam:self_connection:* iam:self_mfa_otp:* iam:self_webauthn_authenticator:*"

	// People come with their sign-in: lock, password, second factor.
	usersSee    = "iam:user:read,list iam:grace_period:list iam:webauthn_authenticator:list " + selfSee
	usersManage = "iam:user:* iam:grace_period:* iam:mfa_otp:* iam:webauthn_authenticator:* " + selfManage

	applicationsSee    = "iam:application:read,list"
	applicationsManage = "iam:application:*"

	// A permission does not tell a person's key from an application's: that IAMApplicationManager handles applications'
	// keys only is for whoever serves the methods to see to.
	keysSee    = "iam:api_key:read,list"
	keysManage = "iam:api_key:*"

	groupsSee    = "iam:group:read,list"
	groupsManage = "iam:group:*"

	// A policy comes with its rules, and the sets to choose from.
	policiesSee    = "iam:policy:read,list iam:rule:list iam:permission_set:list"
	policiesManage = "iam:policy:* iam:rule:* iam:permission_set:list"

	// How an Organization lets people in, and IAM's own log.
	accessSee = "iam:organization:read iam:security_settings:read iam:saml:read iam:saml_certificate:read,list " +
		"iam:scim:read iam:scim_token:read,list iam:log:read,list"
	accessManage = "iam:organization:read iam:security_settings:* iam:login_methods:* iam:saml:* iam:saml_certificate:* " +
		"iam:scim:* iam:scim_token:* iam:log:*"

	// Deleting a project with all that is in it is not here: it would reach the resources, which these sets do not.
	projectsManage = "account:project:read,list,create,write,delete"

	// check asks the decision engine about others: ours, since Scaleway's only answers for the caller.
	check = "iam:permission:check"

	iamSee    = usersSee + " " + applicationsSee + " " + keysSee + " " + groupsSee + " " + policiesSee + " " + accessSee
	iamManage = usersManage + " " + applicationsManage + " " + keysManage + " " + groupsManage + " " + policiesManage + " " + accessManage + " " + check
)

// organizationSections are the sets of scope type Organization.
var organizationSections = []section{
	{ScopeOrganization, []string{CategoryOrganization}, []row{
		{"OrganizationManager", "Run the Organization: its alias and quotas, projects, IAM, billing, support and abuse tickets, and see its audit trail. Holds no product.",
			"account:*:* " + iamManage + " iam:organization:set_alias iam:quota:* billing:*:* support:*:* abuse:*:* audit_trail:*:read,list"},
		{"OrganizationReadOnly", "See what the Organization is: its name, alias, login methods and quotas.",
			"iam:organization:read iam:quota:read,list iam:self_permission:check"},
		{"ProjectManager", "Create, see and rename projects and delete empty ones. Holds nothing of what is in them.", projectsManage},
		{"ProjectReadOnly", "See which projects there are, but not what is in them.", "account:project:read,list"},
	}},
	{ScopeOrganization, []string{CategoryIAM}, []row{
		{"IAMManager", "Manage people, groups, applications, policies, API keys, sign-in and projects. Its holder can grant itself anything.",
			iamManage + " " + projectsManage},
		{"IAMReadOnly", "See people, groups, applications, policies, API keys and sign-in settings, and change none.", iamSee},
		{"IAMApplicationManager", "Manage applications and their API keys.", applicationsManage + " " + keysManage},
		{"IAMApplicationReadOnly", "See applications and their API keys, without the secrets.", applicationsSee + " " + keysSee},
		{"IAMUserManager", "Manage people and their sign-in, and see their API keys.", usersManage + " " + keysSee},
		{"IAMUserReadOnly", "See people and their API keys, without the secrets.", usersSee + " " + keysSee},
		{"IAMGroupManager", "Manage groups and who is in them.", groupsManage},
		{"IAMGroupReadOnly", "See groups and who is in them.", groupsSee},
		{"IAMPolicyManager", "Manage policies and their rules. Its holder can grant itself anything.", policiesManage},
		{"IAMPolicyReadOnly", "See policies, their rules and the permission sets.", policiesSee},
		{"IAMPermissionChecker", "Ask what others of the Organization may do, and why. A set of iam-operator's own, which Scaleway has not.", check},
	}},
	{ScopeOrganization, []string{CategoryBilling}, []row{
		{"BillingManager", "See invoices and consumption, and change billing contacts, means of payment and alerts.", "billing:*:*"},
		{"BillingReadOnly", "See invoices, consumption and billing settings.", "billing:*:read,list"},
	}},
	{ScopeOrganization, []string{CategorySupport}, []row{
		{"SupportTicketManager", "Open, see and answer support tickets.", "support:*:*"},
		{"SupportTicketReadOnly", "See support tickets.", "support:*:read,list"},
		{"AbuseTicketManager", "Open, see and answer abuse tickets.", "abuse:*:*"},
	}},
	{ScopeOrganization, []string{CategoryAuditTrail}, []row{
		{"AuditTrailFullAccess", "See the audit trail, and manage its exports and alerts.", "audit_trail:*:*"},
		{"AuditTrailReadOnly", "See the audit trail, its exports and its alerts.", "audit_trail:*:read,list"},
		{"AuditTrailExportRead", "See the exports of the audit trail.", "audit_trail:export_job:read,list"},
		{"AuditTrailExportDelete", "Delete exports of the audit trail.", "audit_trail:export_job:delete"},
	}},
	{ScopeOrganization, []string{CategoryEnvironmentalImpact}, []row{
		{"EnvironmentalImpactReadOnly", "See the estimated environmental impact of what the Organization uses.", "environmental_impact:*:read,list"},
	}},
	{ScopeOrganization, []string{CategoryNotifications}, []row{
		{"NotificationManagerFullAccess", "See and change who is notified of what.", "notification:*:*"},
		{"NotificationManagerReadOnly", "See who is notified of what.", "notification:*:read,list"},
	}},
}
