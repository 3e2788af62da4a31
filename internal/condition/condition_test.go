// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// documented are the examples of Scaleway's pages on policy conditions, word for word.
func documented() map[string]string {
	return map[string]string{
		"user agent": `request.user_agent.contains("terraform/")`,
		"office hours": `request.time.getDayOfWeek() != 0 && request.time.getDayOfWeek() != 6 && ` +
			`request.time.getHours("Europe/Paris") < 17 && request.time.getHours("Europe/Paris") >= 8`,
		"weekend":            `request.time.getDayOfWeek() == 0 || request.time.getDayOfWeek() == 6`,
		"exact time":         `request.time == "2025-03-03T14:30:00.000Z"`,
		"year and address":   `request.time.getFullYear() < 2020 && request.ip == '10.154.3.1'`,
		"folder or list":     `resource.name.startsWith("/folder/") || !has(resource.id)`,
		"region":             `resource.locality.startsWith("fr-par")`,
		"global":             `resource.locality == "global"`,
		"always":             `1 == 1`,
		"address range":      `inIpRange(request.ip, "10.0.0.0/8")`,
		"guarded attributes": `has(resource.id) && resource.id == "11111111-2222-3333-4444-555555555555"`,
	}
}

func accepted() map[string]string {
	return map[string]string{
		"has ip":                                 `has(request.ip)`,
		"has time":                               `has(request.time)`,
		"has user agent":                         `has(request.user_agent)`,
		"has name":                               `has(resource.name)`,
		"has id":                                 `has(resource.id)`,
		"has locality":                           `has(resource.locality)`,
		"IPv6 range":                             `inIpRange(request.ip, "2001:db8::/32")`,
		"range with host bits":                   `inIpRange(request.ip, "10.1.2.3/8")`,
		"computed range":                         `inIpRange(request.ip, resource.name)`,
		"several ranges":                         `["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].exists(r, inIpRange(request.ip, r))`,
		"members of a list":                      `resource.locality in ["fr-par", "nl-ams"]`,
		"pattern":                                `request.user_agent.matches("^scw-cli/2\\.[0-9]+")`,
		"pattern, as function":                   `matches("(", request.user_agent)`,
		"fixed offset":                           `request.time.getHours("+01:00") < 12`,
		"duration":                               `request.time - timestamp("2025-01-01T00:00:00Z") < duration("24h")`,
		"time plus duration":                     `request.time + duration("1h") > "2025-01-01T00:00:00Z"`,
		"time as text":                           `string(request.time).contains("2025-03")`,
		"number as text":                         `string(request.time.getFullYear()).endsWith("5")`,
		"text of text":                           `string(request.ip).contains("10.")`,
		"times in a loop":                        `["2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"].all(t, request.time != t)`,
		"chosen time":                            `request.time < (has(resource.id) ? "2025-01-01T00:00:00Z" : "2026-01-01T00:00:00Z")`,
		"time from attribute":                    `request.time < resource.name`,
		"timestamps":                             `request.time < timestamp("2025-01-01T00:00:00Z")`,
		"mixed numbers":                          `size(resource.name) < 10.5`,
		"types":                                  `type(resource.name) == string`,
		"null":                                   `dyn(resource.name) != null`,
		"loop variable named as an attribute is": `["a"].exists(request, request == "a")`,
		"several lines, comment":                 "// offices\nrequest.ip == \"10.0.0.1\" ||\n\trequest.ip == \"10.0.0.2\"\n",
		"unicode":                                `resource.name == "Zürich 東京 🚀"`,
		"filter and map":                         `["a", "b"].filter(x, x != "a").map(x, x + "/").exists(x, resource.name.startsWith(x))`,
		"map with text keys":                     `{"fr-par": 1, "nl-ams": 2}[resource.locality] == 1`,
		"a hundred names":                        `[` + strings.Repeat(`"project-name-x",`, 99) + `"y"].exists(n, resource.name.contains(n))`,
	}
}

