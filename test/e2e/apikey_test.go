// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// keyWorld is an Organization with an application and a ready API key.
type keyWorld struct {
	*operator
	organization *v1alpha1.Organization
	application  *v1alpha1.Application
	key          *v1alpha1.APIKey
}

func newKeyWorld(t *testing.T, edit func(*v1alpha1.APIKey)) *keyWorld {
	t.Helper()
	w := &keyWorld{operator: startOperator(t)}
	ns := newNamespace(t, nil)
	w.organization = organization(ns, "acme")
	w.application = application(w.organization, ns, "deployer")
	w.key = apiKey(w.organization, ns, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"})
	if edit != nil {
		edit(w.key)
	}
	create(t, w.organization, w.application, w.key)
	awaitReady(t, w.key)
	return w
}

func (w *keyWorld) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.key.Namespace, Name: name}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

// awaitKey waits until the status names another access key than before, and gives it.
func (w *keyWorld) awaitKey(t *testing.T, before string) string {
	t.Helper()
	eventually(t, "another access key", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(w.key), w.key)
		return err == nil && w.key.Status.AccessKey != "" && w.key.Status.AccessKey != before, fmt.Sprintf("%v, status %+v", err, w.key.Status)
	})
	return w.key.Status.AccessKey
}

// valid says whether the store has a live row of a pair, and the Secret holds the pair.
func (w *keyWorld) valid(t *testing.T, accessKey string) bool {
	t.Helper()
	row, err := w.Store.Get(t.Context(), iam.KindAPIKey, accessKey)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return row.Entity.(*iam.APIKey).Live(w.Clock.Now())
}

// poke has the operator look again, as when its timer fires: the clock of the tests does
// not move by itself.
func poke(t *testing.T, obj client.Object) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.ReconcileAtAnnotation, time.Now().Format(time.RFC3339Nano))
	if err := admin.Patch(t.Context(), obj, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func TestAPIKeySecretIsAcceptedByTheSDK(t *testing.T) {
	w := newKeyWorld(t, nil)
	secret := w.secret(t, "ci")
	for name, value := range secret.Data {
		if !strings.Contains(name, ".") {
			t.Setenv(name, string(value))
		}
	}
	// The SDK would otherwise look for a profile of whoever runs the tests.
	t.Setenv("SCW_CONFIG_PATH", os.DevNull)
	sdk, err := scw.NewClient(scw.WithEnv())
	if err != nil {
		t.Fatalf("the SDK refuses the environment: %v", err)
	}
	access, _ := sdk.GetAccessKey()
	_, hasSecret := sdk.GetSecretKey()
	organizationID, _ := sdk.GetDefaultOrganizationID()
	projectID, _ := sdk.GetDefaultProjectID()
	if access != w.key.Status.AccessKey || !hasSecret || organizationID != string(w.organization.UID) || projectID != string(w.organization.UID) {
		t.Errorf("the SDK read access key %s, organization %s, project %s", access, organizationID, projectID)
	}
	if got := string(secret.Data["SCW_API_URL"]); got != apiURL {
		t.Errorf("SCW_API_URL is %q", got)
	}
	if string(secret.Data["AWS_ACCESS_KEY_ID"]) != access || string(secret.Data["AWS_SECRET_ACCESS_KEY"]) != string(secret.Data["SCW_SECRET_KEY"]) {
		t.Error("the AWS variables do not hold the pair")
	}
}

func TestAPIKeyDeletedSecretRotates(t *testing.T) {
	w := newKeyWorld(t, nil)
	before := w.key.Status.AccessKey
	if err := admin.Delete(t.Context(), w.secret(t, "ci")); err != nil {
		t.Fatal(err)
	}
	after := w.awaitKey(t, before)
	if w.valid(t, before) || !w.valid(t, after) {
		t.Error("the old key works still, or the new one does not")
	}
}

func TestAPIKeyLostLabelIsPutBack(t *testing.T) {
	w := newKeyWorld(t, func(k *v1alpha1.APIKey) {
		k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Labels: map[string]string{"team": "web"}, Annotations: map[string]string{"note": "x"}}
	})
	before := w.key.Status.AccessKey
	secret := w.secret(t, "ci")
	if secret.Labels["team"] != "web" || secret.Annotations["note"] != "x" {
		t.Errorf("the template did not reach the Secret: %v, %v", secret.Labels, secret.Annotations)
	}
	change(t, secret, func(s *corev1.Secret) {
		delete(s.Labels, v1alpha1.WatchLabel)
		s.Data["SCW_API_URL"] = []byte("https://elsewhere")
	})
	eventually(t, "the label and the URL are put back", func(context.Context) (bool, string) {
		s := w.secret(t, "ci")
		return s.Labels[v1alpha1.WatchLabel] == "true" && string(s.Data["SCW_API_URL"]) == apiURL, fmt.Sprint(s.Labels)
	})
	if got := string(w.secret(t, "ci").Data["SCW_ACCESS_KEY"]); got != before || !w.valid(t, before) {
		t.Errorf("a lost label was taken for a deletion: %s became %s", before, got)
	}
	change(t, w.key, func(k *v1alpha1.APIKey) { k.Spec.SecretTemplate = nil })
	eventually(t, "what the template no longer has is taken back", func(context.Context) (bool, string) {
		s := w.secret(t, "ci")
		return s.Labels["team"] == "" && s.Annotations["note"] == "", fmt.Sprint(s.Labels, s.Annotations)
	})
}

