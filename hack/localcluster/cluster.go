// SPDX-License-Identifier: Apache-2.0

// Package localcluster runs a Kubernetes control plane on 127.0.0.1: etcd, kube-apiserver and, where asked
// for, kube-controller-manager, as real processes built by hack/controlplane. Tests and the demo share it.
//
// etcd and kube-apiserver are envtest's; RBAC is enforced, with the admin in system:masters. There is no
// kubelet and no scheduler: a Pod is stored and never runs. The operator runs as one more process, by
// [Cluster.StartOperator].
//
// Whatever happens, no child is to outlive its parent. [Cluster.Stop] ends the children by process id and waits
// for each. A parent that is killed cannot do that; on Linux the kernel then kills the children, provided
// that setpriv (util-linux) is in PATH. Elsewhere the children of a killed parent live on, and must be ended by
// hand; and the temporary folder of a killed parent (keys and data of a dead cluster) stays in any case.
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// startTimeout is generous because tests of several packages may start their clusters at once on two cores.
	startTimeout = 90 * time.Second
	// stopTimeout is how long a child may take to end by itself; its data is thrown away, so that a kill does no harm.
	stopTimeout = 5 * time.Second
	pollEvery   = 50 * time.Millisecond
)

// Options say what Start runs. The zero value is etcd and kube-apiserver, and nothing in them.
type Options struct {
	// ControllerManager also runs kube-controller-manager, with the controllers that an operator's objects
	// meet: namespaces are emptied and removed, dependents of a deleted owner are collected, each namespace has its
	// "default" ServiceAccount and "kube-root-ca.crt", aggregated ClusterRoles are filled. Without it a deleted
	// namespace stays Terminating for ever. It learns of a CRD that was created after Start within 30 seconds.
	ControllerManager bool

	// CRDPaths are files or folders with CustomResourceDefinitions to install; each must exist. Start returns
	// once they are served.
	CRDPaths []string

	// AuditLog is the file to which kube-apiserver appends each request, one JSON line of level Metadata when the
	// response is complete, and for a watch another when it starts. A line is in the file before the
	// client has its response. The file outlives the cluster. Empty: no audit log.
	AuditLog string

	// APIServerFlags are further flags for kube-apiserver, by name without dashes. They replace a default of the same
	// name.
	APIServerFlags map[string][]string

	// LogDir is an existing folder for what the processes print, a file each. Empty: the logs go with the cluster.
	LogDir string
}

// Cluster is a running control plane. It is made by Start and ended by Stop.
type Cluster struct {
	assets  assets
	dir     string // keys, data, launchers: all that the cluster writes, but the audit log and LogDir
	logDir  string
	thread  *thread
	plane   *envtest.ControlPlane
	manager *process
	config  *rest.Config

	stopOnce sync.Once
	stopErr  error
}

// Start runs a control plane and returns once it is ready: /readyz answers ok, the namespace default exists, the CRDs
// are served, and with a controller manager the ServiceAccount default exists too. Where it fails, or ctx is
// done before that, nothing is left behind. ctx is looked at between the steps, of which starting a process is one;
// it does not bound the life of the cluster: the caller must call Stop.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	found, err := findAssets(o.ControllerManager)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "iam-localcluster-")
	if err != nil {
		return nil, fmt.Errorf("the cluster's temporary folder cannot be made: %w", err)
	}
	c := &Cluster{assets: found, dir: dir, logDir: o.LogDir, thread: newThread()}
	if c.logDir == "" {
		c.logDir = dir
	}
	c.thread.do(func() { err = c.start(ctx, o) })
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	if err := c.startPlane(ctx, o); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("no client for the new cluster can be made: %w", err)
	}
	if err := c.waitForAPIServer(ctx, client); err != nil {
		return err
	}
	// The CRDs come before the controller manager, whose garbage collector looks for new kinds every 30 s only.
	if len(o.CRDPaths) > 0 {
		install := envtest.CRDInstallOptions{Paths: o.CRDPaths, ErrorIfPathMissing: true, MaxTime: startTimeout}
		if _, err := envtest.InstallCRDs(c.config, install); err != nil {
			return fmt.Errorf("the CRDs of %v cannot be installed: %w", o.CRDPaths, err)
		}
	}
	if !o.ControllerManager {
		return ctx.Err()
	}
	if err := c.startManager(); err != nil {
		return err
	}
	return c.waitForManager(ctx, client)
}

func (c *Cluster) waitForAPIServer(ctx context.Context, client kubernetes.Interface) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, startTimeout, true, func(ctx context.Context) (bool, error) {
		if last = client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); last != nil {
			return false, nil
		}
		_, last = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("kube-apiserver did not become ready: %w\n%s", errors.Join(err, last), tail(c.logFile("kube-apiserver")))
	}
	return nil
}

func (c *Cluster) waitForManager(ctx context.Context, client kubernetes.Interface) error {
	err := wait.PollUntilContextTimeout(ctx, pollEvery, startTimeout, true, func(ctx context.Context) (bool, error) {
		if c.manager.hasExited() {
			return false, errors.New("it exited")
		}
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("kube-controller-manager did not create the ServiceAccount default: %w\n%s", err, tail(c.logFile("kube-controller-manager")))
	}
	return nil
}

// Stop ends every process of the cluster, waits until each is gone, and removes the cluster's temporary folder.
// Further calls do nothing and return what the first returned. Managers and watches should be ended before:
// kube-apiserver waits for an open watch, until it is killed after five seconds.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() {
		var errs []error
		if c.manager != nil {
			errs = append(errs, c.manager.stop(stopTimeout))
		}
		errs = append(errs, c.stopPlane())
		c.thread.end()
		c.stopErr = errors.Join(append(errs, os.RemoveAll(c.dir))...)
	})
	return c.stopErr
}

func (c *Cluster) logFile(process string) string {
	return filepath.Join(c.logDir, process+".log")
}
