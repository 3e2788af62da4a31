// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// auditPolicy logs every request once, when its response is complete; a watch also when it starts.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// controllers are those that an operator's objects meet; the others would only cost start-up time.
var controllers = []string{
	"namespace-controller",
	"garbage-collector-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller",
	"validatingadmissionpolicy-status-controller",
}

// startPlane runs etcd and kube-apiserver and makes the admin. It tries twice, since envtest looks for a free port
// and lets go of it again, and another process may take it in between. The tries are made here and not by
// envtest.Environment, which forgets the processes of a failed one.
func (c *Cluster) startPlane(ctx context.Context, o Options) error {
	var failed error
	for range 2 {
		if err := ctx.Err(); err != nil {
			return errors.Join(failed, err)
		}
		err := c.tryPlane(o)
		if err == nil {
			c.config, err = c.UserConfig("admin", "system:masters")
			return err
		}
		failed = fmt.Errorf("the control plane did not start: %w", err)
		if err := c.stopPlane(); err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// tryPlane leaves in c.plane what must be stopped, whether it fails or not.
func (c *Cluster) tryPlane(o Options) error {
	var err error
	if c.plane, err = c.newPlane(o); err != nil {
		return err
	}
	etcd, apiserver := c.plane.Etcd, c.plane.APIServer
	etcdLog, err := os.Create(c.logFile("etcd"))
	if err != nil {
		return fmt.Errorf("etcd's log cannot be written: %w", err)
	}
	defer etcdLog.Close()
	apiserverLog, err := os.Create(c.logFile("kube-apiserver"))
	if err != nil {
		return fmt.Errorf("kube-apiserver's log cannot be written: %w", err)
	}
	defer apiserverLog.Close()
	etcd.Out, etcd.Err = etcdLog, etcdLog
	apiserver.Out, apiserver.Err = apiserverLog, apiserverLog
	if err := c.plane.Start(); err != nil {
		log := apiserverLog
		if strings.Contains(err.Error(), "process etcd") { // as envtest names the one that failed
			log = etcdLog
		}
		return fmt.Errorf("%w\n%s", err, tail(log.Name()))
	}
	return nil
}

// newPlane says what to run. All folders lie in the cluster's own: envtest does not remove its own where a start fails.
func (c *Cluster) newPlane(o Options) (*envtest.ControlPlane, error) {
	etcdPath, err := c.launcherFor(c.assets.path("etcd"))
	if err != nil {
		return nil, err
	}
	apiserverPath, err := c.launcherFor(c.assets.path("kube-apiserver"))
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(c.dir, "etcd-")
	if err != nil {
		return nil, fmt.Errorf("etcd's folder cannot be made: %w", err)
	}
	certs, err := os.MkdirTemp(c.dir, "certs-")
	if err != nil {
		return nil, fmt.Errorf("kube-apiserver's folder cannot be made: %w", err)
	}
	etcd := &envtest.Etcd{Path: etcdPath, DataDir: data, StartTimeout: startTimeout, StopTimeout: stopTimeout}
	apiserver := &envtest.APIServer{Path: apiserverPath, CertDir: certs, StartTimeout: startTimeout, StopTimeout: stopTimeout}
	if err := c.configure(apiserver, o); err != nil {
		return nil, err
	}
	return &envtest.ControlPlane{Etcd: etcd, APIServer: apiserver, KubectlPath: c.Kubectl()}, nil
}

// configure adds to envtest's flags for kube-apiserver.
func (c *Cluster) configure(apiserver *envtest.APIServer, o Options) error {
	// Without these kube-apiserver looks for the default route, does not start on a machine that is offline, and elsewhere
	// publishes as endpoint of the service "kubernetes" an address on which it does not listen.
	flags := apiserver.Configure().Set("advertise-address", "127.0.0.1").Set("endpoint-reconciler-type", "none")
	if err := c.allowAggregation(flags); err != nil {
		return err
	}
	if o.AuditLog != "" {
		policy := filepath.Join(c.dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
			return fmt.Errorf("the audit policy cannot be written: %w", err)
		}
		flags.Set("audit-policy-file", policy).
			Set("audit-log-path", o.AuditLog).
			Set("audit-log-mode", "blocking"). // the line is written before the response ends
			Set("audit-log-maxsize", "0")      // a reader of one file must see all of it: no rotation
	}
	for name, values := range o.APIServerFlags {
		flags.Set(name, values...)
	}
	return nil
}

// stopPlane ends kube-apiserver and etcd. Where one does not end in time, envtest kills it and reports that without
// waiting; the further tries find it gone, or wait for it.
func (c *Cluster) stopPlane() error {
	if c.plane == nil {
		return nil
	}
	var err error
	for range 3 {
		if err = c.plane.Stop(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the control plane did not stop: %w", err)
}

// startManager runs kube-controller-manager as the admin. It opens no port.
func (c *Cluster) startManager() error {
	path, err := c.launcherFor(c.assets.path("kube-controller-manager"))
	if err != nil {
		return err
	}
	kubeconfig, rootCA := filepath.Join(c.dir, "kube-controller-manager.kubeconfig"), filepath.Join(c.dir, "root-ca.crt")
	if err := c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	if err := os.WriteFile(rootCA, c.config.CAData, 0o600); err != nil {
		return fmt.Errorf("the root certificate for kube-controller-manager cannot be written: %w", err)
	}
	log, err := os.Create(c.logFile("kube-controller-manager"))
	if err != nil {
		return fmt.Errorf("kube-controller-manager's log cannot be written: %w", err)
	}
	defer log.Close()
	c.manager, err = startProcess(path, []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + strings.Join(controllers, ","),
		"--secure-port=0",
		"--leader-elect=false",
		"--root-ca-file=" + rootCA,
		"--service-account-private-key-file=" + filepath.Join(c.plane.APIServer.CertDir, "sa-signer.key"),
		// Many namespaces are deleted in tests, and the default of 20 requests a second would be what they wait for.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
	}, log)
	return err
}
