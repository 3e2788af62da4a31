// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"fmt"
	"strings"
)

// The causes in which the API server words a breach of the schema.

func required(path string) string  { return path + ": Required value" }
func duplicate(path string) string { return path + ": Duplicate value" }
func notOneOf(path string) string  { return path + ": supported values" }
func tooLong(path string, n int) string {
	return fmt.Sprintf("%s: may not be more than %d bytes", path, n)
}
func tooShort(path string, n int) string {
	return fmt.Sprintf("%s: should be at least %d chars long", path, n)
}
func tooMany(path string, n int) string { return fmt.Sprintf("%s: must have at most %d item", path, n) }
func tooFew(path string, n int) string {
	return fmt.Sprintf("%s: should have at least %d items", path, n)
}
func tooSmall(path string, n int) string {
	return fmt.Sprintf("%s: should be greater than or equal to %d", path, n)
}
func tooLarge(path string, n int) string {
	return fmt.Sprintf("%s: should be less than or equal to %d", path, n)
}

// The words of the rules on what may be in a string.
const (
	objectNameWords    = "must be the name of an object: lower case letters, digits, - and ."
	namespaceNameWords = "must be the name of a namespace: lower case letters, digits and -,"
	displayNameWords   = "must be words of letters, digits and _ ( ) . -, with spaces only between them"
	projectNameWords   = "may hold letters, digits, spaces and . _ - only"
	tagWords           = "may hold letters, digits, spaces and . _ - / = + @ only"
	emailWords         = "must be an e-mail address, such as maya@acme.example"
	durationWords      = "must be a duration such as 72h or 1h30m"
	setNameWords       = "must be letters and digits, beginning with a letter"
)

// says is the cause in which a rule refuses what is at a path.
func says(path, words string) string { return path + ": " + words }

// The rows of what several kinds have in common.

func missing(path string) row {
	return row{name: path + " is missing", set: drop(path), want: []string{required(path)}}
}

func longerThan(path string, n int) row {
	return row{name: fmt.Sprintf("%s of %d characters", path, n+1), set: put(path, long(n+1)), want: []string{tooLong(path, n)}}
}

func longest(path string, n int) row {
	return row{name: fmt.Sprintf("%s of %d characters", path, n), set: put(path, long(n))}
}

// text are the rows of a string of at most n characters that need not be there.
func text(path string, n int) []row { return []row{longest(path, n), longerThan(path, n)} }

// statusText is longerThan in the status.
func statusText(path string, n int) row {
	r := longerThan(path, n)
	r.status = true
	return r
}

// pattern are the rows of a string of 1 to n characters that may not be one of bad; the rule on it says words.
func pattern(path string, n int, words string, bad ...string) []row {
	rows := append(text(path, n), row{name: path + " is empty", set: put(path, ""), want: []string{tooShort(path, 1), says(path, words)}})
	return append(rows, malformed(path, words, bad...)...)
}

// malformed are the rows of a string that may not be one of bad; the rule on it says words.
func malformed(path, words string, bad ...string) []row {
	var rows []row
	for _, b := range bad {
		rows = append(rows, row{name: fmt.Sprintf("%s is %q", path, b), set: put(path, b), want: []string{says(path, words)}})
	}
	return rows
}

func objectName(path string) []row {
	return pattern(path, 253, objectNameWords, "Web", "web_site", "-web", "web-", "web..site", "web/site", "web\n")
}

func namespaceName(path string) []row {
	return pattern(path, 63, namespaceNameWords, "Acme", "acme.shop", "-acme", "acme-")
}

// reference are the rows of {name, namespace?}.
func reference(path string) []row {
	rows := append(objectName(path+".name"), namespaceName(path+".namespace")...)
	return append(rows, missing(path+".name"), row{name: path + " without a namespace", set: drop(path + ".namespace")})
}

