// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// summary writes the kstatus conditions of a status in one line.
func summary(status *v1alpha1.ObjectStatus) string {
	text := fmt.Sprintf("observed %d", status.ObservedGeneration)
	for _, c := range status.Conditions {
		text += fmt.Sprintf(", %s=%s/%s@%d", c.Type, c.Status, c.Reason, c.ObservedGeneration)
	}
	return text
}

func TestSetConditions(t *testing.T) {
	for name, tc := range map[string]struct {
		observed int64
		err      error
		want     string
	}{
		"applied":                        {-1, nil, "observed 2, Ready=True/Applied@2"},
		"stalled":                        {1, stalled("InvalidSpec", "no"), "observed 2, Ready=False/InvalidSpec@2, Stalled=True/InvalidSpec@2"},
		"waiting":                        {1, waiting("Conflict", "held"), "observed 2, Ready=False/Conflict@2"},
		"wrapped failure":                {1, fmt.Errorf("while: %w", waiting("Conflict", "held")), "observed 2, Ready=False/Conflict@2"},
		"transient, new generation":      {1, errors.New("disk full"), "observed 1, Ready=False/Failed@2, Reconciling=True/Failed@2"},
		"transient, never seen":          {-1, errors.New("disk full"), "observed -1, Ready=False/Failed@2, Reconciling=True/Failed@2"},
		"transient, generation was seen": {2, errors.New("disk full"), "observed 2, Ready=False/Failed@2"},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.ObjectStatus{ObservedGeneration: tc.observed}
			setConditions(status, 2, tc.err, noon)
			if got := summary(status); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// What is no longer so goes; what stays so keeps the time at which it turned, and its place.
func TestSetConditionsKeepsWhatStays(t *testing.T) {
	status := &v1alpha1.ObjectStatus{}
	setCondition(status, metav1.Condition{Type: v1alpha1.ConditionLocked, Status: metav1.ConditionFalse, Reason: "Active"}, 1, noon)
	setConditions(status, 1, stalled("InvalidSpec", "no"), noon)
	before := summary(status)
	setConditions(status, 1, stalled("InvalidSpec", "no"), noon.Add(time.Hour))
	if got := summary(status); got != before {
		t.Errorf("a second look changed %s to %s", before, got)
	}
	for _, c := range status.Conditions {
		if !c.LastTransitionTime.Time.Equal(noon) {
			t.Errorf("%s turned again at %s", c.Type, c.LastTransitionTime)
		}
	}
	setConditions(status, 2, nil, noon.Add(2*time.Hour))
	if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled) != nil {
		t.Error("Stalled outlived its cause")
	}
}

func TestCutLeavesWholeLetters(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("a", 2000), strings.Repeat("é", 2000), strings.Repeat("𝄞", 700)} {
		got := cut(text, maxMessage)
		if len(got) > maxMessage || !utf8.ValidString(got) || len(text) <= maxMessage && got != text {
			t.Errorf("a text of %d bytes became one of %d", len(text), len(got))
		}
	}
}

func TestLookAgain(t *testing.T) {
	past, soon := noon.Add(-time.Minute), noon.Add(time.Minute)
	if got := lookAgain(nil, noon); got.RequeueAfter != 0 {
		t.Errorf("with nothing to wait for it looks again after %s", got.RequeueAfter)
	}
	if got := lookAgain(&soon, noon); got.RequeueAfter != time.Minute {
		t.Errorf("it looks again after %s", got.RequeueAfter)
	}
	if got := lookAgain(&past, noon); got.RequeueAfter <= 0 {
		t.Error("a time that has come already is forgotten")
	}
}
