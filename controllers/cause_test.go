// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func asked(name string, generation int64, digest string) iam.Attribution {
	return iam.Attribution{ObjectUID: "uid", Generation: generation, Digest: digest, Requester: iam.Requester{Name: name}, At: time.Unix(generation, 0)}
}

// An event names somebody only if just what they asked for was stored.
func TestAuthors(t *testing.T) {
	deletion := iam.Attribution{ObjectUID: "uid", Deletion: true, Requester: iam.Requester{Name: "deleter"}}
	many := []iam.Attribution{asked("maya", 1, "a")}
	for generation := range int64(maxAuthors) {
		many = append(many, asked("robot", generation+2, "b"))
	}
	many = append(many, asked("tom", maxAuthors+2, "now"))
	for name, tc := range map[string]struct {
		records             []iam.Attribution
		applied, generation int64
		want                []string
	}{
		"nobody":                              {nil, 2, 3, nil},
		"who asked for just this":             {[]iam.Attribution{asked("maya", 3, "now")}, 2, 3, []string{"3 maya"}},
		"another digest":                      {[]iam.Attribution{asked("maya", 3, "other")}, 2, 3, nil},
		"another generation":                  {[]iam.Attribution{asked("maya", 2, "now")}, 1, 3, nil},
		"what was admitted and never stored":  {[]iam.Attribution{asked("mallory", 3, "other"), asked("maya", 3, "now")}, 2, 3, []string{"3 maya"}},
		"and that later":                      {[]iam.Attribution{asked("mallory", 2, "other"), asked("maya", 3, "now")}, 2, 3, []string{"3 maya"}},
		"what the cache has not seen yet":     {[]iam.Attribution{asked("maya", 3, "now"), asked("tom", 4, "then")}, 2, 3, []string{"3 maya"}},
		"several generations, oldest first":   {[]iam.Attribution{asked("tom", 3, "now"), asked("maya", 1, "a"), asked("lea", 2, "b")}, 0, 3, []string{"1 maya", "2 lea", "3 tom"}},
		"only those after what is applied":    {[]iam.Attribution{asked("maya", 1, "a"), asked("lea", 2, "b"), asked("tom", 3, "now")}, 1, 3, []string{"2 lea", "3 tom"}},
		"nobody can tell what is applied":     {[]iam.Attribution{asked("lea", 2, "b"), asked("tom", 3, "now")}, -1, 3, []string{"2 lea", "3 tom"}},
		"the first that nobody recorded":      {[]iam.Attribution{asked("tom", 3, "now")}, 0, 3, []string{"2 unknown", "3 tom"}},
		"one in between that nobody recorded": {[]iam.Attribution{asked("maya", 1, "a"), asked("tom", 3, "now")}, -1, 3, []string{"1 maya", "2 unknown", "3 tom"}},
		"earlier generations do not vouch":    {[]iam.Attribution{asked("maya", 1, "a"), asked("lea", 2, "b")}, 0, 3, nil},
		"an annotation, at what is applied":   {[]iam.Attribution{asked("maya", 3, "now")}, 3, 3, []string{"3 maya"}},
		"two who asked for the very same":     {[]iam.Attribution{asked("maya", 3, "now"), asked("tom", 3, "now")}, 2, 3, []string{"3 maya", "3 tom"}},
		"an attempt that was repeated":        {[]iam.Attribution{asked("maya", 2, "a"), asked("maya", 2, "b"), asked("maya", 3, "now")}, 1, 3, []string{"2 maya", "3 maya"}},
		"a deletion is no author of a change": {[]iam.Attribution{deletion, {Deletion: true, Generation: 3, Digest: "now"}}, 2, 3, nil},
		"a long list names each once":         {many, 0, maxAuthors + 2, []string{"1 maya", fmt.Sprintf("%d robot", maxAuthors+1), fmt.Sprintf("%d tom", maxAuthors+2)}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, record := range authors(tc.records, tc.applied, tc.generation, "now") {
				got = append(got, fmt.Sprintf("%d %s", record.Generation, record.Requester.Name))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("authors %q, want %q", got, tc.want)
			}
		})
	}
}

