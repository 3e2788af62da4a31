// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

func TestValidateAPIKey(t *testing.T) {
	type keyCase = invalid[*v1alpha1.APIKey]
	inAYear := metav1.NewTime(created.AddDate(1, 0, 0))
	const oneExpiry = "at most one of expiresAt, expiresIn and rotation may be set; keep one of them"
	refuses(t, apiKey, declared.ValidateAPIKey, map[string]keyCase{
		"two expiries": {
			func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "24h" },
			[]want{{"spec", `"expiresIn, rotation": ` + oneExpiry}},
		},
		"three expiries": {
			func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn, k.Spec.ExpiresAt = "24h", &inAYear },
			[]want{{"spec", `"expiresAt, expiresIn, rotation": ` + oneExpiry}},
		},
		"expires too soon": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation, k.Spec.ExpiresIn = nil, "59s" },
			[]want{{"spec.expiresIn", `"59s": must be between 1m and 87600h`}},
		},
		"expires in a negative time": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation, k.Spec.ExpiresIn = nil, "-24h" },
			[]want{{"spec.expiresIn", `"-24h": a duration is up to four numbers`}},
		},
		"rotation never": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation = &v1alpha1.Rotation{Overlap: "1h"} },
			[]want{{"spec.rotation.every", "Required value: a rotation says how often, such as 720h"}},
		},
		"rotation too rare": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation.Every = "87601h" },
			[]want{{"spec.rotation.every", "must be between 1m and 87600h"}},
		},
		"rotation malformed, and so not compared with the overlap": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation.Every = "1w" },
			[]want{{"spec.rotation.every", "a duration is"}},
		},
		"overlap malformed": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation.Overlap = "2 days" },
			[]want{{"spec.rotation.overlap", `"2 days": a duration is`}},
		},
		"overlap as long as every": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation.Overlap = "43200m" },
			[]want{{"spec.rotation.overlap", `"43200m": the overlap must be shorter than every, which is 720h, so that at most two keys work at a time`}},
		},
		"overlap longer than every": {
			func(k *v1alpha1.APIKey) { k.Spec.Rotation.Overlap = "721h" },
			[]want{{"spec.rotation.overlap", "the overlap must be shorter than every"}},
		},
		"an Application without a name": {
			func(k *v1alpha1.APIKey) { k.Spec.Bearer.Name = "" },
			[]want{{"spec.bearer.name", "Required value: an Application or a Member is named"}},
		},
		"an Owner with a name": {
			func(k *v1alpha1.APIKey) { k.Spec.Bearer.Kind, k.Namespace = v1alpha1.BearerOwner, "acme" },
			[]want{{"spec.bearer.name", "the Owner of the Organization has no name; remove it"}},
		},
		"an Owner's key away from home": {
			func(k *v1alpha1.APIKey) { k.Spec.Bearer = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner} },
			[]want{{"spec.bearer.kind", "a key of the Owner may exist in the Organization's own namespace only; create it there"}},
		},
		"a Secret that can't be named so": {
			func(k *v1alpha1.APIKey) { k.Spec.SecretName = "CI_credentials" },
			[]want{{"spec.secretName", `"CI_credentials": a lowercase RFC 1123 subdomain`}},
		},
		"no room for the retiring key's Secret": {
			func(k *v1alpha1.APIKey) { k.Spec.SecretName = strings.Repeat("a", 245) },
			[]want{{"spec.secretName", "has 245 characters and may have 244, so that <name>-retiring fits beside it"}},
		},
		"no room in metadata.name": {
			func(k *v1alpha1.APIKey) { k.Spec.SecretName, k.Name = "", strings.Repeat("a", 245) },
			[]want{{"metadata.name", "set a shorter spec.secretName"}},
		},
		"labels and annotations that can't be": {
			func(k *v1alpha1.APIKey) {
				k.Spec.SecretTemplate = &v1alpha1.SecretTemplate{
					Labels:      map[string]string{"b": "no!", "a b": "x", "iam-operator.dev/watch": "false"},
					Annotations: map[string]string{"": "x", "iam-operator.dev/id": "x"},
				}
			},
			[]want{
				{"spec.secretTemplate.labels[a b]", `"a b": name part must consist of`},
				{"spec.secretTemplate.labels[b]", `"no!": a valid label must be an empty string or`},
				{"spec.secretTemplate.labels[iam-operator.dev/watch]", "iam-operator.dev/… is the operator's own; choose another prefix"},
				{"spec.secretTemplate.annotations[]", "name part must be non-empty"},
				{"spec.secretTemplate.annotations[]", "name part must consist of"},
				{"spec.secretTemplate.annotations[iam-operator.dev/id]", "the operator's own"},
			},
		},
		"annotations beyond what the API server takes": {
			func(k *v1alpha1.APIKey) {
				k.Spec.SecretTemplate.Annotations = map[string]string{"a": strings.Repeat("x", 256<<10)}
			},
			[]want{{"spec.secretTemplate.annotations", "Too long: may not be more than 262144 bytes"}},
		},
	})
	passes(t, apiKey, declared.ValidateAPIKey, map[string]func(*v1alpha1.APIKey){
		"no expiry":    func(k *v1alpha1.APIKey) { k.Spec.Rotation = nil },
		"expires at":   func(k *v1alpha1.APIKey) { k.Spec.Rotation, k.Spec.ExpiresAt = nil, &inAYear },
		"expires in":   func(k *v1alpha1.APIKey) { k.Spec.Rotation, k.Spec.ExpiresIn = nil, "1m" },
		"no overlap":   func(k *v1alpha1.APIKey) { k.Spec.Rotation.Overlap = "" },
		"zero overlap": func(k *v1alpha1.APIKey) { k.Spec.Rotation.Overlap = "0s" },
		"an Owner's key at home": func(k *v1alpha1.APIKey) {
			k.Spec.Bearer, k.Namespace = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}, "acme"
		},
		"an Owner's key at home, which goes without saying": func(k *v1alpha1.APIKey) {
			k.Spec.Bearer, k.Spec.OrganizationRef.Namespace = v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}, ""
		},
		"the longest Secret":  func(k *v1alpha1.APIKey) { k.Spec.SecretName = strings.Repeat("a", 244) },
		"a Secret named so":   func(k *v1alpha1.APIKey) { k.Spec.SecretName = "" },
		"no template":         func(k *v1alpha1.APIKey) { k.Spec.SecretTemplate = nil },
		"a slip in rotate-at": func(k *v1alpha1.APIKey) { k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: "now"} },
	})
}

