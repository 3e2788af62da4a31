// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CertificateSecret is the Secret, in the operator's namespace, of the certificate that the operator makes itself. Clients need its
// ca.crt, and nothing else of it.
const CertificateSecret = "iam-operator-serving-cert"

const (
	// authorityLife and certificateLife are how long they are valid; both are renewed when a third of that is left.
	authorityLife   = 30 * 365 * 24 * time.Hour
	certificateLife = 90 * 24 * time.Hour
	// clockSkew is how far the clocks of a cluster's machines may be apart.
	clockSkew = time.Hour
	// lookEvery is how often a replica looks whether another has renewed the certificate, or it is time to; retryEvery after a failure.
	lookEvery  = 10 * time.Minute
	retryEvery = 2 * time.Second

	authorityField, authorityKeyField = "ca.crt", "ca.key"
	pemCertificate, pemKey            = "CERTIFICATE", "PRIVATE KEY"
)

// OwnCertificateOptions say for which names a certificate is made, and where it is kept.
type OwnCertificateOptions struct {
	// Reader must not be a cache: the operator caches only Secrets that people are to look after.
	Reader client.Reader
	Writer client.Writer
	// Namespace is the operator's own.
	Namespace string
	// Names are the DNS names and IP addresses by which clients call.
	Names  []string
	Clock  clock.Clock
	Random io.Reader
	Log    logr.Logger
}

// OwnCertificate is a certificate that the operator makes, signed by an authority of its own that is good for nothing else. Both
// are kept in a Secret, which is the same for all replicas and outlives them.
type OwnCertificate struct {
	options OwnCertificateOptions
	current atomic.Pointer[tls.Certificate]
}

// NewOwnCertificate makes nothing yet: Start does.
func NewOwnCertificate(o OwnCertificateOptions) *OwnCertificate { return &OwnCertificate{options: o} }

// GetCertificate gives what is served.
func (c *OwnCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if current := c.current.Load(); current != nil {
		return current, nil
	}
	return nil, errors.New("the certificate of the decision engine is not made yet")
}

// Start keeps the certificate made, renewed, and the same as the other replicas' until the context ends.
func (c *OwnCertificate) Start(ctx context.Context) error {
	for {
		wait := lookEvery
		if err := c.ensure(ctx); err != nil && ctx.Err() == nil {
			c.options.Log.Error(err, "The certificate of the decision engine is not up to date; it is tried again", "secret", CertificateSecret)
			wait = retryEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.options.Clock.After(wait):
		}
	}
}

// ensure serves what the Secret holds, after it has put there what is missing.
func (c *OwnCertificate) ensure(ctx context.Context) error {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: c.options.Namespace, Name: CertificateSecret}
	err := c.options.Reader.Get(ctx, key, secret)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("read Secret %s: %w", key, err)
	}
	pair, due := c.due(secret.Data)
	if due {
		if secret.Data, err = c.renew(secret.Data); err != nil {
			return fmt.Errorf("make the certificate of the decision engine: %w", err)
		}
		if missing {
			secret.ObjectMeta, secret.Type = metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, corev1.SecretTypeTLS
			err = c.options.Writer.Create(ctx, secret)
		} else {
			err = c.options.Writer.Update(ctx, secret) // With its resource version: what another replica wrote meanwhile stays.
		}
		if err != nil {
			return fmt.Errorf("write Secret %s: %w", key, err)
		}
		if pair, due = c.due(secret.Data); due {
			return fmt.Errorf("the certificate in Secret %s is not as it was made", key)
		}
		c.options.Log.Info("The decision engine has a new certificate", "secret", key.String(), "names", c.options.Names)
	}
	c.current.Store(pair)
	return nil
}

// due gives the certificate of a Secret, or says that another must be made.
func (c *OwnCertificate) due(data map[string][]byte) (*tls.Certificate, bool) {
	pair, err := tls.X509KeyPair(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, true
	}
	authority, _, err := parseAuthority(data)
	if err != nil || c.old(authority, authorityLife) || c.old(pair.Leaf, certificateLife) || pair.Leaf.CheckSignatureFrom(authority) != nil {
		return nil, true
	}
	missing := slices.ContainsFunc(c.options.Names, func(name string) bool { return pair.Leaf.VerifyHostname(name) != nil })
	return &pair, missing
}

// old says whether less than a third of a certificate's life is left.
func (c *OwnCertificate) old(certificate *x509.Certificate, life time.Duration) bool {
	return c.options.Clock.Now().After(certificate.NotAfter.Add(-life / 3))
}

func parseAuthority(data map[string][]byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.X509KeyPair(data[authorityField], data[authorityKeyField])
	if err != nil {
		return nil, nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("the authority's key is a %T", pair.PrivateKey)
	}
	return pair.Leaf, key, nil
}

// renew makes a certificate, by the authority that there is unless it is due itself.
func (c *OwnCertificate) renew(data map[string][]byte) (map[string][]byte, error) {
	made := map[string][]byte{authorityField: data[authorityField], authorityKeyField: data[authorityKeyField]}
	authority, authorityKey, err := parseAuthority(data)
	if err != nil || c.old(authority, authorityLife) {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: "iam-operator-ca"}, IsCA: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if made[authorityField], made[authorityKeyField], err = c.issue(template, authorityLife, nil, nil); err != nil {
			return nil, err
		}
		if authority, authorityKey, err = parseAuthority(made); err != nil {
			return nil, err
		}
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "iam-operator"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range c.options.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	made[corev1.TLSCertKey], made[corev1.TLSPrivateKeyKey], err = c.issue(template, certificateLife, authority, authorityKey)
	return made, err
}

// issue makes a key, and a certificate that an authority signs, or itself.
func (c *OwnCertificate) issue(template *x509.Certificate, life time.Duration, authority *x509.Certificate, authorityKey *ecdsa.PrivateKey) (certificate, key []byte, err error) {
	made, err := ecdsa.GenerateKey(elliptic.P256(), c.options.Random)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(c.options.Random, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := c.options.Clock.Now()
	template.SerialNumber, template.BasicConstraintsValid = serial.Add(serial, big.NewInt(1)), true
	template.NotBefore, template.NotAfter = now.Add(-clockSkew), now.Add(life)
	if authority == nil {
		authority, authorityKey = template, made
	}
	der, err := x509.CreateCertificate(c.options.Random, template, authority, made.Public(), authorityKey)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return nil, nil, err
	}
	return encode(pemCertificate, der), encode(pemKey, secret), nil
}

func encode(kind string, der []byte) []byte {
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}) // Writing to memory does not fail.
	return text.Bytes()
}
