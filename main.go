// SPDX-License-Identifier: Apache-2.0

// Command iam-operator reconciles IAM that is declared as Kubernetes resources into a
// canonical store and into Secrets.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/admission"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/store"
)

// version is set at build time.
var version = "dev"

// defaultAPIURL is the Service that the IAM API gets in the operator's namespace.
const defaultAPIURL = "https://iam-operator.%s.svc:8443"

// gcPercent is how much garbage there may be beside what is in use, in percent: half of Go's default, since the operator holds much
// that stays, and makes little garbage as a rule. The environment variable GOGC says otherwise.
const gcPercent = 50

type settings struct {
	database                                  controllers.Database
	namespace, apiURL, metrics, probes, pprof string
	webhooks                                  webhooks
	auditAPI                                  auditAPI
	auditSinks                                auditSinks
	auditWebhook                              auditWebhook
	decisions                                 decisionAPI
}

// webhooks say how the API server asks the operator.
type webhooks struct {
	enabled                                        bool
	host, certificates, dir, serverName, clientCAs string
	port                                           int
}

// The values of --webhook-certificates.
const (
	certificatesSelf    = "self"
	certificatesMounted = "mounted"
)

func main() {
	commands := map[string]func(context.Context, []string) int{"audit": runAudit, "explain": runExplain}
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		os.Exit(commands[os.Args[1]](ctrl.SetupSignalHandler(), os.Args[2:]))
	}
	var s settings
	flag.StringVar(&s.database.Path, "database", "iam.db", "path of the SQLite file, on a local file system")
	flag.BoolVar(&s.database.TrustFileSystem, "trust-file-system", false, "accept a FUSE or 9p mount for the database, of which nobody can tell whether it is a network file system")
	flag.StringVar(&s.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's own namespace, where its digest keys live (default $POD_NAMESPACE)")
	flag.StringVar(&s.apiURL, "api-url", "", "where the clients of an API key find the IAM API; written into the keys' Secrets (default: Service iam-operator of the own namespace)")
	flag.StringVar(&s.metrics, "metrics-bind-address", "127.0.0.1:8080", "address of the metrics, or 0 for none")
	flag.StringVar(&s.probes, "health-probe-bind-address", "127.0.0.1:8081", "address of /healthz and /readyz, or 0 for none")
	flag.StringVar(&s.pprof, "pprof-bind-address", "", "address of Go's profiles (/debug/pprof), which tell much of what is in memory: loopback only; none if absent")
	s.webhooks.bind(flag.CommandLine)
	s.auditAPI.bind(flag.CommandLine)
	s.auditSinks.bind(flag.CommandLine)
	s.auditWebhook.bind(flag.CommandLine)
	s.decisions.bind(flag.CommandLine)
	showVersion := flag.Bool("version", false, "print the version and exit")
	logging := zap.Options{}
	logging.BindFlags(flag.CommandLine)
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	config, err := ctrl.GetConfig()
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), config, s)
	}
	if err != nil {
		ctrl.Log.Error(err, "iam-operator ends")
		os.Exit(1)
	}
}

func (w *webhooks) bind(flags *flag.FlagSet) {
	flags.BoolVar(&w.enabled, "admission", true, "judge what is declared, and record who asked, by admission webhooks; without them whoever may write the objects may grant")
	flags.StringVar(&w.host, "webhook-bind-address", "", "host on which the webhooks answer (default: all addresses)")
	flags.IntVar(&w.port, "webhook-port", 9443, "port on which the webhooks answer")
	flags.StringVar(&w.certificates, "webhook-certificates", certificatesSelf, "self: the operator makes the webhooks' certificate and has the API server trust it; mounted: somebody else does, and --webhook-cert-dir holds it")
	flags.StringVar(&w.dir, "webhook-cert-dir", "", "folder with tls.crt and tls.key, with --webhook-certificates=mounted")
	flags.StringVar(&w.serverName, "webhook-dns-name", "", "name by which the API server calls the webhooks, for a certificate that the operator makes (default: that of Service iam-operator-webhook in the own namespace)")
	flags.StringVar(&w.clientCAs, "webhook-client-ca", "", "file of the authorities of whose certificates the API server has one, where it shows one; nobody else may call then")
}

