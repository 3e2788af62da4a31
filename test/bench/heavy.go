// SPDX-License-Identifier: Apache-2.0

//go:build peers

package main

// heavyContestants are those that take minutes to compile.
func heavyContestants() []contestant {
	const (
		fga      = "github.com/openfga/openfga"
		noZones  = "loads a time zone that is a parameter at each evaluation: the caller says what hour it is in each"
		sharding = "as above; the caller finds the Organization"
	)
	return []contestant{
		{name: "openfga", title: "OpenFGA, one store", module: fga, load: simply(newOpenFGA), notes: noZones},
		{name: "openfga-split", title: "OpenFGA, a store per Organization", module: fga, load: simply(newOpenFGAByOrganization), notes: sharding},
		{name: "spicedb", title: "SpiceDB", module: "github.com/authzed/spicedb", load: simply(newSpiceDB), notes: noZones},
		{name: "spicedb-split", title: "SpiceDB, one per Organization", module: "github.com/authzed/spicedb", load: simply(byOrganization(newSpiceDB)), notes: sharding},
	}
}
