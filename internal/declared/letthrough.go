// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// WasLetThrough says whether the operator has acted upon just this generation and the marks that Digest covers beside it before, by
// what it wrote into the status.
func WasLetThrough(obj Object) bool {
	status := obj.GetObjectStatus()
	reason := ReadyReason(status)
	return reason != "" && reason != v1alpha1.ReasonAdmissionMissing &&
		status.ObservedGeneration == obj.GetGeneration() && status.ObservedMarks == MarksDigest(obj)
}

// IsHeld says whether the status records that this very generation waits for admission.
func IsHeld(obj Object) bool {
	status := obj.GetObjectStatus()
	return ReadyReason(status) == v1alpha1.ReasonAdmissionMissing && status.ObservedGeneration == obj.GetGeneration()
}

// ReadyReason is the reason of condition Ready; empty while there is none.
func ReadyReason(status *v1alpha1.ObjectStatus) string {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason
}
