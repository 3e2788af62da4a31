// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the operator against a real control plane, as its shipped
// ServiceAccount with its shipped RBAC, and holds it to the laws of the design. The
// operator runs in this process, so that a test can stop it, start it on another file, and
// set its clock; what people do goes through the API server.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/server/auditapi"
)

const (
	operatorNamespace = "iam-operator-system"
	operatorAccount   = "iam-operator"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":" + operatorAccount
)

// cluster is the control plane that all tests of the package share.
var (
	cluster        *localcluster.Cluster
	admin          client.WithWatch
	adminKubeconf  string
	operatorConfig *rest.Config
	auditLogPath   string
	repository     string
)

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err == nil && code == 0 {
		// A watch that is stopped while an event is on its way leaves apimachinery's filter waiting to hand it on.
		err = goleak.Find(goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	ctx := context.Background()
	// controller-runtime warns when nobody set a logger; the operators of the tests have their own.
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr), zap.Level(errorsOnly)))
	if repository, err = filepath.Abs(filepath.Join("..", "..")); err != nil {
		return 0, err
	}
	scratch, err := os.MkdirTemp("", "iam-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	auditLogPath = filepath.Join(scratch, "audit.log")
	flags, err := prepareAuditWebhook(scratch)
	if err != nil {
		return 0, err
	}
	cluster, err = localcluster.Start(ctx, localcluster.Options{ControllerManager: true, AuditLog: auditLogPath, APIServerFlags: flags})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err := prepare(ctx, scratch); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// prepare installs what config/default ships, as a user would, but for the webhooks and the audit API: the tests share the
// cluster, and each that wants them brings them. Behind an APIService where nobody answers no namespace would be gone.
func prepare(ctx context.Context, scratch string) error {
	adminKubeconf = filepath.Join(scratch, "kubeconfig")
	if err := cluster.WriteKubeconfig(adminKubeconf); err != nil {
		return err
	}
	if out, err := kubectl(ctx, "apply", "--server-side", "-k", filepath.Join(repository, "config", "default")); err != nil {
		return fmt.Errorf("apply config/default: %w\n%s", err, out)
	}
	if out, err := kubectl(ctx, "delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "iam-operator"); err != nil {
		return fmt.Errorf("remove the webhooks: %w\n%s", err, out)
	}
	if out, err := kubectl(ctx, "delete", "apiservice", auditapi.APIServiceName); err != nil {
		return fmt.Errorf("remove the audit API: %w\n%s", err, out)
	}
	if out, err := kubectl(ctx, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return fmt.Errorf("wait for the CRDs: %w\n%s", err, out)
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	config := cluster.Config()
	config.QPS = -1 // The tests ask as often as they like.
	if admin, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if operatorConfig, err = cluster.ServiceAccountConfig(ctx, operatorNamespace, operatorAccount); err != nil {
		return err
	}
	return makeCatalogueDatabase(ctx, scratch)
}

// kubectl runs the real kubectl as the cluster's admin.
func kubectl(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, cluster.Kubectl(), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+adminKubeconf)
	out, err := command.CombinedOutput()
	return string(out), err
}
