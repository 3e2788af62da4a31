// SPDX-License-Identifier: Apache-2.0

// Package consumer is how a user of iam-operator tests their policies: see README.md.
package consumer

import (
	"context"
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

func TestTheDeployerMayDeploy(t *testing.T) {
	c := startOperator(t)
	at, acme := metav1.ObjectMeta{Namespace: "default", Name: "deployer"}, v1alpha1.OrganizationRef{Name: "acme"}
	policy := &v1alpha1.Policy{ObjectMeta: at, Spec: v1alpha1.PolicySpec{
		OrganizationRef: acme,
		Principal:       &v1alpha1.Principal{Kind: v1alpha1.PrincipalApplication, Name: "deployer"},
		Rules:           []v1alpha1.PolicyRule{{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeOrganization}},
	}}
	must(t, c.Create(t.Context(), policy)) // in any order: it waits for the others
	must(t, c.Create(t.Context(), &v1alpha1.Application{ObjectMeta: at, Spec: v1alpha1.ApplicationSpec{OrganizationRef: acme}}))
	must(t, c.Create(t.Context(), &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "acme"},
		Spec: v1alpha1.OrganizationSpec{Owner: v1alpha1.Owner{Email: "ada@acme.example"}}}))
	must(t, wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKeyFromObject(policy), policy)
		return policy.Status.Effective, err
	}))
}

// startOperator runs an API server with iam-operator in this process, and gives a client.
func startOperator(t *testing.T) client.Client {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/iam-operator/iam-operator").Output()
	must(t, err)
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(strings.TrimSpace(string(module)), "config/crd/bases")}, ErrorIfCRDPathMissing: true}
	cfg, err := env.Start()
	must(t, err)
	t.Cleanup(func() { must(t, env.Stop()) })
	scheme, err := controllers.NewScheme()
	must(t, err)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{Scheme: scheme, Cache: controllers.CacheOptions(), Metrics: server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}}) // so that each test may start one
	must(t, err)
	database, err := controllers.OpenDatabase(t.Context(), controllers.Database{Path: filepath.Join(t.TempDir(), "iam.db")})
	must(t, err)
	must(t, controllers.Setup(t.Context(), mgr, controllers.Options{Store: database, Namespace: "default", Clock: clock.RealClock{}, Random: rand.Reader}))
	ended := make(chan error)
	go func() { ended <- mgr.Start(t.Context()) }() // until the test ends
	t.Cleanup(func() { must(t, <-ended); must(t, database.Close()) })
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	must(t, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
