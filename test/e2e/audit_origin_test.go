// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/auditwebhook"
	"github.com/iam-operator/iam-operator/internal/store"
)

// auditReceiver is where the API server of all tests sends its audit events. Nobody listens there but for the test of
// origins; otherwise they are dropped.
var auditReceiver struct {
	address, certificateDir, tokenFile string
}

// prepareAuditWebhook gives the flags by which the API server sends its audit events, as docs/audit.md has them.
func prepareAuditWebhook(scratch string) (map[string][]string, error) {
	port, err := localcluster.FreePort()
	if err != nil {
		return nil, err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	token := uuid.NewString()
	kubeconfig, err := localcluster.Kubeconfig(&rest.Config{
		Host: "https://127.0.0.1:" + strconv.Itoa(port), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: certificate},
	})
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(scratch, "audit-webhook")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{"tls.crt": certificate, "tls.key": key, "token": []byte(token), "kubeconfig": kubeconfig} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	auditReceiver.address, auditReceiver.certificateDir, auditReceiver.tokenFile = "127.0.0.1:"+strconv.Itoa(port), dir, filepath.Join(dir, "token")
	return map[string][]string{
		"audit-webhook-config-file":     {filepath.Join(dir, "kubeconfig")},
		"audit-webhook-batch-max-wait":  {"100ms"},
		"audit-webhook-initial-backoff": {"100ms"}, // What nobody takes is dropped after a second.
	}, nil
}

// receiveOrigins runs the receiver on a store until the test ends.
func receiveOrigins(t *testing.T, to store.Store, clock *shiftedClock) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	receiver, err := auditwebhook.New(auditwebhook.Options{
		Address: auditReceiver.address, CertificateDir: auditReceiver.certificateDir, TokenFile: auditReceiver.tokenFile,
		Store: to, Registry: registry, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Clock: clock, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- receiver.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the receiver ended with %v", err)
		}
	})
	return registry
}

// awaitOrigin waits for an event that says where its request came from, which is here, by kubectl.
func awaitOrigin(t *testing.T, o *guardedOperator, what string, filter store.EventFilter) iam.Event {
	t.Helper()
	var found iam.Event
	eventually(t, what, func(ctx context.Context) (bool, string) {
		events, err := o.Store.Events(ctx, store.EventQuery{EventFilter: filter})
		if err != nil || len(events) == 0 {
			return false, fmt.Sprint(err, len(events))
		}
		found = events[0]
		return found.SourceIP == "127.0.0.1" && strings.Contains(found.UserAgent, "kubectl"), fmt.Sprintf("%s by %s from %s, %s", found.Method, found.KubernetesUser, found.SourceIP, found.UserAgent)
	})
	return found
}

// Where a kubectl user came from is told by the API server's audit webhook: of what is admitted, refused and deleted, and
// of who is impersonated.
func TestOriginsOfRequests(t *testing.T) {
	o, ns, org := startGuardedHome(t)
	registry := receiveOrigins(t, o.Store, o.Clock)
	const ana = "ana@corp.example"
	userClient(t, ana, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"applications", "members"}, Verbs: []string{"create", "get", "patch", "delete"}})

	if out, err := kubectl(t.Context(), "apply", "--as="+ana, "-f", writeFile(t, manifestOf("Application", ns, "shop", org.Name, ""))); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	event := awaitOrigin(t, o, "an admitted request", store.EventFilter{Method: "CreateApplication", ResourceName: "shop"})
	if event.KubernetesUser != ana {
		t.Errorf("by %s", event.KubernetesUser)
	}

	// A credential needs the verb issue, which she has not.
	if out, err := kubectl(t.Context(), "apply", "--as="+ana, "-f", writeFile(t, manifestOf("Member", ns, "olga", org.Name, "\n  username: olga\n  email: olga@acme.example"))); err == nil {
		t.Fatalf("it was admitted: %s", out)
	}
	if event := awaitOrigin(t, o, "a refused request", store.EventFilter{Method: "CreateUser", ResourceName: "olga"}); event.KubernetesUser != ana || event.StatusCode != 403 || event.Reason == "" {
		t.Errorf("by %s: %s", event.KubernetesUser, event.Reason)
	}

	if out, err := kubectl(t.Context(), "delete", "application", "shop", "-n", ns, "--wait=false", "--as="+ana); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	awaitOrigin(t, o, "a deletion", store.EventFilter{Method: "DeleteApplication", ResourceName: "shop"})

	// What Kubernetes RBAC refuses never comes to the webhooks.
	if out, err := kubectl(t.Context(), "delete", "apikey", "any", "-n", ns, "--as="+ana); err == nil || !strings.Contains(out, "forbidden") {
		t.Fatalf("%v\n%s", err, out)
	}
	eventually(t, "what Kubernetes refused is counted", func(context.Context) (bool, string) {
		count, err := forbidden(registry, "apikeys", "delete")
		return count == 1, fmt.Sprint(count, err)
	})
}

func forbidden(registry *prometheus.Registry, labels ...string) (float64, error) {
	families, err := registry.Gather()
	if err != nil {
		return 0, err
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "iam_operator_apiserver_forbidden_total" && metric.GetLabel()[0].GetValue() == labels[0] && metric.GetLabel()[1].GetValue() == labels[1] {
				return metric.GetCounter().GetValue(), nil
			}
		}
	}
	return 0, errors.New("there is no such series")
}

func manifestOf(kind, namespace, name, organization, more string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  namespace: %s\n  name: %s\nspec:\n  organizationRef:\n    name: %s%s\n", v1alpha1.GroupVersion, kind, namespace, name, organization, more)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
