// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var organizationTable = table{
	kind: "Organization",
	object: `
metadata: {name: acme}
spec:
  displayName: Acme Corp
  alias: acme
  owner: {email: owner@acme.example, firstName: Ada, lastName: Ng, kubernetesUsers: [ada@acme.example]}
  defaultProject: {displayName: default, description: What has no Project yet}
  allowedNamespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  security:
    loginMethods: [Password, MagicCode]
    mfa: Required
    passwordRenewal: FirstLogin
    passwordPolicy: {minLength: 15}
    gracePeriod: 72h
    loginAttemptsBeforeLock: 5
    maxLoginSession: 720h
    maxAPIKeyLifetime: 2160h
  quotas: {members: 50, applications: 100, groups: 10, policies: 10, apiKeys: 10, projects: 10, sshKeys: 0}
  auditLog: {retention: 720h}
`,
	rows: slices.Concat(
		commonRows(), displayName(), aliasRows(), ownerRows(),
		projectDisplayName("spec.defaultProject.displayName"), description("spec.defaultProject.description"),
		allowedNamespacesRows(), securityRows(), quotaRows(),
		duration("spec.auditLog.retention", "retention must be between 24h and 87600h", "23h59m", "24h", "87600h", "87601h"),
		[]row{
			{name: "nothing but the owner", set: putYAML("spec", "{owner: {email: owner@acme.example}}")},
			statusText("status.ownerID", 36),
			statusText("status.defaultProjectID", 36),
			statusText("status.alias", 32),
		},
	),
}

func TestOrganizationRules(t *testing.T) { organizationTable.run(t) }

func aliasRows() []row {
	const path, words = "spec.alias", "may hold lower case letters and digits only"
	forbidden := []string{path + ": alias cannot change once it is set"}
	rows := append(text(path, 32),
		row{name: "alias is empty", set: put(path, ""), want: []string{tooShort(path, 2), says(path, words)}},
		row{name: "alias of one letter", set: put(path, "a"), want: []string{tooShort(path, 2)}},
		row{name: "alias changes", before: asIs, set: put(path, "other"), want: forbidden},
		row{name: "alias is removed", before: asIs, set: drop(path), want: forbidden},
		row{name: "alias is set later", before: drop(path), set: put(path, "acme")},
		row{name: "alias stays", before: asIs, set: put("spec.displayName", "Acme")},
	)
	return append(rows, malformed(path, words, "Acme", "acme-corp", "acme corp")...)
}

func ownerRows() []row {
	return slices.Concat([]row{
		missing("spec.owner"),
		{name: "the owner's e-mail changes", before: asIs, set: put("spec.owner.email", "bob@acme.example")},
		{name: "the owner has no kubernetesUsers", set: putYAML("spec.owner.kubernetesUsers", "[]")},
	}, email("spec.owner.email"), text("spec.owner.firstName", 64), text("spec.owner.lastName", 64), userNames("spec.owner.kubernetesUsers"))
}

func allowedNamespacesRows() []row {
	const path = "spec.allowedNamespaces"
	together := []string{path + ": selector goes with from: Selector, and only with it"}
	return []row{
		missing(path + ".from"),
		{name: "from is something else", set: put(path+".from", "None"), want: []string{notOneOf(path + ".from")}},
		{name: "from Same", set: putYAML(path, "{from: Same}")},
		{name: "from All", set: putYAML(path, "{from: All}")},
		{name: "from Same with a selector", set: put(path+".from", "Same"), want: together},
		{name: "from All with a selector", set: put(path+".from", "All"), want: together},
		{name: "from Selector without a selector", set: drop(path + ".selector"), want: together},
		{name: "a selector by expressions", set: putYAML(path+".selector",
			"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, web]}]}")},
	}
}

func securityRows() []row {
	const path = "spec.security."
	const methods = path + "loginMethods"
	return slices.Concat(
		choice(path+"mfa", "Optional", "Required"),
		choice(path+"passwordRenewal", "Never", "FirstLogin"),
		number(path+"passwordPolicy.minLength", 8, 72),
		number(path+"loginAttemptsBeforeLock", 1, 50),
		duration(path+"gracePeriod", "gracePeriod must be between 1h and 8760h", "59m", "1h", "8760h", "8761h"),
		duration(path+"maxLoginSession", "maxLoginSession must be between 5m and 8760h", "4m", "5m", "8760h", "8761h"),
		duration(path+"maxAPIKeyLifetime", "maxAPIKeyLifetime must be between 1h and 87600h", "59m", "1h", "87600h", "87601h"),
		[]row{
			{name: "all login methods", set: putYAML(methods, "[Password, MagicCode, OAuth2, SAML]")},
			{name: "no login method", set: putYAML(methods, "[]"), want: []string{tooFew(methods, 1)}},
			{name: "another login method", set: putYAML(methods, "[Telepathy]"), want: []string{notOneOf(methods + "[0]")}},
			{name: "a login method twice", set: putYAML(methods, "[SAML, SAML]"), want: []string{duplicate(methods + "[1]")}},
			{name: "five login methods", set: putYAML(methods, "[Password, MagicCode, OAuth2, SAML, SAML]"),
				want: []string{tooMany(methods, 4), duplicate(methods + "[4]")}},
		},
	)
}

func quotaRows() []row {
	var rows []row
	for _, name := range []string{"members", "applications", "groups", "policies", "apiKeys", "projects", "sshKeys"} {
		path := "spec.quotas." + name
		rows = append(rows,
			row{name: path + " is 0", set: put(path, int64(0))},
			row{name: path + " is -1", set: put(path, int64(-1)), want: []string{tooSmall(path, 0)}},
		)
	}
	return rows
}