func TestRotateAt(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        time.Time
		found       bool
		refused     string
	}{
		"none":            {},
		"UTC":             {map[string]string{v1alpha1.RotateAtAnnotation: "2027-06-01T00:00:00Z"}, time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC), true, ""},
		"another zone":    {map[string]string{v1alpha1.RotateAtAnnotation: "2027-06-01T02:00:00+02:00"}, time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC), true, ""},
		"fractions":       {map[string]string{v1alpha1.RotateAtAnnotation: "2027-06-01T00:00:00.5Z"}, time.Date(2027, 6, 1, 0, 0, 0, 5e8, time.UTC), true, ""},
		"not a time":      {map[string]string{v1alpha1.RotateAtAnnotation: "now"}, time.Time{}, false, `annotation iam-operator.dev/rotate-at: "now" is not an RFC 3339 time; write one such as`},
		"without a zone":  {map[string]string{v1alpha1.RotateAtAnnotation: "2027-06-01T00:00:00"}, time.Time{}, false, "is not an RFC 3339 time"},
		"an empty string": {map[string]string{v1alpha1.RotateAtAnnotation: ""}, time.Time{}, false, "is not an RFC 3339 time"},
	} {
		t.Run(name, func(t *testing.T) {
			k := apiKey()
			k.Annotations = c.annotations
			got, found, err := declared.RotateAt(k)
			if got != c.want || found != c.found {
				t.Errorf("got %s, %t", got, found)
			}
			if (err != nil) != (c.refused != "") || (err != nil && !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("got %v, want %s", err, c.refused)
			}
		})
	}
}

// The form is that of GEP-2257 and no more, and what it lets in can be reckoned with.
func FuzzDuration(f *testing.F) {
	for _, seed := range texts {
		f.Add(seed)
	}
	f.Add("1h1m1s1ms")
	f.Add("00000h00000m")
	f.Fuzz(func(t *testing.T, written string) {
		k := apiKey()
		k.Spec.Rotation, k.Spec.ExpiresIn = nil, v1alpha1.Duration(written)
		if errs := declared.ValidateAPIKey(k); written == "" || len(errs) > 0 {
			return
		}
		d, err := time.ParseDuration(written)
		if err != nil || d < time.Minute || d > 87600*time.Hour || strings.ContainsAny(written, ".+-uµn") {
			t.Errorf("%q passed: %s, %v", written, d, err)
		}
	})
}
