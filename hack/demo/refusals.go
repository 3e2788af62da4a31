// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// maya is who Member maya of the quickstart is at the API server.
const maya = "maya@acme.example"

// weakPassword is long enough, and one of the first that anybody would try.
const weakPassword = `apiVersion: v1
kind: Secret
metadata:
  name: tom-password
  namespace: acme
  labels:
    iam-operator.dev/watch: "true"
type: iam-operator.dev/password
stringData:
  password: Password12345678
`

// escalation would make whoever is in the group the Organization's administrator.
const escalation = `apiVersion: iam-operator.dev/v1alpha1
kind: Policy
metadata:
  name: everything
  namespace: acme
spec:
  organizationRef:
    name: acme
  principal:
    kind: Group
    name: deployers
  rules:
  - permissionSets: [OrganizationManager]
    scope: Organization
`

// showRefusals has people try what they must not do, and something that they may.
func (d *demo) showRefusals(ctx context.Context) error {
	say("A weak password for Tom, from a Secret that opted in: refused")
	if err := d.kubectlWith(ctx, weakPassword, "apply", "-f", "-"); err != nil {
		return err
	}
	err := d.refused(ctx, "", "easy to guess", "-n", "acme", "patch", "member.iam-operator.dev", "tom", "--type=merge",
		"--patch", `{"spec":{"password":{"secretRef":{"name":"tom-password","key":"password"}}}}`)
	if err != nil {
		return err
	}
	say("Maya may edit what is in namespace acme")
	if err := d.kubectl(ctx, "-n", "acme", "create", "rolebinding", "maya-edits", "--clusterrole=iam-operator-editor", "--user="+maya); err != nil {
		return err
	}
	say("Maya, who is in the group, grants it everything: refused, with the verbs to ask for")
	if err := d.refused(ctx, escalation, "bind on organizations.iam-operator.dev/acme", "--as", maya, "apply", "-f", "-"); err != nil {
		return err
	}
	say("Maya edits a description, which gives nothing away")
	return d.kubectl(ctx, "--as", maya, "-n", "acme", "patch", "application.iam-operator.dev", "deployer", "--type=merge",
		"--patch", `{"spec":{"description":"The pipeline that Maya looks after"}}`)
}

// refused runs kubectl, which must fail and say why.
func (d *demo) refused(ctx context.Context, input, reason string, args ...string) error {
	command := exec.CommandContext(ctx, d.cluster.Kubectl(), append([]string{"--kubeconfig", d.kubeconfig}, args...)...)
	command.Stdin = strings.NewReader(input)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("kubectl %s was not refused:\n%s", strings.Join(args, " "), out)
	case !errors.As(err, &exit):
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	case !strings.Contains(string(out), reason):
		return fmt.Errorf("kubectl %s was refused, but not because of %q:\n%s", strings.Join(args, " "), reason, out)
	}
	fmt.Printf("$ kubectl %s\n%s\n", strings.Join(args, " "), bytes.TrimSpace(out))
	return nil
}
