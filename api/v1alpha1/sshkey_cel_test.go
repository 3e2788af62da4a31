// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"slices"
	"testing"
)

var sshKeyTable = table{
	kind: "SSHKey",
	object: `
metadata: {name: laptop}
spec:
  organizationRef: {name: acme, namespace: acme}
  projectRef: {name: web, namespace: shop}
  displayName: Maya's laptop
  publicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEYH/XV5Wvt3I6hnAlbBGBBGBdRuI08MU9I8bWjNPyqW maya@laptop
  state: Enabled
`,
	rows: slices.Concat(
		commonRows(), organizationRef(), reference("spec.projectRef"), choice("spec.state", "Enabled", "Disabled"),
		text("spec.displayName", 1000), text("spec.publicKey", 65000),
		[]row{
			missing("spec.projectRef"),
			missing("spec.publicKey"),
			{name: "displayName is empty", set: put("spec.displayName", ""), want: []string{tooShort("spec.displayName", 1)}},
			{name: "displayName is absent", set: drop("spec.displayName")},
			{name: "publicKey is empty", set: put("spec.publicKey", ""), want: []string{tooShort("spec.publicKey", 1)}},
			{name: "the Project changes", before: asIs, set: put("spec.projectRef.name", "other")},
			statusText("status.fingerprint", 128),
		},
	),
}

func TestSSHKeyRules(t *testing.T) { sshKeyTable.run(t) }
