// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Passwords that the policy accepts, each made up of unrelated words.
const (
	goodPassword    = "gravel-Mantis-oboe-tundra-41"
	anotherPassword = "velvet kiosk plume otter basin"
	weakPassword    = "Password12345678"
)

// memberWorld is an Organization with a Member, and a key of its that reaches all projects.
type memberWorld struct {
	*operator
	organization *v1alpha1.Organization
	member       *v1alpha1.Member
	key          *v1alpha1.APIKey
}

func newMemberWorld(t *testing.T, security v1alpha1.Security) *memberWorld {
	t.Helper()
	w := &memberWorld{operator: startOperator(t)}
	ns := newNamespace(t, nil)
	w.organization = organization(ns, "acme")
	w.organization.Spec.Security = &security
	w.member = member(w.organization, ns, "maya")
	w.key = apiKey(w.organization, ns, "maya", v1alpha1.Bearer{Kind: v1alpha1.BearerMember, Name: "maya"})
	may := policy(w.organization, ns, "maya", &v1alpha1.Principal{Kind: v1alpha1.PrincipalMember, Name: "maya"},
		v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess"}, Scope: v1alpha1.ScopeOrganization})
	create(t, w.organization, w.member, w.key, may)
	awaitReady(t, w.member, w.key, may)
	eventually(t, "the key counts", func(context.Context) (bool, string) { return w.counts(t) > 0, "it reaches nothing" })
	return w
}

func (w *memberWorld) id() string { return string(w.member.UID) }

// row gives what the store has of the Member.
func (w *memberWorld) row(t *testing.T) *iam.Member {
	t.Helper()
	row, err := w.Store.Get(t.Context(), iam.KindMember, w.id())
	if err != nil {
		t.Fatal(err)
	}
	return row.Entity.(*iam.Member)
}

// awaitRow waits until what the store has of the Member is as wanted.
func (w *memberWorld) awaitRow(t *testing.T, what string, wanted func(*iam.Member) bool) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) (bool, string) {
		row, err := w.Store.Get(ctx, iam.KindMember, w.id())
		if err != nil {
			return false, err.Error()
		}
		return wanted(row.Entity.(*iam.Member)), marshal(t, row.Entity)
	})
}

// tell is log-in: it tells what happened to the Member, now.
func (w *memberWorld) tell(t *testing.T, kinds ...iam.MemberEventKind) {
	t.Helper()
	for _, kind := range kinds {
		if err := w.Store.Tell(t.Context(), iam.MemberEvent{Kind: kind, At: w.Clock.Now(), MemberID: w.id()}); err != nil {
			t.Fatal(err)
		}
	}
}

// pass moves the clock, and has the operator look at the Member again.
func (w *memberWorld) pass(t *testing.T, d time.Duration) {
	t.Helper()
	w.Clock.SetTime(w.Clock.Now().Add(d))
	poke(t, w.member)
}

// annotate sets an annotation with a time.
func (w *memberWorld) annotate(t *testing.T, name string, at time.Time) {
	t.Helper()
	change(t, w.member, func(m *v1alpha1.Member) {
		metav1.SetMetaDataAnnotation(&m.ObjectMeta, name, at.UTC().Format(time.RFC3339))
	})
}

// awaitLocked waits until the Member is locked for a reason, or not, in status and store.
func (w *memberWorld) awaitLocked(t *testing.T, reason v1alpha1.LockReason) *metav1.Condition {
	t.Helper()
	status := metav1.ConditionTrue
	if reason == "" {
		status = metav1.ConditionFalse
	}
	condition := awaitCondition(t, w.member, v1alpha1.ConditionLocked, status, string(reason))
	w.awaitRow(t, fmt.Sprintf("the row has lock %q", reason), func(m *iam.Member) bool { return m.Locked == string(reason) })
	locked := w.member.Status.Locked
	if (locked == nil) != (reason == "") || locked != nil && locked.Reason != reason {
		t.Errorf("status.locked is %+v", locked)
	}
	// Ready says that the spec is applied, which a lock does not change.
	awaitReady(t, w.member)
	return condition
}

// counts says how many grants the Member's key reaches.
func (w *memberWorld) counts(t *testing.T) int {
	t.Helper()
	grants, err := store.EffectiveGrants(t.Context(), w.Store, w.key.Status.AccessKey, w.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return len(grants)
}

// ownSecret gives the operator's own Secret of the Member; nil when there is none.
func (w *memberWorld) ownSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.member.Namespace, Name: "iam-member-" + string(w.member.UID)}, secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// life reads the life of the credentials that the operator's own Secret keeps.
func (w *memberWorld) life(t *testing.T) iam.MemberLife {
	t.Helper()
	var life iam.MemberLife
	if secret := w.ownSecret(t); secret != nil {
		if err := json.Unmarshal(secret.Data["life"], &life); err != nil {
			t.Fatal(err)
		}
	}
	return life
}

