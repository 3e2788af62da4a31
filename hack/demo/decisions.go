// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
)

// showDecisions asks whether somebody may do something, as a service and as an administrator would.
func (d *demo) showDecisions(ctx context.Context) error {
	if err := d.askOverHTTP(ctx); err != nil {
		return err
	}
	const (
		deployer = "--subject=application:acme/deployer"
		start    = "--permission=instances:server:start"
	)
	for _, asked := range []struct {
		args   []string
		denied bool
	}{
		{[]string{"why", deployer, start, "--project=acme/web", "--ip=10.1.2.3", "--user-agent=terraform/1.9"}, false},
		{[]string{"why", deployer, start, "--project=acme/web", "--ip=192.0.2.7", "--user-agent=terraform/1.9"}, true},
		{[]string{"why", "--subject=application:shop/image-resizer", "--permission=object_storage:object:read", "--project=acme/web"}, true},
		{[]string{"who", "--permission=object_storage:object:read", "--project=acme/web"}, false},
	} {
		if err := d.explain(ctx, asked.denied, asked.args...); err != nil {
			return err
		}
	}
	return nil
}

// explain runs the operator's own command on the database that the operator is writing.
func (d *demo) explain(ctx context.Context, denied bool, args ...string) error {
	say("iam-operator explain %s", strings.Join(args, " "))
	command := exec.CommandContext(ctx, filepath.Join(d.operator.Dir, "iam-operator"), append([]string{"explain", args[0], "--database=" + d.operator.Database()}, args[1:]...)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	err := command.Run()
	if ended := new(exec.ExitError); denied && errors.As(err, &ended) && ended.ExitCode() == 1 {
		return nil // So it says that somebody may not.
	}
	if err == nil && denied {
		return errors.New("it is allowed, and should not be")
	}
	return err
}

// askOverHTTP has the pipeline ask about itself, with the key of its Secret.
func (d *demo) askOverHTTP(ctx context.Context) error {
	project, err := d.kubectlOutput(ctx, "get", "project", "web", "-n", "acme", "-o", "jsonpath={.status.id}")
	if err != nil {
		return err
	}
	accessKey, err := d.secretValue(ctx, "acme", "deployer-credentials", "SCW_ACCESS_KEY")
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"subject":  map[string]any{"type": "api_key", "id": accessKey},
		"action":   map[string]any{"name": "read"},
		"resource": map[string]any{"type": "object_storage/object", "id": "index.html", "properties": map[string]any{"project_id": project}},
	})
	if err != nil {
		return err
	}
	say("POST https://localhost:%d/access/v1/evaluation, with the secret key of deployer-credentials\n%s", d.operator.DecisionPort, body)
	answer, err := d.evaluate(ctx, body)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", answer)
	return nil
}

func (d *demo) evaluate(ctx context.Context, body []byte) ([]byte, error) {
	secretKey, err := d.secretValue(ctx, "acme", "deployer-credentials", "SCW_SECRET_KEY")
	if err != nil {
		return nil, err
	}
	authority, err := d.secretValue(ctx, localcluster.OperatorNamespace, decisions.CertificateSecret, `ca\.crt`)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(authority)) {
		return nil, fmt.Errorf("the ca.crt of Secret %s has no certificate", decisions.CertificateSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://localhost:%d/access/v1/evaluation", d.operator.DecisionPort), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+secretKey)
	request.Header.Set("Content-Type", "application/json")
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}}
	defer caller.CloseIdleConnections()
	response, err := caller.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != 200 || !bytes.HasPrefix(answer, []byte(`{"decision":true`))) {
		err = fmt.Errorf("the decision engine answers %s: %s", response.Status, answer)
	}
	return answer, err
}

// secretValue gives one value of a Secret.
func (d *demo) secretValue(ctx context.Context, namespace, name, field string) (string, error) {
	encoded, err := d.kubectlOutput(ctx, "get", "secret", name, "-n", namespace, "-o", "jsonpath={.data."+field+"}")
	if err != nil {
		return "", err
	}
	value, err := base64.StdEncoding.DecodeString(encoded)
	return string(value), err
}
