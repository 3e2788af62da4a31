// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch

const (
	// AdmissionConfiguration is the name of the webhooks' configurations.
	AdmissionConfiguration = "iam-operator"
	// GuardWebhook is the webhook that judges what is declared.
	GuardWebhook = "guard.iam-operator.dev"
)

// awaitAdmission gives a waiting failure for what nobody judged, where admission is switched
// on: it was stored while the webhooks' configuration was not there. That it is there again
// does not judge what was stored in between, so such an object waits until somebody submits
// it again. Only a record of who asked shows that it was judged, or Judged, where admission
// could make none.
func (e *Environment) awaitAdmission(ctx context.Context, obj Object) error {
	if !e.Admission || isCatalogueSet(obj) || declared.WasLetThrough(obj) {
		return nil
	}
	uid, generation, digest := string(obj.GetUID()), obj.GetGeneration(), declared.Digest(obj)
	records, err := e.Store.Attributions(ctx, uid)
	if err != nil {
		return fmt.Errorf("look for who asked for the change: %w", err)
	}
	if iam.Admitted(records, generation, digest) || e.Judged != nil && e.Judged(uid, generation, digest) {
		return nil
	}
	installed, err := e.admissionInstalled(ctx)
	if err != nil {
		return err
	}
	advice := "Submit it again: edit it"
	if !installed {
		advice = "Install them (kubectl apply -k config/default), then submit it again: edit it"
	}
	return waiting(v1alpha1.ReasonAdmissionMissing,
		"There is no record that the operator's webhooks judged this, as when it was stored while they were not installed; so it is not applied, and what was applied before stays. %s, or %s",
		advice, resubmit(e.Client.Scheme(), obj))
}

// isUnjudged says whether nobody judged what an object declares now.
func (e *Environment) isUnjudged(ctx context.Context, obj Object) (bool, error) {
	err := e.awaitAdmission(ctx, obj)
	if _, waits := asFailure(err); waits {
		return true, nil
	}
	return false, err
}

// resubmit is a command that has an object judged as a whole.
func resubmit(scheme *runtime.Scheme, obj Object) string {
	kind := "<kind>"
	if gvk, err := apiutil.GVKForObject(obj, scheme); err == nil {
		kind = strings.ToLower(gvk.Kind) + "." + gvk.Group
	}
	_, isSet := obj.(*v1alpha1.PermissionSet)
	if _, managed := obj.GetLabels()[v1alpha1.ManagedLabel]; managed && isSet {
		// Of who may write any set, the webhooks are not asked about one with the label of the built-in ones.
		return fmt.Sprintf("kubectl label %s %s %s-", kind, obj.GetName(), v1alpha1.ManagedLabel)
	}
	namespace := ""
	if obj.GetNamespace() != "" {
		namespace = " -n " + obj.GetNamespace()
	}
	return fmt.Sprintf("kubectl%s annotate %s %s %s=\"$(date)\" --overwrite", namespace, kind, obj.GetName(), v1alpha1.ReconcileAtAnnotation)
}

// admissionInstalled says whether the API server asks the guard before it stores anything. It
// asks the API server itself: the cache could have a configuration that is gone. That costs
// little, since what was judged has a record as a rule.
func (e *Environment) admissionInstalled(ctx context.Context) (bool, error) {
	configuration := &admissionv1.ValidatingWebhookConfiguration{}
	err := e.APIReader.Get(ctx, client.ObjectKey{Name: AdmissionConfiguration}, configuration)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the webhooks' configuration: %w", err)
	}
	return guards(configuration), nil
}

// guards says whether a configuration has the guard asked in every namespace, and nothing
// stored without its answer. It is for the advice alone: what counts is the record.
func guards(configuration *admissionv1.ValidatingWebhookConfiguration) bool {
	return configuration.DeletionTimestamp.IsZero() && slices.ContainsFunc(configuration.Webhooks, func(webhook admissionv1.ValidatingWebhook) bool {
		closed := webhook.FailurePolicy == nil || *webhook.FailurePolicy == admissionv1.Fail
		return webhook.Name == GuardWebhook && closed && len(webhook.Rules) > 0 && selectsAll(webhook)
	})
}

