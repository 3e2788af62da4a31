// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"os"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/config/gitops"
)

// argoOf is Argo CD's word for each status of kstatus.
var argoOf = map[status.Status]string{
	status.CurrentStatus:     gitops.ArgoHealthy,
	status.FailedStatus:      gitops.ArgoDegraded,
	status.InProgressStatus:  gitops.ArgoProgressing,
	status.TerminatingStatus: gitops.ArgoProgressing,
}

func condition(kind, value string) map[string]any {
	return map[string]any{"type": kind, "status": value, "reason": "Because", "message": kind + " is " + value}
}

func TestArgoAndFluxAgreeWithKstatus(t *testing.T) {
	tests := []struct {
		name       string
		deleted    bool
		observed   int64
		conditions []any
		want       status.Status
	}{
		{name: "just born", observed: -1, want: status.InProgressStatus},
		{name: "an old generation was ready", observed: 1, conditions: []any{condition("Ready", "True")}, want: status.InProgressStatus},
		{name: "an old generation was stalled", observed: 1, conditions: []any{condition("Ready", "False"), condition("Stalled", "True")}, want: status.InProgressStatus},
		{name: "ready", observed: 2, conditions: []any{condition("Ready", "True")}, want: status.CurrentStatus},
		{name: "ready, with conditions beside", observed: 2, want: status.CurrentStatus,
			conditions: []any{condition("CredentialsValid", "Unknown"), condition("Locked", "True"), condition("Ready", "True")}},
		{name: "waiting", observed: 2, conditions: []any{condition("Ready", "False")}, want: status.InProgressStatus},
		{name: "unknown", observed: 2, conditions: []any{condition("Ready", "Unknown")}, want: status.InProgressStatus},
		{name: "trying again", observed: 2, conditions: []any{condition("Ready", "False"), condition("Reconciling", "True")}, want: status.InProgressStatus},
		{name: "trying again while the former state holds", observed: 2, conditions: []any{condition("Ready", "True"), condition("Reconciling", "True")}, want: status.InProgressStatus},
		{name: "stalled", observed: 2, conditions: []any{condition("Ready", "False"), condition("Stalled", "True")}, want: status.FailedStatus},
		{name: "no longer stalled", observed: 2, conditions: []any{condition("Ready", "True"), condition("Stalled", "False")}, want: status.CurrentStatus},
		{name: "deleted while ready", deleted: true, observed: 2, conditions: []any{condition("Ready", "True")}, want: status.TerminatingStatus},
		{name: "deleted while stalled", deleted: true, observed: 2, conditions: []any{condition("Ready", "False"), condition("Stalled", "True")}, want: status.TerminatingStatus},
	}
	for _, kind := range kinds(t) {
		for _, tt := range tests {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				agree(t, object(kind, tt.deleted, tt.observed, tt.conditions), tt.want)
			})
		}
	}
}

func object(kind string, deleted bool, observed int64, conditions []any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": "x", "generation": int64(2)},
		"status":   map[string]any{"observedGeneration": observed},
	}}
	if deleted {
		u.Object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	}
	if conditions != nil {
		u.Object["status"].(map[string]any)["conditions"] = conditions
	}
	return u
}

func agree(t *testing.T, u *unstructured.Unstructured, want status.Status) {
	t.Helper()
	computed, err := status.Compute(u)
	if err != nil || computed.Status != want {
		t.Errorf("kstatus says %v (%v), want %s", computed, err, want)
	}
	health, message, err := gitops.ArgoHealth(u.Object)
	if err != nil || health != argoOf[want] {
		t.Errorf("Argo CD says %s (%v), want %s", health, err, argoOf[want])
	}
	if message == "" {
		t.Errorf("Argo CD shows no message")
	}
	flux, err := gitops.FluxStatus(u)
	if want == status.TerminatingStatus {
		want = status.InProgressStatus // Flux's expressions have no word of their own for it
	}
	if err != nil || flux != want {
		t.Errorf("Flux says %s (%v), want %s", flux, err, want)
	}
}

// The one case in which the two are stricter than kstatus.
func TestAnObjectWithoutConditionsIsNotHealthy(t *testing.T) {
	for _, kind := range kinds(t) {
		u := object(kind, false, 2, nil)
		if health, _, err := gitops.ArgoHealth(u.Object); err != nil || health != gitops.ArgoProgressing {
			t.Errorf("%s: Argo CD says %s (%v), want %s", kind, health, err, gitops.ArgoProgressing)
		}
		if flux, err := gitops.FluxStatus(u); err != nil || flux != status.InProgressStatus {
			t.Errorf("%s: Flux says %s (%v), want %s", kind, flux, err, status.InProgressStatus)
		}
	}
}

// kinds are those of the API, so that a kind without expressions for Flux fails.
func kinds(t *testing.T) []string {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var all []string
	for kind := range scheme.KnownTypes(v1alpha1.GroupVersion) {
		if scheme.Recognizes(v1alpha1.GroupVersion.WithKind(kind + "List")) {
			all = append(all, kind)
		}
	}
	if len(all) != 9 {
		t.Fatalf("the API has the kinds %v, want nine", all)
	}
	return all
}

// argoConfigMap gives the keys of what is shipped for Argo CD.
func argoConfigMap(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("argocd/argocd-cm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		t.Fatal(err)
	}
	return configMap.Data
}

func TestArgoConfigMapHoldsTheHealthCheck(t *testing.T) {
	script, err := os.ReadFile("argocd/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	var customizations map[string]map[string]string
	if err := yaml.UnmarshalStrict([]byte(argoConfigMap(t)["resource.customizations"]), &customizations); err != nil {
		t.Fatal(err)
	}
	if got := customizations["iam-operator.dev/*"]["health.lua"]; got != string(script) {
		t.Errorf("argocd-cm.yaml holds\n%s\nwant health.lua:\n%s", got, script)
	}
}

// Argo CD would list and watch all audit events, and keep them in memory; what it manages it must see.
func TestArgoLeavesOutAuditEvents(t *testing.T) {
	var exclusions []struct {
		APIGroups []string `json:"apiGroups"`
		Kinds     []string `json:"kinds"`
		Clusters  []string `json:"clusters"`
	}
	if err := yaml.UnmarshalStrict([]byte(argoConfigMap(t)["resource.exclusions"]), &exclusions); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := auditv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	group := auditv1alpha1.GroupVersion
	if len(exclusions) != 1 || !slices.Equal(exclusions[0].APIGroups, []string{group.Group}) || !slices.Equal(exclusions[0].Kinds, []string{"AuditEvent"}) || !slices.Equal(exclusions[0].Clusters, []string{"*"}) {
		t.Fatalf("it leaves out %+v", exclusions)
	}
	if !scheme.Recognizes(group.WithKind("AuditEvent")) {
		t.Errorf("%s has no AuditEvent", group)
	}
}
