// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/iam"
)

const (
	quickstart = "config/samples/quickstart"
	// startTimeout is how long the operator may take for the built-in permission sets.
	startTimeout = time.Minute
)

// demo is a running demonstration.
type demo struct {
	cluster    *localcluster.Cluster
	kubeconfig string
	operator   localcluster.OperatorOptions
}

func (d *demo) applyQuickstart(ctx context.Context) error {
	// Any order works; the story reads better when the sets are there before the policies that name them.
	if err := d.awaitCatalogue(ctx); err != nil {
		return err
	}
	say("kubectl apply -k %s", quickstart)
	if err := d.kubectl(ctx, "apply", "-k", quickstart); err != nil {
		return err
	}
	say("kubectl wait --for=condition=Ready")
	for _, namespace := range []string{"acme", "shop"} {
		if err := d.kubectl(ctx, "wait", "--for=condition=Ready", "iam", "--all", "-n", namespace, "--timeout=60s"); err != nil {
			return err
		}
	}
	return nil
}

// awaitCatalogue waits for the built-in permission sets, which the operator makes at its start.
func (d *demo) awaitCatalogue(ctx context.Context) error {
	say("Waiting for the built-in permission sets")
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		names, err := d.kubectlOutput(ctx, "get", "permissionsets", "--output=name")
		return len(strings.Fields(names)) >= len(iam.Catalogue()), err
	})
	if err != nil {
		return fmt.Errorf("wait for the built-in permission sets: %w", err)
	}
	_, err = d.kubectlOutput(ctx, "wait", "--for=condition=Ready", "permissionset", "--all", "--timeout=60s")
	return err
}

// show shows what happened, as a person would look.
func (d *demo) show(ctx context.Context) error {
	for _, args := range [][]string{
		{"get", "organizations,projects,members,groups,applications,apikeys,policies,sshkeys", "-A"},
		{"describe", "policy.iam-operator.dev", "deployers", "-n", "acme"},
		{"get", "configmap", "web-authorized-keys", "-n", "acme", "-o", "jsonpath={.data.authorized_keys}"},
	} {
		say("kubectl %s", strings.Join(args, " "))
		if err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	if err := d.showSecret(ctx); err != nil {
		return err
	}
	if err := d.showDecisions(ctx); err != nil {
		return err
	}
	if err := d.showRefusals(ctx); err != nil {
		return err
	}
	return d.showAudit(ctx)
}

// showSecret shows the environment that `envFrom` would give to a container.
func (d *demo) showSecret(ctx context.Context) error {
	say("Secret deployer-credentials, as environment (secret keys are not shown here)")
	out, err := d.kubectlOutput(ctx, "get", "secret", "deployer-credentials", "-n", "acme", "-o", "jsonpath={.data}")
	if err != nil {
		return err
	}
	var data map[string]string
	if err := json.Unmarshal([]byte(out), &data); err != nil {
		return fmt.Errorf("read the Secret's data: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		value, err := base64.StdEncoding.DecodeString(data[name])
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		shown := string(value)
		if strings.Contains(name, "SECRET") {
			shown = fmt.Sprintf("(%d characters)", len(value))
		}
		fmt.Printf("%s=%s\n", name, shown)
	}
	return nil
}

// showAudit shows who did what, the newest first.
func (d *demo) showAudit(ctx context.Context) error {
	if _, err := d.kubectlOutput(ctx, "wait", "--for=condition=Available", "apiservice/v1alpha1.audit.iam-operator.dev", "--timeout=60s"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"get", "auditevents", "-n", "acme"},
		{"get", "auditevents", "-n", "acme", "--field-selector", "statusCode=403,since=1h", "-o", "wide"},
	} {
		say("kubectl %s", strings.Join(args, " "))
		if err := d.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// kubectlOutput gives what kubectl says.
func (d *demo) kubectlOutput(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, d.cluster.Kubectl(), append([]string{"--kubeconfig", d.kubeconfig}, args...)...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

func (d *demo) kubectl(ctx context.Context, args ...string) error {
	return d.kubectlWith(ctx, "", args...)
}

// kubectlWith gives kubectl something to read.
func (d *demo) kubectlWith(ctx context.Context, input string, args ...string) error {
	command := exec.CommandContext(ctx, d.cluster.Kubectl(), append([]string{"--kubeconfig", d.kubeconfig}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
	}
	fmt.Println()
	return nil
}
