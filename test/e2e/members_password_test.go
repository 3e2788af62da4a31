// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// A password waits for its Secret, and for the Secret to opt in; the Member counts all the
// while, and the commands that the status names are those that help.
func TestMemberPasswordWaitsForItsSecret(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	ns := w.member.Namespace
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret("maya-password") })
	ready := awaitReason(t, w.member, v1alpha1.ReasonReferenceNotFound)
	if !strings.Contains(ready.Message, "Secret maya-password not found in namespace "+ns) {
		t.Errorf("the message is %q", ready.Message)
	}
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonReferenceNotFound)
	if w.row(t).PasswordUpdatedAt != nil || w.counts(t) == 0 {
		t.Error("the Member does not count while its password waits")
	}

	opaque := &corev1.Secret{ObjectMeta: objectMeta(ns, "maya-password"), Data: map[string][]byte{"password": []byte(goodPassword)}}
	create(t, opaque)
	poke(t, w.member)
	ready = awaitReason(t, w.member, v1alpha1.ReasonSecretNotOptedIn)
	for _, command := range []string{"delete secret maya-password", "create secret generic maya-password --type=iam-operator.dev/password", "label secret maya-password iam-operator.dev/watch=true"} {
		if !strings.Contains(ready.Message, "kubectl -n "+ns+" "+command) {
			t.Errorf("the message does not name %q: %s", command, ready.Message)
		}
	}
	remove(t, opaque)
	silent := passwordSecret(ns, "maya-password", goodPassword)
	silent.Labels = nil
	create(t, silent)
	poke(t, w.member)
	eventually(t, "only the label is missing", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(w.member), w.member)
		ready = meta.FindStatusCondition(w.member.Status.Conditions, v1alpha1.ConditionReady)
		return err == nil && ready.Reason == v1alpha1.ReasonSecretNotOptedIn && !strings.Contains(ready.Message, "delete"), ready.Message
	})
	_, command, found := strings.Cut(ready.Message, "kubectl ")
	if !found {
		t.Fatalf("the message names no command: %s", ready.Message)
	}
	if out, err := kubectl(t.Context(), strings.Fields(command)...); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	w.awaitPassword(t, goodPassword)
	if w.isPassword(t, anotherPassword) {
		t.Error("any password is in force")
	}
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password.SecretRef.Key = "other" })
	ready = awaitReason(t, w.member, v1alpha1.ReasonReferenceNotFound)
	if !strings.Contains(ready.Message, "has no key other") || !w.isPassword(t, goodPassword) {
		t.Errorf("the message is %q", ready.Message)
	}
}

// A password is set when the content changes, and never in between.
func TestMemberPasswordFollowsTheContent(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	secret := w.givePassword(t, goodPassword)
	hash, since := w.hash(t), w.row(t).PasswordUpdatedAt

	// The Secret is touched, copied under another name, and met by an operator that starts anew.
	change(t, secret, func(s *corev1.Secret) {
		s.Annotations = map[string]string{"note": "touched"}
		s.Data["other"] = []byte("x")
	})
	create(t, passwordSecret(w.member.Namespace, "copy", goodPassword))
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret("copy") })
	awaitReady(t, w.member)
	w.halt(t)
	w.start(t)
	poke(t, w.member)
	awaitQuiet(t, w.operator)
	awaitReady(t, w.member)
	if w.hash(t) != hash || !w.row(t).PasswordUpdatedAt.Equal(*since) {
		t.Error("the password was set although the content is the same")
	}
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret(secret.Name) })
	change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(anotherPassword) })
	w.awaitPassword(t, anotherPassword)
	w.awaitRow(t, "the time of the change", func(m *iam.Member) bool { return m.PasswordUpdatedAt.After(*since) })

	// The Secret goes: the password stays in force, and the Member waits.
	remove(t, secret)
	awaitReason(t, w.member, v1alpha1.ReasonReferenceNotFound)
	if !w.isPassword(t, anotherPassword) || w.row(t).PasswordUpdatedAt == nil {
		t.Error("the password went with its Secret")
	}
	// Without spec.password there is no password.
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = nil })
	w.awaitRow(t, "no password", func(m *iam.Member) bool { return m.PasswordUpdatedAt == nil })
	awaitReady(t, w.member)
	if w.hash(t) != "" || meta.FindStatusCondition(w.member.Status.Conditions, v1alpha1.ConditionCredentialsValid) != nil || w.member.Status.PasswordUpdatedAt != nil {
		t.Errorf("there is a password that nobody declares: %+v", w.member.Status)
	}
}

// A refused password leaves the former one in force, and the status tells nothing of it. It
// is judged anew when the policy changes, and one in force is not.
func TestMemberPasswordRefused(t *testing.T) {
	const short = "tv8#Qm2xLw" // strong, and shorter than 15
	w := newMemberWorld(t, v1alpha1.Security{})
	secret := w.givePassword(t, goodPassword)
	hash := w.hash(t)
	for name, content := range map[string]string{"weak": weakPassword, "empty": "", "short": short, "not text": "\xff\xfe\xfd", "too long": strings.Repeat("ß", 37), "the Member's own": "maya.acme.maya26"} {
		change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(content) })
		refused := awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
		if refused.Message != "The password in Secret maya-password does not meet the policy" {
			t.Errorf("%s: the message is %q", name, refused.Message)
		}
		awaitReady(t, w.member)
		if w.hash(t) != hash || !w.isPassword(t, goodPassword) {
			t.Errorf("%s: the former password is not in force", name)
		}
		change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(goodPassword) })
		w.awaitPassword(t, goodPassword)
	}
	change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(short) })
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
	w.setMinLength(t, 10)
	w.awaitPassword(t, short)
	w.setMinLength(t, 72)
	poke(t, w.member)
	awaitQuiet(t, w.operator)
	w.awaitPassword(t, short)
}

