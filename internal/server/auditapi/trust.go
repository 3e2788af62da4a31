// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
)

// APIServiceName is what has kube-apiserver pass on what is asked of the audit events.
var APIServiceName = auditv1alpha1.GroupVersion.Version + "." + auditv1alpha1.GroupVersion.Group

const (
	// certificateLife is how long a certificate is valid; it is renewed after two thirds of it.
	certificateLife = 90 * 24 * time.Hour
	// clockSkew is how far the clocks of a cluster's machines may be apart.
	clockSkew = time.Hour
	// trustedAtOnce bounds how many certificates the APIService holds: those of all replicas, and of some processes that are gone.
	trustedAtOnce = 8
	// untrustedEvery and trustedEvery are how often the server looks at its APIService.
	untrustedEvery = 2 * time.Second
	trustedEvery   = 30 * time.Second

	pemCertificate = "CERTIFICATE"
)

// trust is the server's certificate, and has kube-apiserver trust just that. Its key is in the
// memory of this process and nowhere else, so that nothing is there to be stolen or shared: each
// replica adds its own certificate to the APIService, and puts it back when it is missing.
type trust struct {
	client client.Client
	clock  clock.WithTicker
	random io.Reader
	log    logr.Logger
	// host is the name by which kube-apiserver calls.
	host string

	mu sync.Mutex
	// certificate and key are served, in PEM form; next is a newer pair, until it is trusted.
	current, next pair
	listeners     []dynamiccertificates.Listener
	// missing says that it was told that there is no APIService.
	missing bool
}

// pair is a certificate with its key, in PEM form.
type pair struct {
	certificate, key []byte
	renewAt          time.Time
}

// Name is what the certificate is called in messages.
func (t *trust) Name() string { return "audit-api" }

// CurrentCertKeyContent gives what is served.
func (t *trust) CurrentCertKeyContent() (certificate, key []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current.certificate, t.current.key
}

// AddListener has somebody told when the certificate is another.
func (t *trust) AddListener(listener dynamiccertificates.Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners = append(t.listeners, listener)
}

// renew makes a new pair when it is time to. The first is served at once, and any other when
// kube-apiserver trusts it.
func (t *trust) renew() error {
	if t.next.certificate != nil || t.clock.Now().Before(t.current.renewAt) {
		return nil
	}
	made, err := newPair(t.random, t.host, t.clock.Now())
	if err != nil {
		return fmt.Errorf("make the audit API's certificate: %w", err)
	}
	if t.current.certificate == nil {
		t.current = made
	} else {
		t.next = made
	}
	return nil
}

// run keeps the certificate renewed, and trusted, until the context ends.
func (t *trust) run(ctx context.Context) {
	for {
		wait := trustedEvery
		if err := t.ensure(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			wait = untrustedEvery
			t.complain(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.clock.After(wait):
		}
	}
}

// complain says once that there is no APIService: it may be on purpose, or come later.
func (t *trust) complain(err error) {
	switch {
	case !apierrors.IsNotFound(err):
		t.log.Error(err, "kube-apiserver can't be told yet to trust the audit API's certificate; it is tried again")
	case !t.missing:
		t.missing = true
		t.log.Info("there is no APIService, so nobody can ask for audit events; config/audit-api has it, and --audit-api=false does without", "apiService", APIServiceName)
	}
}

func (t *trust) ensure(ctx context.Context) error {
	if err := t.renew(); err != nil {
		return err
	}
	certificates := [][]byte{t.current.certificate}
	if t.next.certificate != nil {
		certificates = append(certificates, t.next.certificate)
	}
	if err := t.publish(ctx, certificates); err != nil {
		return err
	}
	t.missing = false
	if t.next.certificate != nil {
		t.serveNext()
	}
	return nil
}

func (t *trust) serveNext() {
	t.mu.Lock()
	t.current, t.next = t.next, pair{}
	listeners := slices.Clone(t.listeners)
	t.mu.Unlock()
	for _, listener := range listeners {
		listener.Enqueue()
	}
	t.log.Info("the audit API has a new certificate")
}

// publish adds certificates to those that the APIService trusts, where they are missing.
func (t *trust) publish(ctx context.Context, certificates [][]byte) error {
	service := &unstructured.Unstructured{}
	service.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	if err := t.client.Get(ctx, client.ObjectKey{Name: APIServiceName}, service); err != nil {
		return fmt.Errorf("get APIService %s: %w", APIServiceName, err)
	}
	text, _, err := unstructured.NestedString(service.Object, "spec", "caBundle")
	if err != nil {
		return fmt.Errorf("read the caBundle of APIService %s: %w", APIServiceName, err)
	}
	bundle, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		bundle = nil // The API server refuses what is not base64; whatever it is, it is not ours.
	}
	wanted, changed := merge(bundle, certificates, t.clock.Now())
	if !changed {
		return nil
	}
	before := service.DeepCopy()
	if err := unstructured.SetNestedField(service.Object, base64.StdEncoding.EncodeToString(wanted), "spec", "caBundle"); err != nil {
		return fmt.Errorf("write the caBundle of APIService %s: %w", APIServiceName, err)
	}
	// With the resource version, so that two replicas do not undo each other.
	if err := t.client.Patch(ctx, service, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("have APIService %s trust the audit API: %w", APIServiceName, err)
	}
	return nil
}

// merge adds certificates to a bundle from which some are missing. It drops what has expired,
// and the oldest where there are too many.
func merge(bundle []byte, certificates [][]byte, now time.Time) (merged []byte, changed bool) {
	var kept []*x509.Certificate
	has := func(der []byte) bool {
		return slices.ContainsFunc(kept, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) })
	}
	add := func(rest []byte) (added bool) {
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return added
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err == nil && now.Before(c.NotAfter) && !has(c.Raw) {
				kept, added = append(kept, c), true
			}
		}
	}
	add(bundle)
	for _, certificate := range certificates {
		changed = add(certificate) || changed
	}
	if !changed {
		return bundle, false
	}
	slices.SortStableFunc(kept, func(a, b *x509.Certificate) int { return a.NotBefore.Compare(b.NotBefore) })
	kept = kept[max(0, len(kept)-trustedAtOnce):]
	for _, c := range kept {
		merged = append(merged, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}
	return merged, true
}

// newPair makes a certificate that signs itself, for one name. It can sign nothing else.
func newPair(random io.Reader, host string, now time.Time) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return pair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		renewAt:     now.Add(certificateLife * 2 / 3),
	}, nil
}
