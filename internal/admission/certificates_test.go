// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// issued is a certificate as the rotator makes them, for a name.
type issued struct{ ca, cert, key []byte }

func issue(t *testing.T, name string, usages ...x509.ExtKeyUsage) issued {
	t.Helper()
	maker := &rotator.CertRotator{CAName: "test-ca", CAOrganization: "test", DNSName: name, ExtKeyUsages: &usages}
	ca, err := maker.CreateCACert(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := maker.CreateCertPEM(ca, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return issued{ca.CertPEM, cert, key}
}

func (i issued) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(i.ca) {
		t.Fatal("the authority can't be read")
	}
	return pool
}

// call asks a server with these certificates, as the API server does.
func call(t *testing.T, c *Certificates, client *tls.Config) error {
	t.Helper()
	config := &tls.Config{}
	c.configure(config)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		_ = server.Serve(listener)
		close(served)
	}()
	transport := &http.Transport{TLSClientConfig: client}
	defer func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	}()
	client.ServerName = "localhost"
	response, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String())
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestCertificateFollowsItsSecret(t *testing.T) {
	c, err := NewCertificates(CertificateOptions{Namespace: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	c.dir = t.TempDir()
	cluster := fake.NewClientBuilder().Build()
	take := func() {
		t.Helper()
		if err := c.take(t.Context(), cluster, cluster); err != nil {
			t.Fatal(err)
		}
	}
	take()
	secret := &corev1.Secret{}
	if err := cluster.Get(t.Context(), c.secretKey(), secret); err != nil {
		t.Fatalf("there is no Secret for the rotator to fill: %v", err)
	}
	first, second := issue(t, "localhost", x509.ExtKeyUsageServerAuth), issue(t, "localhost", x509.ExtKeyUsageServerAuth)
	if err := call(t, c, &tls.Config{RootCAs: first.pool(t)}); err == nil {
		t.Error("somebody answers without a certificate")
	}
	fill := func(i issued) {
		t.Helper()
		secret.Data = map[string][]byte{"ca.crt": i.ca, "tls.crt": i.cert, "tls.key": i.key}
		if err := cluster.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		take()
	}
	fill(first)
	if err := call(t, c, &tls.Config{RootCAs: first.pool(t)}); err != nil {
		t.Errorf("the certificate is not served: %v", err)
	}
	content, err := os.ReadDir(c.dir)
	if err != nil || len(content) != 1 || content[0].Name() != "tls.crt" {
		t.Errorf("the rotator sees %v, %v; want the certificate, and no key in any file", content, err)
	}
	fill(second)
	if err := call(t, c, &tls.Config{RootCAs: second.pool(t)}); err != nil {
		t.Errorf("the next certificate is not served: %v", err)
	}
	fill(issued{second.ca, second.cert, first.key})
	if err := call(t, c, &tls.Config{RootCAs: second.pool(t)}); err != nil {
		t.Errorf("a Secret that somebody meddled with takes the certificate away: %v", err)
	}
	if err := cluster.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	take()
	if err := cluster.Get(t.Context(), c.secretKey(), secret); err != nil || len(secret.Data) > 0 {
		t.Errorf("a Secret that was deleted is not made anew: %v", err)
	}
}

func TestClientCertificates(t *testing.T) {
	server, known, stranger := issue(t, "localhost", x509.ExtKeyUsageServerAuth), issue(t, "api", x509.ExtKeyUsageClientAuth), issue(t, "eve", x509.ExtKeyUsageClientAuth)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, known.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewCertificates(CertificateOptions{Namespace: "operator", ClientCA: file})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(server.cert, server.key)
	if err != nil {
		t.Fatal(err)
	}
	c.own.Store(&pair)
	as := func(i issued) *tls.Config {
		own, err := tls.X509KeyPair(i.cert, i.key)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: server.pool(t), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }}
	}
	if err := call(t, c, as(known)); err != nil {
		t.Errorf("the API server is refused: %v", err)
	}
	if err := call(t, c, as(stranger)); err == nil {
		t.Error("a stranger's certificate will do")
	}
	if err := call(t, c, &tls.Config{RootCAs: server.pool(t)}); err == nil {
		t.Error("no certificate will do")
	}
}

func TestCertificateOptions(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{noPEM: "holds no certificate in PEM form", noPEM + ".none": "read whose certificates may call"} {
		if _, err := NewCertificates(CertificateOptions{ClientCA: file}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s is answered by %v, want %q", file, err, says)
		}
	}
	c, err := NewCertificates(CertificateOptions{Namespace: "iam"})
	if err != nil || c.options.DNSName != "iam-operator-webhook.iam.svc" {
		t.Errorf("the API server calls %q (%v), want the Service of the namespace", c.options.DNSName, err)
	}
	if err := c.Ready(nil); err == nil {
		t.Error("the webhooks are ready before the API server was told whom to trust")
	}
}
