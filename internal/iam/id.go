// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// idSpace is the UUID namespace (RFC 9562, section 6.6) of the ids that are derived.
var idSpace = uuid.MustParse("6d0f6a4e-6c53-5a0e-9a36-0f5c1c2b7d11")

// OwnerID is the id of an Organization's owner; it stays when ownership is handed over.
func OwnerID(organizationID string) string { return derivedID("owner", organizationID) }

// RuleID is the id of a policy's rule. Every generation of the policy gives new ones, as
// the model's SetRules does.
func RuleID(policyID string, generation int64, index int) string {
	return derivedID("rule", policyID, strconv.FormatInt(generation, 10), strconv.Itoa(index))
}

// ManagedPermissionSetID is the id of a set of the built-in catalogue: the same in every cluster.
func ManagedPermissionSetID(name string) string { return derivedID("permission-set", name) }

func derivedID(parts ...string) string {
	return uuid.NewSHA1(idSpace, []byte(strings.Join(parts, "/"))).String()
}
