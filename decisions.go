// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/server/authzen"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/iamapi"
	"github.com/iam-operator/iam-operator/internal/store"
)

// The values of --decision-log that are no paths.
const (
	decisionLogStdout = "-"
	decisionLogNone   = "none"
)

// decisionAPI says where the decision engine can be asked.
type decisionAPI struct {
	enabled          bool
	host             string
	port             int
	url              string
	certificate, key string
	log              string
	allowSample      float64
	maxStaleness     time.Duration
}

func (d *decisionAPI) bind(flags *flag.FlagSet) {
	flags.BoolVar(&d.enabled, "decisions", true, "answer who may do what, by AuthZEN and by the IAM API's check-permissions")
	flags.StringVar(&d.host, "decision-bind-address", "", "host on which decisions are asked for (default: all addresses)")
	flags.IntVar(&d.port, "decision-port", 8443, "port on which decisions are asked for")
	flags.StringVar(&d.url, "decision-url", "", "where clients find that port, as AuthZEN's metadata say it: https, and a path if need be (default: --api-url)")
	flags.StringVar(&d.certificate, "decision-tls-cert", "", "file of the certificate that is shown there, with --decision-tls-key; both are read again when they change (default: the operator makes a certificate, and keeps it in Secret "+decisions.CertificateSecret+" of the own namespace, with the ca.crt that clients need)")
	flags.StringVar(&d.key, "decision-tls-key", "", "file of the key of that certificate")
	flags.DurationVar(&d.maxStaleness, "max-staleness", authz.DefaultMaxStaleness, "after how long without contact with the store everything is denied")
	flags.StringVar(&d.log, "decision-log", decisionLogStdout, "where decisions are logged, a line of JSON each: a file, which is appended to, - for the standard output, or none")
	flags.Float64Var(&d.allowSample, "decision-log-allow-sample", 0.1, "which part of what is allowed is logged, from 0 to 1; what is denied always is")
}

// engine adds the decision engine to the manager; there is none when it is switched off.
func (d *decisionAPI) engine(ctx context.Context, mgr ctrl.Manager, database store.Store, namespace string) (*authz.Engine, error) {
	if !d.enabled {
		return nil, nil
	}
	if d.maxStaleness <= 0 {
		return nil, fmt.Errorf("--max-staleness is longer than nothing, not %s", d.maxStaleness)
	}
	keys, err := controllers.LoadDigestKeys(ctx, mgr, namespace, rand.Reader)
	if err != nil {
		return nil, err
	}
	logger := mgr.GetLogger().WithName("decisions")
	engine := authz.NewEngine(authz.Options{
		Store: database, Now: time.Now, After: time.After, Digests: keys.Digests, MaxStaleness: d.maxStaleness,
		Failed: func(err error) { logger.Error(err, "The decision engine can't read the store; it is tried again") },
	})
	ready := func(*http.Request) error { return engine.Ready() }
	return engine, errors.Join(mgr.Add(everywhere{engine.Run}), mgr.AddReadyzCheck("decision-engine", ready))
}

// everywhere runs on every replica, whoever leads: each decides by a snapshot of its own.
type everywhere struct{ run func(context.Context) error }

// Start implements [manager.Runnable].
func (e everywhere) Start(ctx context.Context) error { return e.run(ctx) }

// NeedLeaderElection implements [manager.LeaderElectionRunnable].
func (everywhere) NeedLeaderElection() bool { return false }

// setup adds the listener to the manager, unless it is switched off.
func (d *decisionAPI) setup(mgr ctrl.Manager, engine *authz.Engine, namespace, apiURL string) error {
	if !d.enabled {
		return nil
	}
	base, err := d.check(apiURL)
	if err != nil {
		return err
	}
	logger := mgr.GetLogger().WithName("decisions")
	certificate, err := d.certificateOf(mgr, namespace, base)
	if err != nil {
		return err
	}
	writer, err := d.logWriter()
	if err != nil {
		return err
	}
	decisionLog := decisions.NewLog(decisions.LogOptions{
		Writer: writer, AllowSample: d.allowSample, Random: mathrand.Float64, Clock: clock.RealClock{}, Failures: logger,
	})
	service, err := decisions.NewService(decisions.Options{
		Engine: engine, Clock: clock.RealClock{}, NewID: uuid.NewString, Log: decisionLog, Registry: metrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("set up the metrics of decisions: %w", err)
	}
	mux := http.NewServeMux()
	authzen.New(service, base).Register(mux)
	iamapi.Register(mux, service, base.Path())
	server, err := decisions.NewServer(decisions.ServerOptions{Address: net.JoinHostPort(d.host, strconv.Itoa(d.port)), Certificate: certificate, Handler: mux, DecisionLog: decisionLog, Log: logger})
	if err != nil {
		return err
	}
	return errors.Join(mgr.Add(server), mgr.AddReadyzCheck("decisions", server.Ready))
}

// check refuses flags that can't work, and gives the URL by which clients come.
func (d *decisionAPI) check(apiURL string) (authzen.BaseURL, error) {
	if d.port < 1 || d.port > 65535 {
		return authzen.BaseURL{}, fmt.Errorf("--decision-port is between 1 and 65535, not %d; --decisions=false does without", d.port)
	}
	if (d.certificate == "") != (d.key == "") {
		return authzen.BaseURL{}, errors.New("--decision-tls-cert and --decision-tls-key go together")
	}
	if !(d.allowSample >= 0 && d.allowSample <= 1) { // This way round it holds for NaN as well.
		return authzen.BaseURL{}, fmt.Errorf("--decision-log-allow-sample is between 0 and 1, not %v", d.allowSample)
	}
	url := cmp.Or(d.url, apiURL)
	base, err := authzen.ParseBaseURL(url)
	if err != nil {
		return authzen.BaseURL{}, fmt.Errorf("%q can't be --decision-url: %w", url, err)
	}
	return base, nil
}

// logWriter opens the log of decisions; nil when there is to be none.
func (d *decisionAPI) logWriter() (io.Writer, error) {
	switch d.log {
	case decisionLogNone:
		return nil, nil
	case decisionLogStdout, "":
		return os.Stdout, nil
	}
	file, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of decisions: %w", err)
	}
	return file, nil
}

func (d *decisionAPI) certificateOf(mgr ctrl.Manager, namespace string, base authzen.BaseURL) (decisions.Certificate, error) {
	if d.certificate != "" {
		watcher, err := certwatcher.New(d.certificate, d.key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate with which decisions are served: %w", err)
		}
		return watcher, nil
	}
	service := "iam-operator." + namespace + ".svc"
	return decisions.NewOwnCertificate(decisions.OwnCertificateOptions{
		Reader: mgr.GetAPIReader(), Writer: mgr.GetClient(), Namespace: namespace, Clock: clock.RealClock{}, Random: rand.Reader,
		Names: []string{base.Host(), service, service + ".cluster.local", "localhost", "127.0.0.1", "::1"},
		Log:   mgr.GetLogger().WithName("decisions"),
	}), nil
}
