// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// RotateAt is the time in annotation iam-operator.dev/rotate-at, in UTC, at which a key is rotated once; false when there
// is none. What is not an RFC 3339 time is an error.
func RotateAt(obj metav1.Object) (time.Time, bool, error) {
	return actAt(obj, v1alpha1.RotateAtAnnotation)
}

// UnlockAt is the time in annotation iam-operator.dev/unlock-at, in UTC, at which a lock that arose at run time is lifted
// once; false when there is none. What is not an RFC 3339 time is an error.
func UnlockAt(obj metav1.Object) (time.Time, bool, error) {
	return actAt(obj, v1alpha1.UnlockAtAnnotation)
}

// ResetMFAAt is the time in annotation iam-operator.dev/reset-mfa-at, in UTC, at which a second factor is forgotten once;
// false when there is none. What is not an RFC 3339 time is an error.
func ResetMFAAt(obj metav1.Object) (time.Time, bool, error) {
	return actAt(obj, v1alpha1.ResetMFAAtAnnotation)
}

func actAt(obj metav1.Object, annotation string) (time.Time, bool, error) {
	written, found := obj.GetAnnotations()[annotation]
	if !found {
		return time.Time{}, false, nil
	}
	at, err := time.Parse(time.RFC3339, written)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("annotation %s: %q is not an RFC 3339 time; write one such as 2027-06-01T00:00:00Z", annotation, written)
	}
	return at.UTC(), true, nil
}

// AnnotationErrors says what is wrong with the annotations that ask for an act at a time. Admission refuses it; in the
// loop a slip must not stall an object that is in use, so that the validators leave it alone.
func AnnotationErrors(obj Object) field.ErrorList {
	path := field.NewPath("metadata", "annotations")
	var errs field.ErrorList
	for _, annotation := range []string{v1alpha1.RotateAtAnnotation, v1alpha1.UnlockAtAnnotation, v1alpha1.ResetMFAAtAnnotation} {
		if _, _, err := actAt(obj, annotation); err != nil {
			errs = append(errs, field.Invalid(path.Key(annotation), obj.GetAnnotations()[annotation], "write an RFC 3339 time, such as 2027-06-01T00:00:00Z"))
		}
	}
	return errs
}
