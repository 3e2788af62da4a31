// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// limit sets the Organization's maximum lifetime of API keys.
func (w *keyWorld) limit(t *testing.T, most v1alpha1.Duration) {
	t.Helper()
	change(t, w.organization, func(o *v1alpha1.Organization) {
		o.Spec.Security = &v1alpha1.Security{MaxAPIKeyLifetime: most}
	})
	awaitReady(t, w.organization)
}

// awaitRefused waits until no pair is minted because it would live too long.
func (w *keyWorld) awaitRefused(t *testing.T) {
	t.Helper()
	ready := awaitReason(t, w.key, v1alpha1.ReasonInvalidSpec)
	if !strings.Contains(ready.Message, "spec.security.maxAPIKeyLifetime") {
		t.Errorf("the message does not name the rule: %s", ready.Message)
	}
}

func TestAPIKeyLifetimeAtTheFirstMinting(t *testing.T) {
	w := newKeyWorld(t, nil)
	w.limit(t, "720h")
	endless := apiKey(w.organization, w.key.Namespace, "endless", w.key.Spec.Bearer)
	long := apiKey(w.organization, w.key.Namespace, "long", w.key.Spec.Bearer)
	long.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "1h"}
	owners := apiKey(w.organization, w.key.Namespace, "owners", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	short := apiKey(w.organization, w.key.Namespace, "short", w.key.Spec.Bearer)
	short.Spec.ExpiresIn = "720h"
	create(t, endless, long, owners, short)
	awaitReady(t, short)
	for _, key := range []*v1alpha1.APIKey{endless, long, owners} {
		(&keyWorld{key: key}).awaitRefused(t)
		err := admin.Get(t.Context(), keyOf(key), &corev1.Secret{})
		if !apierrors.IsNotFound(err) || key.Status.AccessKey != "" {
			t.Errorf("a pair was minted for %s: %v, access key %q", key.Name, err, key.Status.AccessKey)
		}
	}
	change(t, endless, func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "1h" })
	change(t, long, func(k *v1alpha1.APIKey) { k.Spec.Rotation.Every = "719h" })
	awaitReady(t, endless, long)
	w.limit(t, "")
	awaitReady(t, owners)
}

// A maximum binds what is new: a key in force lives on, and once its Secret is lost no
// other pair is minted beyond the maximum.
func TestAPIKeyLifetimeBindsNewPairsOnly(t *testing.T) {
	w := newKeyWorld(t, nil)
	before := w.key.Status.AccessKey
	w.limit(t, "720h")
	poke(t, w.key)
	awaitQuiet(t, w.operator)
	awaitReady(t, w.key)
	if w.key.Status.AccessKey != before || !w.valid(t, before) {
		t.Fatal("a maximum ended a key in force")
	}
	remove(t, &corev1.Secret{ObjectMeta: objectMeta(w.key.Namespace, w.key.Name)})
	w.awaitRefused(t)
	if w.valid(t, before) {
		t.Error("the key counts though its Secret is gone")
	}
	change(t, w.key, func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "720h" })
	if after := w.awaitKey(t, before); !w.valid(t, after) {
		t.Error("the new key does not count")
	}
}

func TestAPIKeyLifetimeAtARotation(t *testing.T) {
	w := newKeyWorld(t, func(k *v1alpha1.APIKey) { k.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"} })
	before := w.key.Status.AccessKey
	w.limit(t, "720h")
	w.Clock.SetTime(w.key.Status.NextRotationAt.Add(time.Minute))
	poke(t, w.key)
	w.awaitRefused(t)
	if len(w.key.Status.Keys) != 1 || w.key.Status.AccessKey != before || !w.valid(t, before) {
		t.Fatalf("the pair in force did not stay alone: %+v", w.key.Status.Keys)
	}
	w.Clock.SetTime(w.key.Status.ExpiresAt.Add(time.Minute))
	if w.valid(t, before) {
		t.Error("the pair outlives what was declared when it was minted")
	}
	change(t, w.key, func(k *v1alpha1.APIKey) { k.Spec.Rotation.Every = "672h" })
	after := w.awaitKey(t, before)
	eventually(t, "the key rotates within the maximum", func(context.Context) (bool, string) {
		return w.valid(t, after), after
	})
}
