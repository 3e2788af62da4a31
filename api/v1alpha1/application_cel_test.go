// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var applicationTable = table{
	kind: "Application",
	object: `
metadata: {name: deployer}
spec:
  organizationRef: {name: acme, namespace: acme}
  displayName: Deployer
  description: Runs Terraform
  tags: [ci]
  groups: [{name: deployers, namespace: platform}]
  serviceAccounts: [{name: deployer}]
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), displayName(), description("spec.description"), tags(), joinedGroups(),
		objectName("spec.serviceAccounts[0].name"),
		[]row{
			{name: "nothing but the Organization", set: putYAML("spec", "{organizationRef: {name: acme}}")},
			missing("spec.serviceAccounts[0].name"),
			{name: "sixteen service accounts", set: putMany("spec.serviceAccounts", "{name: sa-%d}", 16)},
			{name: "seventeen service accounts", set: putMany("spec.serviceAccounts", "{name: sa-%d}", 17), want: []string{tooMany("spec.serviceAccounts", 16)}},
			{name: "a service account twice", set: putYAML("spec.serviceAccounts", "[{name: a}, {name: a}]"), want: []string{duplicate("spec.serviceAccounts[1]")}},
			{name: "status.serviceAccounts has seventeen", status: true, set: put("status.serviceAccounts", numbered("sa-%d", 17)),
				want: []string{tooMany("status.serviceAccounts", 16)}},
			{name: "status.serviceAccounts has one twice", status: true, set: put("status.serviceAccounts", []any{"a", "a"}),
				want: []string{duplicate("status.serviceAccounts[1]")}},
			{name: "status.serviceAccounts has a long one", status: true, set: put("status.serviceAccounts", []any{long(254)}),
				want: []string{tooLong("status.serviceAccounts[0]", 253)}},
		},
	),
}

func TestApplicationRules(t *testing.T) { applicationTable.run(t) }