func TestCompileAccepts(t *testing.T) {
	for title, conditions := range map[string]map[string]string{"documented": documented(), "more": accepted()} {
		for name, source := range conditions {
			t.Run(title+"/"+name, func(t *testing.T) {
				compiled, err := Compile(source)
				if err != nil {
					t.Fatalf("Compile(%s): %v", source, err)
				}
				if compiled.Source() != source {
					t.Errorf("Source() = %q, want %q", compiled.Source(), source)
				}
				if cost := compiled.Cost(); cost == 0 || cost > maxCost {
					t.Errorf("Cost() = %d, want 1 to %d", cost, maxCost)
				}
				if title == "documented" && compiled.Cost() > 100 {
					t.Errorf("Cost() = %d: the documented examples should be far from the limit", compiled.Cost())
				}
			})
		}
	}
}

func TestTimesCompareWithStrings(t *testing.T) {
	for _, operator := range []string{"==", "!=", "<", "<=", ">", ">="} {
		for _, format := range []string{
			`request.time %s "2025-03-03T14:30:00Z"`,
			`"2025-03-03T14:30:00+01:00" %s request.time`,
		} {
			good := fmt.Sprintf(format, operator)
			if _, err := Compile(good); err != nil {
				t.Errorf("Compile(%s): %v", good, err)
			}
			bad := strings.NewReplacer("14:30:00+01:00", "25:00", "14:30:00Z", "25:00").Replace(good)
			var refused *Error
			if _, err := Compile(bad); !errors.As(err, &refused) {
				t.Errorf("Compile(%s) = %v, want a refusal", bad, err)
			} else if want, got := strings.Index(bad, `"`)+1, refused.Issues[0].Column; got != want {
				t.Errorf("Compile(%s) points at column %d, want %d", bad, got, want)
			}
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	const notATime = ` is not a time in the form of RFC 3339, such as "2025-03-03T14:30:00Z"`
	for name, test := range map[string]struct{ source, want string }{
		"empty":              {``, "a condition must not be empty; a rule without one applies always"},
		"not UTF-8":          {"resource.name == \"\xff\"", "a condition must be valid UTF-8"},
		"blank":              {" ", "line 1, column 2: Syntax error: mismatched input '<EOF>' expecting {"},
		"cut short":          {`request.ip ==`, "line 1, column 14: Syntax error: mismatched input '<EOF>' expecting {"},
		"assignment":         {`request.ip = "10.0.0.1"`, "line 1, column 12: Syntax error: token recognition error at: '= '"},
		"open string":        {`request.ip == "10.0.0.1`, "line 1, column 15: Syntax error: token recognition error at: '\"10.0.0.1'"},
		"unknown variable":   {`request.ip == foo`, "line 1, column 15: undeclared reference to 'foo'"},
		"unknown function":   {`foo(request.ip)`, "line 1, column 4: undeclared reference to 'foo'"},
		"unknown attribute":  {`request.foo == "x"`, "line 1, column 8: undefined field 'foo'"},
		"annotation":         {`resource.annotation == "x"`, "line 1, column 9: undefined field 'annotation'"},
		"has of unknown":     {`has(resource.annotation)`, "line 1, column 4: undefined field 'annotation'"},
		"has of a variable":  {`has(request)`, "line 1, column 5: invalid argument to has() macro"},
		"attribute unquoted": {`ip == "10.0.0.1"`, "line 1, column 1: undeclared reference to 'ip'"},
		"made-up request":    {`request{ip: "10.0.0.1"}.ip == "x"`, "line 1, column 8: undeclared reference to 'request'"},
		"second line":        {"request.ip == \"10.0.0.1\" &&\n  request.agent == \"x\"", "line 2, column 10: undefined field 'agent'"},
		"after wide letters": {`resource.name == "東京🚀" && foo`, "line 1, column 27: undeclared reference to 'foo'"},
		"two faults": {`request.foo == "x" && bar`,
			"line 1, column 8: undefined field 'foo'; line 1, column 23: undeclared reference to 'bar'"},
		"string is not bool":   {`request.ip`, "line 1, column 8: expected type 'bool' but found 'string'"},
		"dyn is not bool":      {`dyn(true)`, "line 1, column 4: expected type 'bool' but found 'dyn'"},
		"bool by negation":     {`!request.ip`, "line 1, column 1: found no matching overload for '!_' applied to '(string)'"},
		"string with number":   {`request.ip == 10`, "line 1, column 12: found no matching overload for '_==_' applied to '(string, int)'"},
		"time with number":     {`request.time < 2025`, "line 1, column 14: found no matching overload for '_<_' applied to '(timestamp, int)'"},
		"time in strings":      {`request.time in ["2025-03-03T14:30:00Z"]`, "line 1, column 14: found no matching overload for '@in' applied to '(timestamp, list(string))'"},
		"request and resource": {`request == resource`, "line 1, column 9: found no matching overload for '_==_' applied to '(request-attributes, resource-attributes)'"},
		"range of one":         {`inIpRange(request.ip)`, "line 1, column 10: found no matching overload for 'inIpRange' applied to '(string)'"},
		"range as member":      {`request.ip.inIpRange("10.0.0.0/8")`, "line 1, column 21: found no matching overload for 'inIpRange' applied to 'string.(string)'"},
		"range of a time":      {`inIpRange(request.time, "10.0.0.0/8")`, "line 1, column 10: found no matching overload for 'inIpRange' applied to '(timestamp, string)'"},
		"no range":             {`inIpRange(request.ip, "10.0.0.0")`, `line 1, column 23: "10.0.0.0" is not an address range in CIDR form, such as "10.0.0.0/8" or "2001:db8::/32"`},
		"too long a prefix":    {`inIpRange(request.ip, "10.0.0.0/33")`, `line 1, column 23: "10.0.0.0/33" is not an address range in CIDR form`},
		"no time":              {`request.time > "yesterday"`, `line 1, column 16: "yesterday"` + notATime},
		"time without zone":    {`request.time == "2025-03-03T14:30:00"`, `line 1, column 17: "2025-03-03T14:30:00"` + notATime},
		"time on the left":     {`"2025-03-03" <= request.time`, `line 1, column 1: "2025-03-03"` + notATime},
		"no timestamp":         {`request.time < timestamp("now")`, `line 1, column 26: "now"` + notATime},
		"no duration":          {`duration("5 minutes") < duration("1h")`, `line 1, column 10: "5 minutes" is not a duration, such as "1h30m"`},
		"no time zone":         {`request.time.getHours("Europe/Pariss") < 8`, `line 1, column 23: "Europe/Pariss" is not a time zone, such as "Europe/Paris" or "+01:00"`},
		"no pattern":           {`request.user_agent.matches("(")`, "line 1, column 28: \"(\" is not a regular expression: error parsing regexp: missing closing ): `(`"},
		"no pattern, function": {`matches(request.user_agent, "[")`, `line 1, column 29: "[" is not a regular expression: error parsing regexp`},
		"extension library":    {`request.user_agent.lowerAscii() == "x"`, "line 1, column 30: undeclared reference to 'lowerAscii'"},
		"optional syntax":      {`request.?ip == "x"`, "line 1, column 8: unsupported syntax '.?'"},
		"deep parentheses":     {strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000), "expression recursion limit exceeded: 250"},
		"no number":            {`int("a") == 1`, "line 1, column 4: type conversion error from 'string' to 'int'"},
		"bytes as key":         {`{b"a": 1}.size() == 1`, "the condition cannot be evaluated: runtime error: hash of unhashable type types.Bytes"},
		"large pattern":        {`resource.locality.matches("(a{99}b{99}c{99}d{99}e{99}f{99}){10}")`, `line 1, column 27: "(a{99}b{99}c{99}d{99}e{99}f{99}){10}" is too large a regular expression: repeat less often`},
		"message of lists":     {`["a"].map(x, [x]).all(x, google.protobuf.ListValue{values: x} == [])`, "line 1, column 60: a message of type 'google.protobuf.ListValue' must not be made of computed lists"},
		"object of another":    {`google.protobuf.Timestamp{seconds: request.ip} == request.time`, "line 1, column 34: expected type of field 'seconds' is 'int' but provided type is 'string'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(test.source)
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("Compile(%s) = %v, want an *Error", test.source, err)
			}
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("Compile(%s)\n got %s\nwant %s", test.source, err, test.want)
			}
		})
	}
}

