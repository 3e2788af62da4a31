// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// LifetimeErrors says what is wrong with an API key by its Organization's maximum lifetime, if a pair were minted for it;
// zero means that there is no maximum. An expiry counts from the key's creation, which is given, since an object that is
// still to be admitted has none; the pairs of a rotation count each from its minting. A duration that cannot be read is
// left to ValidateAPIKey.
func LifetimeErrors(k *v1alpha1.APIKey, most time.Duration, from time.Time) field.ErrorList {
	if most <= 0 {
		return nil
	}
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if at := k.Spec.ExpiresAt; at != nil && at.Sub(from) > most {
		errs = append(errs, field.Invalid(spec.Child("expiresAt"), at.UTC().Format(time.RFC3339),
			fmt.Sprintf("an API key of this Organization lives for at most %s from its creation (spec.security.maxAPIKeyLifetime); choose a time no later than %s",
				lifetime(most), from.Add(most).UTC().Format(time.RFC3339))))
	}
	if in, err := parseDuration(k.Spec.ExpiresIn); err == nil && in > most {
		errs = append(errs, field.Invalid(spec.Child("expiresIn"), k.Spec.ExpiresIn,
			fmt.Sprintf("an API key of this Organization lives for at most %s (spec.security.maxAPIKeyLifetime); choose that, or less", lifetime(most))))
	}
	if k.Spec.Rotation != nil {
		errs = append(errs, rotationLifetime(spec.Child("rotation"), k.Spec.Rotation, most)...)
	}
	if k.Spec.ExpiresAt == nil && k.Spec.ExpiresIn == "" && k.Spec.Rotation == nil {
		errs = append(errs, field.Required(spec.Child("expiresAt"),
			fmt.Sprintf("the Organization's security settings require an expiry of API keys, of at most %s (spec.security.maxAPIKeyLifetime); set expiresAt, expiresIn or rotation",
				lifetime(most))))
	}
	return errs
}

func rotationLifetime(path *field.Path, rotation *v1alpha1.Rotation, most time.Duration) field.ErrorList {
	every, err := parseDuration(rotation.Every)
	if err != nil {
		return nil
	}
	overlap, err := parseDuration(rotation.Overlap)
	if err != nil || every+overlap <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(path, field.OmitValueType{},
		fmt.Sprintf("each pair lives for every + overlap, which is %s, and an API key of this Organization for at most %s (spec.security.maxAPIKeyLifetime); shorten one of the two",
			lifetime(every+overlap), lifetime(most)))}
}

// lifetime writes a duration as people declare it: in whole hours or minutes where it is such.
func lifetime(d time.Duration) string {
	if d%time.Minute != 0 {
		return d.String()
	}
	return short(d)
}
