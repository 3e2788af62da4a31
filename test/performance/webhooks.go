// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/admission"
)

// exempt has the API server ask no webhook about what is created in a namespace, and returns when it goes by that. A
// selector comes before everything else that a webhook costs, so that nothing of it is left.
func (b *bench) exempt(ctx context.Context, namespace string) error {
	others := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{namespace}},
	}}
	validating, mutating := &admissionv1.ValidatingWebhookConfiguration{}, &admissionv1.MutatingWebhookConfiguration{}
	err := errors.Join(
		b.change(ctx, validating, func() {
			for i := range validating.Webhooks {
				validating.Webhooks[i].NamespaceSelector = others
			}
		}),
		b.change(ctx, mutating, func() {
			for i := range mutating.Webhooks {
				mutating.Webhooks[i].NamespaceSelector = others
			}
		}))
	if err != nil {
		return err
	}
	return b.await(ctx, "the API server asks about one namespace and not about the other", 100*time.Millisecond, b.asksOneSide)
}

// change changes one of the webhooks' configurations, into which the operator writes too.
func (b *bench) change(ctx context.Context, configuration client.Object, change func()) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := b.client.Get(ctx, client.ObjectKey{Name: admission.Configuration}, configuration); err != nil {
			return err
		}
		change()
		return b.client.Update(ctx, configuration)
	})
}

// asksOneSide tries, as a dry run, what the guard refuses and the API server alone does not; and looks at who gets the
// finalizer by default.
func (b *bench) asksOneSide(ctx context.Context) (bool, string, error) {
	so, seen := true, ""
	for namespace, asked := range map[string]bool{askedNamespace: true, unaskedNamespace: false} {
		wrong, plain := project(namespace, "probe"), project(namespace, "probe")
		wrong.Annotations = map[string]string{v1alpha1.IDAnnotation: "42"}
		guarded := b.client.Create(ctx, wrong, client.DryRunAll)
		if err := b.client.Create(ctx, plain, client.DryRunAll); err != nil {
			return false, "", err
		}
		so = so && apierrors.IsInvalid(guarded) == asked && len(plain.Finalizers) > 0 == asked
		seen += fmt.Sprintf("In namespace %s the guard says %v, and the finalizers are %v. ", namespace, guarded, plain.Finalizers)
	}
	return so, seen, nil
}

// calls are those of one webhook about creates, as the API server counted them.
type calls struct {
	webhook string
	count   uint64
	seconds float64
	// quick took no longer than the bar.
	quick uint64
}

func (c calls) since(before calls) calls {
	return calls{c.webhook, c.count - before.count, c.seconds - before.seconds, c.quick - before.quick}
}

// String says how long the calls took.
func (c calls) String() string {
	mean := time.Duration(c.seconds / float64(max(c.count, 1)) * float64(time.Second))
	return fmt.Sprintf("%s took %s on average, %d of %d calls at most %s", c.webhook, shortened(mean), c.quick, c.count, admissionBar)
}

const webhookDuration = "apiserver_admission_webhook_admission_duration_seconds"

// calls reads the API server's metrics.
func (b *bench) calls(ctx context.Context) ([]calls, error) {
	text, err := b.raw.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	all := []calls{{webhook: "default.iam-operator.dev"}, {webhook: admission.GuardWebhook}}
	for _, metric := range families[webhookDuration].GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		for i := range all {
			if labels["name"] == all[i].webhook && labels["operation"] == "CREATE" {
				all[i].add(metric.GetHistogram())
			}
		}
	}
	return all, nil
}

func (c *calls) add(histogram *dto.Histogram) {
	c.count += histogram.GetSampleCount()
	c.seconds += histogram.GetSampleSum()
	for _, bucket := range histogram.GetBucket() {
		if bucket.GetUpperBound() == admissionBar.Seconds() {
			c.quick += bucket.GetCumulativeCount()
		}
	}
}