// Fixing one fault must not bring up others that were there to see: times compared with strings are no faults.
func TestTimesAreNoFaultsBesideOthers(t *testing.T) {
	_, err := Compile(`request.time == "2025-03-03T14:30:00Z" && request.foo == "x"`)
	if want := "line 1, column 50: undefined field 'foo'"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLength(t *testing.T) {
	pad := func(letter string, length int) string {
		const frame = `resource.name != ""`
		return `resource.name != "` + strings.Repeat(letter, length-len(frame)) + `"`
	}
	for _, letter := range []string{"a", "é", "東", "🚀"} {
		if _, err := Compile(pad(letter, MaxLength)); err != nil {
			t.Errorf("%d characters of %s: %v", MaxLength, letter, err)
		}
		_, err := Compile(pad(letter, MaxLength+1))
		if want := "a condition has at most 2048 characters; this one has 2049"; err == nil || err.Error() != want {
			t.Errorf("%d characters of %s: got %v, want %s", MaxLength+1, letter, err, want)
		}
	}
}

func TestCostIsBounded(t *testing.T) {
	list := func(n int) string { return "[" + strings.Repeat("1,", n-1) + "1]" }
	for name, source := range map[string]string{
		"loops in loops":    list(60) + ".all(a, " + list(60) + ".all(b, " + list(60) + ".all(c, a + b + c > 0)))",
		"loops as bodies":   strings.Repeat(`[1, 1].all(a, `, 20) + `true` + strings.Repeat(`)`, 20),
		"names in names":    `true` + strings.Repeat(` && resource.name.contains(resource.name)`, 10),
		"pattern from text": `resource.name.matches(resource.name + resource.name)`,
		"text that doubles": `[resource.name]` + strings.Repeat(`.map(a, a + a)`, 60) + `.size() == 1`,
		// CEL's own estimate has these far within the limit, and each takes 0.1 to 7 seconds.
		"lists compared":    `[` + list(150) + `].map(a, ` + list(150) + `.map(x, a)).all(m, ` + list(150) + `.all(y, m == m))`,
		"lists in lists":    `[` + list(30) + `].map(a, ` + list(30) + `.map(x, a)).all(m, m in [m])`,
		"lists behind dyn":  `[` + list(30) + `].map(a, ` + list(30) + `.map(x, a)).all(m, dyn(m) != dyn(m))`,
		"list as index":     `[` + list(30) + `].map(a, ` + list(30) + `.map(x, a)).all(m, {1: true}[dyn(m)])`,
		"text measured":     `[resource.name + resource.name].all(n, ` + list(50) + `.all(x, ` + list(80) + `.all(y, size(n) > 1)))`,
		"text read":         `[resource.name + resource.name].all(n, ` + list(50) + `.all(x, ` + list(80) + `.all(y, double(n) > 1.0)))`,
		"zone computed":     list(150) + `.all(x, request.time.getHours(resource.name) > 1)`,
		"pattern repeated":  `resource.name.matches("(a{90}b{90}c{90}){8}")`,
		"patterns of names": strings.Repeat(`resource.name.matches(request.user_agent) || `, 2) + `false`,
		"size unknown":      `request.ip.contains(string(dyn(resource)))`,
	} {
		t.Run(name, func(t *testing.T) {
			refusedAsAWhole(t, source, "evaluating the condition could cost more than the 50000 units allowed; ")
		})
	}
}

// Each of these keeps CEL's type checker busy for seconds to minutes, which a tenant must not be able to ask of
// the webhook.
func TestTypesAreBounded(t *testing.T) {
	nest := func(open, end string, n int) string {
		return "size(" + strings.Repeat(open, n) + "1" + strings.Repeat(end, n) + ") == 1"
	}
	const want = "lists and maps are nested too deeply: a type of "
	for name, source := range map[string]string{
		"lists":           nest("[", "]", 200),
		"maps":            nest("{1: ", "}", 200),
		"maps as keys":    nest("{", ": 1}", 200),
		"loops":           nest("[1].map(x, ", ")", 150),
		"doubled by key":  `[1]` + strings.Repeat(`.map(a, {a: a})`, 130) + `.size() == 1`,
		"doubled in turn": `[[1]]` + strings.Repeat(`.map(a, [{a[0]: a[0]}])`, 80) + `.size() == 1`,
		"grown in chain":  `[1]` + strings.Repeat(`.map(a, [a])`, 150) + `.size() == 1`,
		"in a target":     `[1]` + strings.Repeat(`.map(a, {a: a})`, 130) + `.exists(b, true)`,
		"in a field":      `google.protobuf.Value{list_value: ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `} == null`,
		"in a selection":  `{"a": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}.a == []`,
		"in a condition":  `[1].all(a, ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + ` == [])`,
	} {
		t.Run(name, func(t *testing.T) { refusedAsAWhole(t, source, want) })
	}
	for name, source := range map[string]string{
		"pairs":             `[["fr-par", "a"], ["nl-ams", "b"]].exists(p, resource.locality == p[0] && resource.name == p[1])`,
		"lists written out": `{"a": [[1]]}[resource.name] == [[1]] && [[1]].exists(x, x in [[1], [2]])`,
		"dyn of a text":     `dyn(resource.name) == dyn(resource.id) && {"a": true}[dyn(resource.name)]`,
		"seven levels":      `[[[[[[[1]]]]]]] == [[[[[[[2]]]]]]]`,
		"thirty loops":      `["a"]` + strings.Repeat(`.filter(a, a != resource.name)`, 30) + `.size() == 1`,
		"loops beside each": `true` + strings.Repeat(` && ["a"].all(a, a != resource.name)`, 50),
	} {
		if _, err := Compile(source); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func refusedAsAWhole(t *testing.T, source, want string) {
	t.Helper()
	_, err := Compile(source)
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if len(refused.Issues) != 1 || refused.Issues[0].Line != 0 || refused.Issues[0].Column != 0 {
		t.Errorf("got %+v, want one issue without a place", refused.Issues)
	}
	if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %s\nwant %s", err, want)
	}
}

// One language serves all goroutines: the race detector watches, and the answers must not mix.
func TestCompileConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for name, source := range documented() {
				if _, err := Compile(source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := Compile(`request.foo == "x"`); err == nil || err.Error() != "line 1, column 8: undefined field 'foo'" {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
}

// FuzzCompile holds Compile to its contract for any text: it returns, and what it refuses it explains at places
// that exist.
func FuzzCompile(f *testing.F) {
	for _, conditions := range []map[string]string{documented(), accepted()} {
		for _, source := range conditions {
			f.Add(source)
		}
	}
	for _, source := range []string{
		"", "\x00", "\xff", "[1].map(a, {a: a})", "'''", `"\u0000"`, "b'\\xff' == b''", "has(.", "has(a.b.c)", "a.b.c()", "-9223372036854775808 < 0",
		`timestamp("0001-01-01T00:00:00Z") < request.time`, `request.time.getHours("..") < 8`, `google.protobuf.Timestamp{} == "x"`,
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		compiled, err := Compile(source)
		if err == nil {
			if compiled.Source() != source || compiled.Cost() > maxCost {
				t.Fatalf("compiled to %+v", compiled)
			}
			return
		}
		var refused *Error
		if !errors.As(err, &refused) || len(refused.Issues) == 0 {
			t.Fatalf("not a refusal: %v", err)
		}
		lines := strings.Split(source, "\n")
		for _, issue := range refused.Issues {
			if issue.Message == "" || issue.Line < 0 || issue.Line > len(lines) || (issue.Line == 0) != (issue.Column == 0) {
				t.Fatalf("%d lines, issue %+v", len(lines), issue)
			}
			if issue.Line > 0 && (issue.Column < 1 || issue.Column > len([]rune(lines[issue.Line-1]))+1) {
				t.Fatalf("no such column in %q: %+v", lines[issue.Line-1], issue)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for name, source := range map[string]string{
		"range":       `inIpRange(request.ip, "10.0.0.0/8")`,
		"office":      documented()["office hours"],
		"time":        documented()["exact time"],
		"ranges":      accepted()["several ranges"],
		"refused":     `request.foo == "x"`,
		"full length": `true` + strings.Repeat(` && ["a"].all(a, a != resource.name)`, 56),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Compile(source)
			}
		})
	}
}
