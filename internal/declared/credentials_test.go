// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestCredentialRules(t *testing.T) {
	for name, tc := range map[string]struct {
		security *v1alpha1.Security
		settings iam.MemberSettings
		length   int
	}{
		"nothing said":    {nil, iam.MemberSettings{GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 10}, 15},
		"MFA required":    {&v1alpha1.Security{MFA: v1alpha1.MFARequired}, iam.MemberSettings{MFARequired: true, GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 10}, 8},
		"renewal":         {&v1alpha1.Security{PasswordRenewal: v1alpha1.PasswordRenewalFirstLogin}, iam.MemberSettings{RenewPassword: true, GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 10}, 15},
		"length said":     {&v1alpha1.Security{MFA: v1alpha1.MFARequired, PasswordPolicy: &v1alpha1.PasswordPolicy{MinLength: ptr.To(int32(20))}}, iam.MemberSettings{MFARequired: true, GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 10}, 20},
		"time and number": {&v1alpha1.Security{GracePeriod: "24h", LoginAttemptsBeforeLock: ptr.To(int32(3))}, iam.MemberSettings{GracePeriod: 24 * time.Hour, AttemptsBeforeLock: 3}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			rules := declared.Organization(&v1alpha1.Organization{Spec: v1alpha1.OrganizationSpec{Security: tc.security}}, "").Security
			if got := rules.MemberSettings(); got != tc.settings {
				t.Errorf("settings %+v, want %+v", got, tc.settings)
			}
			if got := rules.PasswordPolicy().MinLength; got != tc.length {
				t.Errorf("at least %d characters, want %d", got, tc.length)
			}
		})
	}
}

func TestPasswordWords(t *testing.T) {
	m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Name: "maya"}, Spec: v1alpha1.MemberSpec{
		Username: "mdiaz", Email: "maya@acme.example", FirstName: "Maya", LastName: "Diaz",
	}}
	o := &v1alpha1.Organization{ObjectMeta: metav1.ObjectMeta{Name: "acme"}, Spec: v1alpha1.OrganizationSpec{DisplayName: "Acme Corp", Alias: "acmecorp"}}
	words := declared.PasswordWords(m, o)
	for _, word := range []string{"maya", "mdiaz", "maya@acme.example", "Diaz", "acme", "Acme Corp", "acmecorp"} {
		if !slices.Contains(words, word) {
			t.Errorf("%q is not among the words that others would try: %q", word, words)
		}
	}
	if slices.Contains(words, "") {
		t.Errorf("an empty word is in everything: %q", words)
	}
}

func TestAnnotationErrors(t *testing.T) {
	acts := map[string]func(metav1.Object) (time.Time, bool, error){
		v1alpha1.RotateAtAnnotation: declared.RotateAt, v1alpha1.UnlockAtAnnotation: declared.UnlockAt, v1alpha1.ResetMFAAtAnnotation: declared.ResetMFAAt,
	}
	at := time.Date(2027, 6, 1, 10, 0, 0, 0, time.UTC)
	for annotation, read := range acts {
		t.Run(annotation, func(t *testing.T) {
			m := &v1alpha1.Member{}
			if _, found, err := read(m); found || err != nil || len(declared.AnnotationErrors(m)) > 0 {
				t.Errorf("without the annotation: %v, %v", found, err)
			}
			m.Annotations = map[string]string{annotation: "2027-06-01T12:00:00+02:00"}
			if got, found, err := read(m); !found || err != nil || !got.Equal(at) || got.Location() != time.UTC || len(declared.AnnotationErrors(m)) > 0 {
				t.Errorf("a time was read as %v, %v, %v", got, found, err)
			}
			m.Annotations[annotation] = "now"
			if _, found, err := read(m); found || err == nil {
				t.Errorf("no time was taken for one: %v, %v", found, err)
			}
			errs := declared.AnnotationErrors(m)
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), annotation) || !strings.Contains(errs[0].Error(), "2027-06-01T00:00:00Z") {
				t.Errorf("the refusal does not say where and what would pass: %v", errs)
			}
		})
	}
}
