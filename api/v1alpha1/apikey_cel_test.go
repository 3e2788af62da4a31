// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var apiKeyTable = table{
	kind: "APIKey",
	object: `
metadata: {name: deployer}
spec:
  organizationRef: {name: acme, namespace: acme}
  bearer: {kind: Application, name: deployer}
  description: used by CI
  defaultProjectRef: {name: web, namespace: shop}
  rotation: {every: 720h, overlap: 48h}
  secretName: deployer-credentials
  secretTemplate:
    labels: {app.kubernetes.io/part-of: pipeline}
    annotations: {acme.example/contact: platform team}
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), description("spec.description"), reference("spec.defaultProjectRef"),
		bearerRows(), lifetimeRows(), secretNameRows(), secretTemplateRows(), apiKeyStatusRows(),
	),
}

func TestAPIKeyRules(t *testing.T) { apiKeyTable.run(t) }

func bearerRows() []row {
	forbidden := []string{"spec.bearer: bearer cannot change; delete the object and create another"}
	nameOrOwner := []string{"spec.bearer: name is required for an Application or a Member; the Owner has none"}
	return append(objectName("spec.bearer.name"),
		missing("spec.bearer"),
		missing("spec.bearer.kind"),
		row{name: "a Member bears the key", set: putYAML("spec.bearer", "{kind: Member, name: maya}")},
		row{name: "the owner bears the key", set: putYAML("spec.bearer", "{kind: Owner}")},
		row{name: "another kind bears the key", set: put("spec.bearer.kind", "Group"), want: []string{notOneOf("spec.bearer.kind")}},
		row{name: "the owner with a name", set: put("spec.bearer.kind", "Owner"), want: nameOrOwner},
		row{name: "an Application without a name", set: drop("spec.bearer.name"), want: nameOrOwner},
		row{name: "a Member without a name", set: putYAML("spec.bearer", "{kind: Member}"), want: nameOrOwner},
		row{name: "the bearer changes its name", before: asIs, set: put("spec.bearer.name", "other"), want: forbidden},
		row{name: "the bearer changes its kind", before: asIs, set: put("spec.bearer.kind", "Member"), want: forbidden},
		row{name: "the bearer becomes the owner", before: asIs, set: putYAML("spec.bearer", "{kind: Owner}"), want: forbidden},
	)
}

func lifetimeRows() []row {
	const between = "must be between 1m and 87600h"
	oneOf := []string{"spec: at most one of expiresAt, expiresIn and rotation may be set"}
	shorter := []string{"spec.rotation: overlap must be shorter than every"}
	expiresIn := duration("spec.expiresIn", "expiresIn "+between, "59s", "1m", "87600h", "87601h")
	for i := range expiresIn {
		expiresIn[i].set = both(drop("spec.rotation"), expiresIn[i].set)
	}
	every := duration("spec.rotation.every", "every "+between, "59s", "1m", "87600h", "87601h")
	for i := range every {
		every[i].set = both(drop("spec.rotation.overlap"), every[i].set)
	}
	return slices.Concat(expiresIn, every, durationForm("spec.rotation.overlap"), []row{
		missing("spec.rotation.every"),
		{name: "no end at all", set: drop("spec.rotation")},
		{name: "expiresAt alone", set: both(drop("spec.rotation"), put("spec.expiresAt", "2027-06-01T00:00:00Z"))},
		{name: "expiresAt is no time", set: both(drop("spec.rotation"), put("spec.expiresAt", "tomorrow")),
			want: []string{"spec.expiresAt: must be of type date-time"}},
		{name: "expiresAt and rotation", set: put("spec.expiresAt", "2027-06-01T00:00:00Z"), want: oneOf},
		{name: "expiresIn and rotation", set: put("spec.expiresIn", "24h"), want: oneOf},
		{name: "expiresAt and expiresIn", want: oneOf,
			set: both(drop("spec.rotation"), put("spec.expiresAt", "2027-06-01T00:00:00Z"), put("spec.expiresIn", "24h"))},
		{name: "rotation is replaced by expiresIn", before: asIs, set: both(drop("spec.rotation"), put("spec.expiresIn", "24h"))},
		{name: "rotation without overlap", set: drop("spec.rotation.overlap")},
		{name: "an overlap just shorter", set: putYAML("spec.rotation", "{every: 1h, overlap: 59m59s}")},
		{name: "an overlap as long", set: putYAML("spec.rotation", "{every: 1h, overlap: 60m}"), want: shorter},
		{name: "an overlap that is longer", set: putYAML("spec.rotation", "{every: 1h, overlap: 2h}"), want: shorter},
	})
}

func secretNameRows() []row {
	const path = "spec.secretName"
	forbidden := []string{path + ": secretName cannot change; delete the object and create another"}
	withoutSecretName := drop(path)
	return append(pattern(path, 244, objectNameWords, "Web", "web_site", "-web", "web-"),
		row{name: "secretName changes", before: asIs, set: put(path, "other"), want: forbidden},
		row{name: "secretName is removed", before: asIs, set: drop(path), want: forbidden},
		row{name: "secretName is set later", before: withoutSecretName, set: put(path, "other"), want: forbidden},
		row{name: "secretName is set later to what it was", before: withoutSecretName, set: put(path, "deployer"), want: forbidden},
		row{name: "secretName stays absent", before: withoutSecretName, set: put("spec.description", "another")},
		row{name: "metadata.name of 244 characters without a secretName", set: both(put("metadata.name", long(244)), drop(path))},
		row{name: "metadata.name of 245 characters with a secretName", set: put("metadata.name", long(245))},
		row{name: "metadata.name of 245 characters without a secretName", set: both(put("metadata.name", long(245)), drop(path)),
			want: []string{"<nil>: metadata.name is the Secret's name when spec.secretName is absent, and may then have at most 244 characters"}},
	)
}

func secretTemplateRows() []row {
	longest := map[string]int{"labels": 63, "annotations": 4096}
	words := map[string]string{"labels": "a label's key must be a name", "annotations": "an annotation's key must be a name"}
	var rows []row
	for _, kind := range []string{"labels", "annotations"} {
		path := "spec.secretTemplate." + kind
		valid := []string{path + ": " + words[kind]}
		own := []string{path + ": " + kind + " under iam-operator.dev/ are the operator's own"}
		rows = append(rows,
			row{name: "thirty-two " + kind, set: put(path, keys(32))},
			row{name: "thirty-three " + kind, set: put(path, keys(33)), want: []string{tooMany(path, 32)}},
			row{name: kind + " of the operator", set: put(path, map[string]any{"iam-operator.dev/watch": "false"}), want: own},
			row{name: kind + " with a key that is no name", set: put(path, map[string]any{"a b": "x"}), want: valid},
			row{name: kind + " with a key of two domains", set: put(path, map[string]any{"a/b/c": "x"}), want: valid},
			row{name: kind + " with a value as long as may be", set: put(path, map[string]any{"a": long(longest[kind])})},
			row{name: kind + " with a longer value", set: put(path, map[string]any{"a": long(longest[kind] + 1)}), want: valid},
			row{name: kind + " that name the operator", set: put(path, map[string]any{"acme.example/iam-operator.dev": "x"})},
		)
	}
	return append(rows, row{name: "annotations with a domain in capitals", set: put("spec.secretTemplate.annotations", map[string]any{"Acme.example/a": "x"})})
}

func apiKeyStatusRows() []row {
	const key = "{accessKey: SCW%d, state: Active, createdAt: '2026-01-01T00:00:00Z', expiresAt: '2026-01-01T00:00:00Z'}"
	with := func(path string, value any) change { return both(putMany("status.keys", key, 1), put(path, value)) }
	without := func(path string) change { return both(putMany("status.keys", key, 1), drop(path)) }
	const item = "status.keys[0]"
	rows := []row{
		statusText("status.accessKey", 20),
		statusText("status.secretName", 253),
		{name: "status.bearer without id", set: putYAML("status.bearer", "{}"), want: []string{required("status.bearer.id")}},
		{name: "status.bearer.id is long", set: put("status.bearer", map[string]any{"id": long(37)}), want: []string{tooLong("status.bearer.id", 36)}},
		{name: "status.bearer.ownerEmail is long", set: put("status.bearer", map[string]any{"id": "x", "ownerEmail": long(255)}),
			want: []string{tooLong("status.bearer.ownerEmail", 254)}},
		{name: "status.bearer.goneAt is no time", set: put("status.bearer", map[string]any{"id": "x", "goneAt": "x"}), want: []string{notATime("status.bearer.goneAt")}},
		{name: "status.expiresAt is no time", set: put("status.expiresAt", "x"), want: []string{notATime("status.expiresAt")}},
		{name: "status.nextRotationAt is no time", set: put("status.nextRotationAt", "x"), want: []string{notATime("status.nextRotationAt")}},
		{name: "two keys", set: putMany("status.keys", key, 2)},
		{name: "three keys", set: putMany("status.keys", key, 3), want: []string{tooMany("status.keys", 2)}},
		{name: "a key twice", set: put("status.keys", []any{mintedKey(), mintedKey()}), want: []string{duplicate("status.keys[1]")}},
		{name: "a key without accessKey", set: without(item + ".accessKey"), want: []string{required(item + ".accessKey")}},
		{name: "a key without state", set: without(item + ".state"), want: []string{required(item + ".state")}},
		{name: "a key without createdAt", set: without(item + ".createdAt"), want: []string{required(item + ".createdAt")}},
		{name: "a key with a long accessKey", set: with(item+".accessKey", long(21)), want: []string{tooLong(item+".accessKey", 20)}},
		{name: "a key in another state", set: with(item+".state", "Gone"), want: []string{notOneOf(item + ".state")}},
		{name: "a key whose createdAt is no time", set: with(item+".createdAt", "x"), want: []string{notATime(item + ".createdAt")}},
		{name: "a key whose expiresAt is no time", set: with(item+".expiresAt", "x"), want: []string{notATime(item + ".expiresAt")}},
		{name: "a key with a long digestKeyID", set: with(item+".digestKeyID", long(37)), want: []string{tooLong(item+".digestKeyID", 36)}},
		{name: "a key with a long secretResourceVersion", set: with(item+".secretResourceVersion", long(65)),
			want: []string{tooLong(item+".secretResourceVersion", 64)}},
	}
	for i := range rows {
		rows[i].status = true
	}
	return rows
}

func mintedKey() map[string]any {
	return map[string]any{"accessKey": "SCW0", "state": "Retiring", "createdAt": "2026-01-01T00:00:00Z"}
}
