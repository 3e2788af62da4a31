// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// standing is what the laws look at.
type standing struct {
	generation, observed int64
	deleting             bool
	id                   string
	conditions           []metav1.Condition
}

func standingOf(u *unstructured.Unstructured) (standing, error) {
	var read struct {
		Status v1alpha1.ObjectStatus `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &read); err != nil {
		return standing{}, err
	}
	s := standing{
		generation: u.GetGeneration(), deleting: u.GetDeletionTimestamp() != nil,
		observed: read.Status.ObservedGeneration, id: read.Status.ID, conditions: read.Status.Conditions,
	}
	if _, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); err != nil || !found {
		return s, fmt.Errorf("status.observedGeneration is missing: %w", err)
	}
	return s, nil
}

func (s standing) get(kind string) *metav1.Condition {
	for i := range s.conditions {
		if s.conditions[i].Type == kind {
			return &s.conditions[i]
		}
	}
	return nil
}

func (s standing) is(kind string, value metav1.ConditionStatus) bool {
	c := s.get(kind)
	return c != nil && c.Status == value
}

// meaning is what the conditions say, in kstatus's words.
func (s standing) meaning() status.Status {
	switch {
	case s.deleting:
		return status.TerminatingStatus
	case s.observed != s.generation:
		return status.InProgressStatus
	case s.is(v1alpha1.ConditionStalled, metav1.ConditionTrue):
		return status.FailedStatus
	case s.is(v1alpha1.ConditionReady, metav1.ConditionTrue):
		return status.CurrentStatus
	default:
		return status.InProgressStatus
	}
}

// statusLaws are those that Flux's checks of conditions state (fluxcd/pkg,
// runtime/conditions/check), and kstatus's own: each gives a sentence where it is broken.
var statusLaws = map[string]func(s standing) string{
	"Ready is there from the first look on": func(s standing) string {
		if (s.observed >= 0 || len(s.conditions) > 0) && s.get(v1alpha1.ConditionReady) == nil {
			return "no condition Ready"
		}
		return ""
	},
	"Ready is True or False": func(s standing) string {
		if c := s.get(v1alpha1.ConditionReady); c != nil && c.Status == metav1.ConditionUnknown {
			return "Ready is Unknown"
		}
		return ""
	},
	"Reconciling and Stalled are there only when True": func(s standing) string {
		for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
			if c := s.get(kind); c != nil && c.Status != metav1.ConditionTrue {
				return fmt.Sprintf("%s is %s", kind, c.Status)
			}
		}
		return ""
	},
	"not both Reconciling and Stalled": func(s standing) string {
		if s.get(v1alpha1.ConditionReconciling) != nil && s.get(v1alpha1.ConditionStalled) != nil {
			return "both are there"
		}
		return ""
	},
	"Reconciling or Stalled make Ready False": func(s standing) string {
		for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
			if s.is(kind, metav1.ConditionTrue) && !s.is(v1alpha1.ConditionReady, metav1.ConditionFalse) {
				return kind + " is True, and Ready is not False"
			}
		}
		return ""
	},
	"nothing is observed before it exists": func(s standing) string {
		for _, c := range s.conditions {
			if c.ObservedGeneration > s.generation {
				return fmt.Sprintf("%s speaks of generation %d, the object is at %d", c.Type, c.ObservedGeneration, s.generation)
			}
		}
		if s.observed > s.generation {
			return fmt.Sprintf("observedGeneration is %d, generation %d", s.observed, s.generation)
		}
		return ""
	},
	// A new generation that the operator has not looked at finds the status of the one
	// before: Ready may be True there, and must say itself that it speaks of the old one.
	"Ready speaks of the generation that the root names": func(s standing) string {
		if !s.is(v1alpha1.ConditionReady, metav1.ConditionTrue) {
			return ""
		}
		for _, c := range s.conditions {
			if c.ObservedGeneration != s.observed {
				return fmt.Sprintf("Ready is True at observedGeneration %d, and %s speaks of %d", s.observed, c.Type, c.ObservedGeneration)
			}
		}
		return ""
	},
	"Reconciling is ahead of the root": func(s standing) string {
		if c := s.get(v1alpha1.ConditionReconciling); c != nil && c.Status == metav1.ConditionTrue && s.observed >= c.ObservedGeneration {
			return fmt.Sprintf("observedGeneration is %d, Reconciling's %d", s.observed, c.ObservedGeneration)
		}
		return ""
	},
	"conditions are complete": func(s standing) string {
		for _, c := range s.conditions {
			if c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() || c.ObservedGeneration < 1 {
				return fmt.Sprintf("%+v", c)
			}
			if !utf8.ValidString(c.Message) || strings.ContainsRune(c.Message, utf8.RuneError) {
				return fmt.Sprintf("the message of %s was cut within a letter: %q", c.Type, c.Message)
			}
		}
		return ""
	},
	"what was looked at has its id": func(s standing) string {
		if s.is(v1alpha1.ConditionReady, metav1.ConditionTrue) && s.id == "" {
			return "Ready, and no status.id"
		}
		return ""
	},
}

// outcomes names what a sighting shows, so that the suite can tell what it has seen.
func (s standing) outcomes() []string {
	var all []string
	if valid := s.get(v1alpha1.ConditionCredentialsValid); valid != nil && valid.Status != metav1.ConditionTrue {
		all = append(all, "beside: "+valid.Reason)
	}
	if s.is(v1alpha1.ConditionLocked, metav1.ConditionTrue) {
		all = append(all, "beside: Locked")
	}
	ready := s.get(v1alpha1.ConditionReady)
	switch {
	case s.deleting && ready != nil && ready.Reason == v1alpha1.ReasonDeleting:
		return append(all, "deleting: held")
	case s.deleting:
		return append(all, "deleting")
	case ready == nil:
		return append(all, "never seen")
	case s.is(v1alpha1.ConditionReconciling, metav1.ConditionTrue):
		return append(all, "trying again")
	case s.observed < s.generation:
		return append(all, "new generation")
	case ready.Status == metav1.ConditionTrue:
		return append(all, "ready")
	case s.is(v1alpha1.ConditionStalled, metav1.ConditionTrue):
		return append(all, "stalled: "+ready.Reason)
	}
	return append(all, "waiting: "+ready.Reason)
}

// The laws themselves are tried first: each is broken by a status made to break it.
func TestStatusLawsFindBreaches(t *testing.T) {
	at := func(generation int64, kind string, value metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: value, Reason: "Because", Message: "because", ObservedGeneration: generation, LastTransitionTime: metav1.Now()}
	}
	untried := maps.Clone(statusLaws)
	for law, broken := range map[string]standing{
		"Ready is there from the first look on":              {generation: 1, observed: 1},
		"Ready is True or False":                             {generation: 1, observed: 1, conditions: []metav1.Condition{at(1, "Ready", "Unknown")}},
		"Reconciling and Stalled are there only when True":   {generation: 1, observed: 1, conditions: []metav1.Condition{at(1, "Ready", "True"), at(1, "Stalled", "False")}},
		"not both Reconciling and Stalled":                   {generation: 2, observed: 1, conditions: []metav1.Condition{at(2, "Ready", "False"), at(2, "Stalled", "True"), at(2, "Reconciling", "True")}},
		"Reconciling or Stalled make Ready False":            {generation: 2, observed: 2, conditions: []metav1.Condition{at(2, "Ready", "True"), at(2, "Stalled", "True")}},
		"nothing is observed before it exists":               {generation: 2, observed: 3},
		"Ready speaks of the generation that the root names": {generation: 2, observed: 1, conditions: []metav1.Condition{at(2, "Ready", "True")}},
		"Reconciling is ahead of the root":                   {generation: 2, observed: 2, conditions: []metav1.Condition{at(2, "Ready", "False"), at(2, "Reconciling", "True")}},
		"conditions are complete":                            {generation: 1, observed: 1, conditions: []metav1.Condition{{Type: "Ready", Status: "True", ObservedGeneration: 1}}},
		"what was looked at has its id":                      {generation: 1, observed: 1, conditions: []metav1.Condition{at(1, "Ready", "True")}},
	} {
		if statusLaws[law](broken) == "" {
			t.Errorf("%s: the breach goes unnoticed", law)
		}
		delete(untried, law)
	}
	for law := range untried {
		t.Errorf("%s: nothing tries this law", law)
	}
}
