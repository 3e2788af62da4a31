// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// patience bounds waits that end long before on any machine that is not stuck.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One cluster serves all subtests: what a user of the package relies upon.
func TestCluster(t *testing.T) {
	auditLog := filepath.Join(t.TempDir(), "audit.log")
	c, err := Start(t.Context(), Options{ControllerManager: true, AuditLog: auditLog})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = c.Stop()
		}
	}()
	client := clientFor(t, c.Config())

	t.Run("a deleted namespace goes, with what is in it", func(t *testing.T) { namespaceGoes(t, client) })
	t.Run("a dependent goes with its owner", func(t *testing.T) { dependentGoes(t, client) })
	t.Run("RBAC refuses a ServiceAccount without rights", func(t *testing.T) { rbacRefuses(t, c) })
	t.Run("the audit log has each request", func(t *testing.T) { audited(t, client, auditLog) })
	t.Run("kubectl works with the admin's kubeconfig", func(t *testing.T) { kubectlWorks(t, c) })

	if found := processesOf(t, c.dir); len(found) != 3 {
		t.Errorf("the cluster runs %v, want etcd, kube-apiserver and kube-controller-manager", found)
	}
	stopped = true
	if err := c.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	nothingLeft(t, c.dir)
	if err := c.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func namespaceGoes(t *testing.T, client kubernetes.Interface) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}}
	must(t, create(t, client.CoreV1().Namespaces().Create, ns))
	must(t, create(t, client.CoreV1().ConfigMaps(ns.Name).Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "content"}}))
	must(t, client.CoreV1().Namespaces().Delete(t.Context(), ns.Name, metav1.DeleteOptions{}))
	eventually(t, "the namespace is gone", func(ctx context.Context) error {
		_, err := client.CoreV1().Namespaces().Get(ctx, ns.Name, metav1.GetOptions{})
		return err
	}, apierrors.IsNotFound)
}

func dependentGoes(t *testing.T, client kubernetes.Interface) {
	maps := client.CoreV1().ConfigMaps(metav1.NamespaceDefault)
	owner, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	must(t, err)
	must(t, create(t, maps.Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name:            "dependent",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}},
	}}))
	must(t, maps.Delete(t.Context(), owner.Name, metav1.DeleteOptions{}))
	eventually(t, "the dependent is gone", func(ctx context.Context) error {
		_, err := maps.Get(ctx, "dependent", metav1.GetOptions{})
		return err
	}, apierrors.IsNotFound)
}

func rbacRefuses(t *testing.T, c *Cluster) {
	config, err := c.ServiceAccountConfig(t.Context(), metav1.NamespaceDefault, "default")
	must(t, err)
	_, err = clientFor(t, config).CoreV1().Secrets(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:default:default") {
		t.Errorf("listing Secrets as the ServiceAccount: %v, want a refusal that names it", err)
	}
	if _, err := c.ServiceAccountConfig(t.Context(), metav1.NamespaceDefault, "absent"); err == nil {
		t.Error("a token was issued for a ServiceAccount that does not exist")
	}
}

func audited(t *testing.T, client kubernetes.Interface, path string) {
	must(t, create(t, client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "audited"}}))
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	count := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e auditv1.Event
		must(t, json.Unmarshal(lines.Bytes(), &e))
		if e.Verb == "create" && e.ObjectRef != nil && e.ObjectRef.Name == "audited" && e.User.Username == "admin" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the log has %d lines for one request, once the client has its response", count)
	}
}

func kubectlWorks(t *testing.T, c *Cluster) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, c.WriteKubeconfig(kubeconfig))
	out, err := exec.CommandContext(t.Context(), c.Kubectl(), "--kubeconfig", kubeconfig, "version").CombinedOutput()
	must(t, err)
	if want := "Server Version: " + kubernetesVersion; !strings.Contains(string(out), want) {
		t.Errorf("kubectl version says\n%s\nwant %q", out, want)
	}
}

// A start that fails in the middle leaves nothing: the flag is one that kube-apiserver refuses, after etcd is up.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c, err := Start(t.Context(), Options{APIServerFlags: map[string][]string{"no-such-flag": {"1"}}})
	if err == nil {
		t.Fatal("started all the same: ", c.Stop())
	}
	if !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("the error does not quote what kube-apiserver said: %v", err)
	}
	nothingLeft(t, os.Getenv("TMPDIR"))
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{}); err == nil {
		t.Fatal("started all the same")
	}
	nothingLeft(t, os.Getenv("TMPDIR"))
}

func TestMissingBinariesAreNamed(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "make controlplane") {
		t.Errorf("without binaries: %v, want the command that builds them", err)
	}
}

// The folder is named twice, in two modules; both names must mean the same versions.
func TestVersionsAreThoseOfTheControlPlane(t *testing.T) {
	mod, err := os.ReadFile("../controlplane/go.mod")
	must(t, err)
	for pkg, version := range map[string]string{"k8s.io/kubernetes": kubernetesVersion, "go.etcd.io/etcd/server/v3": etcdVersion} {
		line := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(pkg+" "+version) + `\b`)
		if !line.Match(mod) {
			t.Errorf("hack/controlplane does not build %s %s", pkg, version)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

func create[T any](t *testing.T, do func(context.Context, T, metav1.CreateOptions) (T, error), object T) error {
	t.Helper()
	_, err := do(t.Context(), object, metav1.CreateOptions{})
	return err
}

// eventually waits until the error that look returns is the wanted one.
func eventually(t *testing.T, what string, look func(context.Context) error, wanted func(error) bool) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		last = look(ctx)
		return wanted(last), nil
	})
	if err != nil {
		t.Fatalf("not so after %s: %s (last answer: %v)", patience, what, last)
	}
}

// nothingLeft fails unless no process has dir in its command line, and dir is empty or gone.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		t.Errorf("files are left in %s: %v", dir, left)
	}
}

// processesOf returns the names of the processes, whoever is their parent, that have dir in their command line.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "args=").Output()
	must(t, err)
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			found = append(found, filepath.Base(strings.Fields(line)[0]))
		}
	}
	slices.Sort(found)
	return found
}
