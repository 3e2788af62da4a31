// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

func TestLifetimeErrors(t *testing.T) {
	created := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	expires := func(after time.Duration) *metav1.Time {
		at := metav1.NewTime(created.Add(after))
		return &at
	}
	tests := map[string]struct {
		spec v1alpha1.APIKeySpec
		most time.Duration
		want string // empty: passes
	}{
		"no maximum, no expiry":                  {},
		"no maximum, any expiry":                 {spec: v1alpha1.APIKeySpec{ExpiresIn: "80000h"}},
		"a maximum, no expiry":                   {most: 720 * time.Hour, want: "spec.expiresAt: Required value: the Organization's security settings require an expiry of API keys, of at most 720h (spec.security.maxAPIKeyLifetime); set expiresAt, expiresIn or rotation"},
		"expiresIn just within":                  {spec: v1alpha1.APIKeySpec{ExpiresIn: "720h"}, most: 720 * time.Hour},
		"expiresIn just beyond":                  {spec: v1alpha1.APIKeySpec{ExpiresIn: "720h1ms"}, most: 720 * time.Hour, want: `spec.expiresIn: Invalid value: "720h1ms": an API key of this Organization lives for at most 720h (spec.security.maxAPIKeyLifetime); choose that, or less`},
		"expiresAt just within":                  {spec: v1alpha1.APIKeySpec{ExpiresAt: expires(90 * time.Minute)}, most: 90 * time.Minute},
		"expiresAt just beyond":                  {spec: v1alpha1.APIKeySpec{ExpiresAt: expires(90*time.Minute + time.Second)}, most: 90 * time.Minute, want: `spec.expiresAt: Invalid value: "2026-11-01T13:30:01Z": an API key of this Organization lives for at most 90m from its creation (spec.security.maxAPIKeyLifetime); choose a time no later than 2026-11-01T13:30:00Z`},
		"expiresAt in the past":                  {spec: v1alpha1.APIKeySpec{ExpiresAt: expires(-time.Hour)}, most: time.Hour},
		"rotation just within":                   {spec: v1alpha1.APIKeySpec{Rotation: &v1alpha1.Rotation{Every: "672h", Overlap: "48h"}}, most: 720 * time.Hour},
		"rotation beyond by overlap":             {spec: v1alpha1.APIKeySpec{Rotation: &v1alpha1.Rotation{Every: "720h", Overlap: "1m"}}, most: 720 * time.Hour, want: "spec.rotation: Invalid value: each pair lives for every + overlap, which is 43201m, and an API key of this Organization for at most 720h (spec.security.maxAPIKeyLifetime); shorten one of the two"},
		"rotation without overlap":               {spec: v1alpha1.APIKeySpec{Rotation: &v1alpha1.Rotation{Every: "720h"}}, most: 720 * time.Hour},
		"what cannot be read is not judged here": {spec: v1alpha1.APIKeySpec{ExpiresIn: "soon"}, most: time.Hour},
		"nor such a rotation":                    {spec: v1alpha1.APIKeySpec{Rotation: &v1alpha1.Rotation{Every: "soon"}}, most: time.Hour},
		"nor such an overlap":                    {spec: v1alpha1.APIKeySpec{Rotation: &v1alpha1.Rotation{Every: "2h", Overlap: "soon"}}, most: time.Hour},
		"a maximum with a fraction":              {spec: v1alpha1.APIKeySpec{ExpiresIn: "2h"}, most: time.Hour + time.Second, want: `spec.expiresIn: Invalid value: "2h": an API key of this Organization lives for at most 1h0m1s (spec.security.maxAPIKeyLifetime); choose that, or less`},
		"several are judged each":                {spec: v1alpha1.APIKeySpec{ExpiresIn: "1h", ExpiresAt: expires(3 * time.Hour)}, most: 2 * time.Hour, want: `spec.expiresAt: Invalid value: "2026-11-01T15:00:00Z": an API key of this Organization lives for at most 2h from its creation (spec.security.maxAPIKeyLifetime); choose a time no later than 2026-11-01T14:00:00Z`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			errs := declared.LifetimeErrors(&v1alpha1.APIKey{Spec: tt.spec}, tt.most, created)
			got := ""
			if len(errs) > 0 {
				got = errs.ToAggregate().Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Whatever passes under a maximum lives for no longer than it; and what passes under one
// passes under any longer one.
func TestLifetimeErrorsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := rapid.IntRange(1, 10000)
		k := &v1alpha1.APIKey{}
		created := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "created"), 0)
		var life time.Duration
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 0:
			life = time.Duration(minutes.Draw(t, "in")) * time.Minute
			at := metav1.NewTime(created.Add(life))
			k.Spec.ExpiresAt = &at
		case 1:
			life = time.Duration(minutes.Draw(t, "in")) * time.Minute
			k.Spec.ExpiresIn = v1alpha1.Duration(life.Truncate(time.Minute).String())
		case 2:
			every, overlap := time.Duration(minutes.Draw(t, "every"))*time.Minute, time.Duration(minutes.Draw(t, "overlap"))*time.Minute
			k.Spec.Rotation = &v1alpha1.Rotation{Every: v1alpha1.Duration(every.String()), Overlap: v1alpha1.Duration(overlap.String())}
			life = every + overlap
		}
		most := time.Duration(minutes.Draw(t, "most")) * time.Minute
		passes := len(declared.LifetimeErrors(k, most, created)) == 0
		if passes != (life <= most) {
			t.Fatalf("a life of %s under a maximum of %s: passes is %v", life, most, passes)
		}
	})
}
