// SPDX-License-Identifier: Apache-2.0

// Package config_test holds what this folder ships against a real API server, with the real kubectl.
package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/hack/localcluster"
)

var cluster *localcluster.Cluster

func TestMain(m *testing.M) {
	code, err := runWithCluster(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func runWithCluster(m *testing.M) (code int, err error) {
	cluster, err = localcluster.Start(context.Background(), localcluster.Options{CRDPaths: []string{"crd/bases"}})
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); stopErr != nil {
			code, err = 1, errors.Join(err, stopErr)
		}
	}()
	return m.Run(), nil
}

// kubectl runs the real kubectl and returns what it prints to both outputs.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	home := t.TempDir()
	kubeconfig := filepath.Join(home, "kubeconfig")
	if err := cluster.WriteKubeconfig(kubeconfig); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cluster.Kubectl(), args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+kubeconfig)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kustomize builds a folder and gives its objects.
func kustomize(t *testing.T, folder string) []unstructured.Unstructured {
	t.Helper()
	return objects(t, kubectl(t, "kustomize", folder))
}

func objects(t *testing.T, text string) []unstructured.Unstructured {
	t.Helper()
	var all []unstructured.Unstructured
	for part := range strings.SplitSeq(text, "\n---\n") {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatal(err)
		}
		if u.Object != nil { // else a comment
			all = append(all, u)
		}
	}
	return all
}

func countByKind(all []unstructured.Unstructured) map[string]int {
	count := map[string]int{}
	for _, u := range all {
		count[u.GetKind()]++
	}
	return count
}

// The quickstart is applied as a folder and as a kustomization, and shows what it promises.
func TestQuickstart(t *testing.T) {
	const folder = "samples/quickstart"
	count := countByKind(kustomize(t, folder))
	for kind, want := range map[string]int{
		"Namespace": 2, "Organization": 1, "Project": 2, "Member": 3, "Group": 2, "Application": 2, "APIKey": 2, "Policy": 3, "SSHKey": 1,
	} {
		if count[kind] != want {
			t.Errorf("the quickstart has %d of %s, want %d", count[kind], kind, want)
		}
	}
	noWarning(t, kubectl(t, "apply", "--server-side", "--validate=strict", "-f", folder))
	if diff := kubectl(t, "diff", "--server-side", "-f", folder); diff != "" {
		t.Errorf("kubectl diff of what was just applied says\n%s", diff)
	}
	applied := kubectl(t, "apply", "--server-side", "--validate=strict", "-k", folder)
	// kubectl itself asks kustomize for another order than the folder does, which is one in which nothing refers to what comes
	// later; and says that the folder's counts.
	noWarning(t, regexp.MustCompile(`(?m)^.*Sorting order is set both in.*$`).ReplaceAllString(applied, ""))
	kubectl(t, "delete", "--wait=false", "-f", folder)
}

// There is a sample for each kind, and all are accepted in any namespace.
func TestSamples(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind := range scheme.KnownTypes(v1alpha1.GroupVersion) {
		if !scheme.Recognizes(v1alpha1.GroupVersion.WithKind(kind + "List")) {
			continue
		}
		file := filepath.Join("samples", strings.ToLower(kind)+".yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s has no sample: %v", kind, err)
			continue
		}
		if all := objects(t, string(text)); len(all) != 1 || all[0].GetKind() != kind || all[0].GetNamespace() != "" {
			t.Errorf("%s is not one %s without a namespace", file, kind)
		}
	}
	noWarning(t, kubectl(t, "apply", "--server-side", "--validate=strict", "-n", "default", "-f", "samples"))
	kubectl(t, "delete", "--wait=false", "-n", "default", "-f", "samples")
}

// A namespace of a dry run does not exist for the rest of it, hence the real one first.
func TestDefaultPassesADryRun(t *testing.T) {
	kubectl(t, "apply", "--server-side", "-f", "default/namespace.yaml")
	noWarning(t, kubectl(t, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k", "default"))
	kubectl(t, "apply", "--dry-run=server", "--validate=strict", "-k", "default") // warns of the CRDs, which were not applied by kubectl
}

// An overlay moves everything to another namespace, and the roles follow.
func TestDefaultInAnotherNamespace(t *testing.T) {
	all := kustomize(t, overlay(t, "namespace: iam\nresources: [config/default]\ncomponents: [config/prometheus]\n"))
	for _, u := range all {
		text, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "iam-operator-system") {
			t.Errorf("%s %s still names iam-operator-system", u.GetKind(), u.GetName())
		}
	}
	count := countByKind(all)
	for kind, want := range map[string]int{"CustomResourceDefinition": 9, "Deployment": 1, "PersistentVolumeClaim": 1, "ServiceMonitor": 1, "Service": 4, "APIService": 1, "ValidatingWebhookConfiguration": 1, "MutatingWebhookConfiguration": 1, "Namespace": 1} {
		if count[kind] != want {
			t.Errorf("config/default with config/prometheus has %d of %s, want %d", count[kind], kind, want)
		}
	}
}

// Without the audit API nothing is left of it, in whatever namespace.
func TestWithoutAuditAPI(t *testing.T) {
	all := kustomize(t, overlay(t, "namespace: iam\nresources: [config/default]\ncomponents: [config/components/without-audit-api]\n"))
	off := false
	for _, u := range all {
		if u.GetKind() == "APIService" || strings.HasPrefix(u.GetName(), "iam-operator-audit") && u.GetName() != "iam-operator-auditor" {
			t.Errorf("there still is %s %s", u.GetKind(), u.GetName())
		}
		text, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		off = off || u.GetKind() == "Deployment" && strings.Contains(string(text), `"--audit-api=false"`)
	}
	if !off {
		t.Error("the operator is not told to do without")
	}
}

func TestStarterGroups(t *testing.T) {
	folder := overlay(t, "namespace: default\nresources: [config/samples/organization.yaml]\ncomponents: [config/components/starter-groups]\n")
	all := kustomize(t, folder)
	if count := countByKind(all); count["Group"] != 3 || count["Policy"] != 3 {
		t.Errorf("the starter groups are %v, want three Groups and three Policies", count)
	}
	for _, u := range all {
		name, found, err := unstructured.NestedString(u.Object, "spec", "organizationRef", "name")
		if u.GetKind() != "Organization" && (!found || err != nil || name != "sample") {
			t.Errorf("%s %s belongs to the Organization %q, want sample", u.GetKind(), u.GetName(), name)
		}
	}
	noWarning(t, kubectl(t, "apply", "--dry-run=server", "--validate=strict", "-k", folder))
}

// overlay gives a folder with a kustomization of a user, and with this folder as config beside it.
func overlay(t *testing.T, kustomization string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "config"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func noWarning(t *testing.T, output string) {
	t.Helper()
	if strings.Contains(output, "Warning:") {
		t.Errorf("kubectl warns:\n%s", output)
	}
}
