// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work: a control plane on this machine's loopback,
// the operator as its shipped ServiceAccount with its shipped RBAC, the quickstart applied
// with kubectl, and what came of it. It stays until Ctrl-C, or until its terminal is closed; with --once it ends by itself,
// with exit code 0 only if everything became Ready.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/iam-operator/iam-operator/hack/localcluster"
)

func main() {
	once := flag.Bool("once", false, "end when everything was shown")
	flag.Parse()
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	if err := run(ctx, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run leaves no process and no file behind, however it ends.
func run(ctx context.Context, once bool) (err error) {
	dir, err := os.MkdirTemp("", "iam-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	say("Starting a control plane on 127.0.0.1")
	cluster, err := localcluster.Start(ctx, localcluster.Options{ControllerManager: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	d := &demo{cluster: cluster, kubeconfig: filepath.Join(dir, "kubeconfig"), operator: localcluster.OperatorOptions{Source: ".", Dir: dir}}
	if err := cluster.WriteKubeconfig(d.kubeconfig); err != nil {
		return err
	}
	if err := d.choosePorts(); err != nil {
		return err
	}
	say("kubectl apply --server-side -k config/default (with the webhooks on https://localhost:%d and the audit log on https://localhost:%d)", d.operator.WebhookPort, d.operator.AuditPort)
	if err := cluster.InstallOperator(ctx, d.operator, os.Stdout); err != nil {
		return err
	}
	say("Building and starting the operator, as ServiceAccount %s/%s", localcluster.OperatorNamespace, localcluster.OperatorAccount)
	operator, err := cluster.StartOperator(ctx, d.operator)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, operator.Stop()) }()
	if err := d.applyQuickstart(ctx); err != nil {
		return operator.Explain(err)
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	if once {
		return operator.Alive()
	}
	say("It is yours, until Ctrl-C:\n\n  export KUBECONFIG=%s\n  kubectl get iam -A\n  kubectl get auditevents -n acme\n\nThe decision engine is at https://localhost:%d. The operator's log: %s", d.kubeconfig, d.operator.DecisionPort, operator.Log)
	select {
	case <-ctx.Done():
	case <-operator.Ended:
		return operator.Alive()
	}
	return nil
}

// choosePorts finds where the operator can listen.
func (d *demo) choosePorts() (err error) {
	for _, port := range []*int{&d.operator.WebhookPort, &d.operator.AuditPort, &d.operator.DecisionPort} {
		if *port, err = localcluster.FreePort(); err != nil {
			return err
		}
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n==> "+format+"\n", args...) }