func TestAPIKeyEditedSecretIsNeverAdopted(t *testing.T) {
	for name, edit := range map[string]func(*corev1.Secret){
		"secret key": func(s *corev1.Secret) { s.Data["SCW_SECRET_KEY"] = []byte("11111111-1111-1111-1111-111111111111") },
		"access key": func(s *corev1.Secret) { s.Data["SCW_ACCESS_KEY"] = []byte("SCWAAAAAAAAAAAAAAAAA") },
		"minting":    func(s *corev1.Secret) { s.Annotations["iam-operator.dev/minted-at"] = "2036-01-01T00:00:00Z" },
		"bearer":     func(s *corev1.Secret) { s.Annotations["iam-operator.dev/bearer-id"] = "somebody" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newKeyWorld(t, nil)
			before := w.key.Status.AccessKey
			change(t, w.secret(t, "ci"), edit)
			after := w.awaitKey(t, before)
			if w.valid(t, before) || w.valid(t, "SCWAAAAAAAAAAAAAAAAA") || !w.valid(t, after) {
				t.Error("the edited Secret was adopted, or the old key works still")
			}
		})
	}
}

// A pair that was ended stays ended, though a copy of its Secret is put back that the
// operator itself had sealed.
func TestAPIKeyCopyOfAnEndedSecretIsNeverAdopted(t *testing.T) {
	w := newKeyWorld(t, nil)
	before := w.key.Status.AccessKey
	saved := w.secret(t, "ci")
	if err := admin.Delete(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	second := w.awaitKey(t, before)
	change(t, w.secret(t, "ci"), func(s *corev1.Secret) { s.Data, s.Annotations = saved.Data, saved.Annotations })
	third := w.awaitKey(t, second)
	if third == before || w.valid(t, before) || w.valid(t, second) || !w.valid(t, third) {
		t.Errorf("after %s and %s the key is %s, and the first works again: %v", before, second, third, w.valid(t, before))
	}
}

// A Secret that is being deleted counts no more, whoever's finalizer holds it.
func TestAPIKeyTerminatingSecretCountsNoMore(t *testing.T) {
	w := newKeyWorld(t, nil)
	before := w.key.Status.AccessKey
	secret := w.secret(t, "ci")
	change(t, secret, func(s *corev1.Secret) { s.Finalizers = []string{"example.com/backup"} })
	if err := admin.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitReason(t, w.key, v1alpha1.ReasonSecretConflict)
	if w.valid(t, before) {
		t.Error("the key works while its Secret is being deleted")
	}
	change(t, secret, func(s *corev1.Secret) { s.Finalizers = nil })
	after := w.awaitKey(t, before)
	awaitReady(t, w.key)
	if !w.valid(t, after) {
		t.Error("there is no new key")
	}
}

func TestAPIKeyForeignSecretIsLeftAlone(t *testing.T) {
	o := startOperator(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	foreign := &corev1.Secret{ObjectMeta: objectMeta(ns, "ci"), StringData: map[string]string{"theirs": "x"}}
	key := apiKey(org, ns, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	create(t, foreign, org, key)
	awaitReason(t, key, v1alpha1.ReasonSecretConflict)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || len(foreign.Data) != 1 || len(foreign.OwnerReferences) != 0 {
		t.Errorf("the foreign Secret was touched: %v, %v", err, foreign)
	}
	if key.Status.AccessKey != "" {
		t.Error("a key was minted with nowhere to put it")
	}
	if err := admin.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	// Nobody watches a Secret that is not ours; the operator looks again by itself after a while, or when asked.
	o.Clock.SetTime(o.Clock.Now().Add(time.Minute))
	poke(t, key)
	awaitReady(t, key)
}

func TestAPIKeyRotatesWithOverlap(t *testing.T) {
	w := newKeyWorld(t, func(k *v1alpha1.APIKey) {
		k.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"}
	})
	first := w.key.Status.AccessKey
	minted := w.Clock.Now()
	if next := w.key.Status.NextRotationAt; next == nil || next.Sub(minted).Round(time.Minute) != 720*time.Hour {
		t.Errorf("next rotation at %v", next)
	}

	w.Clock.SetTime(minted.Add(720 * time.Hour))
	poke(t, w.key)
	second := w.awaitKey(t, first)
	if !w.valid(t, first) || !w.valid(t, second) {
		t.Error("during the overlap both keys must work")
	}
	if got := string(w.secret(t, "ci-retiring").Data["SCW_ACCESS_KEY"]); got != first {
		t.Errorf("the retiring Secret holds %s, want %s", got, first)
	}
	if len(w.key.Status.Keys) != 2 {
		t.Errorf("status lists %d keys", len(w.key.Status.Keys))
	}

	w.Clock.SetTime(minted.Add(768 * time.Hour))
	if w.valid(t, first) {
		t.Error("the old key works after the overlap, whatever the operator does")
	}
	poke(t, w.key)
	retiring := &corev1.Secret{ObjectMeta: objectMeta(w.key.Namespace, "ci-retiring")}
	awaitGone(t, retiring)
	if w.valid(t, first) || !w.valid(t, second) {
		t.Error("the old key works still, or the new one does not")
	}
}

func TestAPIKeyRotatesWhenAsked(t *testing.T) {
	w := newKeyWorld(t, nil)
	before := w.key.Status.AccessKey
	w.Clock.SetTime(w.Clock.Now().Add(time.Hour))
	change(t, w.key, func(k *v1alpha1.APIKey) {
		k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: w.Clock.Now().Add(-time.Minute).Format(time.RFC3339)}
	})
	after := w.awaitKey(t, before)
	if w.valid(t, before) || !w.valid(t, after) {
		t.Error("without an overlap the old key must end at once")
	}
	poke(t, w.key)
	eventually(t, "the poke is handled", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(w.key), w.key)
		return err == nil && w.key.Status.LastHandledReconcileAt != "", w.key.Status.LastHandledReconcileAt
	})
	if w.key.Status.AccessKey != after {
		t.Error("an act was honoured twice")
	}
}

