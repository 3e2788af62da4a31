// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/iam-operator/iam-operator/internal/server/auditapi"
	"github.com/iam-operator/iam-operator/internal/store"
)

// auditAPI says where the audit events are served.
type auditAPI struct {
	enabled bool
	host    string
	port    int
}

func (a *auditAPI) bind(flags *flag.FlagSet) {
	flags.BoolVar(&a.enabled, "audit-api", true, "serve the audit events, for kubectl get auditevents; without it they are recorded all the same. While it is declared and nobody serves, no namespace of the cluster finishes being deleted")
	flags.StringVar(&a.host, "audit-api-bind-address", "", "host on which the audit events are served (default: all addresses)")
	flags.IntVar(&a.port, "audit-api-port", 6443, "port on which the audit events are served")
}

// setup adds the server to the manager, unless it is switched off.
func (a *auditAPI) setup(mgr ctrl.Manager, database store.Store, namespace string) error {
	if !a.enabled {
		return nil
	}
	if a.port < 1 || a.port > 65535 {
		return fmt.Errorf("--audit-api-port is between 1 and 65535, not %d; --audit-api=false does without", a.port)
	}
	// The libraries of kube-apiserver write to their own log.
	klog.SetLoggerWithOptions(ctrl.Log.WithName("audit-api").WithName("klog"), klog.ContextualLogger(true))
	return auditapi.Setup(mgr, auditapi.Options{
		Store: database, Host: a.host, Port: a.port, Namespace: namespace, Kubeconfig: kubeconfigFile(), Clock: clock.RealClock{}, Random: rand.Reader,
	})
}

// kubeconfigFile is the file that the manager's configuration came from; empty inside a cluster.
// The libraries of kube-apiserver take a file, and look in the same places as the manager does.
func kubeconfigFile() string {
	if given := flag.Lookup("kubeconfig"); given != nil && given.Value.String() != "" {
		return given.Value.String()
	}
	if file := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); file != "" {
		return file
	}
	if _, err := rest.InClusterConfig(); err == nil {
		return ""
	}
	return clientcmd.RecommendedHomeFile
}
