// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// The verb escalate is never used: it is how the webhooks' configuration knows the operator
// when it writes the built-in permission sets, which must not wait for the webhook.
//
// +kubebuilder:rbac:groups=iam-operator.dev,resources=permissionsets,verbs=escalate
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations;mutatingwebhookconfigurations,verbs=list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations;mutatingwebhookconfigurations,verbs=update,resourceNames=iam-operator
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update

const (
	// CertificateSecret is the Secret, in the operator's namespace, of the certificate that
	// the operator makes itself, and of the authority that signs it.
	CertificateSecret = "iam-operator-webhook-cert"
	// serviceName is the Service by which the API server calls.
	serviceName = "iam-operator-webhook"

	certificateFile = "tls.crt"
	keyFile         = "tls.key"
)

// CertificateOptions say how the API server knows that it talks to the operator.
type CertificateOptions struct {
	// Namespace is the operator's own.
	Namespace string
	// DNSName by which the API server calls; that of the Service when empty.
	DNSName string
	// MountedDir holds tls.crt and tls.key, which somebody else makes, renews and has the API
	// server trust. Empty: the operator does all of that itself.
	MountedDir string
	// ClientCA is a file of certificate authorities, one of which must have signed the
	// certificate of whoever calls. Empty: anybody may call.
	ClientCA string
	// ControllerName tells the operators of a process apart; it may be empty where there is one.
	ControllerName string
}

// Certificates are how the API server knows that it talks to the operator. One that the
// operator makes itself goes from its Secret into memory, and never into a file: a mounted
// Secret would arrive up to a minute late, and the API server would be refused meanwhile.
type Certificates struct {
	options CertificateOptions
	clients *x509.CertPool
	server  webhook.Server
	// own is the certificate that is served, unless it is mounted; nil until there is one.
	own atomic.Pointer[tls.Certificate]
	// trusted is closed when the API server was told whom to trust.
	trusted chan struct{}
	// dir is where the rotator looks for the certificate, to see that it has arrived.
	dir string
}

// NewCertificates reads ClientCA, and nothing else yet.
func NewCertificates(options CertificateOptions) (*Certificates, error) {
	if options.DNSName == "" {
		options.DNSName = fmt.Sprintf("%s.%s.svc", serviceName, options.Namespace)
	}
	c := &Certificates{options: options, trusted: make(chan struct{})}
	if options.ClientCA == "" {
		return c, nil
	}
	content, err := os.ReadFile(options.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read whose certificates may call the webhooks: %w", err)
	}
	c.clients = x509.NewCertPool()
	if !c.clients.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("the file %s holds no certificate in PEM form, by which to know who may call the webhooks", options.ClientCA)
	}
	return c, nil
}

// Server gives the manager's webhook server, with these certificates. An empty host means
// all addresses. It is called once.
func (c *Certificates) Server(host string, port int) webhook.Server {
	c.server = webhook.NewServer(webhook.Options{
		Host: host, Port: port, CertDir: c.options.MountedDir, CertName: certificateFile, KeyName: keyFile,
		TLSOpts: []func(*tls.Config){c.configure},
	})
	return c.server
}

func (c *Certificates) configure(config *tls.Config) {
	config.MinVersion = tls.VersionTLS12
	if c.options.MountedDir == "" {
		config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			own := c.own.Load()
			if own == nil {
				return nil, errors.New("the webhooks' certificate is not made yet")
			}
			return own, nil
		}
	}
	if c.clients != nil {
		config.ClientCAs, config.ClientAuth = c.clients, tls.RequireAndVerifyClientCert
	}
}

// Ready checks that the webhooks answer, and that the API server trusts them.
func (c *Certificates) Ready(request *http.Request) error {
	if c.options.MountedDir == "" {
		select {
		case <-c.trusted:
		default:
			return errors.New("the API server was not told yet which certificate the webhooks have")
		}
	}
	return c.server.StartedChecker()(request)
}

// Setup has a manager make the certificate, renew it, and tell the API server whom to trust.
// It does nothing where the certificate is mounted.
func (c *Certificates) Setup(ctx context.Context, mgr ctrl.Manager) error {
	if c.options.MountedDir != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "iam-operator-webhook-")
	if err != nil {
		return fmt.Errorf("make a folder for the webhooks' certificate: %w", err)
	}
	c.dir = dir
	if err := c.setup(ctx, mgr); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func (c *Certificates) setup(ctx context.Context, mgr ctrl.Manager) error {
	// The rotator fills a Secret, and never makes one.
	if err := c.take(ctx, mgr.GetAPIReader(), mgr.GetClient()); err != nil {
		return err
	}
	err := rotator.AddRotator(mgr, &rotator.CertRotator{
		SecretKey:      c.secretKey(),
		CertDir:        c.dir,
		CAName:         "iam-operator-webhook-ca",
		CAOrganization: "iam-operator",
		DNSName:        c.options.DNSName,
		IsReady:        c.trusted,
		Webhooks:       []rotator.WebhookInfo{{Name: Configuration, Type: rotator.Validating}, {Name: Configuration, Type: rotator.Mutating}},
		FieldOwner:     "iam-operator",
		ControllerName: c.options.ControllerName,
	})
	if err != nil {
		return fmt.Errorf("set up the rotation of the webhooks' certificate: %w", err)
	}
	// Of the Secrets, the manager's cache has only those that people are to look after.
	one, err := cache.New(mgr.GetConfig(), cache.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}: {Namespaces: map[string]cache.Config{
			c.options.Namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", CertificateSecret)},
		}},
	}})
	if err != nil {
		return fmt.Errorf("set up the watch of Secret %s: %w", c.secretKey(), err)
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("webhook-certificate").
		WatchesRawSource(source.Kind(one, &corev1.Secret{}, &handler.TypedEnqueueRequestForObject[*corev1.Secret]{})).
		Complete(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			return reconcile.Result{}, c.take(ctx, one, mgr.GetClient())
		}))
	return errors.Join(err, mgr.Add(one), mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		<-ctx.Done()
		return os.RemoveAll(c.dir)
	})))
}

func (c *Certificates) secretKey() client.ObjectKey {
	return client.ObjectKey{Namespace: c.options.Namespace, Name: CertificateSecret}
}

// take serves the certificate that is in the Secret. It makes the Secret where there is
// none, and leaves it to the rotator to fill.
func (c *Certificates) take(ctx context.Context, reader client.Reader, writer client.Writer) error {
	secret := &corev1.Secret{}
	err := reader.Get(ctx, c.secretKey(), secret)
	if apierrors.IsNotFound(err) {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.options.Namespace, Name: CertificateSecret}}
		err = client.IgnoreAlreadyExists(writer.Create(ctx, secret))
	}
	if err != nil {
		return fmt.Errorf("keep Secret %s for the webhooks' certificate: %w", c.secretKey(), err)
	}
	pair, err := tls.X509KeyPair(secret.Data[certificateFile], secret.Data[keyFile])
	if err != nil {
		return nil // It is empty, or somebody has meddled with it: the rotator fills it, and wakes us.
	}
	c.own.Store(&pair)
	return c.show(secret.Data[certificateFile])
}

// show lets the rotator see that the certificate has arrived. It waits for a file, of which
// it looks at nothing but that it is there; what is in it is public.
func (c *Certificates) show(certificate []byte) error {
	if err := os.WriteFile(filepath.Join(c.dir, certificateFile), certificate, 0o600); err != nil {
		return fmt.Errorf("show the webhooks' certificate to its rotator: %w", err)
	}
	return nil
}
