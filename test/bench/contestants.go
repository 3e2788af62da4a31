// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime/debug"
	"slices"
)

// contestants are all engines that are built in. Those that take minutes to compile are added by files with a build tag.
func contestants() []contestant {
	return slices.Concat([]contestant{
		{name: oursName, title: "iam-operator", load: loadOurs, notes: "nothing"},
		{
			name: "cedar", title: "Cedar, all policies", module: "github.com/cedar-policy/cedar-go", load: simply(newCedar),
			notes: "no time zones: the caller says what hour it is in each",
		},
		{
			name: "cedar-sliced", title: "Cedar, sliced per principal", module: "github.com/cedar-policy/cedar-go", load: simply(newSlicedCedar),
			notes: "as above; the caller finds the policies that name the principal or its groups",
		},
		{
			name: "opa", title: "OPA, prepared query", module: "github.com/open-policy-agent/opa", load: simply(newOPA), notes: "nothing",
		},
		{
			name: "casbin", title: "Casbin", module: "github.com/casbin/casbin/v2", load: simply(newCasbin),
			notes: "no conditions: a function in Go evaluates them",
		},
		{
			name: "casbin-split", title: "Casbin, one per Organization", module: "github.com/casbin/casbin/v2", load: simply(byOrganization(newCasbin)),
			notes: "as above; the caller finds the Organization",
		},
	}, heavyContestants())
}

// versions gives the version of each module that the program is built of.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, m := range info.Deps {
		found[m.Path] = m.Version
	}
	return found
}
