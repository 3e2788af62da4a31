// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

const (
	// headerTime and readTime bound how long a request may take to arrive, and idleTime how long a connection is kept for the next.
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second
	idleTime   = 2 * time.Minute
	// writeTime bounds an answer, the wait for a revision and the reading of the body included.
	writeTime = readTime + RevisionWait + 10*time.Second
	// stopWithin is how long requests that are being answered hold up the end.
	stopWithin = RevisionWait + time.Second
	maxHeader  = 32 << 10
)

// Certificate is what the listener shows.
type Certificate interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Start keeps it up to date until the context ends.
	Start(ctx context.Context) error
}

// ServerOptions say where the APIs are served.
type ServerOptions struct {
	// Address to listen on, as host:port.
	Address     string
	Certificate Certificate
	Handler     http.Handler
	// DecisionLog is written until the last request is answered.
	DecisionLog *Log
	Log         logr.Logger
}

// Server is the listener of the APIs that ask the decision engine. It speaks TLS only, HTTP/1.1 and HTTP/2.
type Server struct {
	options  ServerOptions
	listener net.Listener
	serving  chan struct{}
}

// NewServer listens, but answers nobody before Start. Whoever gets a Server must Start it, which also ends it.
func NewServer(o ServerOptions) (*Server, error) {
	listener, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for questions to the decision engine: %w", err)
	}
	return &Server{options: o, listener: listener, serving: make(chan struct{})}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// NeedLeaderElection is false: every replica decides.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready fails before it answers.
func (s *Server) Ready(*http.Request) error {
	select {
	case <-s.serving:
	default:
		return errors.New("the decision engine can't be asked yet")
	}
	if _, err := s.options.Certificate.GetCertificate(&tls.ClientHelloInfo{}); err != nil {
		return err
	}
	return nil
}

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	var others sync.WaitGroup
	defer others.Wait()
	logging, endLog := context.WithCancel(context.WithoutCancel(ctx)) // It ends after the last answer.
	defer endLog()
	others.Go(func() { s.options.DecisionLog.Run(logging) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	server := &http.Server{
		Handler: s.options.Handler, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.options.Certificate.GetCertificate},
		ErrorLog:  slog.NewLogLogger(logr.ToSlogHandler(s.options.Log.V(1)), slog.LevelInfo),
	}
	ended := make(chan error, 2)
	go func() { ended <- s.options.Certificate.Start(ctx) }()
	go func() {
		err := server.ServeTLS(s.listener, "", "")
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}()
	close(s.serving)
	s.options.Log.Info("the decision engine can be asked", "address", s.listener.Addr().String())
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
	return errors.Join(first, <-ended, <-ended)
}
