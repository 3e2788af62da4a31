// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// listening is a server that runs, and a client that trusts it.
type listening struct {
	*Server
	client *http.Client
	stop   func() error
}

func listen(t *testing.T, handler http.Handler, log *Log) *listening {
	t.Helper()
	c := fake.NewClientBuilder().Build()
	own := ownCertificate(c, clocktesting.NewFakeClock(time.Now()), "localhost", "127.0.0.1")
	server, err := NewServer(ServerOptions{Address: "127.0.0.1:0", Certificate: own, Handler: handler, DecisionLog: log, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if server.Ready(nil) == nil || server.NeedLeaderElection() {
		t.Error("the server is ready before it serves, or waits for leadership")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	err = wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) { return server.Ready(nil) == nil, nil })
	if err != nil {
		t.Fatalf("the server does not become ready: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(secretOfCertificate(t, c).Data["ca.crt"])
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	stop := func() error {
		transport.CloseIdleConnections()
		cancel()
		return <-done
	}
	return &listening{Server: server, client: &http.Client{Transport: transport}, stop: stop}
}

func TestServer(t *testing.T) {
	log := NewLog(LogOptions{Writer: io.Discard, Clock: clock.RealClock{}, Failures: logr.Discard()})
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }), log)
	response, err := s.client.Get("https://" + s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "HTTP/2.0" {
		t.Errorf("answered %q, %v", text, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if response, err := http.Get("http://" + s.Addr().String()); err == nil {
		if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS") {
			t.Errorf("without TLS it is answered %d %s", response.StatusCode, text)
		}
		_ = response.Body.Close()
	}
	if err := s.stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := s.client.Get("https://" + s.Addr().String()); err == nil {
		t.Error("it still answers")
	}
}

// What is being answered when the end comes is answered, and logged.
func TestServerEndsAfterTheLastAnswer(t *testing.T) {
	p := &paper{}
	log := newLog(t, LogOptions{Writer: p})
	began, goOn := make(chan struct{}), make(chan struct{})
	s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-goOn
		log.add(numbered(1))
		_, _ = io.WriteString(w, "done")
	}), log)
	answered := make(chan string)
	go func() {
		response, err := s.client.Get("https://" + s.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		answered <- string(text)
	}()
	<-began
	stopped := make(chan error)
	go func() { stopped <- s.stop() }()
	for {
		if _, err := (&http.Client{Transport: &http.Transport{}}).Get("http://" + s.Addr().String()); err != nil {
			break // It listens no more.
		}
	}
	close(goOn)
	if text := <-answered; text != "done" {
		t.Errorf("answered %q", text)
	}
	if err := <-stopped; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if lines := p.lines(t); len(lines) != 1 {
		t.Errorf("the log is %v", lines)
	}
}

func TestServerThatCanNotListen(t *testing.T) {
	if _, err := NewServer(ServerOptions{Address: "256.0.0.1:0"}); err == nil {
		t.Error("it listens where nobody can")
	}
}