func selectsAll(webhook admissionv1.ValidatingWebhook) bool {
	namespaces, objects := webhook.NamespaceSelector, webhook.ObjectSelector
	return (namespaces == nil || len(namespaces.MatchLabels)+len(namespaces.MatchExpressions) == 0) &&
		(objects == nil || len(objects.MatchLabels)+len(objects.MatchExpressions) == 0)
}

// keyKeeper is a kind whose objects have SSH keys to keep.
type keyKeeper[T Object] interface {
	// keepKeys lets in who may get in, and nobody else, while the object itself waits;
	// counts says whether anything of it was applied.
	keepKeys(ctx context.Context, obj T, counts bool) error
}

// hold keeps what was applied of an object that waits for admission, and says so in its
// status. What goes does not wait: a namespace that is admitted no more, an SSH key.
func (r *Reconciler[T]) hold(ctx context.Context, obj, before T, why error) error {
	if !settled(why) {
		return why // The status still says what the object waits for, which must not be forgotten.
	}
	if o, ok := any(obj).(belonging); ok {
		_, err := r.tenantOf(ctx, o)
		if settled(err) && err != nil {
			_, err = r.writeRows(ctx, r.objectOf(obj), nil, before, r.kind.references(obj)...)
		}
		if err != nil {
			return err
		}
	}
	if keeper, ok := r.kind.(keyKeeper[T]); ok {
		counts, err := r.hasRow(ctx, obj)
		if err == nil {
			err = keeper.keepKeys(ctx, obj, counts)
		}
		if !settled(err) {
			return err
		}
	}
	return r.conclude(ctx, obj, before, why)
}

// sealOff keeps what an Organization declares from reaching others while nobody judged it: its
// owner and its rules for credentials are those of its rows, and other namespaces get nothing
// in that is not in already.
func (t *tenant) sealOff(ctx context.Context) error {
	var err error
	if t.sealed, err = t.isUnjudged(ctx, t.organization); err != nil || !t.sealed {
		return err
	}
	for kind, id := range map[iam.Kind]string{iam.KindOrganization: t.id, iam.KindMember: iam.OwnerID(t.id)} {
		row, err := t.Store.Get(ctx, kind, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find what is in force of Organization %s: %w", t.organization.Name, err)
		}
		switch entity := row.Entity.(type) {
		case *iam.Organization:
			t.security = entity.Security
		case *iam.Member:
			t.organization.Spec.Owner.Email = v1alpha1.Email(entity.Email)
		}
	}
	return nil
}

// hasRow says whether the store has a row of an object.
func (e *Environment) hasRow(ctx context.Context, obj Object) (bool, error) {
	gvk, err := apiutil.GVKForObject(obj, e.Client.Scheme())
	if err != nil {
		return false, fmt.Errorf("find the kind of %s: %w", obj.GetName(), err)
	}
	object := iam.Object{Kind: iam.Kind(gvk.Kind), Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: string(obj.GetUID())}
	rows, err := e.Store.Count(ctx, store.Query{Kind: object.Kind, Object: &object})
	return rows > 0, err
}

// wakeHeld asks for the objects of the kind that wait for admission: the webhooks'
// configuration has come, gone or changed.
func (r *Reconciler[T]) wakeHeld(ctx context.Context, configuration client.Object) []ctrl.Request {
	if configuration.GetName() != AdmissionConfiguration {
		return nil
	}
	list := r.prototypeList.DeepCopyObject().(client.ObjectList)
	var requests []ctrl.Request
	err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy)
	err = firstError(err, eachItem(list, func(item client.Object) {
		if declared.ReadyReason(item.(Object).GetObjectStatus()) == v1alpha1.ReasonAdmissionMissing {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(item)})
		}
	}))
	if err != nil {
		log.FromContext(ctx).Error(err, "The objects that wait for admission could not be listed", "kind", r.name)
	}
	return requests
}
