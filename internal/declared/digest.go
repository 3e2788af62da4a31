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

// Digest tells one declaration from another: it covers the spec and the guarded
// annotations. Admission and the reconcilers compute it alike (SHA-256, in hexadecimal).
func Digest(obj Object) string {
	return digest(reflect.ValueOf(obj).Elem().FieldByName("Spec").Interface(), guardedAnnotations(obj))
}

// AnnotationsDigest tells one set of guarded annotations from another, which no generation does; empty where there are none.
func AnnotationsDigest(obj Object) string {
	annotations := guardedAnnotations(obj)
	if len(annotations) == 0 {
		return ""
	}
	return digest(annotations)
}

func guardedAnnotations(obj Object) map[string]string {
	annotations := map[string]string{}
	for _, name := range GuardedAnnotations() {
		if value, found := obj.GetAnnotations()[name]; found {
			annotations[name] = value
		}
	}
	return annotations
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
