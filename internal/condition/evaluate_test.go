// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func mustCompile(t testing.TB, source string) *Condition {
	t.Helper()
	compiled, err := Compile(source)
	if err != nil {
		t.Fatalf("Compile(%s): %v", source, err)
	}
	return compiled
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// outcome is "true", "false", or the words of the error.
func outcome(t testing.TB, compiled *Condition, input *Input) string {
	t.Helper()
	holds, err := compiled.Evaluate(input)
	if err != nil {
		var reason *EvaluationError
		if holds || !errors.As(err, &reason) || reason.Error() == "" {
			t.Fatalf("Evaluate(%s) = %v, %#v: want false and an *EvaluationError with words", compiled.Source(), holds, err)
		}
		return err.Error()
	}
	if holds {
		return "true"
	}
	return "false"
}

func evaluate(t testing.TB, source string, attributes Attributes) string {
	t.Helper()
	var input Input
	input.Reset(attributes)
	return outcome(t, mustCompile(t, source), &input)
}

type given struct {
	attributes Attributes
	want       string
}

func TestDocumentedConditionsMeanWhatTheySay(t *testing.T) {
	t.Parallel()
	times := func(cases map[string]string) []given {
		all := []given{{Attributes{IP: "10.1.2.3"}, "request.time is not known"}}
		for text, want := range cases {
			all = append(all, given{Attributes{Time: at(t, text)}, want})
		}
		return all
	}
	tests := map[string][]given{
		"user agent": {
			{Attributes{UserAgent: "scaleway-sdk-go terraform/1.9"}, "true"},
			{Attributes{UserAgent: "Terraform/1.9"}, "false"},
			{Attributes{}, "request.user_agent is not known"},
		},
		"office hours": times(map[string]string{
			"2025-03-03T07:00:00Z": "true", "2025-03-03T06:59:59Z": "false", // a Monday, in winter
			"2025-03-03T15:59:59Z": "true", "2025-03-03T16:00:00Z": "false",
			"2025-07-07T06:00:00Z": "true", "2025-07-07T15:00:00Z": "false", // in summer
			"2025-07-07T11:00:00+05:00": "true",
			"2025-03-02T12:00:00Z":      "false",
			"2025-03-03T00:30:00+01:00": "false", // still Sunday in UTC
		}),
		"weekend": times(map[string]string{
			"2025-03-01T00:00:00Z": "true", "2025-03-02T23:59:59Z": "true", "2025-03-03T00:00:00Z": "false",
			"2025-03-03T00:30:00+01:00": "true",
		}),
		"exact time": times(map[string]string{
			"2025-03-03T14:30:00Z": "true", "2025-03-03T15:30:00+01:00": "true", "2025-03-03T14:30:00.001Z": "false",
		}),
		"year and address": {
			{Attributes{Time: at(t, "2019-12-31T23:59:59Z"), IP: "10.154.3.1"}, "true"},
			{Attributes{Time: at(t, "2019-12-31T23:59:59Z"), IP: "::ffff:10.154.3.1"}, "true"},
			{Attributes{Time: at(t, "2019-12-31T23:59:59Z"), IP: "10.154.3.10"}, "false"},
			{Attributes{Time: at(t, "2020-01-01T00:00:00Z"), IP: "10.154.3.1"}, "false"},
			{Attributes{Time: at(t, "2020-01-01T00:00:00Z")}, "false"},
			{Attributes{Time: at(t, "2019-12-31T23:59:59Z")}, "request.ip is not known"},
			{Attributes{IP: "10.154.3.1"}, "request.time is not known"},
		},
		"folder or list": {
			{Attributes{ResourceName: "/folder/a", ResourceID: "1"}, "true"},
			{Attributes{ResourceName: "/other", ResourceID: "1"}, "false"},
			{Attributes{}, "true"},
			{Attributes{ResourceID: "1"}, "resource.name is not known"},
		},
		"region": {
			{Attributes{ResourceLocality: "fr-par"}, "true"},
			{Attributes{ResourceLocality: "fr-par-1"}, "true"},
			{Attributes{ResourceLocality: "nl-ams"}, "false"},
			{Attributes{}, "resource.locality is not known"},
		},
		"global": {
			{Attributes{ResourceLocality: "global"}, "true"},
			{Attributes{ResourceLocality: "fr-par"}, "false"},
			{Attributes{}, "resource.locality is not known"},
		},
		"always": {{Attributes{}, "true"}},
		"address range": {
			{Attributes{IP: "10.255.255.255"}, "true"},
			{Attributes{IP: "::ffff:10.0.0.1"}, "true"},
			{Attributes{IP: "11.0.0.0"}, "false"},
			{Attributes{IP: "2001:db8::1"}, "false"},
			{Attributes{}, "request.ip is not known"},
		},
		"guarded attributes": {
			{Attributes{ResourceID: "11111111-2222-3333-4444-555555555555"}, "true"},
			{Attributes{ResourceID: "11111111-2222-3333-4444-555555555556"}, "false"},
			{Attributes{}, "false"},
		},
	}
	for name, source := range documented() {
		cases := tests[name]
		if len(cases) == 0 {
			t.Errorf("%s: not tested", name)
		}
		for _, test := range cases {
			if got := evaluate(t, source, test.attributes); got != test.want {
				t.Errorf("%s with %+v: got %s, want %s", source, test.attributes, got, test.want)
			}
		}
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 1025)
	for _, test := range []struct {
		path       string
		known, bad Attributes
		fault      string
	}{
		{"request.ip", Attributes{IP: "10.0.0.1"}, Attributes{IP: "10.0.0.256"}, "request.ip is not an IP address"},
		{"request.user_agent", Attributes{UserAgent: "a"}, Attributes{}, ""},
		{"request.time", Attributes{Time: time.Unix(0, 0)}, Attributes{Time: time.Unix(1<<40, 0)}, "request.time is not in the years 1 to 9999"},
		{"resource.name", Attributes{ResourceName: "a"}, Attributes{ResourceName: long}, "resource.name has more than 1024 characters"},
		{"resource.id", Attributes{ResourceID: "a"}, Attributes{ResourceID: long}, "resource.id has more than 255 characters"},
		{"resource.locality", Attributes{ResourceLocality: "a"}, Attributes{ResourceLocality: long}, "resource.locality has more than 64 characters"},
	} {
		for source, want := range map[string][3]string{
			"has(" + test.path + ")":                                {"false", "true", "true"},
			"!has(" + test.path + ")":                               {"true", "false", "false"},
			test.path + " == " + test.path:                          {test.path + " is not known", "true", test.fault},
			test.path + " != " + test.path + " || 1 == 1":           {"true", "true", "true"},
			test.path + " == " + test.path + " && 1 == 2":           {"false", "false", "false"},
			"dyn(" + test.path + ") == null":                        {test.path + " is not known", "false", test.fault},
			"has(" + test.path + ") && dyn(" + test.path + ") != 1": {"false", "true", test.fault},
		} {
			for i, attributes := range []Attributes{{}, test.known, test.bad} {
				if attributes != (Attributes{}) || i == 0 {
					if got := evaluate(t, source, attributes); got != want[i] {
						t.Errorf("%s with %+v: got %s, want %s", source, attributes, got, want[i])
					}
				}
			}
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	attributes := Attributes{
		IP: "10.1.2.3", UserAgent: "terraform/1.9.5 scaleway-sdk-go/v1.0.0", Time: at(b, "2026-03-03T14:30:00Z"),
		ResourceName: "/folder/secret", ResourceID: "11111111-2222-3333-4444-555555555555", ResourceLocality: "fr-par",
	}
	for name, source := range map[string]string{
		"range":      `inIpRange(request.ip, "10.0.0.0/8")`,
		"user agent": `request.user_agent.startsWith("terraform/")`,
		"hours":      `request.time.getHours("Europe/Paris") < 17`,
		"before":     `request.time < timestamp("2027-01-01T00:00:00Z")`,
		"pattern":    `request.user_agent.matches("^terraform/[0-9.]+ ")`,
		"several":    accepted()["several ranges"],
		"office":     documented()["office hours"],
		"folder":     documented()["folder or list"],
	} {
		b.Run(name, func(b *testing.B) {
			compiled := mustCompile(b, source)
			var input Input
			b.ReportAllocs()
			for b.Loop() {
				input.Reset(attributes)
				if _, err := compiled.Evaluate(&input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("unknown", func(b *testing.B) {
		compiled := mustCompile(b, `inIpRange(request.ip, "10.0.0.0/8")`)
		var input Input
		b.ReportAllocs()
		for b.Loop() {
			input.Reset(Attributes{})
			if _, err := compiled.Evaluate(&input); err == nil {
				b.Fatal("no error")
			}
		}
	})
}

// BenchmarkCompiled measures what a compiled condition holds in memory.
func BenchmarkCompiled(b *testing.B) {
	const kept = 2000
	for name, format := range map[string]string{
		"range":   `inIpRange(request.ip, "10.0.%d.0/24")`,
		"office":  documented()["office hours"] + ` && resource.name != "%d"`,
		"pattern": `request.user_agent.matches("^scw-cli/%d\\.[0-9]+")`,
	} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			var bytes uint64
			for b.Loop() {
				conditions := make([]*Condition, kept)
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range conditions {
					conditions[i] = mustCompile(b, fmt.Sprintf(format, i%256))
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				bytes = after.HeapAlloc - before.HeapAlloc
				runtime.KeepAlive(conditions)
			}
			b.ReportMetric(float64(bytes)/kept, "B/condition")
		})
	}
}
