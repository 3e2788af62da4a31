// SPDX-License-Identifier: Apache-2.0

//go:build !peers

package main

// heavyContestants are none without the build tag peers: OpenFGA and SpiceDB take minutes to compile.
func heavyContestants() []contestant { return nil }
