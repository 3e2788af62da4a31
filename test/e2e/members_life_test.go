// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

// strict are rules under which a Member who has logged in must set a second factor within
// an hour, and is locked after three failed log-ins.
func strict() v1alpha1.Security {
	return v1alpha1.Security{
		MFA: v1alpha1.MFARequired, PasswordRenewal: v1alpha1.PasswordRenewalFirstLogin, GracePeriod: "1h", LoginAttemptsBeforeLock: ptr.To(int32(3)),
	}
}

// awaitGrace waits until just these grace periods run, in status and store.
func (w *memberWorld) awaitGrace(t *testing.T, kinds ...v1alpha1.GracePeriodType) {
	t.Helper()
	w.awaitRow(t, fmt.Sprintf("grace periods %v", kinds), func(m *iam.Member) bool {
		same := len(m.GracePeriods) == len(kinds)
		for i := range min(len(kinds), len(m.GracePeriods)) {
			same = same && m.GracePeriods[i].Type == string(kinds[i])
		}
		return same
	})
	eventually(t, fmt.Sprintf("the status shows %v", kinds), func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(w.member), w.member)
		same := err == nil && len(w.member.Status.GracePeriods) == len(kinds)
		for i := range min(len(kinds), len(w.member.Status.GracePeriods)) {
			same = same && w.member.Status.GracePeriods[i].Type == kinds[i]
		}
		return same, fmt.Sprint(err, w.member.Status.GracePeriods)
	})
}

// awaitHeard waits until just so many things that log-in told wait to be counted.
func (w *memberWorld) awaitHeard(t *testing.T, left int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d failed log-ins are counted", left), func(ctx context.Context) (bool, string) {
		told, err := w.Store.Told(ctx, w.id())
		return err == nil && len(told) == left, fmt.Sprint(err, told)
	})
}

// From the first log-in through the grace periods to Locked by a lapse, and back; then to
// Locked by failed attempts. The keys stop counting in the commit that locks, and come back.
func TestMemberThroughTheDoor(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.givePassword(t, goodPassword)
	if w.awaitGrace(t); w.counts(t) == 0 {
		t.Fatal("a Member who never logged in is held to something")
	}
	w.tell(t, iam.LoginSucceeded)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA, v1alpha1.GracePeriodUpdatePassword)
	w.awaitHeard(t, 0)
	w.tell(t, iam.PasswordChanged)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA)

	w.pass(t, time.Hour+time.Second)
	locked := w.awaitLocked(t, v1alpha1.LockGracePeriodExpired)
	if w.counts(t) != 0 {
		t.Error("the key of a locked Member counts")
	}
	w.awaitOneCommit(t)
	_, command, found := strings.Cut(locked.Message, "kubectl ")
	if !found || !strings.Contains(command, v1alpha1.UnlockAtAnnotation) {
		t.Fatalf("the message does not say how to unlock: %s", locked.Message)
	}
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now())
	w.awaitLocked(t, "")
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA)
	if w.counts(t) == 0 {
		t.Error("the key does not come back")
	}
	w.tell(t, iam.MFASet)
	w.awaitGrace(t)

	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginSucceeded, iam.LoginFailed, iam.LoginFailed)
	w.awaitHeard(t, 2)
	w.awaitLocked(t, "")
	w.tell(t, iam.LoginFailed)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	w.awaitHeard(t, 0)
	// The annotation is still there, from before this lock.
	poke(t, w.member)
	awaitQuiet(t, w.operator)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now().Add(time.Minute))
	awaitQuiet(t, w.operator)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	w.pass(t, time.Minute+time.Second)
	w.awaitLocked(t, "")
	w.tell(t, iam.LoginFailed, iam.LoginFailed)
	w.awaitHeard(t, 2)
	w.awaitLocked(t, "")
}

// awaitOneCommit looks for the lock's change: with it the row is locked, and all that the key
// could do is gone with that one change, since nothing of the key itself has changed.
func (w *memberWorld) awaitOneCommit(t *testing.T) {
	t.Helper()
	_, revision, err := w.Store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.Store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: w.id(), Method: "LockMember"}})
	if err != nil || len(events) != 1 || events[0].Principal.Kind != iam.ActorSystem {
		t.Errorf("the lock is told by %d events at %s: %v", len(events), revision, err)
	}
	if row, err := w.Store.Get(t.Context(), iam.KindAPIKey, w.key.Status.AccessKey); err != nil || !row.Entity.(*iam.APIKey).Live(w.Clock.Now()) {
		t.Errorf("the key itself is gone: %v", err)
	}
}