func TestAPIKeyExpires(t *testing.T) {
	w := newKeyWorld(t, func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "24h" })
	access := w.key.Status.AccessKey
	w.Clock.SetTime(w.Clock.Now().Add(25 * time.Hour))
	if w.valid(t, access) {
		t.Error("an expired key works, whatever the operator does")
	}
	poke(t, w.key)
	awaitReason(t, w.key, v1alpha1.ReasonExpired)
	if err := admin.Delete(t.Context(), w.secret(t, "ci")); err != nil {
		t.Fatal(err)
	}
	poke(t, w.key)
	awaitCondition(t, w.key, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExpired)
	change(t, w.key, func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "48h" })
	awaitReady(t, w.key)
}

func TestAPIKeyDiesWithItsBearer(t *testing.T) {
	w := newKeyWorld(t, nil)
	access := w.key.Status.AccessKey
	secret := w.secret(t, "ci")
	remove(t, w.application)
	if w.valid(t, access) {
		t.Error("the key outlived its bearer")
	}
	awaitReason(t, w.key, v1alpha1.ReasonBearerDeleted)
	awaitGone(t, secret)
	successor := application(w.organization, w.key.Namespace, "deployer")
	create(t, successor)
	awaitReady(t, successor)
	poke(t, w.key)
	awaitReason(t, w.key, v1alpha1.ReasonBearerDeleted)
}

