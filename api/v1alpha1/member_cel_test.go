// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var memberTable = table{
	kind: "Member",
	object: `
metadata: {name: maya}
spec:
  organizationRef: {name: acme, namespace: acme}
  type: Member
  username: maya
  email: maya@acme.example
  firstName: Maya
  lastName: Diaz
  phoneNumber: "+33612345678"
  locale: en_US
  tags: [platform]
  groups: [{name: deployers, namespace: platform}]
  state: Active
  password: {secretRef: {name: maya-password, key: password}}
  kubernetesUsers: [maya@acme.example]
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), email("spec.email"), tags(), joinedGroups(), choice("spec.state", "Active", "Locked"),
		personRows(), usernameRows(), memberTypeRows(), passwordRows(), userNames("spec.kubernetesUsers"),
		[]row{{name: "kubernetesUsers is an empty list", set: putYAML("spec.kubernetesUsers", "[]"), want: []string{tooFew("spec.kubernetesUsers", 1)}}},
		memberStatusRows(),
	),
}

func TestMemberRules(t *testing.T) { memberTable.run(t) }

func personRows() []row {
	rows := slices.Concat(text("spec.firstName", 64), text("spec.lastName", 64))
	for _, path := range []string{"spec.firstName", "spec.lastName"} {
		rows = append(rows, row{name: path + " is empty", set: put(path, ""), want: []string{tooShort(path, 1)}})
	}
	const phone, locale = "spec.phoneNumber", "spec.locale"
	return slices.Concat(rows,
		malformed(phone, "must be a phone number in international form", "", "0612345678", "+0612345678", "+33 612345678", "+3"),
		malformed(locale, "must be a language and a country", "", "en", "en-US", "EN_us"),
		[]row{
			{name: "phoneNumber of 15 digits", set: put(phone, "+336123456789012")},
			{name: "phoneNumber of 16 digits", set: put(phone, "+3361234567890123"), want: []string{tooLong(phone, 16)}},
			{name: "locale of three letters", set: put(locale, "fil_PH")},
			{name: "locale of seven characters", set: put(locale, "engl_US"), want: []string{tooLong(locale, 6)}},
		})
}

func usernameRows() []row {
	const path, words = "spec.username", "may hold letters, digits and @ . _ - only"
	rows := []row{
		{name: "username of one letter", set: put(path, "m"), want: []string{tooShort(path, 2)}},
		{name: "username is empty", set: put(path, ""), want: []string{tooShort(path, 2), says(path, words)}},
		{name: "username of all allowed characters", set: put(path, "Maya.Diaz_2-x@acme")},
		{name: "username changes", before: asIs, set: put(path, "maya.diaz")},
		{name: "username is missing", set: drop(path), want: []string{path + ": username is required, except for a Guest"}},
		{name: "username contains a reserved one", set: put(path, "rooty")},
	}
	for _, reserved := range []string{"owner", "root", "scaleway", "Owner", "ROOT"} {
		rows = append(rows, row{name: "username is " + reserved, set: put(path, reserved),
			want: []string{path + ": owner, root and scaleway are reserved usernames"}})
	}
	return slices.Concat(rows, text(path, 150), malformed(path, words, "maya diaz", "maya+1", "system:admin", "mäya"))
}

const guest = "{organizationRef: {name: acme, namespace: acme}, type: Guest, email: gus@acme.example}"

func memberTypeRows() []row {
	const path = "spec.type"
	forbidden := []string{path + ": type cannot change; delete the object and create another"}
	emailOnly := []string{path + ": a Guest has an e-mail only"}
	asGuest := putYAML("spec", guest)
	rows := []row{
		{name: "type is absent", set: drop(path)},
		{name: "type is something else", set: put(path, "Owner"), want: []string{notOneOf(path)}},
		{name: "a Guest", set: asGuest},
		{name: "a Guest with tags and groups", set: both(asGuest, putYAML("spec.tags", "[a]"), putYAML("spec.groups", "[{name: g}]"))},
		{name: "a Member becomes a Guest", before: asIs, set: asGuest, want: forbidden},
		{name: "a Guest becomes a Member", before: asGuest, set: both(put(path, "Member"), put("spec.username", "gus")), want: forbidden},
		{name: "a Guest's type is removed", before: asGuest, set: both(drop(path), put("spec.username", "gus")), want: forbidden},
		{name: "a Member's type is removed", before: asIs, set: drop(path)},
		{name: "a Member's type is written out", before: drop(path), set: put(path, "Member")},
	}
	for field, value := range map[string]string{
		"username": "gus", "firstName": "Gus", "lastName": "Gus", "phoneNumber": "'+33612345678'", "locale": "en_US", "state": "Active",
		"password": "{generate: {secretName: gus}}", "kubernetesUsers": "[gus]",
	} {
		rows = append(rows, row{name: "a Guest with " + field, set: both(asGuest, putYAML("spec."+field, value)), want: emailOnly})
	}
	return rows
}

func passwordRows() []row {
	const path = "spec.password"
	oneOf := []string{path + ": exactly one of secretRef and generate must be set"}
	generate := objectName(path + ".generate.secretName")
	for i := range generate {
		generate[i].set = both(drop(path+".secretRef"), generate[i].set)
	}
	return slices.Concat(objectName(path+".secretRef.name"), generate, pattern(path+".secretRef.key", 253, "may hold letters, digits and - . _ only", "pass word", "a/b"), []row{
		missing(path + ".secretRef.name"),
		missing(path + ".secretRef.key"),
		{name: "no password", set: drop(path)},
		{name: "a password is generated", set: putYAML(path, "{generate: {secretName: maya}}")},
		{name: "a password is generated into no Secret", set: putYAML(path, "{generate: {}}"), want: []string{required(path + ".generate.secretName")}},
		{name: "a password from both sources", set: put(path+".generate.secretName", "maya"), want: oneOf},
		{name: "a password from neither source", set: putYAML(path, "{}"), want: oneOf},
		{name: "the source of the password changes", before: asIs, set: putYAML(path, "{generate: {secretName: maya}}")},
	})
}

func memberStatusRows() []row {
	const grace = "{type: SetMFA, startedAt: '2026-01-01T00:00:00Z', expiresAt: '2026-01-01T00:00:00Z'}"
	const locked, invitation = "status.locked", "status.invitation"
	const period, periods = "status.gracePeriods[0]", "status.gracePeriods"
	lock := putYAML(locked, "{since: '2026-01-01T00:00:00Z', reason: Declared}")
	invite := putYAML(invitation, "{state: Pending, expiresAt: '2026-01-01T00:00:00Z'}")
	granted := putYAML(periods, "["+grace+"]")
	rows := []row{
		statusText("status.username", 150),
		{name: "a lock", set: lock},
		{name: "a lock without since", set: both(lock, drop(locked+".since")), want: []string{required(locked + ".since")}},
		{name: "a lock without reason", set: both(lock, drop(locked+".reason")), want: []string{required(locked + ".reason")}},
		{name: "a lock since no time", set: both(lock, put(locked+".since", "x")), want: []string{notATime(locked + ".since")}},
		{name: "a lock for another reason", set: both(lock, put(locked+".reason", "x")), want: []string{notOneOf(locked + ".reason")}},
		{name: "another mfa", set: put("status.mfa", "x"), want: []string{notOneOf("status.mfa")}},
		{name: "two grace periods of one type", set: putYAML(periods, "["+grace+", "+grace+"]"), want: []string{duplicate(periods + "[1]")}},
		{name: "three grace periods", set: putYAML(periods, "["+grace+", "+grace+", "+grace+"]"),
			want: []string{tooMany(periods, 2), duplicate(periods + "[1]")}},
		{name: "a grace period of another type", set: both(granted, put(period+".type", "x")), want: []string{notOneOf(period + ".type")}},
		{name: "a grace period without type", set: both(granted, drop(period+".type")), want: []string{required(period + ".type")}},
		{name: "a grace period without startedAt", set: both(granted, drop(period+".startedAt")), want: []string{required(period + ".startedAt")}},
		{name: "a grace period without expiresAt", set: both(granted, drop(period+".expiresAt")), want: []string{required(period + ".expiresAt")}},
		{name: "a grace period started at no time", set: both(granted, put(period+".startedAt", "x")), want: []string{notATime(period + ".startedAt")}},
		{name: "a grace period expires at no time", set: both(granted, put(period+".expiresAt", "x")), want: []string{notATime(period + ".expiresAt")}},
		{name: "passwordUpdatedAt is no time", set: put("status.passwordUpdatedAt", "x"), want: []string{notATime("status.passwordUpdatedAt")}},
		{name: "an invitation without state", set: both(invite, drop(invitation+".state")), want: []string{required(invitation + ".state")}},
		{name: "an invitation without expiresAt", set: both(invite, drop(invitation+".expiresAt")), want: []string{required(invitation + ".expiresAt")}},
		{name: "an invitation in another state", set: both(invite, put(invitation+".state", "x")), want: []string{notOneOf(invitation + ".state")}},
		{name: "an invitation expires at no time", set: both(invite, put(invitation+".expiresAt", "x")), want: []string{notATime(invitation + ".expiresAt")}},
	}
	rows = append(rows, memberCredentialsRows()...)
	for i := range rows {
		rows[i].status = true
	}
	return rows
}

func memberCredentialsRows() []row {
	const path = "status.credentials"
	record := putYAML(path, "{revision: 1, lock: {since: '2026-01-01T00:00:00Z', reason: TooManyAttempts}}")
	return []row{
		{name: "a credentials record", set: both(record, put(path+".firstLoginAt", "2026-01-01T00:00:00Z"))},
		{name: "a credentials record without revision", set: both(record, drop(path+".revision")), want: []string{required(path + ".revision")}},
		{name: "a credentials record of revision 0", set: both(record, put(path+".revision", 0)), want: []string{tooSmall(path+".revision", 1)}},
		{name: "a credentials record with a long digestKeyID", set: both(record, put(path+".digestKeyID", long(37))), want: []string{tooLong(path+".digestKeyID", 36)}},
		{name: "a credentials record with a long secretResourceVersion", set: both(record, put(path+".secretResourceVersion", long(65))),
			want: []string{tooLong(path+".secretResourceVersion", 64)}},
		{name: "a first log-in at no time", set: both(record, put(path+".firstLoginAt", "x")), want: []string{notATime(path + ".firstLoginAt")}},
		{name: "a recorded lock without since", set: both(record, drop(path+".lock.since")), want: []string{required(path + ".lock.since")}},
		{name: "a recorded lock since no time", set: both(record, put(path+".lock.since", "x")), want: []string{notATime(path + ".lock.since")}},
		{name: "a recorded lock without reason", set: both(record, drop(path+".lock.reason")), want: []string{required(path + ".lock.reason")}},
		{name: "a recorded lock for another reason", set: both(record, put(path+".lock.reason", "x")), want: []string{notOneOf(path + ".lock.reason")}},
	}
}
