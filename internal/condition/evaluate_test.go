// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// What a condition sees, by comparing it with what it should be.
func TestAttributesAsSeen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attributes   Attributes
		source, want string
	}{
		"IPv4":                       {Attributes{IP: "10.0.0.1"}, `request.ip == "10.0.0.1"`, "true"},
		"IPv4-mapped":                {Attributes{IP: "::ffff:10.0.0.1"}, `request.ip == "10.0.0.1"`, "true"},
		"IPv4-mapped in hexadecimal": {Attributes{IP: "::FFFF:a00:1"}, `request.ip == "10.0.0.1"`, "true"},
		"IPv6 not canonical":         {Attributes{IP: "2001:0DB8:0:0:0:0:0:1"}, `request.ip == "2001:db8::1"`, "true"},
		"the longest IPv6 address": {Attributes{IP: "0000:0000:0000:0000:0000:ffff:255.255.255.255"},
			`request.ip == "255.255.255.255"`, "true"},
		"loopback":           {Attributes{IP: "127.0.0.1"}, `request.ip.startsWith("127.")`, "true"},
		"IP with a zone":     {Attributes{IP: "fe80::1%eth0"}, `request.ip != ""`, "request.ip is not an IP address"},
		"IP with a port":     {Attributes{IP: "10.0.0.1:443"}, `request.ip != ""`, "request.ip is not an IP address"},
		"IP with zeros":      {Attributes{IP: "010.0.0.1"}, `request.ip != ""`, "request.ip is not an IP address"},
		"IP too long":        {Attributes{IP: strings.Repeat("1", 1<<20)}, `request.ip != ""`, "request.ip is not an IP address"},
		"IP of blanks":       {Attributes{IP: " "}, `has(request.ip)`, "true"},
		"time in UTC":        {Attributes{Time: at(t, "2025-03-03T00:30:00+01:00")}, `request.time.getHours() == 23`, "true"},
		"time as text":       {Attributes{Time: at(t, "2025-03-03T00:30:00+01:00")}, `string(request.time) == "2025-03-02T23:30:00Z"`, "true"},
		"epoch":              {Attributes{Time: time.Unix(0, 0)}, `request.time.getFullYear() == 1970`, "true"},
		"nanoseconds":        {Attributes{Time: time.Unix(0, 1)}, `request.time > "1970-01-01T00:00:00Z"`, "true"},
		"year 9999":          {Attributes{Time: at(t, "9999-12-31T23:59:59Z")}, `request.time.getFullYear() == 9999`, "true"},
		"year 10000":         {Attributes{Time: at(t, "9999-12-31T23:59:59Z").Add(time.Second)}, `has(request.time)`, "true"},
		"user agent of 255":  {Attributes{UserAgent: strings.Repeat("é", 255)}, `size(request.user_agent) == 255`, "true"},
		"user agent of 256":  {Attributes{UserAgent: strings.Repeat("é", 255) + "x"}, `request.user_agent.endsWith("éé")`, "true"},
		"user agent, broken": {Attributes{UserAgent: strings.Repeat("\xff", 300)}, `size(request.user_agent) == 255`, "true"},
		"user agent, huge":   {Attributes{UserAgent: strings.Repeat("🚀", 1<<16)}, `size(request.user_agent) == 255`, "true"},
		"name of 1024":       {Attributes{ResourceName: strings.Repeat("🚀", 1024)}, `size(resource.name) == 1024`, "true"},
		"name of 1025": {Attributes{ResourceName: "/a/" + strings.Repeat("🚀", 1022)}, `resource.name.startsWith("/a/")`,
			"resource.name has more than 1024 characters"},
		"id of 255":            {Attributes{ResourceID: strings.Repeat("1", 255)}, `size(resource.id) == 255`, "true"},
		"locality of 65":       {Attributes{ResourceLocality: strings.Repeat("1", 65)}, `resource.locality != ""`, "resource.locality has more than 64 characters"},
		"blank name":           {Attributes{ResourceName: " "}, `has(resource.name) && resource.name == " "`, "true"},
		"attribute by dyn":     {Attributes{ResourceName: "a"}, `dyn(resource).name == "a"`, "true"},
		"has of dyn":           {Attributes{ResourceName: "a"}, `has(dyn(resource).name) && !has(dyn(resource).id)`, "true"},
		"attribute of another": {Attributes{ResourceName: "a"}, `dyn(request).name == "a"`, "no such attribute: request.name"},
		"has of another":       {Attributes{ResourceName: "a"}, `has(dyn(request).name)`, "no such attribute: request.name"},
		"attribute by index":   {Attributes{ResourceName: "a"}, `dyn(resource)["name"] == "a"`, "true"},
		"index of no text":     {Attributes{ResourceName: "a"}, `dyn(resource)[1] == "a"`, "no such attribute: resource.1"},
		"variable with itself": {Attributes{}, `request in [request] && !(dyn(request) in [dyn(resource)])`, "true"},
		"types of variables":   {Attributes{}, `type(request) == type(request) && type(dyn(request)) != type(dyn(resource))`, "true"},
		"in a loop": {Attributes{ResourceLocality: "fr-par"},
			`["fr", "nl"].exists(country, resource.locality.startsWith(country))`, "true"},
		"hidden by a loop": {Attributes{IP: "10.0.0.1"}, `["a"].exists(request, request == "a")`, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := evaluate(t, test.source, test.attributes); got != test.want {
				t.Errorf("%s: got %s, want %s", test.source, got, test.want)
			}
		})
	}
}

