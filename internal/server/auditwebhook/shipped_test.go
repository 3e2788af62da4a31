// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"
)

// The webhooks whose annotations count, and the resources, are those that config/webhook ships.
func TestNamesAreThoseOfTheWebhooks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "webhook", "validating.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configuration admissionv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(text, &configuration); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, webhook := range configuration.Webhooks {
		names = append(names, webhook.Name)
		for _, rule := range webhook.Rules {
			checkResources(t, webhook.Name, rule.Resources)
		}
	}
	if !slices.Equal(names, ourWebhooks) {
		t.Errorf("config/webhook has %q", names)
	}
}

// The policy of the documentation is one that kube-apiserver takes, and has it tell what is needed.
func TestDocumentedPolicy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "audit.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n( +apiVersion: audit.k8s.io/v1\n.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatal("docs/audit.md has no audit policy")
	}
	var policy auditv1.Policy
	if err := yaml.UnmarshalStrict(found[1], &policy); err != nil {
		t.Fatal(err)
	}
	rule := policy.Rules[0]
	if policy.Kind != "Policy" || rule.Level != auditv1.LevelMetadata || rule.Resources[0].Group != ourGroup {
		t.Errorf("%+v", policy)
	}
	checkResources(t, "the policy", rule.Resources[0].Resources)
	if want := slices.Sorted(maps.Keys(writingVerbs)); !slices.Equal(slices.Sorted(slices.Values(rule.Verbs)), want) {
		t.Errorf("verbs %q, want %q", rule.Verbs, want)
	}
	if slices.Contains(policy.OmitStages, auditv1.StageResponseComplete) {
		t.Error("the stage that counts is left out")
	}
}

func checkResources(t *testing.T, where string, resources []string) {
	t.Helper()
	if want := slices.Sorted(maps.Keys(ourResources)); !slices.Equal(slices.Sorted(slices.Values(resources)), want) {
		t.Errorf("%s has %q, want %q", where, resources, want)
	}
}
