// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// The advice is a command that can be copied.
func TestResubmit(t *testing.T) {
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.Policy{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "deployers"}}
	set := &v1alpha1.PermissionSet{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}
	posing := set.DeepCopy()
	posing.Labels = map[string]string{v1alpha1.ManagedLabel: "true"}
	labelled := policy.DeepCopy()
	labelled.Labels = posing.Labels
	for advice, want := range map[string]string{
		resubmit(scheme, policy):   "kubectl -n acme annotate policy.iam-operator.dev deployers iam-operator.dev/reconcile-at=",
		resubmit(scheme, posing):   "kubectl label permissionset.iam-operator.dev mine iam-operator.dev/managed-",
		resubmit(scheme, labelled): "kubectl -n acme annotate policy.iam-operator.dev deployers iam-operator.dev/reconcile-at=",
		resubmit(scheme, set):      "kubectl annotate permissionset.iam-operator.dev mine iam-operator.dev/reconcile-at=",
	} {
		if !strings.HasPrefix(advice, want) {
			t.Errorf("advice %q, want %q", advice, want)
		}
	}
}

// A configuration that lets anything past the guard is as good as none.
func TestGuards(t *testing.T) {
	whole := func() *admissionv1.ValidatingWebhookConfiguration {
		return &admissionv1.ValidatingWebhookConfiguration{Webhooks: []admissionv1.ValidatingWebhook{
			{Name: "deletion.iam-operator.dev"},
			{Name: GuardWebhook, FailurePolicy: ptr.To(admissionv1.Fail), Rules: []admissionv1.RuleWithOperations{{}}},
		}}
	}
	if !guards(whole()) {
		t.Error("the whole configuration does not guard")
	}
	some := metav1.LabelSelector{MatchLabels: map[string]string{"guarded": "yes"}}
	for name, spoil := range map[string]func(*admissionv1.ValidatingWebhookConfiguration){
		"being deleted":     func(c *admissionv1.ValidatingWebhookConfiguration) { c.DeletionTimestamp = ptr.To(metav1.Now()) },
		"no webhook":        func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks = nil },
		"the guard is gone": func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks = c.Webhooks[:1] },
		"fails open": func(c *admissionv1.ValidatingWebhookConfiguration) {
			c.Webhooks[1].FailurePolicy = ptr.To(admissionv1.Ignore)
		},
		"no rules":        func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks[1].Rules = nil },
		"some namespaces": func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks[1].NamespaceSelector = &some },
		"some objects":    func(c *admissionv1.ValidatingWebhookConfiguration) { c.Webhooks[1].ObjectSelector = &some },
	} {
		t.Run(name, func(t *testing.T) {
			configuration := whole()
			spoil(configuration)
			if guards(configuration) {
				t.Error("it still counts as a guard")
			}
		})
	}
}