// A second factor is forgotten once for each time in the annotation.
func TestMemberResetOfTheSecondFactor(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.tell(t, iam.LoginSucceeded, iam.MFASet)
	w.awaitRow(t, "a second factor", func(m *iam.Member) bool { return m.MFA })
	w.awaitGrace(t)
	w.annotate(t, v1alpha1.ResetMFAAtAnnotation, w.Clock.Now())
	w.awaitRow(t, "no second factor", func(m *iam.Member) bool { return !m.MFA })
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA)
	w.Clock.SetTime(w.Clock.Now().Add(2 * time.Second))
	w.tell(t, iam.MFASet)
	w.awaitRow(t, "a second factor", func(m *iam.Member) bool { return m.MFA })
	poke(t, w.member)
	awaitQuiet(t, w.operator)
	eventually(t, "the status shows the second factor", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(w.member), w.member)
		return err == nil && w.member.Status.MFA == v1alpha1.MFAEnabled, fmt.Sprint(err, w.member.Status.MFA)
	})
}

// An unlock from before a lock arose, left in a manifest, never lifts it: not even where no
// Secret was there to remember it.
func TestMemberOldUnlockLiftsNothing(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now().Add(-time.Hour))
	awaitQuiet(t, w.operator)
	if w.ownSecret(t) != nil {
		t.Error("a Secret was made to remember an unlock of nobody")
	}
	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginFailed)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	poke(t, w.member)
	awaitQuiet(t, w.operator)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
}

// Requirements that come up are for those who have logged in before, from then on.
func TestMemberSettingsChange(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	w.tell(t, iam.LoginSucceeded)
	w.awaitHeard(t, 0)
	w.awaitGrace(t)
	change(t, w.organization, func(o *v1alpha1.Organization) { o.Spec.Security = ptr.To(strict()) })
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA)
	ends := w.row(t).GracePeriods[0].ExpiresAt
	change(t, w.organization, func(o *v1alpha1.Organization) { o.Spec.Security.GracePeriod = "720h" })
	awaitReady(t, w.organization)
	awaitQuiet(t, w.operator)
	if got := w.row(t).GracePeriods[0].ExpiresAt; !got.Equal(ends) {
		t.Errorf("a grace period that runs now ends at %s instead of %s", got, ends)
	}
	change(t, w.organization, func(o *v1alpha1.Organization) { o.Spec.Security.MFA = v1alpha1.MFAOptional })
	w.awaitGrace(t)
}

// Law 1: locks, grace periods and passwords survive the loss of the database; the count of
// failed log-ins is history.
func TestMemberLaw01LocksSurviveTheLossOfTheDatabase(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.givePassword(t, goodPassword)
	w.tell(t, iam.LoginSucceeded)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA, v1alpha1.GracePeriodUpdatePassword)
	hash := w.hash(t)
	lose := func() {
		before := settledContent(t, w.operator)
		w.halt(t)
		loseDatabase(t, w.operator)
		w.start(t)
		awaitContent(t, w.operator, before)
	}
	lose()
	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginFailed)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	lose()
	if w.awaitLocked(t, v1alpha1.LockTooManyAttempts); w.hash(t) != hash || w.counts(t) != 0 {
		t.Error("the password changed, or the key counts again")
	}
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now())
	w.awaitLocked(t, "")
	lose()
	w.awaitLocked(t, "")
}

// The Secret is written first: an operator that is killed between that and the rows, and
// whose database is lost as well, knows of the lock. What the door was told is not heard twice.
func TestMemberLaw01KilledAfterTheSecret(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.tell(t, iam.LoginSucceeded)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA)
	before := w.member.DeepCopy()
	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginFailed)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	revision := w.ownSecret(t).Data["revision"]
	w.halt(t)

	// As if neither the row nor the status had been written.
	loseDatabase(t, w.operator)
	if err := admin.Get(t.Context(), keyOf(w.member), w.member); err != nil {
		t.Fatal(err)
	}
	w.member.Status = before.Status
	if err := admin.Status().Update(t.Context(), w.member); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	if string(w.ownSecret(t).Data["revision"]) != string(revision) {
		t.Error("the Secret was written again")
	}
}

