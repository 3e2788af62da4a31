// SPDX-License-Identifier: Apache-2.0

package auditwebhook

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// maxBody is the largest batch that kube-apiserver sends (--audit-webhook-truncate-max-batch-size).
	maxBody = 10 << 20
	// A batch that takes longer is sent again.
	maxTime = 30 * time.Second
	// stopWithin is how long a batch that is being taken holds up the end.
	stopWithin = 3 * time.Second
	// atOnce is how many batches are in memory at a time; kube-apiserver tries again later.
	atOnce = 2
)

// Options say how the receiver listens, and to whom. One of ClientCA and TokenFile is needed.
type Options struct {
	// Address to listen on, as host:port.
	Address string
	// CertificateDir holds tls.crt and tls.key. They are read again when they change.
	CertificateDir string
	// ClientCA is a file of certificate authorities, one of which must have signed the
	// certificate of whoever calls; and ClientName, where it is set, must be its common name.
	ClientCA, ClientName string
	// TokenFile holds a token that whoever calls must show, as "Authorization: Bearer …". It
	// is read for each call, so that it can be changed.
	TokenFile string
	// TrustedProxies are those between clients and the API server whose word counts on where a
	// request came from. They must set or strip X-Forwarded-For and X-Real-Ip, both of which the
	// API server reads; and no client may be among them.
	TrustedProxies []netip.Prefix

	Store    store.Store
	Registry prometheus.Registerer
	// NewID gives the ids of events: UUIDv7 (RFC 9562).
	NewID func() string
	Clock clock.Clock
	Log   logr.Logger
}

// Server is the receiver.
type Server struct {
	options  Options
	joiner   *joiner
	metrics  *metrics
	tls      *tls.Config
	watcher  *certwatcher.CertWatcher
	listener net.Listener
	slots    chan struct{}
}

// New checks the options, reads the files that they name, and listens, but answers nobody
// before Start. Whoever gets a Server must Start it, which also ends it.
func New(o Options) (*Server, error) {
	if o.ClientCA == "" && o.TokenFile == "" {
		return nil, errors.New("the receiver of kube-apiserver's audit webhook takes events of nobody who can't show who it is: give it a file of client authorities, or of a token")
	}
	if o.ClientName != "" && o.ClientCA == "" {
		return nil, errors.New("a client's name goes with a file of client authorities, and only with it")
	}
	if o.TokenFile != "" {
		if _, err := readToken(o.TokenFile); err != nil {
			return nil, err
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if err := o.demandCertificate(config); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registry)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for kube-apiserver's audit webhook: %w", err)
	}
	watcher, err := certwatcher.New(filepath.Join(o.CertificateDir, "tls.crt"), filepath.Join(o.CertificateDir, "tls.key"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the certificate of the audit webhook's receiver: %w", err), listener.Close())
	}
	config.GetCertificate = watcher.GetCertificate
	return &Server{options: o, joiner: newJoiner(o, m), metrics: m, tls: config, watcher: watcher, listener: listener, slots: make(chan struct{}, atOnce)}, nil
}

// demandCertificate has callers show a certificate, where there are authorities to trust.
func (o Options) demandCertificate(config *tls.Config) error {
	if o.ClientCA == "" {
		return nil
	}
	text, err := os.ReadFile(o.ClientCA)
	if err != nil {
		return fmt.Errorf("read whose certificates may call the audit webhook's receiver: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s has no certificate of an authority in PEM", o.ClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if name := state.PeerCertificates[0].Subject.CommonName; o.ClientName != "" && name != o.ClientName {
			return fmt.Errorf("the audit webhook's receiver is called by %q; only %q may", name, o.ClientName)
		}
		return nil
	}
	return nil
}

func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	token := strings.TrimSpace(string(text))
	if err == nil && token == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return "", fmt.Errorf("read the token of the audit webhook's receiver: %w", err)
	}
	return token, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// NeedLeaderElection is false: every replica may receive.
func (s *Server) NeedLeaderElection() bool { return false }

// Start receives until the context ends.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: maxTime, ReadTimeout: maxTime, WriteTimeout: 2 * maxTime, IdleTimeout: 2 * time.Minute,
		TLSConfig: s.tls, ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.options.Log), slog.LevelInfo),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	follower := &sink.Follower{Store: s.options.Store, Sink: s.joiner, Clock: s.options.Clock, Log: s.options.Log}
	// Before the first batch: an event between its question to the store and the follower's beginning would be missed.
	if err := follower.Begin(ctx); err != nil {
		return errors.Join(err, s.listener.Close())
	}
	ended := make(chan error, 3)
	go func() { ended <- s.watcher.Start(ctx) }()
	go func() { ended <- follower.Run(ctx) }()
	go func() {
		err := server.ServeTLS(s.listener, "", "")
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}()
	var first error
	select {
	case <-ctx.Done():
	case first = <-ended:
		ended <- nil // It is waited for below.
	}
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer done()
	if err := server.Shutdown(stopping); err != nil {
		first = errors.Join(first, server.Close())
	}
	cancel()
	return errors.Join(first, <-ended, <-ended, <-ended)
}

// ServeHTTP takes a batch. What it answers is for whoever reads kube-apiserver's log.
func (s *Server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if err := s.allowed(request); err != nil {
		s.options.Log.Info("Somebody who may not called the audit webhook's receiver", "from", request.RemoteAddr, "because", err.Error())
		http.Error(w, "the token that allows to send audit events is missing or wrong", http.StatusUnauthorized)
		return
	}
	if request.Method != http.MethodPost {
		http.Error(w, "audit events come by POST", http.StatusMethodNotAllowed)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "other batches are being taken; send this one again", http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("the batch is larger than %d bytes; lower kube-apiserver's --audit-webhook-batch-max-size", maxBody), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	s.take(request.Context(), w, body)
}

func (s *Server) take(ctx context.Context, w http.ResponseWriter, body []byte) {
	events, err := decode(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var sightings []sighting
	var forbidden []*auditv1.Event
	for i := range events {
		event := &events[i]
		if !ours(event) {
			continue
		}
		if id := requestOf(event); id != "" {
			sightings = append(sightings, sightingOf(event, id, s.options.TrustedProxies))
		} else if isForbidden(event) {
			forbidden = append(forbidden, event)
		}
	}
	if err := s.joiner.see(ctx, sightings); err != nil {
		s.options.Log.Error(err, "The origins of a batch of requests are not recorded; kube-apiserver may send it again", "requests", len(sightings))
		http.Error(w, "the store could not take the batch; send it again", http.StatusInternalServerError)
		return
	}
	for _, event := range forbidden {
		s.metrics.forbidden.WithLabelValues(event.ObjectRef.Resource, event.Verb).Inc()
	}
}

// allowed says why somebody may not call; a certificate was asked for before, by TLS.
func (s *Server) allowed(request *http.Request) error {
	if s.options.TokenFile == "" {
		return nil
	}
	token, err := readToken(s.options.TokenFile)
	if err != nil {
		return err
	}
	shown, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok || subtle.ConstantTimeCompare([]byte(shown), []byte(token)) != 1 {
		return errors.New("it shows no token, or another one")
	}
	return nil
}
