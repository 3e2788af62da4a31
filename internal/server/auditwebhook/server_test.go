// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = sign(t, nil, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func sign(t *testing.T, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	certificate, key := sign(t, a, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

func (a *authority) file(t *testing.T) string {
	t.Helper()
	return write(t, "ca.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificateDir is a folder as a mounted Secret is.
func certificateDir(t *testing.T, pair tls.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// options listens on a free port, with a certificate for localhost.
func options(t *testing.T, ca *authority) Options {
	t.Helper()
	return Options{
		Address: "127.0.0.1:0", CertificateDir: certificateDir(t, ca.pair(t, "localhost")), Store: newStore(t), Registry: prometheus.NewRegistry(),
		NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Clock: clock.RealClock{}, Log: logr.Discard(),
	}
}

func run(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	return s
}

// caller is an API server with, or without, a certificate.
func caller(t *testing.T, ca *authority, pairs ...tls.Certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: pairs, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func send(client *http.Client, s *Server, token string, body []byte) (code int, says string, err error) {
	request, err := http.NewRequest(http.MethodPost, "https://"+s.Addr().String()+"/", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// told is what kube-apiserver tells of a request.
func told(request string, edits ...func(*auditv1.Event)) auditv1.Event {
	e := auditv1.Event{
		Level: auditv1.LevelMetadata, AuditID: "audit", Stage: auditv1.StageResponseComplete, Verb: "create",
		User: authenticationv1.UserInfo{Username: maya}, SourceIPs: []string{"192.0.2.7"}, UserAgent: "kubectl/v1.37.2",
		ObjectRef:      &auditv1.ObjectReference{APIGroup: "iam-operator.dev", Resource: "policies", Namespace: "home", Name: "all"},
		ResponseStatus: &metav1.Status{Code: 201},
		Annotations:    map[string]string{"guard.iam-operator.dev/request-id": request},
	}
	for _, edit := range edits {
		edit(&e)
	}
	return e
}

func batch(t testing.TB, events ...auditv1.Event) []byte {
	t.Helper()
	list := auditv1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "audit.k8s.io/v1", Kind: "EventList"}, Items: events}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func originIn(t *testing.T, s store.Store, id string) string {
	t.Helper()
	events, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: id}})
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0].SourceIP + " " + events[0].UserAgent
}

func awaitOrigin(t *testing.T, s store.Store, id, want string) {
	t.Helper()
	deadline, ticker := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer ticker.Stop()
	for got := originIn(t, s, id); got != want; got = originIn(t, s, id) {
		select {
		case <-deadline:
			t.Fatalf("the origin is %q, want %q", got, want)
		case <-ticker.C:
		}
	}
}

func mustSubmit(t *testing.T, s store.Store, events ...iam.Event) {
	t.Helper()
	if err := s.Submit(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

// Nobody is heard who can't show who it is.
func TestWhoMaySend(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	apiserver, kubelet, foreign := ca.pair(t, "kube-apiserver"), ca.pair(t, "kubelet"), stranger.pair(t, "kube-apiserver")
	byCertificate := func(o *Options) { o.ClientCA = ca.file(t) }
	byName := func(o *Options) { o.ClientCA, o.ClientName = ca.file(t), "kube-apiserver" }
	byToken := func(o *Options) { o.TokenFile = write(t, "token", []byte("s3cret\n")) }
	for name, test := range map[string]struct {
		demand func(*Options)
		shows  []tls.Certificate
		token  string
		code   int // 0: there is no connection
	}{
		"a certificate":                    {demand: byCertificate, shows: []tls.Certificate{apiserver}, code: 200},
		"no certificate":                   {demand: byCertificate},
		"somebody else's certificate":      {demand: byCertificate, shows: []tls.Certificate{foreign}},
		"a token instead of a certificate": {demand: byCertificate, token: "s3cret"},
		"a certificate of that name":       {demand: byName, shows: []tls.Certificate{apiserver}, code: 200},
		"a certificate of another name":    {demand: byName, shows: []tls.Certificate{kubelet}},
		"a token":                          {demand: byToken, token: "s3cret", code: 200},
		"another token":                    {demand: byToken, token: "s3cret2", code: 401},
		"no token":                         {demand: byToken, code: 401},
		"both":                             {demand: func(o *Options) { byCertificate(o); byToken(o) }, shows: []tls.Certificate{apiserver}, token: "s3cret", code: 200},
		"one of both, the certificate":     {demand: func(o *Options) { byCertificate(o); byToken(o) }, shows: []tls.Certificate{apiserver}, code: 401},
		"one of both, the token":           {demand: func(o *Options) { byCertificate(o); byToken(o) }, token: "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, ca)
			test.demand(&o)
			s := run(t, o)
			event := eventOf("request-1")
			mustSubmit(t, o.Store, event)
			code, says, err := send(caller(t, ca, test.shows...), s, test.token, batch(t, told("request-1")))
			if code != test.code || (err == nil) != (code != 0) {
				t.Errorf("answered %d %q, %v; want %d", code, says, err, test.code)
			}
			want := unknown
			if test.code == http.StatusOK {
				want = known
			}
			if got := originIn(t, o.Store, event.ID); got != want {
				t.Errorf("the origin is %q, want %q", got, want)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	ca := newAuthority(t)
	for name, test := range map[string]struct {
		edit func(*Options)
		says string
	}{
		"nobody need show anything": {func(*Options) {}, "takes events of nobody who can't show who it is"},
		"a name without authorities": {func(o *Options) {
			o.TokenFile, o.ClientName = write(t, "token", []byte("x")), "kube-apiserver"
		}, "goes with a file of client authorities"},
		"an empty token":               {func(o *Options) { o.TokenFile = write(t, "token", []byte(" \n")) }, "is empty"},
		"no token file":                {func(o *Options) { o.TokenFile = "/nowhere" }, "read the token"},
		"no authorities":               {func(o *Options) { o.ClientCA = write(t, "ca.crt", []byte("nothing")) }, "no certificate of an authority"},
		"no file of authorities":       {func(o *Options) { o.ClientCA = "/nowhere" }, "read whose certificates"},
		"no certificate":               {func(o *Options) { o.ClientCA, o.CertificateDir = ca.file(t), t.TempDir() }, "read the certificate"},
		"an address that can't be had": {func(o *Options) { o.ClientCA, o.Address = ca.file(t), "127.0.0.1:nothing" }, "listen for"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, ca)
			test.edit(&o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("answered by %v, want %q", err, test.says)
			}
		})
	}
}

// A token can be changed while the receiver runs, and one that is gone lets nobody in.
func TestTokenIsReadAnew(t *testing.T) {
	ca := newAuthority(t)
	o := options(t, ca)
	o.TokenFile = write(t, "token", []byte("old"))
	s, client := run(t, o), caller(t, ca)
	if err := os.WriteFile(o.TokenFile, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"old": 401, "new": 200} {
		if code, says, err := send(client, s, token, batch(t)); err != nil || code != want {
			t.Errorf("the %s token: %d %q, %v", token, code, says, err)
		}
	}
	if err := os.Remove(o.TokenFile); err != nil {
		t.Fatal(err)
	}
	if code, says, err := send(client, s, "new", batch(t)); err != nil || code != 401 {
		t.Errorf("without a file: %d %q, %v", code, says, err)
	}
}

func TestBadBatches(t *testing.T) {
	ca := newAuthority(t)
	o := options(t, ca)
	o.TokenFile = write(t, "token", []byte("s3cret"))
	s, client := run(t, o), caller(t, ca)
	for name, test := range map[string]struct {
		body []byte
		code int
		says string
	}{
		"nothing":                           {nil, 400, "no JSON of audit.k8s.io/v1"},
		"no JSON":                           {[]byte("<xml/>"), 400, "no JSON of audit.k8s.io/v1"},
		"something else":                    {[]byte(`{"kind":"Pod","apiVersion":"v1"}`), 400, `the body is "Pod" of "v1"; this takes an EventList of audit.k8s.io/v1`},
		"another version":                   {[]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v2"}`), 400, "this takes an EventList"},
		"too much":                          {bytes.Repeat([]byte(" "), maxBody+1), 413, "lower kube-apiserver's --audit-webhook-batch-max-size"},
		"an empty batch":                    {batch(t), 200, ""},
		"an event of which nothing is said": {batch(t, auditv1.Event{}), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, says, err := send(client, s, "s3cret", test.body)
			if err != nil || code != test.code || !strings.Contains(says, test.says) {
				t.Errorf("answered %d %q, %v; want %d %q", code, says, err, test.code, test.says)
			}
		})
	}
}

// What is not the end of a request of ours is passed by.
func TestWhatIsPassedBy(t *testing.T) {
	for name, edit := range map[string]func(*auditv1.Event){
		"another stage":    func(e *auditv1.Event) { e.Stage = auditv1.StageRequestReceived },
		"another group":    func(e *auditv1.Event) { e.ObjectRef.APIGroup = "apps" },
		"another resource": func(e *auditv1.Event) { e.ObjectRef.Resource = "pods" },
		"a subresource":    func(e *auditv1.Event) { e.ObjectRef.Subresource = "status" },
		"a read":           func(e *auditv1.Event) { e.Verb = "get" },
		"no object":        func(e *auditv1.Event) { e.ObjectRef = nil },
		"no annotation":    func(e *auditv1.Event) { e.Annotations = nil },
		"another's annotation": func(e *auditv1.Event) {
			e.Annotations = map[string]string{"guard.example.com/request-id": "request-1", "guard.iam-operator.dev/other": "request-1"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, event := receiverOf(t), eventOf("request-1")
			mustSubmit(t, s.options.Store, event)
			handle(t, s, batch(t, told("request-1", edit)), http.StatusOK)
			if got := originIn(t, s.options.Store, event.ID); got != unknown {
				t.Errorf("the origin is %q", got)
			}
		})
	}
}

func TestWhatIsJoined(t *testing.T) {
	for name, edit := range map[string]func(*auditv1.Event){
		"an admitted request": func(*auditv1.Event) {},
		"a refused request":   func(e *auditv1.Event) { e.ResponseStatus.Code = 403 },
		"a deletion": func(e *auditv1.Event) {
			e.Verb, e.Annotations = "delete", map[string]string{"deletion.iam-operator.dev/request-id": "request-1"}
		},
		"an impersonated request": func(e *auditv1.Event) {
			e.User, e.ImpersonatedUser = authenticationv1.UserInfo{Username: "admin"}, &authenticationv1.UserInfo{Username: maya}
		},
		"a request of which the body is told, too": func(e *auditv1.Event) { e.Level = auditv1.LevelRequestResponse },
	} {
		t.Run(name, func(t *testing.T) {
			s, event := receiverOf(t), eventOf("request-1")
			mustSubmit(t, s.options.Store, event)
			body := batch(t, told("request-1", edit))
			if strings.Contains(name, "body") {
				body = bytes.Replace(body, []byte(`"stage"`), []byte(`"requestObject":{"spec":{"password":"x"}},"responseObject":{"kind":"Policy"},"stage"`), 1)
			}
			handle(t, s, body, http.StatusOK)
			if got := originIn(t, s.options.Store, event.ID); got != known {
				t.Errorf("the origin is %q", got)
			}
		})
	}
}

// receiverOf gives a receiver that nobody reaches but by handle.
func receiverOf(t *testing.T) *Server {
	t.Helper()
	o := Options{Store: newStore(t), NewID: func() string { return uuid.Must(uuid.NewV7()).String() }, Clock: clock.RealClock{}, Log: logr.Discard()}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return &Server{options: o, joiner: newJoiner(o, m), metrics: m, slots: make(chan struct{}, atOnce)}
}

func handle(t testing.TB, s *Server, body []byte, code int) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	if answer.Code != code {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
}

// What Kubernetes RBAC refuses never comes to our webhooks, and is counted here; a 403 of others is not.
func TestForbiddenByKubernetesIsCounted(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*auditv1.Event)
		want float64
	}{
		"by RBAC":                        {edit: func(*auditv1.Event) {}, want: 1},
		"by another's webhook":           {edit: func(e *auditv1.Event) { e.Annotations["authorization.k8s.io/decision"] = "allow" }},
		"by nobody says whom":            {edit: func(e *auditv1.Event) { e.Annotations = nil }},
		"by our webhook":                 {edit: func(e *auditv1.Event) { e.Annotations["guard.iam-operator.dev/request-id"] = "request-1" }},
		"another verb":                   {edit: func(e *auditv1.Event) { e.Verb = "strange" }},
		"not found":                      {edit: func(e *auditv1.Event) { e.ResponseStatus.Code = 404 }},
		"it is not said what came of it": {edit: func(e *auditv1.Event) { e.ResponseStatus = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := receiverOf(t)
			refused := func(e *auditv1.Event) {
				e.Verb, e.ObjectRef.Resource, e.ResponseStatus.Code = "delete", "apikeys", 403
				e.Annotations = map[string]string{"authorization.k8s.io/decision": "forbid"}
			}
			handle(t, s, batch(t, told("", refused, test.edit)), http.StatusOK)
			var m dto.Metric
			if err := s.metrics.forbidden.WithLabelValues("apikeys", "delete").Write(&m); err != nil || m.GetCounter().GetValue() != test.want {
				t.Errorf("counted %v, %v; want %v", m.GetCounter().GetValue(), err, test.want)
			}
		})
	}
}

func TestOnlyPost(t *testing.T) {
	answer := httptest.NewRecorder()
	receiverOf(t).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("answered %d", answer.Code)
	}
}

// A batch too many is sent again, and not kept in memory meanwhile.
func TestBatchesAtOnceAreBounded(t *testing.T) {
	s := receiverOf(t)
	for range atOnce {
		s.slots <- struct{}{}
	}
	handle(t, s, batch(t), http.StatusTooManyRequests)
}

// Batches that come before the events of their requests find them through the follower.
func TestOriginBeforeItsEvent(t *testing.T) {
	ca := newAuthority(t)
	o := options(t, ca)
	o.TokenFile = write(t, "token", []byte("s3cret"))
	s, client := run(t, o), caller(t, ca)
	if code, says, err := send(client, s, "s3cret", batch(t, told("request-1"), told("request-2"))); err != nil || code != 200 {
		t.Fatal(code, says, err)
	}
	one, two := eventOf("request-1"), eventOf("request-2")
	mustSubmit(t, o.Store, one)
	awaitOrigin(t, o.Store, one.ID, known)
	mustSubmit(t, o.Store, two)
	awaitOrigin(t, o.Store, two.ID, known)
}

// A store that can't be asked has the batch sent again.
func TestFailingStoreIsSaid(t *testing.T) {
	s := receiverOf(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(batch(t, told("request-1")))).WithContext(ctx))
	if answer.Code != http.StatusInternalServerError {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(batch(f, told("request-1")))
	f.Add([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"stage":"ResponseComplete","objectRef":null,"sourceIPs":[""]}]}`))
	f.Add([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[null,{"annotations":{"guard.iam-operator.dev/request-id":""}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := decode(body)
		if err != nil {
			return
		}
		for i := range events {
			if ours(&events[i]) {
				_ = sightingOf(&events[i], requestOf(&events[i]), nil)
				_ = isForbidden(&events[i])
			}
		}
	})
}
