// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var permissionSetTable = table{
	kind: "PermissionSet",
	object: `
metadata: {name: queueconsumer}
spec:
  name: QueueConsumer
  scopeType: Projects
  description: Take messages from queues
  categories: [Integration]
  permissions: ["queue:queue:read", "queue:message:*"]
  includedInAllProducts: true
`,
	rows: slices.Concat(
		commonRows(), permissionSetNameRows(), scopeTypeRows(), description("spec.description"), categoryRows(), permissionRows(),
	),
}

func TestPermissionSetRules(t *testing.T) { permissionSetTable.run(t) }

func permissionSetNameRows() []row {
	const path = "spec.name"
	const sameName = "<nil>: metadata.name must be spec.name in lower case"
	const forbidden = path + ": name cannot change; create another set"
	named := func(name string) change { return both(put(path, name), put("metadata.name", strings.ToLower(name))) }
	rows := []row{
		missing(path),
		{name: "name of 64 letters", set: named(long(64))},
		{name: "name of 65 letters", set: named(long(65)), want: []string{tooLong(path, 64)}},
		{name: "name is empty", set: put(path, ""), want: []string{tooShort(path, 1), says(path, setNameWords), sameName}},
		{name: "metadata.name is another", set: put("metadata.name", "other"), want: []string{sameName}},
		{name: "name is another", set: put(path, "Other"), want: []string{sameName}},
		{name: "name changes", before: asIs, set: put(path, "Other"), want: []string{forbidden, sameName}},
		{name: "name changes in case only", before: asIs, set: put(path, "Queueconsumer"), want: []string{forbidden}},
	}
	for _, bad := range []string{"Queue-Consumer", "Queue Consumer", "2Queues", "queue_consumer"} {
		rows = append(rows, row{name: "name is " + bad, set: put(path, bad), want: []string{says(path, setNameWords), sameName}})
	}
	return rows
}

func scopeTypeRows() []row {
	const path, included = "spec.scopeType", "spec.includedInAllProducts"
	projectsOnly := []string{included + ": includedInAllProducts goes with scopeType: Projects only"}
	return []row{
		missing(path),
		{name: "scopeType is something else", set: put(path, "Cluster"), want: []string{notOneOf(path)}},
		{name: "scopeType Organization", set: both(put(path, "Organization"), drop(included))},
		{name: "scopeType changes", before: drop(included), set: put(path, "Organization"),
			want: []string{path + ": scopeType cannot change; create another set"}},
		{name: "included in all products with scopeType Organization", set: put(path, "Organization"), want: projectsOnly},
		{name: "not included in all products with scopeType Organization", set: both(put(path, "Organization"), put(included, false))},
	}
}

func categoryRows() []row {
	const path, item = "spec.categories", "spec.categories[0]"
	return []row{
		{name: "no category", set: drop(path)},
		{name: "eight categories", set: put(path, numbered("c%d", 8))},
		{name: "nine categories", set: put(path, numbered("c%d", 9)), want: []string{tooMany(path, 8)}},
		{name: "a category twice", set: putYAML(path, "[a, a]"), want: []string{duplicate(path + "[1]")}},
		{name: "an empty category", set: put(path, []any{""}), want: []string{tooShort(item, 1)}},
		{name: "a category of 64 characters", set: put(path, []any{long(64)})},
		{name: "a category of 65 characters", set: put(path, []any{long(65)}), want: []string{tooLong(item, 64)}},
	}
}

func permissionRows() []row {
	const path, item = "spec.permissions", "spec.permissions[0]"
	const words = "must be service:resource:action, each of lower case letters, digits and _, or * for all"
	one := func(p string) change { return put(path, []any{p}) }
	rows := []row{
		missing(path),
		{name: "no permission", set: putYAML(path, "[]"), want: []string{tooFew(path, 1)}},
		{name: "256 permissions", set: put(path, numbered("a:b:c%d", 256))},
		{name: "257 permissions", set: put(path, numbered("a:b:c%d", 257)), want: []string{tooMany(path, 256)}},
		{name: "a permission twice", set: putYAML(path, "['a:b:c', 'a:b:c']"), want: []string{duplicate(path + "[1]")}},
		{name: "a permission for everything", set: one("*:*:*")},
		{name: "a permission of 128 characters", set: one("a:b:" + long(124))},
		{name: "a permission of 129 characters", set: one("a:b:" + long(125)), want: []string{tooLong(item, 128)}},
		{name: "a permission of four characters", set: one("a:b:"), want: []string{tooShort(item, 5), says(item, words)}},
	}
	for _, bad := range []string{"queue:read", "queue:queue:read:all", "queue:queue*:read", "Queue:queue:read", "queue::read", "queue:queue:read "} {
		rows = append(rows, row{name: fmt.Sprintf("a permission is %q", bad), set: one(bad), want: []string{says(item, words)}})
	}
	return rows
}
