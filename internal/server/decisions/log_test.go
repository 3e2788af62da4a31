// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// paper is what is written on, which may be held or fail.
type paper struct {
	mu      sync.Mutex
	text    bytes.Buffer
	failing bool
	writes  int
	held    chan struct{}
}

func (p *paper) Write(text []byte) (int, error) {
	if p.held != nil {
		<-p.held
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	if p.failing {
		return 0, errors.New("no paper")
	}
	return p.text.Write(text)
}

func (p *paper) lines(t *testing.T) []map[string]any {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []map[string]any
	for line := range strings.Lines(p.text.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("no line of JSON: %v: %q", err, line)
		}
		all = append(all, object)
	}
	return all
}

func newLog(t *testing.T, o LogOptions) *Log {
	t.Helper()
	o.Clock, o.Failures = clock.RealClock{}, logr.Discard()
	l := NewLog(o)
	m, err := newMetrics(prometheus.NewRegistry(), authz.NewEngine(authz.Options{Now: time.Now}))
	if err != nil {
		t.Fatal(err)
	}
	l.metrics = m
	return l
}

func run(t *testing.T, l *Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		l.Run(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

func numbered(i int) *entry {
	return &entry{kind: kindDecision, at: noon, endpoint: EndpointEvaluation, requestID: fmt.Sprint(i), item: Alone}
}

func TestLogLine(t *testing.T) {
	caller := authz.Caller{AccessKey: "SCWPEP", Principal: authz.Principal{Kind: iam.PrincipalApplication, ID: "pep", OrganizationID: "acme"}}
	question := authz.Request{
		Subject: authz.Subject{Kind: authz.SubjectAPIKey, ID: "SCWCI"}, Permission: iam.Permission{Service: "s", Resource: "r", Action: "a"},
		Scope:      authz.Scope{ProjectID: "web", OrganizationID: "acme"},
		Attributes: condition.Attributes{IP: "10.0.0.1", UserAgent: "a\"b\n", Time: noon, ResourceID: "i", ResourceName: strings.Repeat("é", 200), ResourceLocality: "fr-par"},
	}
	at := store.Revision{Incarnation: "one", N: 7}
	for name, test := range map[string]struct {
		entry entry
		want  string
	}{
		"a decision": {
			entry{kind: kindDecision, at: noon, latency: 1500 * time.Nanosecond, endpoint: EndpointEvaluations, requestID: "x", item: 2, caller: caller, question: question, decision: authz.Decision{
				Reason: authz.ReasonConditionFailed, Principal: authz.Principal{ID: "ci"}, Err: errors.New("request.ip is not known"), Revision: at,
				Grant: &authz.Grant{PolicyID: "p", PolicyName: "P", RuleID: "u", PermissionSet: "S"},
			}},
			`{"time":"2026-03-02T12:00:00Z","kind":"decision","endpoint":"evaluations","request":"x","item":2,"caller":"SCWPEP","callerID":"pep","organization":"acme",` +
				`"subjectType":"api_key","subject":"SCWCI","principal":"ci","service":"s","resourceType":"r","action":"a","project":"web","resource":"i","resourceName":"` + strings.Repeat("é", 127) + `",` +
				`"locality":"fr-par","ip":"10.0.0.1","userAgent":"a\"b\n","at":"2026-03-02T12:00:00Z","decision":"deny","reason":"ConditionFailed","policy":"p","policyName":"P","rule":"u",` +
				`"permissionSet":"S","error":"request.ip is not known","revision":"one.7","micros":1}`,
		},
		"a search": {
			entry{kind: kindSearch, at: noon, endpoint: EndpointSearchAction, requestID: "x", item: Alone, caller: caller, question: authz.Request{Subject: question.Subject}, found: 3, decision: authz.Decision{Revision: at}},
			`{"time":"2026-03-02T12:00:00Z","kind":"search","endpoint":"search_action","request":"x","caller":"SCWPEP","callerID":"pep","organization":"acme","subjectType":"api_key","subject":"SCWCI","scopeOrganization":"","found":3,"revision":"one.7","micros":0}`,
		},
		"a refusal": {
			entry{kind: kindRefusal, at: noon, endpoint: EndpointEvaluation, requestID: "x", item: Alone, caller: caller, question: authz.Request{Scope: authz.Scope{OrganizationID: "umbra"}}, refusal: "no", decision: authz.Decision{Revision: at}},
			`{"time":"2026-03-02T12:00:00Z","kind":"refusal","endpoint":"evaluation","request":"x","caller":"SCWPEP","callerID":"pep","organization":"acme","scopeOrganization":"umbra","refusal":"no","revision":"one.7","micros":0}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(test.want, `"scopeOrganization":"",`, "", 1)
			if got := string(test.entry.append(nil)); got != want+"\n" {
				t.Errorf("the line is\n%s, want\n%s", got, want)
			}
		})
	}
}

// All that is denied is logged, and of what is allowed the part that is wanted.
func TestLogSamplesAllows(t *testing.T) {
	numbers := []float64{0, 0.09, 0.1, 0.5, 0.99}
	for sample, want := range map[float64]int{0: 0, 0.1: 2, 1: 5} {
		i := 0
		l := NewLog(LogOptions{Writer: &paper{}, AllowSample: sample, Random: func() float64 { i++; return numbers[i-1] }})
		got := 0
		for range numbers {
			if l.wants(&authz.Decision{Allowed: true}) {
				got++
			}
			if !l.wants(&authz.Decision{Reason: authz.ReasonNotGranted}) {
				t.Error("a denial is not logged")
			}
		}
		if got != want {
			t.Errorf("of a sample of %v, %d were logged, want %d", sample, got, want)
		}
	}
	if NewLog(LogOptions{AllowSample: 1}).wants(&authz.Decision{}) {
		t.Error("without a writer something is to be logged")
	}
}

// Lines are written in order, each once, several at a time, and what waits at the end is written before that.
func TestLogIsWrittenInOrder(t *testing.T) {
	p := &paper{}
	l := newLog(t, LogOptions{Writer: p})
	stop := run(t, l)
	const count = 5000
	for i := range count {
		l.add(numbered(i))
	}
	stop()
	lines := p.lines(t)
	if len(lines) != count {
		t.Fatalf("%d lines of %d", len(lines), count)
	}
	for i, line := range lines {
		if line["request"] != fmt.Sprint(i) {
			t.Fatalf("line %d is %v", i, line)
		}
	}
	if p.writes > count/10 {
		t.Errorf("%d lines took %d writes", count, p.writes)
	}
}

// While the writer is held up, nobody waits for it: what the queue does not hold is lost, counted, and told of.
func TestLogTellsOfWhatItLost(t *testing.T) {
	p := &paper{held: make(chan struct{})}
	l := newLog(t, LogOptions{Writer: p, Queue: 10})
	stop := run(t, l)
	l.add(numbered(0))
	for waiting := true; waiting; { // until the writer holds it
		l.mu.Lock()
		waiting = len(l.waiting) > 0
		l.mu.Unlock()
	}
	const more = 25
	for i := range more {
		l.add(numbered(i + 1))
	}
	if got := testutil.ToFloat64(l.metrics.logLost); got != more-10 {
		t.Errorf("the metric says that %v are lost, want %d", got, more-10)
	}
	close(p.held)
	stop()
	lines := p.lines(t)
	if len(lines) != 12 || lines[11]["kind"] != "gap" || lines[11]["lost"] != float64(more-10) || lines[11]["since"] != noon.Format(time.RFC3339) {
		t.Errorf("the log has %d lines and ends with %v", len(lines), lines[len(lines)-1])
	}
}

// While the writer is held up, what waits for it keeps no body in memory, and no secret key that was taken for an access key.
func TestLogKeepsNoBodies(t *testing.T) {
	p := &paper{held: make(chan struct{})}
	l := newLog(t, LogOptions{Writer: p})
	stop := run(t, l)
	long := func() string { return strings.Repeat("é", 1<<19) }
	parts := strings.SplitN("service:resource:"+long(), ":", 3)
	const secret = "5ec00000-0000-4000-8000-0000000000ee"
	before := heap()
	const count = 100
	for i := range count {
		e := numbered(i)
		e.requestID, e.refusal = long(), long()
		e.question = authz.Request{
			Subject: authz.Subject{Kind: authz.SubjectKind(long()), ID: long()}, Permission: iam.Permission{Service: parts[0], Resource: parts[1], Action: parts[2]},
			Scope: authz.Scope{ProjectID: long(), OrganizationID: long()}, Attributes: condition.Attributes{UserAgent: long(), ResourceID: long(), ResourceName: long(), ResourceLocality: long()},
		}
		e.decision.Err = errors.New(long())
		l.add(e)
		body := strings.SplitN("service:resource:"+long(), ":", 3)
		short := numbered(i)
		short.question.Permission = iam.Permission{Service: body[0], Resource: body[1], Action: body[2]}
		short.question.Subject = authz.Subject{Kind: authz.SubjectAPIKey, ID: secret}
		l.add(short)
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("%d lines that wait keep %d bytes", 2*count, grown)
	}
	close(p.held)
	stop()
	if lines := p.lines(t); len(lines) != 2*count || lines[1]["subject"] != notAnAccessKey || strings.Contains(p.text.String(), secret) {
		t.Errorf("the log has %d lines, the second is %v", len(lines), lines[1])
	}
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What could not be written is told of as soon as something can be again.
func TestLogTellsOfWhatCouldNotBeWritten(t *testing.T) {
	p := &paper{failing: true}
	l := newLog(t, LogOptions{Writer: p})
	w := &logWriter{log: l}
	for i := range 3 {
		l.add(numbered(i))
		w.drain()
	}
	if got := testutil.ToFloat64(l.metrics.logLost); got != 3 {
		t.Errorf("the metric says that %v are lost, want 3", got)
	}
	p.failing = false
	l.add(numbered(3))
	w.drain()
	lines := p.lines(t)
	if len(lines) != 2 || lines[0]["request"] != "3" || lines[1]["kind"] != "gap" || lines[1]["lost"] != 3.0 {
		t.Errorf("the log is %v", lines)
	}
	w.drain()
	if again := p.lines(t); len(again) != 2 {
		t.Errorf("the gap is told of again: %v", again)
	}
}
