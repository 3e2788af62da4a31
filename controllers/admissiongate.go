// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch

const (
	// AdmissionConfiguration is the name of the webhooks' configurations.
	AdmissionConfiguration = "iam-operator"
	// GuardWebhook is the webhook that judges what is declared.
	GuardWebhook = "guard.iam-operator.dev"
)

// awaitAdmission gives a waiting failure for a generation that nobody judged, where
// admission is switched on: it was stored while the webhooks' configuration was not there.
// That it is there again does not judge what was stored in between, so such an object waits
// until somebody submits it again. A record of who asked shows that it was judged.
func (e *Environment) awaitAdmission(ctx context.Context, obj Object) error {
	if !e.Admission || isCatalogueSet(obj) || wasApplied(obj) {
		return nil
	}
	judged, err := e.wasJudged(ctx, obj)
	if err != nil || judged {
		return err
	}
	status := obj.GetObjectStatus()
	held := readyReason(status) == v1alpha1.ReasonAdmissionMissing && status.ObservedGeneration == obj.GetGeneration()
	if !held {
		installed, err := e.admissionInstalled(ctx)
		if err != nil || installed {
			return err
		}
	}
	return waiting(v1alpha1.ReasonAdmissionMissing,
		"This was stored while the operator's webhooks were not installed, so nobody judged it, and it is not applied. Install them (kubectl apply -k config/default), "+
			"then submit it again: edit it, or kubectl annotate it with %s=\"$(date)\" --overwrite", v1alpha1.ReconcileAtAnnotation)
}

// wasJudged says whether admission recorded who asked for just what the object is now.
func (e *Environment) wasJudged(ctx context.Context, obj Object) (bool, error) {
	records, err := e.Store.Attributions(ctx, string(obj.GetUID()))
	if err != nil {
		return false, fmt.Errorf("look for who asked for the change: %w", err)
	}
	return len(authors(records, obj.GetGeneration(), declared.Digest(obj))) > 0, nil
}

// wasApplied says whether this generation has been let through before.
func wasApplied(obj Object) bool {
	status := obj.GetObjectStatus()
	reason := readyReason(status)
	return status.ObservedGeneration == obj.GetGeneration() && reason != "" && reason != v1alpha1.ReasonAdmissionMissing
}

// admissionInstalled says whether the API server asks the guard before it stores anything. It
// asks the API server itself: the cache could have a configuration that was gone when the
// object was stored. That costs little, since what was judged has a record as a rule.
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

// guards says whether a configuration has the guard asked about everything, and nothing
// stored without its answer.
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
		if readyReason(item.(Object).GetObjectStatus()) == v1alpha1.ReasonAdmissionMissing {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(item)})
		}
	}))
	if err != nil {
		log.FromContext(ctx).Error(err, "The objects that wait for admission could not be listed", "kind", r.name)
	}
	return requests
}
