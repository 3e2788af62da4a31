// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// fieldOwner is the operator's name in managed fields.
const fieldOwner = client.FieldOwner("iam-operator")

// Environment is what the controllers work with.
type Environment struct {
	// Client reads from the cache and writes to the API server.
	Client client.Client
	// APIReader reads from the API server, for what must not be behind.
	APIReader client.Reader
	// Store is the canonical store.
	Store store.Store
	// Recorder writes rows together with their audit events.
	Recorder *audit.Recorder
	// Events tells people what happened to their objects.
	Events events.EventRecorder
	// Keyring vouches for Secrets.
	Keyring credentials.Keyring
	// Hasher hashes passwords, a few at a time.
	Hasher *credentials.Hasher
	// Admission says that the webhooks judge what is declared, so that what nobody judged waits.
	Admission bool
	// Judged says whether admission judged a generation of an object with this digest without
	// having been able to record it; nil means that nothing was.
	Judged func(objectUID string, generation int64, digest string) bool
	// Clock and Random are the outside world's time and chance.
	Clock  clock.PassiveClock
	Random io.Reader
	// APIURL is where the clients of an API key find the IAM API.
	APIURL string
}

// applyStatus writes the whole status by server-side apply. The resource version makes
// sure that it meets the very object it speaks of, and no successor of the same name: on
// a status, the API server does not look at the uid.
func (e *Environment) applyStatus(ctx context.Context, obj Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return fmt.Errorf("convert the status: %w", err)
	}
	gvk, err := apiutil.GVKForObject(obj, e.Client.Scheme())
	if err != nil {
		return fmt.Errorf("find the kind of the status: %w", err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"status": content["status"]}}
	patch.SetGroupVersionKind(gvk)
	patch.SetName(obj.GetName())
	patch.SetNamespace(obj.GetNamespace())
	patch.SetResourceVersion(obj.GetResourceVersion())
	err = e.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), fieldOwner, client.ForceOwnership)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

// own makes an object go with its owner. The owner's deletion does not wait for it, which
// would take a right that the operator does not need otherwise.
func own(owner, owned client.Object, scheme *runtime.Scheme) error {
	return controllerutil.SetControllerReference(owner, owned, scheme, controllerutil.WithBlockOwnerDeletion(false))
}

// report tells people that an object is stalled, where they look for it: once for each
// reason and generation, and only what they can act on.
func (e *Environment) report(obj, before Object, err error) {
	f, explained := asFailure(err)
	if e.Events == nil || !explained || f.class != stalledClass {
		return
	}
	for _, condition := range before.GetObjectStatus().Conditions {
		if condition.Type == v1alpha1.ConditionReady && condition.Reason == f.reason && condition.ObservedGeneration == obj.GetGeneration() {
			return
		}
	}
	e.Events.Eventf(obj, nil, "Warning", f.reason, "Reconcile", "%s", cut(f.message, maxMessage))
}

// writeRows makes the entities all that the store holds of an object, in one transaction
// with the audit events, on behalf of whoever changed the object; obj is nil when it is
// gone. Nothing is written when the store holds just that already.
func (e *Environment) writeRows(ctx context.Context, object iam.Object, entities []iam.Entity, obj Object, refs ...reference) (wrote bool, err error) {
	rows, err := rowsOf(ctx, e.Store, object)
	if err != nil {
		return false, err
	}
	settled, err := sameEntities(rows, entities)
	if err != nil || settled {
		return false, err
	}
	by, err := e.causesOf(ctx, obj, rows, refs)
	if err != nil {
		return false, err
	}
	_, err = e.Store.Write(ctx, func(tx store.Tx) error {
		return replaceRows(ctx, tx, e.Recorder, object, entities, by)
	})
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		// The cache was behind when the contest was judged. The store is the last judge.
		return false, fmt.Errorf("waiting for the name to be freed: %w", err)
	}
	return err == nil, err
}

func isReady(status *v1alpha1.ObjectStatus) bool {
	return declared.ReadyReason(status) == v1alpha1.ReasonApplied
}
