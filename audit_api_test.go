// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"strings"
	"testing"
)

func TestAuditAPIFlags(t *testing.T) {
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"off needs no port": {[]string{"--audit-api=false", "--audit-api-port=0"}, ""},
		"no port":           {[]string{"--audit-api-port=0"}, "--audit-api-port is between 1 and 65535, not 0; --audit-api=false does without"},
		"no such port":      {[]string{"--audit-api-port=70000"}, "not 70000"},
	} {
		t.Run(name, func(t *testing.T) {
			var a auditAPI
			flags := flag.NewFlagSet("iam-operator", flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			a.bind(flags)
			if err := flags.Parse(row.args); err != nil {
				t.Fatal(err)
			}
			err := a.setup(nil, nil, "iam")
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("%v gives %v, want %q", row.args, err, row.want)
			}
		})
	}
}

func TestKubeconfigFile(t *testing.T) {
	t.Setenv("KUBECONFIG", "/from/the/environment")
	if got := kubeconfigFile(); got != "/from/the/environment" {
		t.Errorf("with KUBECONFIG set the file is %q", got)
	}
}
