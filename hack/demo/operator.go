// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/iam-operator/iam-operator/hack/localcluster"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
)

// launcher has the kernel kill the operator when the demo is killed, where setpriv can arrange that, as localcluster does
// for the control plane.
const launcher = `if setpriv --pdeathsig KILL true 2>/dev/null; then exec setpriv --pdeathsig KILL "$0" "$@"; fi
exec "$0" "$@"`

// operatorProcess is the operator, as a process of its own.
type operatorProcess struct {
	command *exec.Cmd
	log     string
	// ended is closed when the process has ended; err says how.
	ended chan struct{}
	err   error
}

// startOperator builds the operator and runs it with the rights that it ships with.
func (d *demo) startOperator(ctx context.Context) (*operatorProcess, error) {
	say("Building and starting the operator, as ServiceAccount %s/%s", operatorNamespace, operatorAccount)
	binary := filepath.Join(d.dir, "iam-operator")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the operator: %w", err)
	}
	config, err := d.cluster.ServiceAccountConfig(ctx, operatorNamespace, operatorAccount)
	if err != nil {
		return nil, err
	}
	content, err := localcluster.Kubeconfig(config)
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(d.dir, "operator-kubeconfig")
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		return nil, err
	}
	probes, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(d.webhooks)
	if err != nil {
		return nil, err
	}
	o := &operatorProcess{log: filepath.Join(d.dir, "operator.log"), ended: make(chan struct{})}
	if err := o.start(binary, "--kubeconfig="+kubeconfig, "--namespace="+operatorNamespace, "--database="+d.database(),
		"--metrics-bind-address=0", "--health-probe-bind-address="+probes,
		"--webhook-bind-address="+host, "--webhook-port="+port, "--webhook-dns-name=localhost"); err != nil {
		return nil, err
	}
	if err := o.awaitReady(ctx, "http://"+probes+"/readyz"); err != nil {
		return nil, errors.Join(err, o.explain(), o.stop())
	}
	return o, nil
}

func (o *operatorProcess) start(binary string, args ...string) error {
	log, err := os.Create(o.log)
	if err != nil {
		return err
	}
	// Not bound to a context: it is asked to end, and given the time for it.
	o.command = exec.Command("/bin/sh", append([]string{"-c", launcher, binary}, args...)...)
	o.command.Stdout, o.command.Stderr = log, log
	// Ctrl-C in a terminal goes to the whole group; the operator is to end after what needs it.
	o.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := o.command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the operator: %w", err), log.Close())
	}
	go func() {
		o.err = errors.Join(o.command.Wait(), log.Close())
		close(o.ended)
	}()
	return nil
}

func (o *operatorProcess) awaitReady(ctx context.Context, url string) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := o.alive(); err != nil {
			return false, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("the operator did not become ready: %w", err)
	}
	return nil
}

// alive gives an error when the operator has ended.
func (o *operatorProcess) alive() error {
	select {
	case <-o.ended:
		return fmt.Errorf("the operator ended by itself: %w", o.err)
	default:
		return nil
	}
}

// explain gives the end of the operator's log.
func (o *operatorProcess) explain() error {
	content, err := os.ReadFile(o.log)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return fmt.Errorf("the operator's log ends with:\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// stop asks the operator to end, and makes it after a while.
func (o *operatorProcess) stop() error {
	if o.alive() != nil {
		return nil
	}
	if err := o.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-o.ended:
		return o.err
	case <-time.After(stopTimeout):
		err := o.command.Process.Kill()
		<-o.ended
		return errors.Join(fmt.Errorf("the operator did not end within %s of SIGTERM, and was killed", stopTimeout), err)
	}
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
