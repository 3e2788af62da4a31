// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// A receiver that anybody could tell lies is refused at the start.
func TestAuditWebhookFlags(t *testing.T) {
	on := "--audit-webhook-bind-address=127.0.0.1:0"
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"none":                         {},
		"no certificate of its own":    {[]string{on, "--audit-webhook-token-file=/token"}, "needs --audit-webhook-cert-dir"},
		"nobody need show anything":    {[]string{on, "--audit-webhook-cert-dir=/certs"}, "needs --audit-webhook-client-ca or --audit-webhook-token-file"},
		"a name without authorities":   {[]string{on, "--audit-webhook-cert-dir=/certs", "--audit-webhook-token-file=/token", "--audit-webhook-client-name=x"}, "goes with a file of client authorities"},
		"a token from where":           {[]string{on, "--audit-webhook-cert-dir=/certs", "--audit-webhook-token-file=/nowhere"}, "read the token"},
		"a token, and nothing listens": {[]string{"--audit-webhook-token-file=/token"}, "go with --audit-webhook-bind-address"},
		"a proxy, and nothing listens": {[]string{"--audit-webhook-trusted-proxy=192.0.2.7/32"}, "go with --audit-webhook-bind-address"},
		"a proxy that is no network":   {[]string{on, "--audit-webhook-trusted-proxy=192.0.2.7"}, `"192.0.2.7" is no network in the form of 192.0.2.7/32`},
	} {
		t.Run(name, func(t *testing.T) {
			var a auditWebhook
			flags := flag.NewFlagSet("iam-operator", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			a.bind(flags)
			err := flags.Parse(test.args)
			if err == nil {
				err = a.setup(fakeManager{}, nil)
			}
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("answered by %v, want %q", err, test.says)
			}
		})
	}
}

// fakeManager gives a log, and is asked for nothing else.
type fakeManager struct{ ctrl.Manager }

func (fakeManager) GetLogger() logr.Logger { return logr.Discard() }
