// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const host = "iam-operator-audit.iam.svc"

func apiService() *unstructured.Unstructured {
	service := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"group": "audit.iam-operator.dev"}}}
	service.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	service.SetName(APIServiceName)
	return service
}

// trusts says whether kube-apiserver would trust what is served now.
func trusts(t *testing.T, c client.Client, served *trust, now time.Time) bool {
	t.Helper()
	service := apiService()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
		t.Fatal(err)
	}
	text, _, err := unstructured.NestedString(service.Object, "spec", "caBundle")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	pair, err := tls.X509KeyPair(served.CurrentCertKeyContent())
	if err != nil {
		t.Fatal(err)
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

type listener chan struct{}

func (l listener) Enqueue() { l <- struct{}{} }

// What is served is trusted at any time: at first, after the bundle was taken away, of two
// replicas, and while a certificate is renewed.
func TestTrust(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC))
	patches := 0
	c := interceptor.NewClient(fake.NewClientBuilder().WithObjects(apiService()).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			patches++
			return c.Patch(ctx, obj, patch, opts...)
		},
	})
	replica := func() *trust {
		return &trust{client: c, clock: clock, random: rand.Reader, log: logr.Discard(), host: host}
	}
	one, other := replica(), replica()
	ensure := func(want int) {
		t.Helper()
		patches = 0
		for _, replica := range []*trust{one, other} {
			if err := replica.ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if patches != want {
			t.Errorf("there were %d writes, want %d", patches, want)
		}
		for _, replica := range []*trust{one, other} {
			if !trusts(t, c, replica, clock.Now()) {
				t.Error("kube-apiserver doesn't trust what is served")
			}
		}
	}
	ensure(2)
	ensure(0)
	if err := c.Update(t.Context(), func() client.Object {
		service := apiService()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
			t.Fatal(err)
		}
		unstructured.RemoveNestedField(service.Object, "spec", "caBundle")
		return service
	}()); err != nil {
		t.Fatal(err)
	}
	ensure(2)
	told := make(listener, 1)
	one.AddListener(told)
	before, _ := one.CurrentCertKeyContent()
	clock.Step(certificateLife*2/3 - time.Minute)
	ensure(0)
	clock.Step(time.Minute)
	ensure(2)
	after, _ := one.CurrentCertKeyContent()
	select {
	case <-told:
	default:
		t.Error("nobody was told of the new certificate")
	}
	if bytes.Equal(before, after) {
		t.Error("the certificate was not renewed")
	}
	ensure(0)
}

// A bundle doesn't grow without end, and what was added last stays in it.
func TestMergeIsBounded(t *testing.T) {
	now := time.Date(2026, 11, 29, 20, 0, 0, 0, time.UTC)
	var bundle []byte
	for range 2 * trustedAtOnce {
		now = now.Add(time.Minute)
		made, err := newPair(rand.Reader, host, now)
		if err != nil {
			t.Fatal(err)
		}
		var changed bool
		if bundle, changed = merge(bundle, [][]byte{made.certificate}, now); !changed || !bytes.HasSuffix(bundle, made.certificate) {
			t.Fatal("a certificate was not added")
		}
	}
	if count := bytes.Count(bundle, []byte("BEGIN CERTIFICATE")); count != trustedAtOnce {
		t.Errorf("the bundle has %d certificates, want %d", count, trustedAtOnce)
	}
	made, err := newPair(rand.Reader, host, now)
	if err != nil {
		t.Fatal(err)
	}
	bundle, _ = merge(append([]byte("nonsense\n"), bundle...), [][]byte{made.certificate}, now.Add(certificateLife-time.Hour))
	if count := bytes.Count(bundle, []byte("BEGIN CERTIFICATE")); count > trustedAtOnce {
		t.Errorf("what expired stays: %d", count)
	}
}

// Without an APIService nothing is written, and it is said once.
func TestTrustWithoutAPIService(t *testing.T) {
	lone := &trust{client: fake.NewClientBuilder().Build(), clock: clocktesting.NewFakeClock(time.Now()), random: rand.Reader, log: logr.Discard(), host: host}
	err := lone.ensure(t.Context())
	if !apierrors.IsNotFound(err) {
		t.Fatalf("without an APIService there is %v", err)
	}
	lone.complain(err)
	if !lone.missing {
		t.Error("it would be said again")
	}
}
