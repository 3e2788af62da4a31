// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var groupTable = table{
	kind: "Group",
	object: `
metadata: {name: deployers}
spec:
  organizationRef: {name: acme, namespace: acme}
  displayName: Deployers
  description: Who rolls out
  tags: [platform]
  membership: Declared
  members: [{kind: Member, name: maya}, {kind: Application, name: deployer}]
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), displayName(), description("spec.description"), tags(),
		choice("spec.membership", "Declared"), objectName("spec.members[0].name"), memberListRows(),
	),
}

func TestGroupRules(t *testing.T) { groupTable.run(t) }

func memberListRows() []row {
	const path = "spec.members"
	onlyDeclared := []string{path + ": members are listed only with membership: Declared"}
	return []row{
		missing(path + "[0].kind"),
		missing(path + "[0].name"),
		{name: "nothing but the Organization", set: putYAML("spec", "{organizationRef: {name: acme}}")},
		{name: "members without membership", set: drop("spec.membership")},
		{name: "a group in a group", set: put(path+"[0].kind", "Group"), want: []string{notOneOf(path + "[0].kind")}},
		{name: "five hundred members", set: putMany(path, "{kind: Member, name: m-%d}", 500)},
		{name: "five hundred and one members", set: putMany(path, "{kind: Member, name: m-%d}", 501), want: []string{tooMany(path, 500)}},
		{name: "a member twice", set: putYAML(path, "[{kind: Member, name: a}, {kind: Member, name: a}]"), want: []string{duplicate(path + "[1]")}},
		{name: "a Member and an Application of one name", set: putYAML(path, "[{kind: Member, name: a}, {kind: Application, name: a}]")},
		{name: "AllUsers without members", set: both(put("spec.membership", "AllUsers"), drop(path))},
		{name: "AllApplications with an empty list", set: both(put("spec.membership", "AllApplications"), putYAML(path, "[]"))},
		{name: "AllUsers with members", set: put("spec.membership", "AllUsers"), want: onlyDeclared},
		{name: "AllApplications with members", set: put("spec.membership", "AllApplications"), want: onlyDeclared},
		{name: "a group becomes dynamic and keeps its members", before: asIs, set: put("spec.membership", "AllUsers"), want: onlyDeclared},
		{name: "a group becomes dynamic", before: asIs, set: both(put("spec.membership", "AllUsers"), drop(path))},
	}
}
