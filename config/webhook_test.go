// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// object gives the one object of a kind and name, with the fields of its type.
func object[T any](t *testing.T, all []unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	i := slices.IndexFunc(all, func(u unstructured.Unstructured) bool { return u.GetKind() == kind && u.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	obj := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(all[i].Object, obj, true); err != nil {
		t.Fatal(err)
	}
	return obj
}

// What is declared fails closed; deletions and the finalizer fail open, and keep nobody waiting for long.
func TestWebhookConfigurations(t *testing.T) {
	all := kustomize(t, "webhook")
	validating := object[admissionv1.ValidatingWebhookConfiguration](t, all, "ValidatingWebhookConfiguration", "iam-operator")
	mutating := object[admissionv1.MutatingWebhookConfiguration](t, all, "MutatingWebhookConfiguration", "iam-operator")
	if len(validating.Webhooks) != 2 || len(mutating.Webhooks) != 1 {
		t.Fatalf("%d webhooks validate and %d mutate, want 2 and 1", len(validating.Webhooks), len(mutating.Webhooks))
	}
	guard, deletion, finalizer := validating.Webhooks[0], validating.Webhooks[1], mutating.Webhooks[0]
	for _, test := range []struct {
		name, wantName string
		policy         *admissionv1.FailurePolicyType
		wantPolicy     admissionv1.FailurePolicyType
		seconds        *int32
		most           int32
		effects        *admissionv1.SideEffectClass
		wantEffects    admissionv1.SideEffectClass
		rules          []admissionv1.RuleWithOperations
		operations     []admissionv1.OperationType
		client         admissionv1.WebhookClientConfig
		path           string
		match          *admissionv1.MatchPolicyType
	}{
		{guard.Name, "guard.iam-operator.dev", guard.FailurePolicy, admissionv1.Fail, guard.TimeoutSeconds, 10, guard.SideEffects, admissionv1.SideEffectClassNoneOnDryRun,
			guard.Rules, []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}, guard.ClientConfig, "/validate", guard.MatchPolicy},
		{deletion.Name, "deletion.iam-operator.dev", deletion.FailurePolicy, admissionv1.Ignore, deletion.TimeoutSeconds, 1, deletion.SideEffects, admissionv1.SideEffectClassNoneOnDryRun,
			deletion.Rules, []admissionv1.OperationType{admissionv1.Delete}, deletion.ClientConfig, "/deletion", deletion.MatchPolicy},
		{finalizer.Name, "default.iam-operator.dev", finalizer.FailurePolicy, admissionv1.Ignore, finalizer.TimeoutSeconds, 2, finalizer.SideEffects, admissionv1.SideEffectClassNone,
			finalizer.Rules, []admissionv1.OperationType{admissionv1.Create}, finalizer.ClientConfig, "/default", finalizer.MatchPolicy},
	} {
		if test.name != test.wantName || *test.policy != test.wantPolicy || *test.seconds != test.most || *test.effects != test.wantEffects || *test.match != admissionv1.Equivalent {
			t.Errorf("%s has policy %s, %d s, side effects %s, match policy %s", test.name, *test.policy, *test.seconds, *test.effects, *test.match)
		}
		if len(test.rules) != 1 || !slices.Equal(test.rules[0].Operations, test.operations) || !slices.Equal(test.rules[0].Resources, resources(t)) ||
			!slices.Equal(test.rules[0].APIGroups, []string{v1alpha1.GroupVersion.Group}) || !slices.Equal(test.rules[0].APIVersions, []string{v1alpha1.GroupVersion.Version}) || *test.rules[0].Scope != admissionv1.AllScopes {
			t.Errorf("%s is asked about %+v", test.name, test.rules)
		}
		if test.client.Service == nil || *test.client.Service.Path != test.path || test.client.CABundle != nil || test.client.URL != nil {
			t.Errorf("%s is called by %+v", test.name, test.client)
		}
	}
	if guard.NamespaceSelector != nil || guard.ObjectSelector != nil || len(guard.MatchConditions) != 3 {
		t.Errorf("the guard is asked under other conditions than it should: %+v", guard)
	}
	for _, name := range append(declared.GuardedAnnotations(), v1alpha1.ReconcileAtAnnotation) {
		if !strings.Contains(guard.MatchConditions[1].Expression, "'"+name+"'") {
			t.Errorf("the guard is not asked when annotation %s changes", name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil || strings.Contains(string(text), "caBundle") {
		t.Errorf("a manifest has a caBundle (%v)", err)
	}
}

// resources are those of our CRDs, by name.
func resources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}
	var names []string
	for _, file := range files {
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "_")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func operatorArgs(t *testing.T, all []unstructured.Unstructured) []string {
	t.Helper()
	return object[appsv1.Deployment](t, all, "Deployment", "iam-operator").Spec.Template.Spec.Containers[0].Args
}

// The webhooks follow the operator into another namespace.
func TestWebhooksInAnotherNamespace(t *testing.T) {
	all := kustomize(t, overlay(t, "namespace: iam\nresources: [config/default]\n"))
	validating := object[admissionv1.ValidatingWebhookConfiguration](t, all, "ValidatingWebhookConfiguration", "iam-operator")
	mutating := object[admissionv1.MutatingWebhookConfiguration](t, all, "MutatingWebhookConfiguration", "iam-operator")
	for _, client := range []admissionv1.WebhookClientConfig{validating.Webhooks[0].ClientConfig, validating.Webhooks[1].ClientConfig, mutating.Webhooks[0].ClientConfig} {
		if client.Service.Namespace != "iam" || client.Service.Name != "iam-operator-webhook" {
			t.Errorf("the API server would call %s in namespace %s", client.Service.Name, client.Service.Namespace)
		}
	}
}

func TestWithoutAdmission(t *testing.T) {
	for name, kustomization := range map[string]string{
		"here":      "resources: [config/default]\ncomponents: [config/components/without-admission]\n",
		"elsewhere": "namespace: iam\nresources: [config/default]\ncomponents: [config/components/without-admission]\n",
	} {
		all := kustomize(t, overlay(t, kustomization))
		count := countByKind(all)
		webhookService := slices.ContainsFunc(all, func(u unstructured.Unstructured) bool {
			return u.GetKind() == "Service" && u.GetName() == "iam-operator-webhook"
		})
		if count["ValidatingWebhookConfiguration"]+count["MutatingWebhookConfiguration"] > 0 || webhookService {
			t.Errorf("%s, something still has the webhooks called: %v", name, count)
		}
		if args := operatorArgs(t, all); !slices.Contains(args, "--admission=false") {
			t.Errorf("%s, the operator is not told: %v", name, args)
		}
	}
}

// With cert-manager the certificate, and who is trusted, follow the operator's namespace, be it moved in a kustomization
// below.
func TestCertManager(t *testing.T) {
	for namespace, below := range map[string]string{"iam-operator-system": "", "iam": "namespace: iam\n"} {
		folder := overlay(t, "resources: [below]\ncomponents: [config/components/cert-manager]\n")
		if err := os.Mkdir(filepath.Join(folder, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "below", "kustomization.yaml"), []byte(below+"resources: [../config/default]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		all := kustomize(t, folder)
		count := countByKind(all)
		if count["Certificate"] != 2 || count["Issuer"] != 2 {
			t.Errorf("there are %d Certificates and %d Issuers, want two of each", count["Certificate"], count["Issuer"])
		}
		for _, u := range all {
			switch u.GetKind() {
			case "Certificate", "Issuer":
				if u.GetNamespace() != namespace {
					t.Errorf("%s %s is in namespace %s, want %s", u.GetKind(), u.GetName(), u.GetNamespace(), namespace)
				}
			case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
				if from := u.GetAnnotations()["cert-manager.io/inject-ca-from"]; from != namespace+"/iam-operator-webhook" {
					t.Errorf("%s trusts %q", u.GetKind(), from)
				}
			}
			if u.GetKind() == "Certificate" && u.GetName() == "iam-operator-webhook" {
				names, _, err := unstructured.NestedStringSlice(u.Object, "spec", "dnsNames")
				if err != nil || !slices.Equal(names, []string{"iam-operator-webhook." + namespace + ".svc"}) {
					t.Errorf("the certificate is for %v (%v)", names, err)
				}
			}
		}
		args := operatorArgs(t, all)
		if !slices.Contains(args, "--webhook-certificates=mounted") || !slices.Contains(args, "--webhook-cert-dir=/webhook-certificates") {
			t.Errorf("the operator is not told: %v", args)
		}
		pod := object[appsv1.Deployment](t, all, "Deployment", "iam-operator").Spec.Template.Spec
		if last := pod.Volumes[len(pod.Volumes)-1]; last.Secret == nil || last.Secret.SecretName != "iam-operator-webhook-tls" {
			t.Errorf("the certificate is not mounted: %+v", last)
		}
	}
}
