// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"strings"
	"testing"
)

const webhookManifests = `# a comment alone
---
apiVersion: v1
kind: Service
metadata: {name: iam}
spec: {ports: [{port: 443}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: iam}
webhooks:
- name: a.iam
  clientConfig: {service: {name: iam, namespace: system, path: /a}}
- name: b.iam
  clientConfig: {service: {name: iam, namespace: system, path: /b}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: iam}
webhooks:
- name: c.iam
  clientConfig: {service: {name: iam, namespace: system, path: /c}}
`

func TestPointWebhooks(t *testing.T) {
	text, err := PointWebhooks(webhookManifests, "https://localhost:9443")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"url: https://localhost:9443/a", "url: https://localhost:9443/b", "url: https://localhost:9443/c", "kind: Service\n", "port: 443"} {
		if !strings.Contains(text, want) {
			t.Errorf("the manifests lack %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "service:") || strings.Count(text, "---\n") != 3 {
		t.Errorf("a configuration still names its Service, or an object is missing:\n%s", text)
	}
}

func TestPointWebhooksWithoutService(t *testing.T) {
	const manifest = "kind: ValidatingWebhookConfiguration\nmetadata: {name: iam}\nwebhooks: [{name: a.iam, clientConfig: {url: https://x}}]\n"
	if _, err := PointWebhooks(manifest, "https://localhost:1"); err == nil || !strings.Contains(err.Error(), "ValidatingWebhookConfiguration iam: webhook a.iam names no Service with a path") {
		t.Errorf("what names no Service is answered by %v", err)
	}
}

const apiServiceManifests = `apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.iam}
spec: {group: iam, version: v1, service: {name: iam, namespace: system, port: 443}}
---
apiVersion: v1
kind: Service
metadata: {name: iam}
spec: {selector: {app: iam}, ports: [{port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {selector: {app: other}, ports: [{port: 80}]}
`

func TestPointAPIServices(t *testing.T) {
	text, err := PointAPIServices(apiServiceManifests, 6443)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"port: 6443", "externalName: localhost", "type: ExternalName", "port: 80"} {
		if !strings.Contains(text, want) {
			t.Errorf("the manifests lack %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "port: 443") || strings.Count(text, "---\n") != 3 {
		t.Errorf("the Service still has its port, or an object is missing:\n%s", text)
	}
}

func TestPointAPIServicesNowhere(t *testing.T) {
	text, err := PointAPIServices(apiServiceManifests, 0)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "iam") || !strings.Contains(text, "name: other") {
		t.Errorf("with nobody to answer there is\n%s", text)
	}
}
