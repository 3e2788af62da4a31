// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

const (
	// maxSecretName leaves room for the second Secret, <secretName>-retiring.
	maxSecretName = 244
	// ownPrefix is of the labels and annotations that are the operator's.
	ownPrefix = "iam-operator.dev/"
)

// keyLifeBounds are those of expiresIn and rotation.every, as in the schema.
var keyLifeBounds = bounds{least: time.Minute, most: 87600 * time.Hour, strict: time.Minute}

// ValidateAPIKey says what is wrong with an APIKey, as far as it alone tells. It says nothing of annotations: a slip in
// rotate-at must not stall a key that is in use.
func ValidateAPIKey(k *v1alpha1.APIKey) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateObject(k)
	errs = append(errs, validateBearer(spec.Child("bearer"), k)...)
	errs = append(errs, validateExpiry(spec, &k.Spec)...)
	errs = append(errs, validateSecretName(k)...)
	return append(errs, validateSecretTemplate(spec.Child("secretTemplate"), k.Spec.SecretTemplate)...)
}

func validateBearer(path *field.Path, k *v1alpha1.APIKey) field.ErrorList {
	bearer, home := k.Spec.Bearer, string(k.Spec.OrganizationRef.Namespace)
	switch {
	case bearer.Kind != v1alpha1.BearerOwner && bearer.Name == "":
		return field.ErrorList{field.Required(path.Child("name"), "an Application or a Member is named; only the Owner has no name")}
	case bearer.Kind == v1alpha1.BearerOwner && bearer.Name != "":
		return field.ErrorList{field.Forbidden(path.Child("name"), "the Owner of the Organization has no name; remove it")}
	case bearer.Kind == v1alpha1.BearerOwner && home != "" && home != k.Namespace:
		return field.ErrorList{field.Forbidden(path.Child("kind"),
			"a key of the Owner may exist in the Organization's own namespace only; create it there, or choose an Application as bearer")}
	}
	return nil
}

func validateExpiry(spec *field.Path, k *v1alpha1.APIKeySpec) field.ErrorList {
	var set []string
	if k.ExpiresAt != nil {
		set = append(set, "expiresAt")
	}
	if k.ExpiresIn != "" {
		set = append(set, "expiresIn")
	}
	if k.Rotation != nil {
		set = append(set, "rotation")
	}
	var errs field.ErrorList
	if len(set) > 1 {
		errs = append(errs, field.Invalid(spec, strings.Join(set, ", "), "at most one of expiresAt, expiresIn and rotation may be set; keep one of them"))
	}
	errs = append(errs, keyLifeBounds.validate(spec.Child("expiresIn"), k.ExpiresIn)...)
	if k.Rotation != nil {
		errs = append(errs, validateRotation(spec.Child("rotation"), k.Rotation)...)
	}
	return errs
}

func validateRotation(path *field.Path, rotation *v1alpha1.Rotation) field.ErrorList {
	if rotation.Every == "" {
		return field.ErrorList{field.Required(path.Child("every"), "a rotation says how often, such as 720h")}
	}
	errs := keyLifeBounds.validate(path.Child("every"), rotation.Every)
	overlap, err := parseDuration(rotation.Overlap)
	if err != nil {
		return append(errs, field.Invalid(path.Child("overlap"), rotation.Overlap, err.Error()))
	}
	if every, err := parseDuration(rotation.Every); err == nil && overlap >= every {
		errs = append(errs, field.Invalid(path.Child("overlap"), rotation.Overlap,
			fmt.Sprintf("the overlap must be shorter than every, which is %s, so that at most two keys work at a time", rotation.Every)))
	}
	return errs
}

func validateSecretName(k *v1alpha1.APIKey) field.ErrorList {
	path, name := field.NewPath("spec", "secretName"), k.Spec.SecretName
	if name == "" {
		path, name = field.NewPath("metadata", "name"), k.Name
	}
	if len(name) > maxSecretName {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{},
			fmt.Sprintf("the Secret's name has %d characters and may have %d, so that <name>-retiring fits beside it; set a shorter spec.secretName",
				len(name), maxSecretName))}
	}
	if k.Spec.SecretName == "" {
		return nil // metadata.name has the form already; before admission it may be generated, and so absent
	}
	var errs field.ErrorList
	for _, words := range validation.IsDNS1123Subdomain(name) {
		errs = append(errs, field.Invalid(path, name, words))
	}
	return errs
}

func validateSecretTemplate(path *field.Path, template *v1alpha1.SecretTemplate) field.ErrorList {
	if template == nil {
		return nil
	}
	labels, annotations := path.Child("labels"), path.Child("annotations")
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(template.Labels)) {
		errs = append(errs, validateSecretKey(labels.Key(key), key, validation.IsQualifiedName(key))...)
		for _, words := range validation.IsValidLabelValue(template.Labels[key]) {
			errs = append(errs, field.Invalid(labels.Key(key), template.Labels[key], words))
		}
	}
	size := 0
	for _, key := range slices.Sorted(maps.Keys(template.Annotations)) {
		// Annotations are named without regard to case, as the API server does.
		errs = append(errs, validateSecretKey(annotations.Key(key), key, validation.IsQualifiedName(strings.ToLower(key)))...)
		size += len(key) + len(template.Annotations[key])
	}
	if size > apivalidation.TotalAnnotationSizeLimitB {
		errs = append(errs, field.TooLong(annotations, nil, apivalidation.TotalAnnotationSizeLimitB))
	}
	return errs
}

func validateSecretKey(path *field.Path, key string, problems []string) field.ErrorList {
	if strings.HasPrefix(key, ownPrefix) {
		return field.ErrorList{field.Forbidden(path, ownPrefix+"… is the operator's own; choose another prefix")}
	}
	var errs field.ErrorList
	for _, words := range problems {
		errs = append(errs, field.Invalid(path, key, words))
	}
	return errs
}
