// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// What was let through once is not held later, and what is held stays so at its generation.
func TestWasLetThrough(t *testing.T) {
	rotate := map[string]string{v1alpha1.RotateAtAnnotation: "2027-06-01T00:00:00Z"}
	key := &v1alpha1.APIKey{}
	key.Annotations = rotate
	rotated := declared.MarksDigest(key)
	for name, tc := range map[string]struct {
		observed    int64
		reason      string
		annotations map[string]string
		digest      string
		let, held   bool
	}{
		"never seen":                      {observed: -1},
		"a new generation":                {observed: 1, reason: v1alpha1.ReasonApplied},
		"applied":                         {observed: 2, reason: v1alpha1.ReasonApplied, let: true},
		"let through, and waiting":        {observed: 2, reason: v1alpha1.ReasonReferenceNotFound, let: true},
		"no conditions":                   {observed: 2},
		"held":                            {observed: 2, reason: v1alpha1.ReasonAdmissionMissing, held: true},
		"held, and edited since":          {observed: 1, reason: v1alpha1.ReasonAdmissionMissing},
		"an act asked for since":          {observed: 2, reason: v1alpha1.ReasonApplied, annotations: rotate},
		"an act let through":              {observed: 2, reason: v1alpha1.ReasonApplied, annotations: rotate, digest: rotated, let: true},
		"an act let through, and removed": {observed: 2, reason: v1alpha1.ReasonApplied, digest: rotated},
		"an annotation that does nothing": {observed: 2, reason: v1alpha1.ReasonApplied, annotations: map[string]string{v1alpha1.ReconcileAtAnnotation: "now"}, let: true},
	} {
		t.Run(name, func(t *testing.T) {
			key := &v1alpha1.APIKey{}
			key.Generation, key.Annotations = 2, tc.annotations
			key.Status.ObservedGeneration, key.Status.ObservedMarks = tc.observed, tc.digest
			if tc.reason != "" {
				key.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: tc.reason}}
			}
			if let, held := declared.WasLetThrough(key), declared.IsHeld(key); let != tc.let || held != tc.held {
				t.Errorf("let through %t, held %t; want %t, %t", let, held, tc.let, tc.held)
			}
		})
	}
}
