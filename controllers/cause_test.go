// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/iam-operator/iam-operator/internal/iam"
)

func asked(name string, generation int64, digest string) iam.Attribution {
	return iam.Attribution{ObjectUID: "uid", Generation: generation, Digest: digest, Requester: iam.Requester{Name: name}, At: time.Unix(generation, 0)}
}

// An event names somebody only if just what they asked for was stored.
func TestAuthors(t *testing.T) {
	deletion := iam.Attribution{ObjectUID: "uid", Deletion: true, Requester: iam.Requester{Name: "deleter"}}
	for name, tc := range map[string]struct {
		records []iam.Attribution
		want    []string
	}{
		"nobody":                              {},
		"who asked for just this":             {[]iam.Attribution{asked("maya", 3, "now")}, []string{"maya"}},
		"another digest":                      {[]iam.Attribution{asked("maya", 3, "other")}, nil},
		"another generation":                  {[]iam.Attribution{asked("maya", 2, "now")}, nil},
		"what was admitted and never stored":  {[]iam.Attribution{asked("mallory", 3, "other"), asked("maya", 3, "now")}, []string{"maya"}},
		"what the cache has not seen yet":     {[]iam.Attribution{asked("maya", 3, "now"), asked("tom", 4, "then")}, []string{"maya"}},
		"several generations, oldest first":   {[]iam.Attribution{asked("tom", 3, "now"), asked("maya", 1, "a"), asked("lea", 2, "b")}, []string{"maya", "lea", "tom"}},
		"earlier generations do not vouch":    {[]iam.Attribution{asked("maya", 1, "a"), asked("lea", 2, "b")}, nil},
		"two who asked for the very same":     {[]iam.Attribution{asked("maya", 3, "now"), asked("tom", 3, "now")}, []string{"maya", "tom"}},
		"a deletion is no author of a change": {[]iam.Attribution{deletion}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, record := range authors(tc.records, 3, "now") {
				got = append(got, record.Requester.Name)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("authors %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAdmittedCause(t *testing.T) {
	one := admittedCause([]iam.Attribution{asked("maya", 1, "a")})
	if one.KubernetesUser != "maya" || one.Authorship.State != iam.AuthorshipAdmitted || one.Authorship.Authors != nil {
		t.Errorf("one author gave %+v, %+v", one, one.Authorship)
	}
	several := admittedCause([]iam.Attribution{asked("maya", 1, "a"), asked("tom", 2, "b")})
	if several.KubernetesUser != "tom" || len(several.Authorship.Authors) != 2 || several.Authorship.Authors[0].KubernetesUser != "maya" {
		t.Errorf("two authors gave %+v, %+v", several, several.Authorship)
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
