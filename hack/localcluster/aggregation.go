// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// frontProxy is the name in the certificate by which aggregated API servers know kube-apiserver.
const frontProxy = "front-proxy-client"

// allowAggregation has kube-apiserver pass on to aggregated API servers who asks, as any ordinary cluster does. With any
// of these flags missing it starts all the same, and every APIService stays unavailable.
func (c *Cluster) allowAggregation(flags *envtest.Arguments) error {
	ca, certificate, key := filepath.Join(c.dir, "front-proxy-ca.crt"), filepath.Join(c.dir, frontProxy+".crt"), filepath.Join(c.dir, frontProxy+".key")
	if err := writeFrontProxy(ca, certificate, key); err != nil {
		return fmt.Errorf("the certificate of the front proxy cannot be made: %w", err)
	}
	flags.Set("requestheader-client-ca-file", ca).
		Set("requestheader-allowed-names", frontProxy).
		Set("requestheader-username-headers", "X-Remote-User").
		Set("requestheader-group-headers", "X-Remote-Group").
		Set("requestheader-extra-headers-prefix", "X-Remote-Extra-").
		Set("proxy-client-cert-file", certificate).
		Set("proxy-client-key-file", key)
	return nil
}

// writeFrontProxy makes an authority of its own for one client certificate, and forgets the authority's key.
func writeFrontProxy(caFile, certificateFile, keyFile string) error {
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "front-proxy-ca"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(tokenLifetime * time.Second),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: frontProxy}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeCertificate(caFile, ca, ca, caKey, caKey); err != nil {
		return err
	}
	if err := writeCertificate(certificateFile, client, ca, key, caKey); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func writeCertificate(file string, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}
