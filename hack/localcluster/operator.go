// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// The operator's ServiceAccount, as config/default has it.
const (
	OperatorNamespace = "iam-operator-system"
	OperatorAccount   = "iam-operator"
)

const (
	operatorStartTimeout = time.Minute
	// The operator is let finish what it is at: that it ends by itself is something to see.
	operatorStopTimeout = 15 * time.Second
)

// OperatorOptions say what InstallOperator installs and StartOperator runs.
type OperatorOptions struct {
	// Source is the root of this repository: config/default is installed from it, and the program built.
	Source string

	// Dir is an existing folder, by its absolute path, for the program, its access to the API server, its database and its log. The caller
	// removes it, after the operator has ended.
	Dir string

	// WebhookPort is the port of 127.0.0.1 on which the webhooks answer: FreePort gives one.
	WebhookPort int

	// AuditPort is the port of 127.0.0.1 on which the API of the audit log answers. Zero: there is none, and InstallOperator
	// leaves out its APIService, behind which nobody would answer.
	AuditPort int

	// DecisionPort is the port of 127.0.0.1 on which the decision engine answers. Zero: it is not asked.
	DecisionPort int
}

// Database is the path of the operator's database.
func (o OperatorOptions) Database() string { return filepath.Join(o.Dir, "iam.db") }

// Operator is the operator as a process of its own. It is made by StartOperator and ended by Stop.
type Operator struct {
	// PID is its process id.
	PID int
	// Log is the file of what it prints.
	Log string
	// Ended is closed when it has ended.
	Ended <-chan struct{}

	process *process
}

// InstallOperator applies config/default as a user would, with the webhooks and the audit API called on this machine: there is
// no network of Services here. It returns once the CRDs are served; out gets what kubectl says.
func (c *Cluster) InstallOperator(ctx context.Context, o OperatorOptions, out io.Writer) error {
	kubeconfig := filepath.Join(c.dir, "kubeconfig")
	if err := c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	kubectl := func(input string, out io.Writer, args ...string) error {
		command := exec.CommandContext(ctx, c.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
		var complaint bytes.Buffer
		command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), out, &complaint
		if err := command.Run(); err != nil {
			return fmt.Errorf("kubectl %s failed: %w\n%s", strings.Join(args, " "), err, complaint.Bytes())
		}
		return nil
	}
	var text strings.Builder
	if err := kubectl("", &text, "kustomize", filepath.Join(o.Source, "config", "default")); err != nil {
		return err
	}
	manifests, err := PointWebhooks(text.String(), "https://localhost:"+strconv.Itoa(o.WebhookPort))
	if err != nil {
		return err
	}
	if manifests, err = PointAPIServices(manifests, o.AuditPort); err != nil {
		return err
	}
	if err := kubectl(manifests, out, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	return kubectl("", out, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
}

// StartOperator builds the operator that InstallOperator installed, and runs it as its ServiceAccount, with the rights
// that it ships with. It returns once the operator is ready; where it fails, nothing is left running. ctx does not bound
// the life of the operator: the caller must call Stop, before it stops the cluster.
func (c *Cluster) StartOperator(ctx context.Context, o OperatorOptions) (*Operator, error) {
	binary := filepath.Join(o.Dir, "iam-operator")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = o.Source
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the operator cannot be built: %w\n%s", err, out)
	}
	kubeconfig, err := c.writeOperatorKubeconfig(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	probes := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	operator, err := c.runOperator(binary, filepath.Join(o.Dir, "operator.log"),
		"--kubeconfig="+kubeconfig, "--namespace="+OperatorNamespace, "--database="+o.Database(),
		"--metrics-bind-address=0", "--health-probe-bind-address="+probes,
		"--webhook-bind-address=127.0.0.1", "--webhook-port="+strconv.Itoa(o.WebhookPort), "--webhook-dns-name=localhost",
		"--audit-api="+strconv.FormatBool(o.AuditPort != 0), "--audit-api-bind-address=127.0.0.1", "--audit-api-port="+strconv.Itoa(o.AuditPort),
		"--decisions="+strconv.FormatBool(o.DecisionPort != 0), "--decision-bind-address=127.0.0.1", "--decision-port="+strconv.Itoa(o.DecisionPort))
	if err != nil {
		return nil, err
	}
	if err := operator.awaitReady(ctx, "http://"+probes+"/readyz"); err != nil {
		return nil, errors.Join(operator.Explain(err), operator.Stop())
	}
	return operator, nil
}

func (c *Cluster) writeOperatorKubeconfig(ctx context.Context, dir string) (string, error) {
	config, err := c.ServiceAccountConfig(ctx, OperatorNamespace, OperatorAccount)
	if err != nil {
		return "", err
	}
	text, err := Kubeconfig(config)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "operator-kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("the operator's kubeconfig cannot be written: %w", err)
	}
	return path, nil
}

func (c *Cluster) runOperator(binary, logFile string, args ...string) (*Operator, error) {
	path, err := c.launcherFor(binary)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return nil, fmt.Errorf("the operator's log cannot be written: %w", err)
	}
	defer log.Close() // the child has its own
	var p *process
	c.thread.do(func() { p, err = startProcess(path, args, log) })
	if err != nil {
		return nil, err
	}
	return &Operator{PID: p.cmd.Process.Pid, Log: logFile, Ended: p.exited, process: p}, nil
}

func (o *Operator) awaitReady(ctx context.Context, url string) error {
	err := wait.PollUntilContextTimeout(ctx, pollEvery, operatorStartTimeout, true, func(ctx context.Context) (bool, error) {
		if err := o.Alive(); err != nil {
			return false, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil // It does not listen yet.
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("the operator did not become ready: %w", err)
	}
	return nil
}

// Alive gives an error when the operator has ended.
func (o *Operator) Alive() error {
	if !o.process.hasExited() {
		return nil
	}
	if o.process.err == nil {
		return errors.New("the operator ended by itself, as if it had been asked to")
	}
	return fmt.Errorf("the operator ended by itself: %w", o.process.err)
}

// Explain adds the end of the operator's log to an error.
func (o *Operator) Explain(err error) error {
	return fmt.Errorf("%w\nof the operator, %s", err, tail(o.Log))
}

// Stop asks the operator to end, waits until it has, and makes it end where it does not. It gives an error when the
// operator ended with one, or was killed.
func (o *Operator) Stop() error {
	if o.process.hasExited() {
		return nil
	}
	if err := o.process.stop(operatorStopTimeout); err != nil {
		return err
	}
	if o.process.err != nil {
		return fmt.Errorf("the operator was asked to end, and did not end well: %w", o.process.err)
	}
	return nil
}

// FreePort gives a port of 127.0.0.1 on which nothing listens now.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("there is no free port on 127.0.0.1: %w", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("%s is not a TCP address", listener.Addr()), listener.Close())
	}
	return address.Port, listener.Close()
}