// hash gives the hash of the password in force; empty when there is none.
func (w *memberWorld) hash(t *testing.T) string {
	t.Helper()
	if secret := w.ownSecret(t); secret != nil {
		return string(secret.Data["password"])
	}
	return ""
}

// isPassword says whether a password is the one in force.
func (w *memberWorld) isPassword(t *testing.T, password string) bool {
	t.Helper()
	hash := w.hash(t)
	if hash == "" {
		return false
	}
	same, _, err := credentials.NewHasher(rand.Reader).Verify(t.Context(), hash, password)
	if err != nil && !errors.Is(err, credentials.ErrMalformedHash) { // as a test may have left it
		t.Fatal(err)
	}
	return same
}

// awaitPassword waits until a password is in force, and the status says so.
func (w *memberWorld) awaitPassword(t *testing.T, password string) {
	t.Helper()
	eventually(t, "the password is in force", func(context.Context) (bool, string) {
		return w.isPassword(t, password), "the hash does not verify it"
	})
	awaitReady(t, w.member)
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionTrue, v1alpha1.ReasonApplied)
	w.awaitRow(t, "the row says since when", func(m *iam.Member) bool { return m.PasswordUpdatedAt != nil })
}

// passwordSecret is a Secret that has opted in.
func passwordSecret(namespace, name, password string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: objectMeta(namespace, name), Type: v1alpha1.PasswordSecretType, Data: map[string][]byte{"password": []byte(password)}}
	secret.Labels = map[string]string{v1alpha1.WatchLabel: "true"}
	return secret
}

func fromSecret(name string) *v1alpha1.MemberPassword {
	return &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: v1alpha1.ObjectName(name), Key: "password"}}
}

// givePassword declares a password from a Secret, and waits until it is in force.
func (w *memberWorld) givePassword(t *testing.T, password string) *corev1.Secret {
	t.Helper()
	secret := passwordSecret(w.member.Namespace, "maya-password", password)
	create(t, secret)
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret(secret.Name) })
	w.awaitPassword(t, password)
	return secret
}

// A Guest has no credentials here: no Secret is made, whatever is told of it.
func TestMemberGuestHasNoCredentials(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{MFA: v1alpha1.MFARequired})
	guest := &v1alpha1.Member{ObjectMeta: objectMeta(w.member.Namespace, "gus"), Spec: v1alpha1.MemberSpec{
		OrganizationRef: of(w.organization, w.member.Namespace), Type: v1alpha1.TypeGuest, Email: "gus@elsewhere.example",
	}}
	create(t, guest)
	awaitReady(t, guest)
	w.member = guest
	w.tell(t, iam.LoginSucceeded, iam.LoginFailed)
	// The owner is as little of a Member as a Guest is.
	owner := iam.MemberEvent{Kind: iam.LoginFailed, At: w.Clock.Now(), MemberID: iam.OwnerID(string(w.organization.UID))}
	if err := w.Store.Tell(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left to hear", func(ctx context.Context) (bool, string) {
		about, err := w.Store.ToldAbout(ctx)
		return err == nil && len(about) == 0, fmt.Sprint(err, about)
	})
	w.annotate(t, v1alpha1.UnlockAtAnnotation, w.Clock.Now())
	awaitReady(t, guest)
	row, status := w.row(t), guest.Status
	if w.ownSecret(t) != nil || row.Locked != "" || row.GracePeriods != nil || status.MFA != "" || status.Credentials != nil || status.Locked != nil ||
		meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionLocked) != nil {
		t.Errorf("a Guest has credentials: row %+v, status %+v", row, status)
	}
}

// Deleting a Member takes its Secrets along, and what log-in told of it.
func TestMemberDeletedTakesItsSecretsAlong(t *testing.T) {
	w := newMemberWorld(t, v1alpha1.Security{})
	change(t, w.member, func(m *v1alpha1.Member) {
		m.Spec.Password = &v1alpha1.MemberPassword{Generate: &v1alpha1.GeneratedPassword{SecretName: "maya-password"}}
	})
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionTrue, "")
	w.tell(t, iam.LoginFailed)
	remove(t, w.member)
	generated := &corev1.Secret{ObjectMeta: objectMeta(w.member.Namespace, "maya-password")}
	if err := admin.Get(t.Context(), keyOf(generated), generated); !apierrors.IsNotFound(err) || w.ownSecret(t) != nil {
		t.Errorf("a Secret outlives the Member: %v", err)
	}
	if about, err := w.Store.ToldAbout(t.Context()); err != nil || len(about) != 0 {
		t.Errorf("what log-in told is kept of %v, %v", about, err)
	}
}
