// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// lifetimeErrors holds what is new of a key's life to its Organization's maximum, counted
// from the key's creation. What is in force already, and what only shortens it, is not new:
// a maximum that was lowered must not keep anybody from editing a description.
func (v *validator) lifetimeErrors(ctx context.Context, a *attempt, k *v1alpha1.APIKey, tenant *v1alpha1.Organization) (field.ErrorList, error) {
	if tenant == nil {
		return nil, nil
	}
	if former, ok := a.Former.(*v1alpha1.APIKey); ok && !lengthens(k, former) && !rotates(k, former) {
		return nil, nil
	}
	security, err := v.history.security(ctx, tenant)
	if err != nil {
		return nil, err
	}
	from := k.CreationTimestamp.Time
	if from.IsZero() {
		from = v.now()
	}
	return declared.LifetimeErrors(k, security.MaxAPIKeyLifetime, from), nil
}

// rotates says whether a rotation is newly asked for, and so a new pair.
func rotates(k, former *v1alpha1.APIKey) bool {
	at, found := k.Annotations[v1alpha1.RotateAtAnnotation]
	before, had := former.Annotations[v1alpha1.RotateAtAnnotation]
	return found && (!had || at != before)
}

// lengthens says whether a key may live longer than before. A rotation mints pairs for ever,
// so that it compares with another rotation only.
func lengthens(k, former *v1alpha1.APIKey) bool {
	now, before := k.Spec.Rotation, former.Spec.Rotation
	switch {
	case now != nil && before != nil:
		return span(now.Every)+span(now.Overlap) > span(before.Every)+span(before.Overlap)
	case now != nil || before != nil:
		return true
	}
	return endOf(k).After(endOf(former))
}

// endOf is when a key that does not rotate ends.
func endOf(k *v1alpha1.APIKey) time.Time {
	switch {
	case k.Spec.ExpiresAt != nil:
		return k.Spec.ExpiresAt.Time
	case k.Spec.ExpiresIn != "":
		return k.CreationTimestamp.Add(span(k.Spec.ExpiresIn))
	}
	return time.Unix(math.MaxInt32*int64(1000), 0) // later than any time that can be written
}

// span is a duration's length; that of one that can't be read, which is refused elsewhere, is 0.
func span(written v1alpha1.Duration) time.Duration {
	if written == "" {
		return 0
	}
	parsed, err := written.Parse()
	if err != nil {
		return 0
	}
	return parsed
}
