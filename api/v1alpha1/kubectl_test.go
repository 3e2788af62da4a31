// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubectl runs the real kubectl and returns what it prints.
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

func TestKubectlGet(t *testing.T) {
	tests := []struct {
		table  *table
		short  string
		status string // beside id and Ready
		want   string
	}{
		{&organizationTable, "iamorg", "{alias: acme}", `
			NAME READY REASON ALIAS OWNER AGE ID
			acme True Applied acme owner@acme.example 0s 11111111`},
		{&projectTable, "iamproj", "{sshKeys: 2}", `
			NAME READY REASON ORGANIZATION SSH KEYS AGE ID
			web True Applied acme 2 0s 11111111`},
		{&memberTable, "iammbr", "{}", `
			NAME READY REASON ORGANIZATION USERNAME LOCKED AGE ID
			maya True Applied acme maya 0s 11111111`},
		{&groupTable, "iamgrp", "{members: 2}", `
			NAME READY REASON ORGANIZATION MEMBERS AGE ID
			deployers True Applied acme 2 0s 11111111`},
		{&applicationTable, "iamapp", "{apiKeys: 1}", `
			NAME READY REASON ORGANIZATION API KEYS AGE ID
			deployer True Applied acme 1 0s 11111111`},
		{&apiKeyTable, "iamkey", "{accessKey: SCWXXXXXXXXXXXXXXXXX, expiresAt: '2126-01-01T00:00:00Z'}", `
			NAME READY REASON BEARER ACCESS KEY EXPIRES AGE ID
			deployer True Applied deployer SCWXXXXXXXXXXXXXXXXX 2126-01-01T00:00:00Z 0s 11111111`},
		{&policyTable, "iampol", "{rules: 2, scopes: 3, permissionSets: 3, effective: true}", `
			NAME READY REASON PRINCIPAL RULES EFFECTIVE AGE ID
			deployers True Applied deployers 2 true 0s 11111111`},
		{&permissionSetTable, "iampset", "{permissions: 2}", `
			NAME READY REASON NAME SCOPE PERMISSIONS AGE ID
			queueconsumer True Applied QueueConsumer Projects 2 0s 11111111`},
		{&sshKeyTable, "iamssh", "{fingerprint: '256 MD5:94:db'}", `
			NAME READY REASON PROJECT FINGERPRINT AGE ID
			laptop True Applied web 256 MD5:94:db 0s 11111111`},
	}
	for _, tt := range tests {
		t.Run(tt.table.kind, func(t *testing.T) {
			u := tt.table.base(t)
			if err := api.Create(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = api.Delete(t.Context(), u) }()
			both(putYAML("status", tt.status), put("status.id", "11111111"), putYAML("status.conditions",
				"[{type: Ready, status: 'True', reason: Applied, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]"))(t, u.Object)
			if err := api.Status().Update(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			got := strings.Fields(kubectl(t, "get", tt.short, u.GetName(), "-o", "wide"))
			// Seconds pass.
			if i := len(got) - 2; i > 0 {
				got[i] = "0s"
			}
			if want := strings.Fields(tt.want); !slices.Equal(got, want) {
				t.Errorf("kubectl get %s -o wide says %q, want %q", tt.short, got, want)
			}
		})
	}
}

func TestKubectlGetIAMListsAllKinds(t *testing.T) {
	for _, tab := range tables {
		u := tab.base(t)
		if err := api.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = api.Delete(t.Context(), u) }()
	}
	got := kubectl(t, "get", "iam", "-A", "-o", "name")
	for _, tab := range tables {
		if u := tab.base(t); !strings.Contains(got, strings.ToLower(u.GetKind())+".iam-operator.dev/"+u.GetName()+"\n") {
			t.Errorf("kubectl get iam does not list the %s:\n%s", tab.kind, got)
		}
	}
}

// TestKubectlExplain looks whether every field directly in spec and status is explained in the words of the schema.
func TestKubectlExplain(t *testing.T) {
	all := crds(t)
	for _, tab := range tables {
		t.Run(tab.kind, func(t *testing.T) {
			crd := all[tab.kind]
			for _, part := range []string{"spec", "status"} {
				said := words(kubectl(t, "explain", "--api-version=iam-operator.dev/v1alpha1", crd.Spec.Names.Plural+"."+part))
				for name, property := range schemaOf(crd).Properties[part].Properties {
					if !strings.Contains(said, words(property.Description)) || !strings.Contains(said, name+" <") {
						t.Errorf("kubectl explain %s.%s does not explain %s: %s", crd.Spec.Names.Plural, part, name, property.Description)
					}
				}
			}
		})
	}
}

// words puts a text on one line, with single spaces.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestStatusAtBirth(t *testing.T) {
	for _, tab := range tables {
		t.Run(tab.kind, func(t *testing.T) {
			u := tab.base(t)
			if err := api.Create(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = api.Delete(t.Context(), u) }()
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
				t.Fatal(err)
			}
			status, _ := u.Object["status"].(map[string]any)
			if status["observedGeneration"] != int64(-1) {
				t.Errorf("the status at birth is %v, want observedGeneration -1", status)
			}
		})
	}
}
