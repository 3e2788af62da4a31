// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// GuardedAnnotations are those that do something, and so are judged and attributed like the spec.
func GuardedAnnotations() []string {
	return []string{v1alpha1.IDAnnotation, v1alpha1.RotateAtAnnotation, v1alpha1.UnlockAtAnnotation, v1alpha1.ResetMFAAtAnnotation}
}

// Digest tells one declaration from another: it covers the spec, the guarded annotations, and
// of a permission set the label that says whose it is. Admission and the reconcilers compute it
// alike (SHA-256, in hexadecimal).
func Digest(obj Object) string {
	return digest(reflect.ValueOf(obj).Elem().FieldByName("Spec").Interface(), guardedMarks(obj))
}

// MarksDigest tells what Digest covers beside the spec, which no generation counts; empty where there is nothing.
func MarksDigest(obj Object) string {
	marks := guardedMarks(obj)
	if len(marks) == 0 {
		return ""
	}
	return digest(marks)
}

func guardedMarks(obj Object) map[string]string {
	marks := map[string]string{}
	for _, name := range GuardedAnnotations() {
		if value, found := obj.GetAnnotations()[name]; found {
			marks[name] = value
		}
	}
	if _, isSet := obj.(*v1alpha1.PermissionSet); isSet {
		if value, found := obj.GetLabels()[v1alpha1.ManagedLabel]; found {
			marks[v1alpha1.ManagedLabel] = value
		}
	}
	return marks
}

func digest(parts ...any) string {
	body, err := json.Marshal(parts)
	if err != nil {
		// Specs and annotations came from JSON, so that they can become JSON again.
		panic(fmt.Sprintf("declared: encode %T: %v", parts, err))
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