// organizationRef are the rows of the reference that every kind but Organization and PermissionSet has.
func organizationRef() []row {
	const path = "spec.organizationRef"
	forbidden := []string{path + ": organizationRef cannot change: an object belongs to one Organization for life"}
	return append(reference(path),
		missing(path),
		row{name: "spec.organizationRef changes its name", before: asIs, set: put(path+".name", "other"), want: forbidden},
		row{name: "spec.organizationRef changes its namespace", before: asIs, set: put(path+".namespace", "other"), want: forbidden},
		row{name: "spec.organizationRef loses its namespace", before: asIs, set: drop(path + ".namespace"), want: forbidden},
		row{name: "spec.organizationRef gets a namespace", before: drop(path + ".namespace"), set: put(path+".namespace", "other"), want: forbidden},
		row{name: "spec.organizationRef stays", before: asIs, set: put("metadata.labels", map[string]any{"a": "b"})},
	)
}

// displayName are the rows of the name in Scaleway's pattern, which falls back to metadata.name.
func displayName() []row {
	const path = "spec.displayName"
	return append(append(pattern(path, 64, displayNameWords, " web", "web ", "web/site", "web:site", "é"), nameFallsBack()...),
		row{name: "spec.displayName of several words", set: put(path, "Web (site)  no. 2_a-b")},
		row{name: "spec.displayName changes", before: asIs, set: put(path, "Another name")},
	)
}

// projectDisplayName are the rows of the name in Scaleway's pattern for Projects.
func projectDisplayName(path string) []row {
	return append(pattern(path, 64, projectNameWords, "web/site", "web(site)", "é"), row{name: path + " of several words", set: put(path, " Web site no. 2_a-b")})
}

func nameFallsBack() []row {
	return []row{
		{name: "metadata.name of 64 characters without a display name", set: both(put("metadata.name", long(64)), drop("spec.displayName"))},
		{name: "metadata.name of 65 characters with a display name", set: put("metadata.name", long(65))},
		{name: "metadata.name of 65 characters without a display name", set: both(put("metadata.name", long(65)), drop("spec.displayName")),
			want: []string{"<nil>: metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"}},
	}
}

func description(path string) []row { return text(path, 200) }

func tags() []row {
	const path, item = "spec.tags", "spec.tags[0]"
	one := func(tag string) change { return put(path, []any{tag}) }
	return []row{
		{name: "tags of all allowed characters", set: put(path, []any{"aZ09._-/=+@ ", long(70)})},
		{name: "ten tags", set: put(path, numbered("tag-%d", 10))},
		{name: "eleven tags", set: put(path, numbered("tag-%d", 11)), want: []string{tooMany(path, 10)}},
		{name: "an empty tag", set: one(""), want: []string{tooShort(item, 1), says(item, tagWords)}},
		{name: "a tag of 71 characters", set: one(long(71)), want: []string{tooLong(item, 70)}},
		{name: "a tag with a colon", set: one("team:web"), want: []string{says(item, tagWords)}},
		{name: "a tag twice", set: put(path, []any{"a", "b", "a"}), want: []string{duplicate("spec.tags[2]")}},
	}
}

// joinedGroups are the rows of spec.groups; the table's object joins one.
func joinedGroups() []row {
	const path = "spec.groups"
	return append(reference(path+"[0]"),
		row{name: "a hundred groups", set: putMany(path, "{name: group-%d}", 100)},
		row{name: "a hundred and one groups", set: putMany(path, "{name: group-%d}", 101), want: []string{tooMany(path, 100)}},
	)
}

func email(path string) []row {
	return append(malformed(path, emailWords, "maya.acme.example", "maya@acme@example", "maya diaz@acme.example", "@acme.example", "maya@"),
		missing(path),
		row{name: path + " is short", set: put(path, "@a"), want: []string{tooShort(path, 3), says(path, emailWords)}},
		row{name: path + " of 254 characters", set: put(path, long(250)+"@b.c")},
		row{name: path + " of 255 characters", set: put(path, long(251)+"@b.c"), want: []string{tooLong(path, 254)}},
	)
}

