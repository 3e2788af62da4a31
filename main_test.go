// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"strings"
	"testing"
)

// Flags that contradict one another are refused at the start, and not when the first request comes.
func TestWebhookFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		says string
		off  bool
	}{
		"none":                              {},
		"no admission":                      {args: []string{"--admission=false"}, off: true},
		"no admission, whatever else":       {args: []string{"--admission=false", "--webhook-certificates=whose"}, off: true},
		"a mounted certificate":             {args: []string{"--webhook-certificates=mounted", "--webhook-cert-dir=/certs"}},
		"a mounted certificate from where":  {args: []string{"--webhook-certificates=mounted"}, says: "--webhook-cert-dir goes with --webhook-certificates=mounted, and only with it"},
		"a folder for the operator's own":   {args: []string{"--webhook-cert-dir=/certs"}, says: "--webhook-cert-dir goes with --webhook-certificates=mounted, and only with it"},
		"a certificate of somebody else":    {args: []string{"--webhook-certificates=whose"}, says: `--webhook-certificates is self or mounted, not "whose"`},
		"authorities of clients from where": {args: []string{"--webhook-client-ca=/nowhere"}, says: "read whose certificates may call the webhooks"},
	} {
		t.Run(name, func(t *testing.T) {
			var w webhooks
			flags := flag.NewFlagSet("iam-operator", flag.ContinueOnError)
			w.bind(flags)
			if err := flags.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			certificates, err := w.setup("iam")
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("answered by %v, want %q", err, test.says)
				}
				return
			}
			if err != nil || (certificates == nil) != test.off {
				t.Errorf("certificates %v, %v", certificates, err)
			}
		})
	}
}