func (w *memberWorld) setMinLength(t *testing.T, n int32) {
	t.Helper()
	change(t, w.organization, func(o *v1alpha1.Organization) {
		o.Spec.Security.PasswordPolicy = &v1alpha1.PasswordPolicy{MinLength: &n}
	})
	awaitReady(t, w.organization)
}

func generated(name string) *v1alpha1.MemberPassword {
	return &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: v1alpha1.ObjectName(name)}}
}

// awaitGenerated waits until the Secret holds a password other than before, which is in force.
func (w *memberWorld) awaitGenerated(t *testing.T, secret *corev1.Secret, before string) string {
	t.Helper()
	password := ""
	eventually(t, "a generated password", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(secret), secret)
		password = string(secret.Data["password"])
		return err == nil && password != "" && password != before && string(secret.Data["username"]) == w.member.Spec.Username, fmt.Sprint(err)
	})
	w.awaitPassword(t, password)
	return password
}

func TestMemberPasswordGenerated(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	ns := w.member.Namespace
	foreign := &corev1.Secret{ObjectMeta: objectMeta(ns, "foreign"), Data: map[string][]byte{"password": []byte(goodPassword)}}
	create(t, foreign)
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = generated("foreign") })
	awaitReason(t, w.member, v1alpha1.ReasonSecretConflict)
	if version := foreign.ResourceVersion; admin.Get(t.Context(), keyOf(foreign), foreign) != nil || foreign.ResourceVersion != version || w.isPassword(t, goodPassword) {
		t.Error("a Secret of somebody else's was touched, or used")
	}

	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = generated("maya-password") })
	secret := &corev1.Secret{ObjectMeta: objectMeta(ns, "maya-password")}
	first := w.awaitGenerated(t, secret, "")
	if len(first) < 15 || secret.Type != v1alpha1.PasswordSecretType || !metav1.IsControlledBy(secret, w.member) {
		t.Errorf("%d characters in a Secret of type %s", len(first), secret.Type)
	}
	// A lost label and a new username make no other password.
	change(t, secret, func(s *corev1.Secret) { s.Labels = nil })
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Username = "maya.diaz" })
	if again := w.awaitGenerated(t, secret, ""); again != first {
		t.Error("another password was made for a lost label or a new username")
	}
	eventually(t, "the label is put back", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(secret), secret)
		return err == nil && secret.Labels[v1alpha1.WatchLabel] == "true", fmt.Sprint(err, secret.Labels)
	})
	remove(t, secret)
	second := w.awaitGenerated(t, secret, first)
	// An emptied Secret is filled anew, and a password that somebody writes into it is set.
	change(t, secret, func(s *corev1.Secret) { delete(s.Data, "password") })
	w.awaitGenerated(t, secret, second)
	change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(anotherPassword) })
	w.awaitPassword(t, anotherPassword)

	// What was made goes when it is not asked for any more.
	create(t, passwordSecret(ns, "own", goodPassword))
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret("own") })
	w.awaitPassword(t, goodPassword)
	awaitGone(t, secret)
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = generated("again") })
	secret = &corev1.Secret{ObjectMeta: objectMeta(ns, "again")}
	w.awaitGenerated(t, secret, "")
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = nil })
	awaitGone(t, secret)
	w.awaitRow(t, "no password", func(m *iam.Member) bool { return m.PasswordUpdatedAt == nil })
}

// A generated Secret whose deletion is held by a finalizer is waited for.
func TestMemberPasswordGeneratedAndHeld(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = generated("maya-password") })
	secret := &corev1.Secret{ObjectMeta: objectMeta(w.member.Namespace, "maya-password")}
	first := w.awaitGenerated(t, secret, "")
	change(t, secret, func(s *corev1.Secret) { s.Finalizers = []string{"test.example/held"} })
	if err := admin.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, w.member, v1alpha1.ReasonSecretConflict)
	change(t, secret, func(s *corev1.Secret) { s.Finalizers = nil })
	w.awaitGenerated(t, secret, first)
}

// Of a password nothing is found but in the Secrets: not in a status, an event, the log, an
// audit row, a metric or the store's files, whether it was accepted or refused.
func TestMemberPasswordLeaksNowhere(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{PasswordRenewal: v1alpha1.PasswordRenewalFirstLogin})
	secret := w.givePassword(t, goodPassword)
	change(t, secret, func(s *corev1.Secret) { s.Data["password"] = []byte(weakPassword) })
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
	hash := w.hash(t)
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = generated("made") })
	made := w.awaitGenerated(t, &corev1.Secret{ObjectMeta: objectMeta(w.member.Namespace, "made")}, "")
	w.tell(t, iam.LoginSucceeded)
	w.awaitRow(t, "a grace period", func(m *iam.Member) bool { return len(m.GracePeriods) == 1 })
	awaitQuiet(t, w.operator)
	text := places(t, w.operator, w.member.Namespace)
	for name, content := range databaseFiles(t, w.operator) {
		text[name] = content
	}
	for what, planted := range map[string]string{"a password": goodPassword, "a refused password": weakPassword, "a generated password": made, "a hash": hash, "its hash": w.hash(t)} {
		if found := finds(text, planted); len(found) > 0 {
			t.Errorf("%s is in %v", what, found)
		}
	}
}
