// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// failureClass says what helps against a failure.
type failureClass int

const (
	// stalledClass: the spec can't work. Nothing is retried until it, or what it refers to, changes.
	stalledClass failureClass = iota
	// waitingClass: something is missing or held by another. A watch wakes the object.
	waitingClass
)

// failure is why an object's spec is not applied. Any error that is no failure is
// transient: the reconciler tries again by itself.
type failure struct {
	class   failureClass
	reason  string
	message string
}

// Error gives the sentence for the person who reads the object's status.
func (f *failure) Error() string { return f.message }

func stalled(reason, format string, args ...any) error {
	return &failure{stalledClass, reason, fmt.Sprintf(format, args...)}
}

func waiting(reason, format string, args ...any) error {
	return &failure{waitingClass, reason, fmt.Sprintf(format, args...)}
}

// asFailure tells the failures that the status explains from the transient errors.
func asFailure(err error) (*failure, bool) {
	var f *failure
	ok := errors.As(err, &f)
	return f, ok
}

// firstError gives the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// conflictPoll is how often to look again at what is held by something that is not watched:
// a Secret or ConfigMap that is not ours, an id of an object of another kind.
const conflictPoll = 30 * time.Second

// pollConflict says when to look again after a failure that no watch will end; nil for any other.
func (e *Environment) pollConflict(err error) *time.Time {
	f, ok := asFailure(err)
	if !ok || f.reason != v1alpha1.ReasonSecretConflict && f.reason != v1alpha1.ReasonConflict {
		return nil
	}
	at := e.Clock.Now().Add(conflictPoll)
	return &at
}

// maxMessage bounds a condition's message, well below what the API takes (32768), and an
// event's, of which it takes just as much.
const maxMessage = 1024

// cut shortens a text to so many bytes. It cuts between two letters: half a letter would
// come back from the API server as something else, and the status never be as it should.
func cut(text string, most int) string {
	const ellipsis = "…"
	if len(text) <= most {
		return text
	}
	end := most - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// setConditions turns the outcome of a reconciliation into Ready, Reconciling, Stalled and
// observedGeneration. It follows kstatus: observedGeneration says that the conditions speak
// of this generation, so it stays behind only while a new generation meets a transient error.
func setConditions(status *v1alpha1.ObjectStatus, generation int64, err error, now time.Time) {
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonApplied, Message: "The declared spec is applied"}
	observed, isStalled, isReconciling := generation, false, false

	f, explained := asFailure(err)
	switch {
	case err == nil:
	case explained:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, f.reason, f.message
		isStalled = f.class == stalledClass
	default:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.ReasonFailed, "Trying again after: "+err.Error()
		observed = status.ObservedGeneration
		isReconciling = observed < generation
	}
	setCondition(status, ready, generation, now)
	setWhenTrue(status, isStalled, v1alpha1.ConditionStalled, ready, generation, now)
	setWhenTrue(status, isReconciling, v1alpha1.ConditionReconciling, ready, generation, now)
	status.ObservedGeneration = observed
	sortConditions(status.Conditions)
}

// setWhenTrue keeps a condition that is present only when true. It explains itself as Ready does.
func setWhenTrue(status *v1alpha1.ObjectStatus, isTrue bool, kind string, ready metav1.Condition, generation int64, now time.Time) {
	if !isTrue {
		meta.RemoveStatusCondition(&status.Conditions, kind)
		return
	}
	setCondition(status, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message}, generation, now)
}

// sortConditions puts Ready first, and the rest by their names, so that equal conditions
// are equal lists: the API server keeps them in the order in which they came.
func sortConditions(conditions []metav1.Condition) {
	slices.SortFunc(conditions, func(a, b metav1.Condition) int {
		if (a.Type == v1alpha1.ConditionReady) != (b.Type == v1alpha1.ConditionReady) {
			if a.Type == v1alpha1.ConditionReady {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Type, b.Type)
	})
}

func setCondition(status *v1alpha1.ObjectStatus, condition metav1.Condition, generation int64, now time.Time) {
	condition.Message = cut(condition.Message, maxMessage)
	condition.ObservedGeneration = generation
	condition.LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
	meta.SetStatusCondition(&status.Conditions, condition)
}

// setNotEnforced says, where a field asks for something that this version only stores,
// that it does not enforce it; and says nothing where no field does.
func setNotEnforced(status *v1alpha1.ObjectStatus, asked bool, message string, generation int64, now time.Time) {
	if !asked {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionCredentialsValid)
		return
	}
	setCondition(status, metav1.Condition{
		Type: v1alpha1.ConditionCredentialsValid, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotEnforced,
		Message: message,
	}, generation, now)
}