// userNames are the rows of a list of Kubernetes user names.
func userNames(path string) []row {
	item := path + "[0]"
	return []row{
		{name: path + " of a ServiceAccount", set: put(path, []any{"system:serviceaccount:acme:deployer"})},
		{name: path + " has sixteen", set: put(path, numbered("user-%d", 16))},
		{name: path + " has seventeen", set: put(path, numbered("user-%d", 17)), want: []string{tooMany(path, 16)}},
		{name: path + " has an empty one", set: put(path, []any{""}), want: []string{tooShort(item, 1)}},
		{name: path + " has one of 257 characters", set: put(path, []any{long(257)}), want: []string{tooLong(item, 256)}},
		{name: path + " has one twice", set: put(path, []any{"a", "a"}), want: []string{duplicate(path + "[1]")}},
	}
}

// durationForm are the rows of the form of a duration.
func durationForm(path string) []row {
	return append(malformed(path, durationWords, "3d", "-1h", "1.5h", "1h ", "1h1h1h1h1h", "123456h", "h1"),
		row{name: path + " is short", set: put(path, "1"), want: []string{tooShort(path, 2), says(path, durationWords)}},
		row{name: path + " is long", set: put(path, strings.Repeat("1m", 17)), want: []string{tooLong(path, 32)}},
	)
}

// duration are the rows of a duration with bounds; the values are the least and the greatest, and just beyond them.
func duration(path, words, under, least, greatest, over string) []row {
	return append(durationForm(path),
		row{name: path + " is " + least, set: put(path, least)},
		row{name: path + " is " + greatest, set: put(path, greatest)},
		row{name: path + " is " + under, set: put(path, under), want: []string{path + ": " + words}},
		row{name: path + " is " + over, set: put(path, over), want: []string{path + ": " + words}},
	)
}

// choice are the rows of an enumeration.
func choice(path string, values ...string) []row {
	rows := []row{{name: path + " is something else", set: put(path, "Else"), want: []string{notOneOf(path)}}}
	for _, v := range values {
		rows = append(rows, row{name: path + " is " + v, set: put(path, v)})
	}
	return rows
}

// number are the rows of an integer from least to greatest.
func number(path string, least, greatest int) []row {
	return []row{
		{name: fmt.Sprintf("%s is %d", path, least), set: put(path, int64(least))},
		{name: fmt.Sprintf("%s is %d", path, greatest), set: put(path, int64(greatest))},
		{name: fmt.Sprintf("%s is %d", path, least-1), set: put(path, int64(least-1)), want: []string{tooSmall(path, least)}},
		{name: fmt.Sprintf("%s is %d", path, greatest+1), set: put(path, int64(greatest+1)), want: []string{tooLarge(path, greatest)}},
	}
}

// commonRows are the rows that every kind has.
func commonRows() []row {
	many := putMany("status.conditions",
		"{type: T%d, status: 'True', reason: R, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}", 17)
	again := putMany("status.conditions",
		"{type: Ready, status: 'True', reason: R%d, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}", 2)
	return []row{
		{name: "spec is missing", set: drop("spec"), want: []string{required("spec")}},
		statusText("status.id", 36),
		statusText("status.lastHandledReconcileAt", 256),
		statusText("status.observedMarks", 64),
		{name: "seventeen conditions", status: true, set: many, want: []string{tooMany("status.conditions", 16)}},
		{name: "a condition twice", status: true, set: again, want: []string{duplicate("status.conditions[1]")}},
	}
}

func long(n int) string { return strings.Repeat("a", n) }

func notATime(path string) string { return path + ": must be of type date-time" }

// keys gives a map with n entries.
func keys(n int) map[string]any {
	m := map[string]any{}
	for i := range n {
		m[fmt.Sprintf("acme.example/key-%d", i)] = "x"
	}
	return m
}