// A condition that looks for what is not the case must not hold because nothing is known.
func TestUnknownNeverHolds(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`!inIpRange(request.ip, "10.0.0.0/8")`,
		`!["10.0.0.0/8", "192.168.0.0/16"].exists(r, inIpRange(request.ip, r))`,
		`["10.0.0.0/8"].all(r, !inIpRange(request.ip, r))`,
		`inIpRange(request.ip, "10.0.0.0/8") ? false : true`,
		`inIpRange(request.ip, "10.0.0.0/8") == false`,
		`request.ip != "10.0.0.1"`,
		`!(request.ip in ["10.0.0.1"])`,
		`!request.ip.startsWith("10.")`,
		`!request.user_agent.contains("curl")`,
		`!request.user_agent.matches("curl")`,
		`!(request.time < "2025-01-01T00:00:00Z")`,
		`request.time.getHours("Europe/Paris") != 3`,
		`!resource.name.startsWith("/secret/")`,
		`!(has(request.ip) && inIpRange(request.ip, "10.0.0.0/8")) && request.ip != ""`,
		`[1].filter(x, request.ip == "10.0.0.1").size() == 0`,
		`dyn(resource.name) != 1`,
	} {
		if got := evaluate(t, source, Attributes{}); !strings.HasSuffix(got, " is not known") {
			t.Errorf("%s: got %s", source, got)
		}
	}
	for _, ip := range []string{"10.0.0.256", "fe80::1%eth0", "unknown", "10.0.0.1, 10.0.0.2"} {
		for _, source := range []string{`!inIpRange(request.ip, "10.0.0.0/8")`, `!inIpRange(resource.name, "10.0.0.0/8")`} {
			got := evaluate(t, source, Attributes{IP: ip, ResourceName: ip})
			if !strings.Contains(got, " is not an IP address") {
				t.Errorf("%s with %s: got %s", source, ip, got)
			}
		}
	}
}

