// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// oracleSecrets are Secrets of any content, by name; one of them is not there.
func oracleSecrets(namespace string) map[string]*corev1.Secret {
	silent := passwordSecret(namespace, "silent", weakPassword)
	silent.Labels = nil
	return map[string]*corev1.Secret{
		"weak":   passwordSecret(namespace, "weak", weakPassword),
		"strong": passwordSecret(namespace, "strong", goodPassword),
		"short":  passwordSecret(namespace, "short", "a"),
		"silent": silent,
		"opaque": {ObjectMeta: objectMeta(namespace, "opaque"), Data: map[string][]byte{"password": []byte(weakPassword)}},
		"absent": nil,
	}
}

// Who may not read a Secret learns nothing of it by making it somebody's password: whatever is in it, and whether it is
// there, the answer is the same, and there is no warning. Who may read it is told what is wrong with it.
func TestAttackByPasswordOracle(t *testing.T) {
	allowSetWriters(t)
	w := newAttackWorld(t, startGuardedOperator(t))
	secrets := oracleSecrets(w.guest)
	for _, secret := range secrets {
		if secret != nil {
			create(t, secret)
		}
	}
	warned := &warningsOf{}
	asked := func(c client.Client, secret string) string {
		m := member(w.org, w.guest, "oracle")
		m.Spec.Password = fromSecret(secret)
		answer := "accepted"
		if err := c.Create(t.Context(), m, client.DryRunAll); err != nil {
			answer = err.Error()
		}
		return answer + "\n" + strings.Join(warned.take(), "\n")
	}

	w.mallory(t, "blind", rights{"issue members in guest"})
	blind := impersonate(t, w.user, warned)
	var answers []string
	for name := range secrets {
		answers = append(answers, strings.ReplaceAll(asked(blind, name), "secrets/"+name, "secrets/%"))
	}
	slices.Sort(answers)
	if distinct := slices.Compact(answers); len(distinct) != 1 || !strings.Contains(distinct[0], "get on secrets/%") {
		t.Errorf("who may not read the Secrets tells them apart: %q", distinct)
	}

	w.mallory(t, "seeing", rights{"issue members in guest", "get secrets in guest"})
	seeing := impersonate(t, w.user, warned)
	for name, says := range map[string]string{
		"weak": "easy to guess", "strong": "accepted", "short": "spec.password.secretRef", "silent": "is not watched",
		"opaque": "is not of type", "absent": "not found",
	} {
		if answer := asked(seeing, name); !strings.Contains(answer, says) {
			t.Errorf("of Secret %s who may read it is told %q", name, answer)
		}
	}
}

// The loop, which asks for nobody's rights, tells no more of a password than that it is refused.
func TestAttackByPasswordOracleInTheLoop(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	secret := w.givePassword(t, goodPassword)
	var messages []string
	for _, content := range []string{weakPassword, "a", "maya.acme.maya26", strings.Repeat("long ", 20)} {
		change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(content) })
		refused := awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
		messages = append(messages, refused.Message)
		change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(goodPassword) })
		w.awaitPassword(t, goodPassword)
	}
	if distinct := slices.Compact(messages); len(distinct) != 1 {
		t.Errorf("the refusals tell the passwords apart: %q", distinct)
	}
}
