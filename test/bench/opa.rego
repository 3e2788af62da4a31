# SPDX-License-Identifier: Apache-2.0

package iam

default allow := false

allow if {
	some grantee in data.subjects[input.subject]
	some scope in input.scopes
	some set, rules in data.grants[grantee][scope]
	data.holders[input.permission][set]
	some condition in rules
	holds(condition)
}

# A condition is a list of alternatives, each of which is a list of terms that must all hold. An empty list always holds.
holds([])

holds(condition) if {
	some terms in condition
	every term in terms {
		matches(term) != term.negated
	}
}

default matches(_) := false

matches(term) if {
	term.kind == "ip"
	net.cidr_contains(term.range, input.ip)
}

matches(term) if {
	term.kind == "user agent"
	startswith(input.user_agent, term.prefix)
}

matches(term) if {
	term.kind == "hours"
	[hour, _, _] := time.clock([input.time, term.zone])
	hour >= term.from
	hour < term.until
}

matches(term) if {
	term.kind == "before"
	input.time < term.time
}