// Law: whatever was recorded, the last author asked for just what is there, all are of
// generations that were not applied, in order, and none is missing.
func TestLawAuthors(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) iam.Attribution {
			record := asked(rapid.SampledFrom([]string{"maya", "tom"}).Draw(r, "name"), rapid.Int64Range(1, 6).Draw(r, "generation"), rapid.SampledFrom([]string{"now", "other"}).Draw(r, "digest"))
			record.Deletion = rapid.IntRange(0, 5).Draw(r, "deletion") == 0
			return record
		}), 0, 12).Draw(r, "records")
		generation := rapid.Int64Range(1, 6).Draw(r, "generation")
		applied := rapid.Int64Range(-1, generation).Draw(r, "applied")
		list := authors(records, applied, generation, "now")
		if iam.Admitted(records, generation, "now") != (len(list) > 0) {
			r.Fatalf("there is a record of just this, or none, and the authors are %+v", list)
		}
		if len(list) == 0 {
			return
		}
		if last := list[len(list)-1]; last.Generation != generation || last.Digest != "now" || last.Deletion {
			r.Fatalf("the last author did not ask for this: %+v", last)
		}
		before := applied
		for i, author := range list {
			if author.Generation < before || author.Generation <= applied && author.Generation < generation || author.Deletion {
				r.Fatalf("author %d is out of place: %+v", i, list)
			}
			if gap := before >= 0 && author.Generation > before+1; gap && author.Requester.Name != iam.Unknown {
				r.Fatalf("nobody is named for what is before author %d: %+v", i, list)
			}
			before = author.Generation
		}
		for _, record := range records {
			concerned := !record.Deletion && record.Generation > applied && record.Generation < generation
			if concerned && !slices.ContainsFunc(list, func(a iam.Attribution) bool {
				return a.Generation == record.Generation && a.Requester.Name == record.Requester.Name
			}) {
				r.Fatalf("%+v is not among the authors %+v", record, list)
			}
		}
	})
}

func TestAppliedGeneration(t *testing.T) {
	for name, tc := range map[string]struct {
		observed int64
		reason   string
		hasRows  bool
		want     int64
	}{
		"never seen":                      {-1, "", false, 0},
		"created without a status":        {0, "", false, 0},
		"its status was emptied":          {0, "", true, -1},
		"applied":                         {3, v1alpha1.ReasonApplied, true, 3},
		"applied, and the store was lost": {3, v1alpha1.ReasonApplied, false, 3},
		"waiting":                         {3, v1alpha1.ReasonReferenceNotFound, true, -1},
		"held":                            {3, v1alpha1.ReasonAdmissionMissing, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := appliedGeneration(statusWith(tc.observed, tc.reason), tc.hasRows); got != tc.want {
				t.Errorf("generation %d, want %d", got, tc.want)
			}
		})
	}
}

// statusWith is a status of a generation with a reason of Ready, if any.
func statusWith(observed int64, reason string) *v1alpha1.ObjectStatus {
	status := &v1alpha1.ObjectStatus{ObservedGeneration: observed}
	if reason != "" {
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: reason}}
	}
	return status
}

func TestAdmittedCause(t *testing.T) {
	one := admittedCause([]iam.Attribution{asked("maya", 1, "a")})
	if one.KubernetesUser != "maya" || one.Authorship.State != iam.AuthorshipAdmitted || one.Authorship.Authors != nil {
		t.Errorf("one author gave %+v, %+v", one, one.Authorship)
	}
	several := admittedCause([]iam.Attribution{asked("maya", 1, "a"), asked("tom", 2, "b")})
	if several.KubernetesUser != "tom" || len(several.Authorship.Authors) != 2 || several.Authorship.Authors[0].KubernetesUser != "maya" {
		t.Errorf("two authors gave %+v, %+v", several, several.Authorship)
	}
}
