// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

const (
	weakPassword   = "Password12345678"
	strongPassword = "correct-quilt-anchor-velvet-7"
)

func secretWith(password string, edits ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "maya-password", Labels: map[string]string{v1alpha1.WatchLabel: "true"}},
		Type:       v1alpha1.PasswordSecretType,
		Data:       map[string][]byte{"password": []byte(password)},
	}
	for _, edit := range edits {
		edit(secret)
	}
	return secret
}

func withPassword(edits ...func(*v1alpha1.Member)) *v1alpha1.Member {
	return memberIn("shop", "maya", append([]func(*v1alpha1.Member){func(m *v1alpha1.Member) {
		m.Spec.Password = &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "maya-password", Key: "password"}}
	}}, edits...)...)
}

// A password is judged where its source is new, it opted in and the requester may read it.
func TestPasswordIsJudged(t *testing.T) {
	const path = "spec.password.secretRef"
	opaque := func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }
	unlabelled := func(s *corev1.Secret) { s.Labels = nil }
	otherKey := func(m *v1alpha1.Member) { m.Spec.Password.SecretRef.Key = "other" }
	short := acme(func(o *v1alpha1.Organization) {
		length := int32(30)
		o.Spec.Security = &v1alpha1.Security{PasswordPolicy: &v1alpha1.PasswordPolicy{MinLength: &length}}
	})
	for name, test := range map[string]struct {
		world    []client.Object
		obj, old declared.Object
		refused  bool
		says     []string
	}{
		"a weak one":                              {world: []client.Object{acme(), secretWith(weakPassword)}, obj: withPassword(), refused: true, says: []string{path}},
		"a strong one":                            {world: []client.Object{acme(), secretWith(strongPassword)}, obj: withPassword()},
		"one that the Organization finds short":   {world: []client.Object{short, secretWith(strongPassword)}, obj: withPassword(), refused: true, says: []string{path, "30"}},
		"one of the Member's own names":           {world: []client.Object{acme(), secretWith("acmeacmeacme2026")}, obj: withPassword(), refused: true, says: []string{path}},
		"a weak one that is there already":        {world: []client.Object{acme(), secretWith(weakPassword)}, obj: withPassword(func(m *v1alpha1.Member) { m.Spec.FirstName = "Maya" }), old: withPassword()},
		"a weak one in the place of another":      {world: []client.Object{acme(), secretWith(weakPassword)}, obj: withPassword(), old: withPassword(otherKey), refused: true, says: []string{path}},
		"a weak one in the place of none":         {world: []client.Object{acme(), secretWith(weakPassword)}, obj: withPassword(), old: memberIn("shop", "maya"), refused: true, says: []string{path}},
		"a weak one while there is no one to ask": {world: []client.Object{secretWith(weakPassword)}, obj: withPassword(), says: []string{"spec.organizationRef: Organization acme in namespace home does not exist"}},
		"none yet":                     {world: []client.Object{acme()}, obj: withPassword(), says: []string{path + ": Secret maya-password not found; the password is set once there is one"}},
		"another key":                  {world: []client.Object{acme(), secretWith(weakPassword)}, obj: withPassword(otherKey), says: []string{path + ": Secret maya-password has no key other; the password is set once it has"}},
		"a Secret of another type":     {world: []client.Object{acme(), secretWith(weakPassword, opaque)}, obj: withPassword(), says: []string{path + ": Secret maya-password is not of type iam-operator.dev/password, which cannot change; delete it and create it again with that type"}},
		"a Secret that is not watched": {world: []client.Object{acme(), secretWith(weakPassword, unlabelled)}, obj: withPassword(), says: []string{path + ": Secret maya-password is not watched; run: kubectl label secret maya-password iam-operator.dev/watch=true -n shop"}},
		"a generated one": {world: []client.Object{acme()}, obj: memberIn("shop", "maya", func(m *v1alpha1.Member) {
			m.Spec.Password = &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: "maya-password"}}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.world...)
			answer := b.Handle(t.Context(), requestTo(t, test.obj, test.old))
			told := fmt.Sprint(answer.Result, answer.Warnings, b.events(t))
			if strings.Contains(told, weakPassword) || strings.Contains(told, strongPassword) || strings.Contains(told, "acmeacmeacme") {
				t.Errorf("the password is told: %s", told)
			}
			if test.refused {
				mustRefuse(t, answer, http.StatusUnprocessableEntity, test.says...)
				return
			}
			mustAllow(t, answer)
			if !slices.Equal(answer.Warnings, test.says) && (len(test.says) != 1 || len(answer.Warnings) != 1 || !strings.HasPrefix(answer.Warnings[0], test.says[0])) {
				t.Errorf("warned of %q, want %q", answer.Warnings, test.says)
			}
		})
	}
}

// A refusal is no oracle: to who may not read the Secret, all its contents, and its absence, are the same.
func TestPasswordIsNoOracle(t *testing.T) {
	worlds := map[string][]client.Object{
		"weak": {acme(), secretWith(weakPassword)}, "strong": {acme(), secretWith(strongPassword)}, "none": {acme()},
		"of another type": {acme(), secretWith(weakPassword, func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque })},
	}
	answers := map[string][]string{}
	for name, world := range worlds {
		b := newBench(t, world...)
		b.denied["get secrets"] = true
		answer := b.Handle(t.Context(), requestTo(t, withPassword(), nil))
		mustRefuse(t, answer, http.StatusForbidden, "get on secrets/maya-password in namespace shop")
		// Were the guard not to ask, the rule itself would still say nothing.
		a, err := decode(requestTo(t, withPassword(), nil))
		if err != nil {
			t.Fatal(err)
		}
		errs, warnings, err := b.password(t.Context(), a, acme())
		if err != nil || len(errs)+len(warnings) > 0 {
			t.Errorf("%s: %v, %v, %v", name, errs, warnings, err)
		}
		said := fmt.Sprint(answer.Result, answer.Warnings)
		answers[said] = append(answers[said], name)
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
}