func TestAPIKeyOfTheOwnerEndsWhenOwnershipIsHandedOver(t *testing.T) {
	w := newKeyWorld(t, nil)
	key := apiKey(w.organization, w.key.Namespace, "root", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	create(t, key)
	awaitReady(t, key)
	access, ownerID := key.Status.AccessKey, key.Status.Bearer.ID
	change(t, w.organization, func(o *v1alpha1.Organization) { o.Spec.Owner.Email = "next@acme.example" })
	awaitReady(t, w.organization)
	awaitReason(t, key, v1alpha1.ReasonBearerDeleted)
	if w.valid(t, access) {
		t.Error("the predecessor's key works still")
	}
	if w.organization.Status.OwnerID != ownerID {
		t.Error("the owner's id changed with the owner")
	}
	if !w.valid(t, w.key.Status.AccessKey) {
		t.Error("another's key ended")
	}
}

func TestAPIKeySurvivesTheLossOfTheDigestKey(t *testing.T) {
	w := newKeyWorld(t, nil)
	access := w.key.Status.AccessKey
	w.halt(t)
	digestKeys := &corev1.Secret{ObjectMeta: objectMeta(operatorNamespace, "iam-operator-digest-keys")}
	if err := admin.Delete(t.Context(), digestKeys); err != nil {
		t.Fatal(err)
	}
	before := w.secret(t, "ci")
	w.start(t)
	eventually(t, "the key's row is digested anew", func(ctx context.Context) (bool, string) {
		s := w.secret(t, "ci")
		return s.Annotations["iam-operator.dev/seal"] != before.Annotations["iam-operator.dev/seal"] && w.valid(t, access), fmt.Sprint(s.Annotations)
	})
	if got := w.secret(t, "ci"); string(got.Data["SCW_SECRET_KEY"]) != string(before.Data["SCW_SECRET_KEY"]) {
		t.Error("the loss of the digest key changed a pair")
	}
}

// A new digest key beside the previous one: every pair is vouched for anew, and none changes.
func TestAPIKeySurvivesARotationOfTheDigestKey(t *testing.T) {
	w := newKeyWorld(t, nil)
	access := w.key.Status.AccessKey
	w.halt(t)
	digestKeys := &corev1.Secret{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "iam-operator-digest-keys"}, digestKeys); err != nil {
		t.Fatal(err)
	}
	next, err := credentials.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data := next.Data()
	data["previous-id"], data["previous-key"] = digestKeys.Data["current-id"], digestKeys.Data["current-key"]
	change(t, digestKeys, func(s *corev1.Secret) { s.Data = data })
	before := w.secret(t, "ci")
	w.start(t)
	eventually(t, "the key is vouched for by the new digest key", func(ctx context.Context) (bool, string) {
		row, err := w.Store.Get(ctx, iam.KindAPIKey, access)
		return err == nil && row.Entity.(*iam.APIKey).DigestKeyID == next.Current.ID, fmt.Sprint(err)
	})
	after := w.secret(t, "ci")
	if string(after.Data["SCW_SECRET_KEY"]) != string(before.Data["SCW_SECRET_KEY"]) || after.Annotations["iam-operator.dev/seal"] == before.Annotations["iam-operator.dev/seal"] {
		t.Error("the pair changed, or its seal did not")
	}
}

func TestAPIKeysNeverShareASecret(t *testing.T) {
	w := newKeyWorld(t, nil)
	rival := apiKey(w.organization, w.key.Namespace, "rival", w.key.Spec.Bearer)
	rival.Spec.SecretName = "ci"
	create(t, rival)
	awaitReason(t, rival, v1alpha1.ReasonConflict)
	remove(t, w.key)
	awaitReady(t, rival)
	if !metav1.IsControlledBy(w.secret(t, "ci"), rival) {
		t.Error("the freed Secret is not the rival's")
	}
}

func TestAPIKeyOfAnotherNamespacesOwnerIsRefused(t *testing.T) {
	startOperator(t)
	home, guest := newNamespace(t, nil), newNamespace(t, nil)
	org := organization(home, "acme")
	org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
	key := apiKey(org, guest, "root", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	create(t, org, key)
	awaitReason(t, key, v1alpha1.ReasonInvalidSpec)
	if key.Status.AccessKey != "" {
		t.Error("a key of the owner was minted outside the home namespace")
	}
}
