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
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/store"
)

// version is set at build time.
var version = "dev"

// defaultAPIURL is the Service that the IAM API gets in the operator's namespace.
const defaultAPIURL = "https://iam-operator.%s.svc:8443"

type settings struct {
	database                           controllers.Database
	namespace, apiURL, metrics, probes string
}

func main() {
	var s settings
	flag.StringVar(&s.database.Path, "database", "iam.db", "path of the SQLite file, on a local file system")
	flag.BoolVar(&s.database.TrustFileSystem, "trust-file-system", false, "accept a FUSE or 9p mount for the database, of which nobody can tell whether it is a network file system")
	flag.StringVar(&s.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's own namespace, where its digest keys live (default $POD_NAMESPACE)")
	flag.StringVar(&s.apiURL, "api-url", "", "where the clients of an API key find the IAM API; written into the keys' Secrets (default: Service iam-operator of the own namespace)")
	flag.StringVar(&s.metrics, "metrics-bind-address", "127.0.0.1:8080", "address of the metrics, or 0 for none")
	flag.StringVar(&s.probes, "health-probe-bind-address", "127.0.0.1:8081", "address of /healthz and /readyz, or 0 for none")
	showVersion := flag.Bool("version", false, "print the version and exit")
	logging := zap.Options{}
	logging.BindFlags(flag.CommandLine)
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))
	config, err := ctrl.GetConfig()
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), config, s)
	}
	if err != nil {
		ctrl.Log.Error(err, "iam-operator ends")
		os.Exit(1)
	}
}

func run(ctx context.Context, config *rest.Config, s settings) (err error) {
	if s.namespace == "" {
		return errors.New("the operator's own namespace is not known; give --namespace, or set POD_NAMESPACE")
	}
	if s.apiURL == "" {
		s.apiURL = fmt.Sprintf(defaultAPIURL, s.namespace)
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Cache:                  controllers.CacheOptions(),
		Metrics:                server.Options{BindAddress: s.metrics},
		HealthProbeBindAddress: s.probes,
	})
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	database, err := controllers.OpenDatabase(ctx, s.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	err = controllers.Setup(ctx, mgr, controllers.Options{
		Store: database, Namespace: s.namespace, APIURL: s.apiURL, Clock: clock.RealClock{}, Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("store", answers(database)), mgr.AddReadyzCheck("store", answers(database)), mgr.AddReadyzCheck("cache", filled(mgr.GetCache()))); err != nil {
		return err
	}
	ctrl.Log.Info("iam-operator starts", "version", version, "database", s.database.Path, "namespace", s.namespace)
	return mgr.Start(ctx)
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