// setup checks the flags; it gives nil when admission is switched off.
func (w *webhooks) setup(namespace string) (*admission.Certificates, error) {
	switch {
	case !w.enabled:
		return nil, nil
	case w.certificates != certificatesSelf && w.certificates != certificatesMounted:
		return nil, fmt.Errorf("--webhook-certificates is %s or %s, not %q", certificatesSelf, certificatesMounted, w.certificates)
	case (w.certificates == certificatesMounted) != (w.dir != ""):
		return nil, fmt.Errorf("--webhook-cert-dir goes with --webhook-certificates=%s, and only with it", certificatesMounted)
	}
	return admission.NewCertificates(admission.CertificateOptions{
		Namespace: namespace, DNSName: w.serverName, MountedDir: w.dir, ClientCA: w.clientCAs,
	})
}

func (s *settings) complete() error {
	if s.namespace == "" {
		return errors.New("the operator's own namespace is not known; give --namespace, or set POD_NAMESPACE")
	}
	if s.apiURL == "" {
		s.apiURL = fmt.Sprintf(defaultAPIURL, s.namespace)
	}
	return nil
}

func run(ctx context.Context, config *rest.Config, s settings) (err error) {
	if err := s.complete(); err != nil {
		return err
	}
	certificates, err := s.webhooks.setup(s.namespace)
	if err != nil {
		return err
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	options := ctrl.Options{
		Scheme:                 scheme,
		Cache:                  controllers.CacheOptions(),
		Metrics:                server.Options{BindAddress: s.metrics},
		HealthProbeBindAddress: s.probes,
		PprofBindAddress:       s.pprof,
	}
	if certificates != nil {
		options.WebhookServer = certificates.Server(s.webhooks.host, s.webhooks.port)
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	database, err := controllers.OpenDatabase(ctx, s.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	if err := s.add(ctx, mgr, database, certificates); err != nil {
		return err
	}
	ctrl.Log.Info("iam-operator starts", "version", version, "database", s.database.Path, "namespace", s.namespace, "admission", certificates != nil)
	return mgr.Start(ctx)
}

// add gives the manager all that it runs. Without certificates there are no webhooks.
func (s *settings) add(ctx context.Context, mgr ctrl.Manager, database store.Store, certificates *admission.Certificates) error {
	gaps := &audit.Gaps{}
	err := controllers.Setup(ctx, mgr, controllers.Options{
		Store: database, Namespace: s.namespace, APIURL: s.apiURL, Admission: certificates != nil, Judged: gaps.Has, Clock: clock.RealClock{}, Random: rand.Reader,
	})
	if err == nil && certificates != nil {
		err = admit(ctx, mgr, certificates, admission.Options{Store: database, Gaps: gaps, Namespace: s.namespace, Clock: clock.RealClock{}})
	}
	if err != nil {
		return err
	}
	engine, err := s.decisions.engine(ctx, mgr, database, s.namespace)
	if err != nil {
		return err
	}
	return errors.Join(
		s.decisions.setup(mgr, engine, s.namespace, s.apiURL),
		s.auditAPI.setup(mgr, database, s.namespace),
		s.auditSinks.setup(ctx, mgr, database),
		s.auditWebhook.setup(mgr, database),
		mgr.AddHealthzCheck("store", answers(database)),
		mgr.AddReadyzCheck("store", answers(database)),
		mgr.AddReadyzCheck("cache", filled(mgr.GetCache())),
	)
}

// admit adds the webhooks. The operator is not ready before they answer.
func admit(ctx context.Context, mgr ctrl.Manager, certificates *admission.Certificates, options admission.Options) error {
	return errors.Join(
		admission.Setup(ctx, mgr, options),
		certificates.Setup(ctx, mgr),
		mgr.AddReadyzCheck("admission", certificates.Ready),
	)
}

// filled checks that the operator has seen what is in the cluster.
func filled(objects cache.Cache) func(*http.Request) error {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), time.Second)
		defer cancel()
		if !objects.WaitForCacheSync(ctx) {
			return errors.New("the cache is not filled yet")
		}
		return nil
	}
}

// answers checks that the store can be read.
func answers(database store.Store) func(*http.Request) error {
	return func(request *http.Request) error {
		_, err := database.Revision(request.Context())
		return err
	}
}
