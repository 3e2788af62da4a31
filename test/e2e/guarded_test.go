// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/admission"
	"github.com/iam-operator/iam-operator/internal/audit"
)

// guardedOperator is an operator whose webhooks the API server asks. The tests share the cluster, so that the
// configurations are there only while the test runs.
type guardedOperator struct {
	*operator
	// Authorizer answers in the place of the API server, where a test wants it to.
	Authorizer admission.Authorizer
	// As is who the operator is; its ServiceAccount when nil.
	As   *rest.Config
	port int
}

// startGuardedOperator starts an operator with an empty store and the shipped webhooks, and waits until the API server
// asks it. When the test ends, the configurations go first, then the operator.
func startGuardedOperator(t *testing.T) *guardedOperator {
	t.Helper()
	o := newGuardedOperator(t)
	o.install(t)
	o.startGuarded(t)
	o.awaitAsked(t)
	return o
}

// newGuardedOperator gives one that is yet to start, and to be installed.
func newGuardedOperator(t *testing.T) *guardedOperator {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &guardedOperator{operator: newOperator(t), port: listener.Addr().(*net.TCPAddr).Port}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	o.Admission = true
	t.Cleanup(func() {
		o.uninstall(t)
		o.halt(t)
	})
	return o
}

// startGuardedHome runs such an operator, and makes an Organization in a namespace of its own.
func startGuardedHome(t *testing.T) (*guardedOperator, string, *v1alpha1.Organization) {
	t.Helper()
	o, ns := startGuardedOperator(t), newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	awaitReady(t, org)
	return o, ns, org
}

// startGuarded runs the operator with its webhooks until halt, and returns when they would answer. The configurations
// stay as they are: an operator that is halted and not uninstalled is one that is down.
func (o *guardedOperator) startGuarded(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	certificates, err := o.run(ctx)
	if err != nil {
		cancel()
		if o.Store != nil {
			err = errors.Join(err, o.Store.Close())
		}
		t.Fatal(err)
	}
	stop := o.stop
	o.stop = func() error {
		cancel()
		return stop()
	}
	eventually(t, "the webhooks answer", func(context.Context) (bool, string) {
		err := certificates.Ready(&http.Request{})
		return err == nil, fmt.Sprint(err)
	})
}

func (o *guardedOperator) run(ctx context.Context) (*admission.Certificates, error) {
	certificates, err := admission.NewCertificates(admission.CertificateOptions{
		Namespace: operatorNamespace, DNSName: "localhost",
		ControllerName: "cert-rotator-" + utilrand.String(8), // its names are unique in a process, whatever the manager says
	})
	if err != nil {
		return nil, err
	}
	as := operatorConfig
	if o.As != nil {
		as = o.As
	}
	mgr, err := newManager(as, o.Logs, certificates.Server("127.0.0.1", o.port))
	if err != nil {
		return nil, err
	}
	if o.Store, err = controllers.OpenDatabase(ctx, controllers.Database{Path: o.Database}); err != nil {
		return nil, err
	}
	gaps := &audit.Gaps{}
	err = controllers.Setup(ctx, mgr, controllers.Options{
		Store: o.Store, Namespace: operatorNamespace, APIURL: apiURL, Clock: o.Clock, Random: rand.Reader, Admission: o.Admission, Judged: gaps.Has,
	})
	if err == nil {
		err = errors.Join(
			admission.Setup(ctx, mgr, admission.Options{Store: o.Store, Gaps: gaps, Namespace: operatorNamespace, Clock: o.Clock, Authorizer: o.Authorizer}),
			certificates.Setup(ctx, mgr),
		)
	}
	if err != nil {
		return nil, err
	}
	database := o.Store
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	o.stop = func() error { return errors.Join(<-ended, database.Close()) }
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the operator's cache did not fill")
	}
	return certificates, nil
}

// install applies the shipped configurations, to be called on this machine.
func (o *guardedOperator) install(t *testing.T) {
	t.Helper()
	text, err := kubectl(t.Context(), "kustomize", filepath.Join(repository, "config", "webhook"))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	manifests, err := localcluster.PointWebhooks(text, "https://localhost:"+strconv.Itoa(o.port))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "webhooks.yaml")
	if err := os.WriteFile(file, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := kubectl(t.Context(), "apply", "--server-side", "--force-conflicts", "-f", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// awaitAsked waits until the API server goes by the configurations, and trusts the operator.
func (o *guardedOperator) awaitAsked(t *testing.T) {
	t.Helper()
	eventually(t, "the API server asks the operator", func(ctx context.Context) (bool, string) {
		err := probe(ctx)
		return err != nil && strings.Contains(err.Error(), "a UUID in lower case"), fmt.Sprint(err)
	})
}

// uninstall removes the configurations, and waits until the API server no longer goes by them.
func (o *guardedOperator) uninstall(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, configuration := range webhookConfigurations() {
		if err := client.IgnoreNotFound(admin.Delete(ctx, configuration)); err != nil {
			t.Fatal(err)
		}
	}
	last := error(nil)
	err := wait.PollUntilContextTimeout(ctx, poll, patience, true, func(ctx context.Context) (bool, error) {
		last = probe(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("the API server still asks the operator: %v", last)
	}
}

func webhookConfigurations() []client.Object {
	validating, mutating := &admissionv1.ValidatingWebhookConfiguration{}, &admissionv1.MutatingWebhookConfiguration{}
	validating.Name, mutating.Name = admission.Configuration, admission.Configuration
	return []client.Object{validating, mutating}
}

// probe asks, as a dry run, for something that the webhooks refuse and the API server alone does not.
func probe(ctx context.Context) error {
	refused := group(organization("default", "probe"), "default", "probe")
	refused.Annotations = map[string]string{v1alpha1.IDAnnotation: "42"}
	return admin.Create(ctx, refused, client.DryRunAll)
}

// The names by which the configurations, the webhooks and the loop know one another are the same everywhere.
func TestAdmissionNames(t *testing.T) {
	if admission.Configuration != controllers.AdmissionConfiguration || admission.GuardWebhook != controllers.GuardWebhook {
		t.Errorf("the loop looks for %s in %s, and admission is %s in %s",
			controllers.GuardWebhook, controllers.AdmissionConfiguration, admission.GuardWebhook, admission.Configuration)
	}
	text, err := os.ReadFile(filepath.Join(repository, "config", "webhook", "validating.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configuration admissionv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(text, &configuration); err != nil {
		t.Fatal(err)
	}
	if configuration.Name != admission.Configuration || configuration.Webhooks[0].Name != admission.GuardWebhook {
		t.Errorf("config/webhook has %s in %s", configuration.Webhooks[0].Name, configuration.Name)
	}
}
