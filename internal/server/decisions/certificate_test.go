// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func ownCertificate(c client.Client, clock *clocktesting.FakeClock, names ...string) *OwnCertificate {
	return NewOwnCertificate(OwnCertificateOptions{Reader: c, Writer: c, Namespace: "iam", Names: names, Clock: clock, Random: rand.Reader, Log: logr.Discard()})
}

func secretOfCertificate(t *testing.T, c client.Client) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "iam", Name: CertificateSecret}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestOwnCertificate(t *testing.T) {
	clock := clocktesting.NewFakeClock(noon)
	c := fake.NewClientBuilder().Build()
	names := []string{"iam-operator.iam.svc", "localhost", "127.0.0.1"}
	first, second := ownCertificate(c, clock, names...), ownCertificate(c, clock, names...)
	if _, err := first.GetCertificate(nil); err == nil {
		t.Error("there is a certificate before it is made")
	}
	ensure := func(of *OwnCertificate) []byte {
		t.Helper()
		if err := of.ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		served, err := of.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return served.Certificate[0]
	}
	made := ensure(first)
	secret := secretOfCertificate(t, c)
	if secret.Type != corev1.SecretTypeTLS {
		t.Errorf("the Secret is of type %s", secret.Type)
	}
	verify := func(der []byte, authority []byte) {
		t.Helper()
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authority) {
			t.Fatal("the authority can't be read")
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: clock.Now()}); err != nil {
				t.Errorf("for %s: %v", name, err)
			}
		}
	}
	verify(made, secret.Data["ca.crt"])
	if !bytes.Equal(ensure(second), made) || !bytes.Equal(ensure(first), made) {
		t.Error("replicas serve different certificates, or a new one without need")
	}

	t.Run("renewed", func(t *testing.T) {
		clock.Step(certificateLife * 3 / 4)
		renewed := ensure(first)
		if bytes.Equal(renewed, made) {
			t.Error("the certificate is old, and not renewed")
		}
		if !bytes.Equal(ensure(second), renewed) {
			t.Error("another replica does not take it over")
		}
		verify(renewed, secret.Data["ca.crt"]) // Clients need not be told.
		made = renewed
	})
	t.Run("for more names", func(t *testing.T) {
		names = append(names, "pdp.example.com")
		first = ownCertificate(c, clock, names...)
		made = ensure(first)
		verify(made, secret.Data["ca.crt"])
	})
	t.Run("meddled with", func(t *testing.T) {
		meddled := secretOfCertificate(t, c)
		meddled.Data["tls.key"] = []byte("x")
		if err := c.Update(t.Context(), meddled); err != nil {
			t.Fatal(err)
		}
		verify(ensure(first), secret.Data["ca.crt"])
	})
	t.Run("another authority's", func(t *testing.T) {
		other := fake.NewClientBuilder().Build()
		if err := ownCertificate(other, clock, names...).ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		mixed := secretOfCertificate(t, c)
		mixed.Data["ca.crt"], mixed.Data["ca.key"] = secretOfCertificate(t, other).Data["ca.crt"], secretOfCertificate(t, other).Data["ca.key"]
		if err := c.Update(t.Context(), mixed); err != nil {
			t.Fatal(err)
		}
		verify(ensure(first), mixed.Data["ca.crt"])
	})
}

// Two replicas that start at once make one certificate: the one that comes second takes the other's.
func TestOwnCertificateIsMadeOnce(t *testing.T) {
	clock := clocktesting.NewFakeClock(noon)
	var other *OwnCertificate
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
		if other != nil {
			first := other
			other = nil
			if err := first.ensure(ctx); err != nil {
				t.Error(err)
			}
		}
		return c.Create(ctx, object, options...)
	}}).Build()
	first, second := ownCertificate(c, clock, "a.example"), ownCertificate(c, clock, "a.example")
	other = first
	if err := second.ensure(t.Context()); err == nil {
		t.Error("the second made one as well")
	}
	if err := second.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := first.GetCertificate(nil)
	b, _ := second.GetCertificate(nil)
	if !bytes.Equal(a.Certificate[0], b.Certificate[0]) {
		t.Error("they serve different ones")
	}
}

// A failure of the API server is got over, and what was made is served meanwhile.
func TestOwnCertificateIsTriedAgain(t *testing.T) {
	clock := clocktesting.NewFakeClock(noon)
	failing := true
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
		if failing {
			failing = false
			return errors.New("the API server is away")
		}
		return c.Get(ctx, key, object, options...)
	}}).Build()
	own := ownCertificate(c, clock, "a.example")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- own.Start(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); own.current.Load() == nil && time.Now().Before(deadline); {
		if clock.HasWaiters() {
			clock.Step(retryEvery)
		}
	}
	cancel()
	if err := <-done; err != nil || own.current.Load() == nil {
		t.Errorf("ended with %v, and a certificate: %v", err, own.current.Load() != nil)
	}
}