// What people do to the operator's own Secret lifts no lock and moves no deadline.
func TestMemberSecretAltered(t *testing.T) {
	w := newMemberWorld(t, strict())
	w.givePassword(t, goodPassword)
	w.tell(t, iam.LoginSucceeded)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA, v1alpha1.GracePeriodUpdatePassword)
	ends := w.member.Status.GracePeriods[0].ExpiresAt
	free := w.ownSecret(t)
	alter := map[string]func(){
		"deleted": func() { remove(t, w.ownSecret(t)) },
		"edited":  func() { change(t, w.ownSecret(t), func(s *corev1.Secret) { s.Data["life"] = []byte("{}") }) },
		"emptied": func() { change(t, w.ownSecret(t), func(s *corev1.Secret) { s.Data = nil }) },
		"hash put": func() {
			change(t, w.ownSecret(t), func(s *corev1.Secret) { s.Data["password"] = []byte("$argon2id$") })
		},
		"unsealed": func() {
			change(t, w.ownSecret(t), func(s *corev1.Secret) { delete(s.Annotations, "iam-operator.dev/seal") })
		},
		"old copy": func() {
			change(t, w.ownSecret(t), func(s *corev1.Secret) { s.Data, s.Annotations = free.Data, free.Annotations })
		},
	}
	for name, tamper := range alter {
		if name == "old copy" {
			continue // There is none that would be older yet.
		}
		w.survives(t, name, tamper)
		w.awaitGrace(t, v1alpha1.GracePeriodSetMFA, v1alpha1.GracePeriodUpdatePassword)
		if got := w.member.Status.GracePeriods[0].ExpiresAt; !got.Equal(&ends) {
			t.Errorf("%s: the grace period ends at %s instead of %s", name, got, ends)
		}
		w.awaitLocked(t, "")
	}
	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginFailed)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	for name, tamper := range alter {
		w.survives(t, name, tamper)
		w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	}
	// Under a declared lock the other is still known.
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateLocked })
	w.awaitLocked(t, v1alpha1.LockDeclared)
	w.survives(t, "deleted", alter["deleted"])
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.State = "" })
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	// A label that is lost is put back, and nothing else.
	revision := string(w.ownSecret(t).Data["password"])
	change(t, w.ownSecret(t), func(s *corev1.Secret) { s.Labels = nil })
	eventually(t, "the label is put back", func(context.Context) (bool, string) {
		return w.ownSecret(t).Labels[v1alpha1.WatchLabel] == "true", ""
	})
	if w.hash(t) != revision {
		t.Error("the password was taken anew for a lost label")
	}
}

// survives alters the operator's own Secret, and waits until it is made anew, with the
// password of its source.
func (w *memberWorld) survives(t *testing.T, name string, tamper func()) {
	t.Helper()
	before := w.hash(t)
	tamper()
	eventually(t, name+": the password is taken anew", func(context.Context) (bool, string) {
		hash := w.hash(t)
		return hash != "" && hash != before && w.isPassword(t, goodPassword), "the hash is as it was, or gone"
	})
	awaitQuiet(t, w.operator)
	awaitReady(t, w.member)
	eventually(t, name+": an event tells of it", func(ctx context.Context) (bool, string) {
		list := &eventsv1.EventList{}
		err := admin.List(ctx, list, client.InNamespace(w.member.Namespace))
		for _, event := range list.Items {
			if event.Reason == "SecretAltered" && event.Regarding.UID == w.member.UID {
				return true, ""
			}
		}
		return false, fmt.Sprint(err)
	})
}

// Without its source the password is lost with the Secret, and the Member waits for it.
func TestMemberSecretDeletedWithoutASource(t *testing.T) {
	w := newMemberWorld(t, strict())
	secret := w.givePassword(t, goodPassword)
	remove(t, secret)
	awaitReason(t, w.member, v1alpha1.ReasonReferenceNotFound)
	remove(t, w.ownSecret(t))
	w.awaitRow(t, "no password", func(m *iam.Member) bool { return m.PasswordUpdatedAt == nil })
	awaitReason(t, w.member, v1alpha1.ReasonReferenceNotFound)
	create(t, passwordSecret(w.member.Namespace, secret.Name, goodPassword))
	w.awaitPassword(t, goodPassword)
}

