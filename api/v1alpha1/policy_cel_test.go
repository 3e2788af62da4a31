// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var policyTable = table{
	kind: "Policy",
	object: `
metadata: {name: deployers}
spec:
  organizationRef: {name: acme, namespace: acme}
  displayName: Deployers
  description: Roll out
  tags: [platform]
  principal: {kind: Group, name: deployers, namespace: platform}
  rules:
  - permissionSets: [InstancesFullAccess, ObjectStorageReadOnly]
    scope: Projects
    projectRefs: [{name: web, namespace: shop}, {name: default}]
    condition: inIpRange(request.ip, "10.0.0.0/8")
  - permissionSets: [IAMReadOnly]
    scope: Organization
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), displayName(), description("spec.description"), tags(),
		principalRows(), permissionSetsRows(), scopeRows(), conditionRows(),
		[]row{
			{name: "nothing but the Organization", set: putYAML("spec", "{organizationRef: {name: acme}}")},
			{name: "fifty rules", set: putMany("spec.rules", "{permissionSets: [A%d], scope: Organization}", 50)},
			{name: "fifty-one rules", set: putMany("spec.rules", "{permissionSets: [A%d], scope: Organization}", 51), want: []string{tooMany("spec.rules", 50)}},
			{name: "the same rule twice", set: putYAML("spec.rules", "[{permissionSets: [A], scope: Organization}, {permissionSets: [A], scope: Organization}]")},
			statusText("status.principalID", 36),
		},
	),
}

func TestPolicyRules(t *testing.T) { policyTable.run(t) }

func principalRows() []row {
	const path = "spec.principal"
	return slices.Concat(reference(path), choice(path+".kind", "Member", "Group", "Application"), []row{
		missing(path + ".kind"),
		{name: "no principal", set: drop(path)},
		{name: "the principal changes", before: asIs, set: putYAML(path, "{kind: Member, name: maya}")},
		{name: "the principal is removed", before: asIs, set: drop(path)},
	})
}

func permissionSetsRows() []row {
	const path, item = "spec.rules[0].permissionSets", "spec.rules[0].permissionSets[0]"
	one := func(name string) change { return put(path, []any{name}) }
	rows := []row{
		missing(path),
		{name: "no permission set", set: putYAML(path, "[]"), want: []string{tooFew(path, 1)}},
		{name: "a hundred permission sets", set: put(path, numbered("Set%d", 100))},
		{name: "a hundred and one permission sets", set: put(path, numbered("Set%d", 101)), want: []string{tooMany(path, 100)}},
		{name: "a permission set twice", set: putYAML(path, "[A, A]"), want: []string{duplicate(path + "[1]")}},
		{name: "a permission set without a name", set: one(""), want: []string{tooShort(item, 1), says(item, setNameWords)}},
		{name: "a permission set of 64 letters", set: one(long(64))},
		{name: "a permission set of 65 letters", set: one(long(65)), want: []string{tooLong(item, 64)}},
	}
	for _, bad := range []string{"Object-Storage", "2Storage", "Object Storage"} {
		rows = append(rows, row{name: "a permission set is " + bad, set: one(bad), want: []string{says(item, setNameWords)}})
	}
	return rows
}

func scopeRows() []row {
	const path, refs = "spec.rules[0].scope", "spec.rules[0].projectRefs"
	together := []string{"spec.rules[0]: projectRefs go with scope: Projects, at least one, and only with it"}
	return append(reference(refs+"[0]"),
		missing(path),
		row{name: "scope is something else", set: put(path, "Cluster"), want: []string{notOneOf(path)}},
		row{name: "scope Projects without projectRefs", set: drop(refs), want: together},
		row{name: "scope Projects with no projectRefs", set: putYAML(refs, "[]"), want: together},
		row{name: "scope Organization with projectRefs", set: put(path, "Organization"), want: together},
		row{name: "scope Organization with an empty list", set: both(put(path, "Organization"), putYAML(refs, "[]"))},
		row{name: "the scope changes", before: asIs, set: both(put(path, "Organization"), drop(refs))},
		row{name: "a hundred projectRefs", set: putMany(refs, "{name: p-%d}", 100)},
		row{name: "a hundred and one projectRefs", set: putMany(refs, "{name: p-%d}", 101), want: []string{tooMany(refs, 100)}},
	)
}

func conditionRows() []row {
	const path = "spec.rules[0].condition"
	return append(text(path, 2048), row{name: "condition is empty", set: put(path, ""), want: []string{tooShort(path, 1)}})
}
