// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/internal/server/auditwebhook"
	"github.com/iam-operator/iam-operator/internal/store"
)

// auditWebhook says how kube-apiserver tells where requests came from.
type auditWebhook struct{ options auditwebhook.Options }

func (a *auditWebhook) bind(flags *flag.FlagSet) {
	o := &a.options
	flags.StringVar(&o.Address, "audit-webhook-bind-address", "", "address on which kube-apiserver's audit webhook backend is received, which tells where requests came from; such as :8445 (default: not at all)")
	flags.StringVar(&o.CertificateDir, "audit-webhook-cert-dir", "", "folder with tls.crt and tls.key of that address")
	flags.StringVar(&o.ClientCA, "audit-webhook-client-ca", "", "file of the authorities of whose certificates kube-apiserver shows one there")
	flags.StringVar(&o.ClientName, "audit-webhook-client-name", "", "common name that this certificate must have; needed where those authorities sign others, too")
	flags.StringVar(&o.TokenFile, "audit-webhook-token-file", "", "file of the bearer token that kube-apiserver shows there, beside a certificate or in place of one")
	flags.Func("audit-webhook-trusted-proxy", "address, such as 192.0.2.7/32, of a proxy before kube-apiserver whose X-Forwarded-For and X-Real-Ip are believed, both of which it must set or strip; who else calls from there can claim any address; may be given several times", func(value string) error {
		network, err := netip.ParsePrefix(value)
		if err != nil {
			return fmt.Errorf("%q is no network in the form of 192.0.2.7/32", value)
		}
		o.TrustedProxies = append(o.TrustedProxies, network.Masked())
		return nil
	})
}

// setup adds the receiver to the manager, where it is wanted.
func (a *auditWebhook) setup(mgr ctrl.Manager, database store.Store) error {
	o := a.options
	if o.Address == "" {
		if o.CertificateDir+o.ClientCA+o.ClientName+o.TokenFile != "" || len(o.TrustedProxies) > 0 {
			return errors.New("the flags --audit-webhook-… go with --audit-webhook-bind-address, without which nothing is received")
		}
		return nil
	}
	if o.CertificateDir == "" {
		return errors.New("--audit-webhook-bind-address needs --audit-webhook-cert-dir: kube-apiserver must know to whom it tells who does what")
	}
	if o.ClientCA == "" && o.TokenFile == "" {
		return errors.New("--audit-webhook-bind-address needs --audit-webhook-client-ca or --audit-webhook-token-file: nobody else than kube-apiserver may say where requests came from")
	}
	o.Store, o.Registry, o.Clock, o.Log = database, metrics.Registry, clock.RealClock{}, mgr.GetLogger().WithName("audit-webhook")
	o.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	receiver, err := auditwebhook.New(o)
	if err != nil {
		return err
	}
	return mgr.Add(receiver)
}
