// SPDX-License-Identifier: Apache-2.0

// Package auditapi serves the audit log as an aggregated API of Kubernetes,
// auditevents.audit.iam-operator.dev: read only, from the operator's store and not from etcd.
// kube-apiserver knows who asks and passes it on, and RBAC says who may; this server asks it
// once more.
package auditapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	apiserver "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	definitions "github.com/iam-operator/iam-operator/internal/server/auditapi/openapi"
	"github.com/iam-operator/iam-operator/internal/server/auditapi/query"
	"github.com/iam-operator/iam-operator/internal/store"
)

// ServiceName is the Service, in the operator's namespace, by which kube-apiserver calls.
const ServiceName = "iam-operator-audit"

// Options say what is served, and where.
type Options struct {
	Store store.Store
	// Host and Port are where the server listens; an empty host means all addresses.
	Host string
	Port int
	// Namespace is the operator's own.
	Namespace string
	// Kubeconfig is the file by which the server asks kube-apiserver who somebody is and what
	// they may; empty inside a cluster. It is of the same user as the manager's client.
	Kubeconfig string
	Clock      clock.WithTicker
	// Random is where keys come from.
	Random io.Reader
}

// Server is the aggregated API server. A manager runs it, on every replica.
type Server struct {
	options Options
	log     logr.Logger
	client  client.Client
	// serving is closed when it answers.
	serving chan struct{}
}

// Setup adds the server to a manager. Nothing listens before the manager starts.
func Setup(mgr ctrl.Manager, o Options) error {
	config := *mgr.GetConfig()
	config.QPS = -1 // One question for each request that is asked here; who asks too often is held back by kube-apiserver.
	direct, err := client.New(&config, client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("set up the audit API's client: %w", err)
	}
	s := &Server{options: o, log: mgr.GetLogger().WithName("audit-api"), client: direct, serving: make(chan struct{})}
	return errors.Join(mgr.Add(s), mgr.AddReadyzCheck("audit-api", s.ready))
}

// NeedLeaderElection says that every replica serves: it only reads.
func (s *Server) NeedLeaderElection() bool { return false }

func (s *Server) ready(*http.Request) error {
	select {
	case <-s.serving:
		return nil
	default:
		return errors.New("the audit API does not answer yet")
	}
}

// Start serves until the context ends, and then ends the watches that are open: whoever has one
// would hold back the end of the process.
func (s *Server) Start(ctx context.Context) error {
	trusted := &trust{client: s.client, clock: s.options.Clock, random: s.options.Random, log: s.log, host: fmt.Sprintf("%s.%s.svc", ServiceName, s.options.Namespace)}
	if err := trusted.renew(); err != nil {
		return err
	}
	storage := &events{
		store: s.options.Store, clock: s.options.Clock, namespaceUID: s.namespaceUID, ending: ctx.Done(),
		tail: newTail(s.options.Store, s.options.Clock, s.log), watches: newSlots(maxWatches, maxUserWatches),
	}
	if err := storage.tail.begin(ctx); err != nil {
		return fmt.Errorf("begin to follow the audit events: %w", err)
	}
	server, err := s.build(storage, trusted)
	if err != nil {
		return err
	}
	var others sync.WaitGroup
	defer others.Wait()
	ctx, cancel := context.WithCancel(ctx) // so that they end where the server does
	defer cancel()
	others.Go(func() { storage.tail.run(ctx) })
	others.Go(func() { trusted.run(ctx) })
	s.log.Info("the audit API listens", "host", s.options.Host, "port", s.options.Port)
	return server.PrepareRun().RunWithContext(ctx)
}

// build makes the server, without the recommended options: they bring etcd and admission.
func (s *Server) build(storage *events, trusted *trust) (*genericapiserver.GenericAPIServer, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	codecs := serializer.NewCodecFactory(scheme)
	config := genericapiserver.NewConfig(codecs)
	config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	config.EnableProfiling, config.EnableIndex, config.EnableMetrics = false, false, false
	names := openapi.NewDefinitionNamer(scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions.GetOpenAPIDefinitions, names)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions.GetOpenAPIDefinitions, names)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "iam-operator audit", "iam-operator audit"
	config.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return markTables(genericapiserver.DefaultBuildHandlerChain(handler, c))
	}
	if err := s.secure(config, trusted); err != nil {
		return nil, err
	}
	server, err := config.Complete(nil).New("iam-operator-audit", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("set up the audit API: %w", err)
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(auditv1alpha1.GroupVersion.Group, scheme, metav1.ParameterCodec, codecs)
	group.VersionedResourcesStorageMap[auditv1alpha1.GroupVersion.Version] = map[string]rest.Storage{auditv1alpha1.Resource: storage}
	if err := server.InstallAPIGroup(&group); err != nil {
		return nil, fmt.Errorf("set up the audit API: %w", err)
	}
	return server, server.AddPostStartHook("iam-operator-serving", func(genericapiserver.PostStartHookContext) error {
		close(s.serving)
		return nil
	})
}

// secure says where to listen and whom to believe: kube-apiserver's front proxy, for the name
// that it passes on, and whoever shows a token or a certificate of the cluster.
func (s *Server) secure(config *genericapiserver.Config, trusted *trust) error {
	listener, err := net.Listen("tcp", net.JoinHostPort(s.options.Host, strconv.Itoa(s.options.Port)))
	if err != nil {
		return fmt.Errorf("listen for the audit API: %w", err)
	}
	serving := options.NewSecureServingOptions()
	serving.Listener = listener
	serving.ServerCert = options.GeneratableKeyCert{GeneratedCert: trusted}
	authentication, authorization := options.NewDelegatingAuthenticationOptions(), options.NewDelegatingAuthorizationOptions()
	authentication.RemoteKubeConfigFile, authorization.RemoteKubeConfigFile = s.options.Kubeconfig, s.options.Kubeconfig
	authentication.Anonymous = &apiserver.AnonymousAuthConfig{Enabled: false}
	err = serving.WithLoopback().ApplyTo(&config.SecureServing, &config.LoopbackClientConfig)
	if err == nil {
		err = authentication.ApplyTo(&config.Authentication, config.SecureServing, config.OpenAPIConfig)
	}
	if err == nil {
		err = authorization.ApplyTo(&config.Authorization)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("have the audit API ask kube-apiserver who somebody is: %w", err), listener.Close())
	}
	return nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := auditv1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, unversioned)
	scheme.AddUnversionedTypes(unversioned, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	err := scheme.AddFieldLabelConversionFunc(auditv1alpha1.GroupVersion.WithKind("AuditEvent"), func(label, value string) (string, string, error) {
		return label, value, query.CheckLabel(label)
	})
	return scheme, err
}

// namespaceUID asks kube-apiserver, and no cache: one that is behind would show to the readers of
// a namespace that was made again what belonged to its predecessor.
func (s *Server) namespaceUID(ctx context.Context, name string) (string, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := s.client.Get(ctx, client.ObjectKey{Name: name}, found)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up the namespace: %w", err)
	}
	return string(found.UID), nil
}