func TestInIPRange(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ ip, within, want string }{
		"first of the range":         {"10.0.0.0", "10.0.0.0/8", "true"},
		"last of the range":          {"10.255.255.255", "10.0.0.0/8", "true"},
		"before":                     {"9.255.255.255", "10.0.0.0/8", "false"},
		"after":                      {"11.0.0.0", "10.0.0.0/8", "false"},
		"host bits":                  {"10.9.9.9", "10.0.0.5/8", "true"},
		"single address":             {"10.0.0.1", "10.0.0.1/32", "true"},
		"all of IPv4":                {"10.0.0.1", "0.0.0.0/0", "true"},
		"IPv6":                       {"2001:db8::1", "2001:db8::/32", "true"},
		"IPv6 outside":               {"2001:db9::1", "2001:db8::/32", "false"},
		"IPv4 in all of IPv6":        {"10.0.0.1", "::/0", "false"},
		"IPv6 in all of IPv4":        {"2001:db8::1", "0.0.0.0/0", "false"},
		"mapped address":             {"::ffff:10.0.0.1", "10.0.0.0/8", "true"},
		"mapped range":               {"10.0.0.1", "::ffff:10.0.0.0/104", "true"},
		"mapped range, outside":      {"11.0.0.1", "::ffff:10.0.0.0/104", "false"},
		"both mapped":                {"::ffff:a00:1", "::ffff:a00:0/104", "true"},
		"more than the mapped range": {"10.0.0.1", "::ffff:0:0/95", "false"},
		"address that is none":       {"10.0.0", "10.0.0.0/8", `"10.0.0" is not an IP address, such as "10.0.0.1" or "2001:db8::1"`},
		"empty address":              {"", "10.0.0.0/8", `"" is not an IP address, such as "10.0.0.1" or "2001:db8::1"`},
		"address with a zone":        {"fe80::1%1", "fe80::/10", `"fe80::1%1" is not an IP address, such as "10.0.0.1" or "2001:db8::1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, source := range map[string]string{
				"constant": fmt.Sprintf(`inIpRange(%q, %q)`, test.ip, test.within),
				"folded":   fmt.Sprintf(`inIpRange(%q, string(%q))`, test.ip, test.within),
				"computed": fmt.Sprintf(`inIpRange(%q, resource.name)`, test.ip),
			} {
				if got := evaluate(t, source, Attributes{ResourceName: test.within}); got != test.want {
					t.Errorf("%s: got %s, want %s", kind, got, test.want)
				}
			}
		})
	}
	for _, within := range []string{"10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "fe80::%1/64", "/8", "all"} {
		want := fmt.Sprintf("%q is not an address range in CIDR form", within)
		got := evaluate(t, `!inIpRange("10.0.0.1", resource.name)`, Attributes{ResourceName: within})
		if !strings.HasPrefix(got, want) {
			t.Errorf("computed: got %s, want %s", got, want)
		}
		if _, err := Compile(fmt.Sprintf(`inIpRange("10.0.0.1", string(%q))`, within)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("folded: got %v, want %s", err, want)
		}
	}
}

// inIpRange agrees with the standard library's other implementation of addresses, for any pair of the same family
// and for any way to write IPv4.
func TestInIPRangeAgreesWithNet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 4))
	computed := mustCompile(t, `inIpRange(request.ip, resource.name)`)
	var input Input
	seen := map[string]int{}
	for range 3000 {
		ip := make(net.IP, []int{net.IPv4len, net.IPv6len}[random.IntN(2)])
		for i := range ip {
			ip[i] = byte(random.Uint32())
		}
		within := net.IPNet{IP: slices.Clone(ip), Mask: net.CIDRMask(random.IntN(8*len(ip)+1), 8*len(ip))}
		if flip := random.IntN(16 * len(ip)); flip < 8*len(ip) {
			within.IP[flip/8] ^= 1 << (flip % 8)
		}
		ones, _ := within.Mask.Size()
		text, written := fmt.Sprintf("%s/%d", within.IP, ones), ip.String()
		if len(ip) == net.IPv4len && random.IntN(2) == 0 {
			text = fmt.Sprintf("::ffff:%s/%d", within.IP, ones+96)
		}
		if len(ip) == net.IPv4len && random.IntN(2) == 0 {
			written = "::ffff:" + written
		}
		want := strconv.FormatBool(within.Contains(ip))
		seen[want]++
		input.Reset(Attributes{IP: written, ResourceName: text})
		if got := outcome(t, computed, &input); got != want {
			t.Fatalf("%s in %s: got %s, want %s", written, text, got, want)
		}
		if got := outcome(t, mustCompile(t, fmt.Sprintf(`inIpRange(request.ip, %q)`, text)), &input); got != want {
			t.Fatalf("%s in the constant %s: got %s, want %s", written, text, got, want)
		}
	}
	if seen["true"] < 500 || seen["false"] < 500 {
		t.Errorf("one-sided: %v", seen)
	}
}

// A time compares with a text as the two times do, in all operators and both ways round.
func TestTimesCompareAsTimesDo(t *testing.T) {
	t.Parallel()
	holds := map[string]func(int) bool{
		"==": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	}
	texts := []string{"2025-03-03T14:30:00Z", "2025-03-03T15:30:00.000+01:00", "2025-03-03T14:30:00.000000001Z", "1969-12-31T23:59:59Z", "2025-03-03T09:30:00-05:00"}
	for operator, means := range holds {
		constant, computed := map[string][2]*Condition{}, [2]*Condition{
			mustCompile(t, "request.time "+operator+" resource.name"), mustCompile(t, "resource.name "+operator+" request.time"),
		}
		for _, text := range texts {
			constant[text] = [2]*Condition{
				mustCompile(t, fmt.Sprintf("request.time %s %q", operator, text)), mustCompile(t, fmt.Sprintf("%q %s request.time", text, operator)),
			}
		}
		for _, now := range texts {
			for _, text := range texts {
				order := at(t, now).Compare(at(t, text))
				var input Input
				input.Reset(Attributes{Time: at(t, now), ResourceName: text})
				for i, want := range []bool{means(order), means(-order)} {
					for _, compiled := range []*Condition{constant[text][i], computed[i]} {
						if got := outcome(t, compiled, &input); got != strconv.FormatBool(want) {
							t.Errorf("%s at %s with %s: got %s, want %v", compiled.Source(), now, text, got, want)
						}
					}
				}
			}
		}
	}
	if got := evaluate(t, "request.time != resource.name", Attributes{Time: time.Unix(0, 0), ResourceName: "noon"}); got != "type conversion error from 'string' to 'google.protobuf.Timestamp'" {
		t.Errorf("got %s", got)
	}
}

// In a time zone that is constant a time has the parts that it has in one that is computed, and in Go.
func TestTimeZones(t *testing.T) {
	t.Parallel()
	parts := map[string]func(time.Time) int{
		"getFullYear": time.Time.Year, "getMonth": func(at time.Time) int { return int(at.Month()) - 1 },
		"getDayOfYear": func(at time.Time) int { return at.YearDay() - 1 }, "getDayOfMonth": func(at time.Time) int { return at.Day() - 1 },
		"getDate": time.Time.Day, "getDayOfWeek": func(at time.Time) int { return int(at.Weekday()) },
		"getHours": time.Time.Hour, "getMinutes": time.Time.Minute, "getSeconds": time.Time.Second,
		"getMilliseconds": func(at time.Time) int { return at.Nanosecond() / 1e6 },
	}
	offset := time.FixedZone("", -(3*60+30)*60)
	for _, text := range []string{"2025-03-30T00:59:59.999Z", "2025-03-30T01:00:00Z", "2024-12-31T23:15:00Z", "2025-10-26T01:00:00Z"} {
		for zone, location := range map[string]*time.Location{"Europe/Paris": nil, "Asia/Kathmandu": nil, "UTC": nil, "-03:30": offset} {
			if location == nil {
				var err error
				if location, err = time.LoadLocation(zone); err != nil {
					t.Fatal(err)
				}
			}
			for part, of := range parts {
				want := of(at(t, text).In(location))
				for _, argument := range []string{strconv.Quote(zone), "resource.name"} {
					source := fmt.Sprintf("request.time.%s(%s) == %d", part, argument, want)
					if got := evaluate(t, source, Attributes{Time: at(t, text), ResourceName: zone}); got != "true" {
						t.Errorf("%s at %s in %s: got %s", source, text, zone, got)
					}
				}
			}
		}
	}
	for _, zone := range []string{"", "Local", "Europe//Paris", "Europe/./Paris", "../Paris", "paris", "25:xx", "+01:60"} {
		want := fmt.Sprintf("line 1, column 23: %q is not a time zone, such as", zone)
		if _, err := Compile(fmt.Sprintf(`request.time.getHours(%q) < 8`, zone)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Constants are parsed once, and the zones that conditions share are kept once.
func TestConstantsArePrepared(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		`inIpRange(request.ip, "10.0.0.0/8")`, `request.user_agent.matches("^a")`, `matches(request.user_agent, "^a")`,
	} {
		if _, ok := mustCompile(t, source).plan.(*prepared); !ok {
			t.Errorf("%s: not prepared", source)
		}
	}
	first, err := loadZone("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := loadZone("Europe/Paris"); first != second {
		t.Error("a zone is kept twice")
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	agent := Attributes{UserAgent: "scw-cli/2.40", ResourceName: `^scw-cli/2\.[0-9]+$`}
	for source, want := range map[string]string{
		`request.user_agent.matches("^scw-cli/2\\.[0-9]+$")`:  "true",
		`request.user_agent.matches("^scw-cli/3")`:            "false",
		`matches(request.user_agent, "cli")`:                  "true",
		`request.user_agent.matches(resource.name)`:           "true",
		`matches(request.user_agent, resource.name)`:          "true",
		`request.user_agent.matches("[\\w-]{1,255}/.{1,64}")`: "true",
		`"a".matches(request.user_agent + "(")`:               "\"scw-cli/2.40(\" is not a regular expression: error parsing regexp: missing closing ): `scw-cli/2.40(`",
		`"a".matches(request.user_agent + "{1000}{2}")`:       "\"scw-cli/2.40{1000}{2}\" is not a regular expression: error parsing regexp: invalid nested repetition operator: `{1000}{2}`",
		`"a".matches(request.user_agent + "{1000}")`:          `"scw-cli/2.40{1000}" is too large a regular expression: repeat less often`,
		`dyn(1).matches("a")`:                                 "no such overload",
		`dyn("a").matches(dyn(1))`:                            "no such overload",
	} {
		if got := evaluate(t, source, agent); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

func TestErrorsOfEvaluation(t *testing.T) {
	t.Parallel()
	attributes := Attributes{ResourceName: "a", ResourceID: strings.Repeat("é", 200)}
	for source, want := range map[string]string{
		`1 / (size(resource.name) - 1) == 1`:    "division by zero",
		`{"b": true}[resource.name]`:            "no such key: a",
		`[true][size(resource.name)]`:           "index out of bounds: 1",
		`int(resource.name) == 1`:               "type conversion error from 'string' to 'int'",
		`dyn(resource.name) && true`:            "no such overload",
		`dyn(resource.name) ? true : false`:     "no such overload",
		`[resource.name].all(x, dyn(x) > 1)`:    "no such overload",
		`inIpRange(dyn(1), "10.0.0.0/8")`:       "no such overload",
		`inIpRange("10.0.0.1", dyn(1))`:         "no such overload: inIpRange(string, int)",
		`dyn("a").getHours("Europe/Paris") < 8`: "no such overload",
		// CEL panics at these: a map or set of Go cannot look for bytes.
		`dyn(bytes(resource.name)) in ["a"]`:               "internal error: runtime error: hash of unhashable type types.Bytes",
		`{bytes(resource.name): 1} == {}`:                  "internal error: runtime error: hash of unhashable type types.Bytes",
		`["a"].exists(x, {bytes(resource.name): x} == {})`: "internal error: runtime error: hash of unhashable type types.Bytes",
	} {
		for range 2 { // What the first leaves behind must not be in the way of the second.
			if got := evaluate(t, source, attributes); got != want {
				t.Errorf("%s: got %s, want %s", source, got, want)
			}
		}
	}
	if got := evaluate(t, `{"b": true}[resource.id + resource.id + resource.id]`, attributes); len([]rune(got)) != maxReason {
		t.Errorf("a reason of %d characters", len([]rune(got)))
	}
}

func TestErrorsOfAttributesCostNothing(t *testing.T) {
	t.Parallel()
	compiled := mustCompile(t, `resource.name == "a"`)
	var first, second Input
	_, one := compiled.Evaluate(&first)
	_, two := compiled.Evaluate(&second)
	var reason, again *EvaluationError
	if !errors.As(one, &reason) || !errors.As(two, &again) || reason != again {
		t.Errorf("%v and %v: want the same error", one, two)
	}
}

// Conditions of one decision share an input; after Reset, nothing of the last decision is left.
func TestInputIsReusable(t *testing.T) {
	t.Parallel()
	name, id := mustCompile(t, `resource.name == "a"`), mustCompile(t, `has(resource.id)`)
	var input Input
	for _, test := range []struct {
		attributes Attributes
		name, id   string
	}{
		{Attributes{}, "resource.name is not known", "false"},
		{Attributes{ResourceName: "a", ResourceID: "1"}, "true", "true"},
		{Attributes{ResourceName: "b"}, "false", "false"},
		{Attributes{}, "resource.name is not known", "false"},
	} {
		input.Reset(test.attributes)
		for range 2 {
			if got := outcome(t, name, &input); got != test.name {
				t.Errorf("%s: got %s, want %s", name.Source(), got, test.name)
			}
			if got := outcome(t, id, &input); got != test.id {
				t.Errorf("%s: got %s, want %s", id.Source(), got, test.id)
			}
		}
	}
}

// One condition serves all goroutines: the race detector watches, and the answers must not mix. Some of the errors are
// ones that CEL and this package share between evaluations.
func TestEvaluateConcurrently(t *testing.T) {
	t.Parallel()
	sources := map[string]string{
		`resource.name.startsWith("a")`:                                  "",
		`["a", "b"].filter(x, resource.name == x).size() == 1`:           "",
		`["a", "b"].map(x, x + "/").exists(x, x == resource.name + "/")`: "",
		`resource.id == "a"`:                                             "resource.id is not known",
		`timestamp(size(resource.name) * 253402300800) > timestamp(0)`:   "timestamp overflow",
	}
	var wg sync.WaitGroup
	for source, want := range sources {
		compiled := mustCompile(t, source)
		for _, name := range []string{"a", "c"} {
			wg.Go(func() {
				var input Input
				for range 200 {
					input.Reset(Attributes{ResourceName: name})
					expected := want
					if expected == "" {
						expected = strconv.FormatBool(name == "a")
					}
					if got := outcome(t, compiled, &input); got != expected {
						t.Errorf("%s: got %s, want %s", source, got, expected)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// FuzzEvaluate holds Evaluate to its contract for any condition that compiles and any attributes: it returns, twice
// the same, and either a bool or an error with words; and what is known is there.
func FuzzEvaluate(f *testing.F) {
	for _, conditions := range []map[string]string{documented(), accepted()} {
		for _, source := range conditions {
			f.Add(source, "10.0.0.1", "terraform/1.9", int64(1741012200), "/folder/a", "1", "fr-par")
			f.Add(source, "", "", int64(0), "", "", "")
		}
	}
	for _, source := range []string{
		`{bytes(resource.name): 1} == {}`, `dyn(request) in [dyn(resource)]`, `type(request) == type(resource)`, `dyn(request).name == 1`,
		`google.protobuf.Value{string_value: resource.name} == "a"`, `timestamp(resource.name) + duration("1h") > request.time`,
		`request.time.getHours(resource.name) == 1`, `resource.name.matches(resource.id)`, `inIpRange(resource.name, resource.id)`,
	} {
		f.Add(source, "::ffff:10.0.0.1", "\xff", int64(-1), "\xff", "10.0.0.0/8", "(")
	}
	f.Fuzz(func(t *testing.T, source, ip, userAgent string, unix int64, name, id, locality string) {
		compiled, err := Compile(source)
		if err != nil {
			return
		}
		attributes := Attributes{IP: ip, UserAgent: userAgent, ResourceName: name, ResourceID: id, ResourceLocality: locality}
		if unix != 0 {
			attributes.Time = time.Unix(unix, 0)
		}
		var input Input
		input.Reset(attributes)
		if first, second := outcome(t, compiled, &input), outcome(t, compiled, &input); first != second {
			t.Fatalf("%s with %+v: %s, then %s", source, attributes, first, second)
		}
		for path, known := range map[string]bool{
			"request.ip": ip != "", "request.user_agent": userAgent != "", "request.time": unix != 0,
			"resource.name": name != "", "resource.id": id != "", "resource.locality": locality != "",
		} {
			if got := outcome(t, presence(t, path), &input); got != strconv.FormatBool(known) {
				t.Fatalf("has(%s) with %+v: got %s", path, attributes, got)
			}
		}
	})
}

var presences sync.Map

// presence is the condition that an attribute is there.
func presence(t testing.TB, path string) *Condition {
	t.Helper()
	known, found := presences.Load(path)
	if !found {
		known, _ = presences.LoadOrStore(path, mustCompile(t, "has("+path+")"))
	}
	return known.(*Condition)
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
