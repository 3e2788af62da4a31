// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

// applyQuickstart applies the shipped folder as it is, with the real kubectl, and removes
// it when the test ends.
func applyQuickstart(t *testing.T, flags ...string) []*unstructured.Unstructured {
	t.Helper()
	_, objects := readQuickstart(t, "")
	t.Cleanup(func() { deleteQuickstart(t) })
	mustKubectl(t, append([]string{"apply", "-f", quickstartFolder()}, flags...)...)
	return objects
}

func quickstartFolder() string { return filepath.Join(repository, quickstart) }

func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t.Context(), args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func awaitAllReady(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, obj := range objects {
		awaitUnstructuredReady(t, obj)
	}
}

// awaitCatalogue waits until the built-in permission sets are in the store, which on a busy
// machine takes longer than anything else after a start. Their status may be an earlier
// operator's, so it says nothing.
func awaitCatalogue(t *testing.T, o *operator) {
	t.Helper()
	eventually(t, "the catalogue is in the store", func(ctx context.Context) (bool, string) {
		count, err := o.Store.Count(ctx, store.Query{Kind: iam.KindPermissionSet})
		return err == nil && count >= len(iam.Catalogue()), fmt.Sprintf("%d sets, %v", count, err)
	})
}

// Once all is Ready, nothing that was applied differs from what the cluster has, and who
// applies it again, under any name, changes nothing.
func TestGitOpsQuickstartSettles(t *testing.T) {
	for name, side := range map[string][]string{
		"applied by the client": nil,
		"applied by the server": {"--server-side"},
	} {
		t.Run(name, func(t *testing.T) {
			o := startOperator(t)
			awaitNoLeftovers(t)
			objects := applyQuickstart(t, side...)
			if len(objects) < 14 {
				t.Fatalf("the quickstart has only %d objects", len(objects))
			}
			awaitAllReady(t, objects)
			awaitCatalogue(t, o)
			awaitQuiet(t, o)
			// Of what the client applied, a diff by the server shows kubectl's own annotation.
			nothingDiffers(t, side...)
			for _, manager := range []string{"argocd-controller", "kustomize-controller"} {
				t.Run("again as "+manager, func(t *testing.T) { reapply(t, o, manager, objects) })
			}
		})
	}
}

func nothingDiffers(t *testing.T, flags ...string) {
	t.Helper()
	out, err := kubectl(t.Context(), append([]string{"diff", "-f", quickstartFolder()}, flags...)...)
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("what was applied differs from what is there: %v\n%s", err, out)
	}
}

// reapply applies the quickstart under the name of a GitOps tool. A write of the operator
// would show in the store, or in the API server's audit log.
func reapply(t *testing.T, o *operator, manager string, objects []*unstructured.Unstructured) {
	since := time.Now()
	before, err := storetest.Written(t.Context(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	out := mustKubectl(t, "apply", "--server-side", "--force-conflicts", "--field-manager="+manager, "-f", quickstartFolder())
	if applied := strings.Count(out, "serverside-applied"); applied < len(objects) {
		t.Fatalf("only %d objects were applied:\n%s", applied, out)
	}
	awaitQuiet(t, o)
	after, err := storetest.Written(t.Context(), o.Store)
	if err != nil || after != before {
		t.Errorf("%d writes to the store (%v)", after-before, err)
	}
	for _, call := range operatorCalls(t, since) {
		if call.writes() {
			t.Errorf("a write to the API server: %+v", call)
		}
	}
	awaitAllReady(t, objects)
	nothingDiffers(t, "--server-side", "--field-manager="+manager)
}

func deleteQuickstart(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if out, err := kubectl(ctx, "delete", "--ignore-not-found", "--wait", "--timeout=60s", "-f", quickstartFolder()); err != nil {
		t.Errorf("the quickstart cannot be deleted: %v\n%s", err, out)
	}
}

// What config/default ships passes the API server, which already has it.
func TestGitOpsDefaultIsAccepted(t *testing.T) {
	out := mustKubectl(t, "apply", "--dry-run=server", "-k", filepath.Join(repository, "config", "default"))
	for _, shipped := range []string{
		"customresourcedefinition.apiextensions.k8s.io/apikeys.iam-operator.dev", "clusterrole.rbac.authorization.k8s.io/iam-operator-manager", "deployment.apps/iam-operator",
	} {
		if !strings.Contains(out, shipped) {
			t.Errorf("%s is not among what is applied:\n%s", shipped, out)
		}
	}
}

// What people type first.
func TestGitOpsKubectlReadsWell(t *testing.T) {
	startOperator(t)
	w := newWorld(t, 1)
	all := mustKubectl(t, "get", "iam", "-A")
	for _, obj := range w.objects {
		if !strings.Contains(all, obj.GetName()) {
			t.Errorf("`kubectl get iam -A` does not show %T %s:\n%s", obj, obj.GetName(), all)
		}
	}
	for _, shortName := range []string{"iamorg", "iamproj", "iammbr", "iamgrp", "iamapp", "iamkey", "iampol", "iampset", "iamssh"} {
		out := mustKubectl(t, "get", shortName, "-A")
		if header, _, _ := strings.Cut(out, "\n"); !strings.Contains(header, "READY") || !strings.Contains(header, "REASON") {
			t.Errorf("`kubectl get %s` does not say how the objects stand:\n%s", shortName, out)
		}
	}
	for path, words := range map[string]string{
		"policy.spec.rules.condition": "CEL expression",
		"apikey.spec.rotation.every":  "time from one key to the next",
		"organization.spec.owner":     "may do everything",
		"member.status.conditions":    "Ready=True",
	} {
		if out := mustKubectl(t, "explain", path); !strings.Contains(out, words) {
			t.Errorf("`kubectl explain %s` does not say %q:\n%s", path, words, out)
		}
	}
	wait := mustKubectl(t, "wait", "--for=condition=Ready", "--timeout=30s", "-n", w.home, "iamorg/acme")
	if !strings.Contains(wait, "condition met") {
		t.Errorf("`kubectl wait` says %s", wait)
	}
}