// A Secret of the name that somebody else made is left alone. The Member says so, and is
// locked all the same.
func TestMemberSecretOfSomebodyElse(t *testing.T) {
	w := newMemberWorld(t, strict())
	squatter := &corev1.Secret{ObjectMeta: objectMeta(w.member.Namespace, "iam-member-"+string(w.member.UID)), Data: map[string][]byte{"life": []byte("{}")}}
	squatter.Labels = map[string]string{v1alpha1.WatchLabel: "true"}
	create(t, squatter)
	w.tell(t, iam.LoginFailed, iam.LoginFailed, iam.LoginFailed)
	awaitReason(t, w.member, v1alpha1.ReasonSecretConflict)
	w.awaitRow(t, "the lock", func(m *iam.Member) bool { return m.Locked == string(v1alpha1.LockTooManyAttempts) })
	if version := squatter.ResourceVersion; admin.Get(t.Context(), keyOf(squatter), squatter) != nil || squatter.ResourceVersion != version {
		t.Error("a Secret of somebody else's was touched")
	}
	remove(t, squatter)
	w.awaitLocked(t, v1alpha1.LockTooManyAttempts)
	if w.life(t).Lock == nil {
		t.Error("the lock is not in the Secret")
	}
}

// Law 7: a Member with a password, grace periods, counted attempts or a lock is silent once
// it has settled, for an operator that starts anew as well.
func TestMemberLaw07Silence(t *testing.T) {
	w := newMemberWorld(t, strict())
	awaitNoLeftovers(t)
	w.givePassword(t, goodPassword)
	w.tell(t, iam.LoginSucceeded, iam.LoginFailed)
	w.awaitGrace(t, v1alpha1.GracePeriodSetMFA, v1alpha1.GracePeriodUpdatePassword)
	others := []*v1alpha1.Member{member(w.organization, w.member.Namespace, "locked"), member(w.organization, w.member.Namespace, "made"), member(w.organization, w.member.Namespace, "refused")}
	others[1].Spec.Password = generated("made")
	others[2].Spec.Password = fromSecret("refused")
	create(t, passwordSecret(w.member.Namespace, "refused", weakPassword), others[0], others[1], others[2])
	awaitReady(t, others[0], others[1], others[2])
	for range 3 {
		if err := w.Store.Tell(t.Context(), iam.MemberEvent{Kind: iam.LoginFailed, At: w.Clock.Now(), MemberID: string(others[0].UID)}); err != nil {
			t.Fatal(err)
		}
	}
	awaitCondition(t, others[0], v1alpha1.ConditionLocked, "True", "")
	awaitCatalogue(t, w.operator)
	awaitQuiet(t, w.operator)
	w.halt(t)

	since, before := time.Now(), reconciliations(t)
	w.start(t)
	written, err := storetest.Written(t.Context(), w.Store)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "every object is reconciled anew", func(context.Context) (bool, string) {
		done := reconciliations(t) - before
		return done >= 7+2*202, fmt.Sprint(done)
	})
	awaitQuiet(t, w.operator)
	w.expectSilence(t, since, written)

	// A second look, from memory: the Secrets are touched, and say the same.
	since, before = time.Now(), reconciliations(t)
	for _, name := range []string{"maya-password", "made", "refused"} {
		change(t, &corev1.Secret{ObjectMeta: objectMeta(w.member.Namespace, name)}, func(s *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, "note", "touched")
		})
	}
	eventually(t, "the Members are looked at again", func(context.Context) (bool, string) {
		done := reconciliations(t) - before
		return done >= 3, fmt.Sprint(done)
	})
	awaitQuiet(t, w.operator)
	w.expectSilence(t, since, written)
}

// expectSilence says what was written to the store or the API server since a time.
func (w *memberWorld) expectSilence(t *testing.T, since time.Time, written int64) {
	t.Helper()
	after, err := storetest.Written(t.Context(), w.Store)
	if err != nil || after != written {
		t.Errorf("%d writes to the store, %v", after-written, err)
	}
	for _, call := range operatorCalls(t, since) {
		if call.writes() {
			t.Errorf("a write to the API server: %+v", call)
		}
	}
}

// The locks of declaration need no Secret, and an unlock does not lift them.
func TestMemberDeclaredLockNeedsNoSecret(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateLocked })
	w.awaitLocked(t, v1alpha1.LockDeclared)
	if w.counts(t) != 0 || w.ownSecret(t) != nil {
		t.Error("the key counts, or a Secret was made")
	}
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now())
	awaitQuiet(t, w.operator)
	w.awaitLocked(t, v1alpha1.LockDeclared)
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive })
	w.awaitLocked(t, "")
	if w.counts(t) == 0 || w.ownSecret(t) != nil {
		t.Error("the key does not come back, or a Secret was made for nothing")
	}
}
