// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var projectTable = table{
	kind: "Project",
	object: `
metadata: {name: web}
spec:
  organizationRef: {name: acme, namespace: acme}
  displayName: Web site
  description: The public site
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), projectDisplayName("spec.displayName"), nameFallsBack(), description("spec.description"),
		[]row{
			{name: "nothing but the Organization", set: putYAML("spec", "{organizationRef: {name: acme}}")},
			{name: "metadata.name is default", set: put("metadata.name", "default"), want: []string{"<nil>: `default` is the default Project"}},
			{name: "metadata.name of 237 characters", set: put("metadata.name", long(237))},
			{name: "metadata.name of 238 characters", set: put("metadata.name", long(238)), want: []string{"<nil>: metadata.name may have at most 237 characters"}},
			statusText("status.authorizedKeys", 253),
		},
	),
}

func TestProjectRules(t *testing.T) { projectTable.run(t) }
