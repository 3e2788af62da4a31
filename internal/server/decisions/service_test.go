// SPDX-License-Identifier: Apache-2.0

package decisions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/server/authzen"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
	"github.com/iam-operator/iam-operator/internal/server/iamapi"
)

// paper is written on by one goroutine and read by another.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *paper) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(text)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func serve(t *testing.T, service *decisions.Service) *http.ServeMux {
	t.Helper()
	base, err := authzen.ParseBaseURL("https://pdp.example.com")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	authzen.New(service, base).Register(mux)
	iamapi.Register(mux, service, "")
	return mux
}

func ask(mux *http.ServeMux, key, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "request-"+path)
	world.Show(r, key)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

// Each decision has its line, whatever the endpoint, and what may not be asked has one as well; no secret key is in any of them.
func TestDecisionsAreLogged(t *testing.T) {
	log := &paper{}
	w := world.New(t, log)
	mux := serve(t, w.Service)
	alice := `{"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"records:record:read"},"resource":{"type":"project","id":"` + world.Web + `"}}`
	type line struct {
		Kind, Endpoint, Request, Caller, Subject, Decision, Reason, Policy, Revision string
		Item                                                                         *int
		Found                                                                        int
	}
	var want []line
	expect := func(path, key string, status int, lines ...line) {
		t.Helper()
		body := alice
		switch path {
		case "/access/v1/evaluations":
			body = `{"evaluations":[` + alice + `,{},` + strings.Replace(alice, world.Alice, world.Bob, 1) + `]}`
		case "/iam/v1alpha1/check-permissions":
			body = `{"permissions":[{"service":"records","name":"record","action":"read","project_id":"` + world.Web + `"}]}`
		}
		if got := ask(mux, key, path, body); got.Code != status {
			t.Fatalf("%s answered %d %s", path, got.Code, got.Body)
		}
		for _, l := range lines {
			l.Request, l.Caller, l.Revision = "request-"+path, key, "7c1d.1"
			want = append(want, l)
		}
	}
	first, second, third := 0, 1, 2
	reads := line{Kind: "decision", Subject: world.Alice, Decision: "allow", Reason: "Granted", Policy: "policy-alice-reads"}
	on := func(endpoint string, l line) line { l.Endpoint = endpoint; return l }
	item := func(l line, item *int) line { l.Item = item; return l }
	bob := line{Kind: "decision", Endpoint: "evaluations", Subject: world.Bob, Decision: "allow", Reason: "Granted", Policy: "policy-bob-reads", Item: &third}
	expect("/access/v1/evaluation", world.PEPKey, 200, on("evaluation", reads))
	expect("/access/v1/explain", world.PEPKey, 200, on("explain", reads))
	broken := line{Kind: "refusal", Endpoint: "evaluations", Item: &second}
	expect("/access/v1/evaluations", world.PEPKey, 200, item(on("evaluations", reads), &first), broken, bob)
	forbidden := func(subject string, item *int) line { l := broken; l.Subject, l.Item = subject, item; return l }
	expect("/access/v1/evaluations", world.CIKey, 200, forbidden(world.Alice, &first), broken, forbidden(world.Bob, &third))
	expect("/access/v1/evaluation", world.CIKey, 403, line{Kind: "refusal", Endpoint: "evaluation", Subject: world.Alice})
	expect("/access/v1/search/subject", world.PEPKey, 200, line{Kind: "search", Endpoint: "search_subject", Found: 3})
	expect("/access/v1/search/resource", world.PEPKey, 200, line{Kind: "search", Endpoint: "search_resource", Subject: world.Alice, Found: 2}) // two Projects
	expect("/access/v1/search/action", world.PEPKey, 200, line{Kind: "search", Endpoint: "search_action", Subject: world.Alice, Found: 3})
	expect("/iam/v1alpha1/check-permissions", world.CIKey, 200, line{Kind: "decision", Endpoint: "check_permissions", Subject: world.CIKey, Decision: "deny", Reason: "NotGranted", Item: &first})
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return strings.Count(log.String(), "\n") >= len(want), nil
	})
	if err != nil {
		t.Errorf("not all lines are there: %v", err)
	}
	i := 0
	for text := range strings.Lines(log.String()) {
		var got line
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want[i])
		if !bytes.Equal(a, b) {
			t.Errorf("line %d is\n%s, want\n%s", i, a, b)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d lines, want %d", i, len(want))
	}
	for _, secret := range world.Secrets() {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has secret key %s", secret)
		}
	}
}

func metric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if strings.Join(values, ",") != strings.Join(labels, ",") {
				continue
			}
			if h := m.GetHistogram(); h != nil {
				return float64(h.GetSampleCount())
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s of %q", name, labels)
	return 0
}

func TestMetrics(t *testing.T) {
	w := world.New(t, io.Discard)
	mux := serve(t, w.Service)
	ci := `{"subject":{"type":"application","id":"` + world.CI + `"},"action":{"name":"object_storage:bucket:read"},"resource":{"type":"project","id":"` + world.Web + `"}}`
	ask(mux, world.PEPKey, "/access/v1/evaluation", ci)
	ask(mux, world.PEPKey, "/access/v1/evaluation", strings.Replace(ci, world.CI, world.Eve, 1))
	ask(mux, world.AliceKey, "/access/v1/evaluation", ci)
	ask(mux, world.LucyKey, "/access/v1/evaluation", ci)
	ask(mux, world.AliceKey, "/access/v1/evaluations", `{"evaluations":[`+ci+`,{}]}`)
	ask(mux, world.OwnerKey, "/access/v1/evaluation", strings.NewReplacer("application", "owner", world.CI, world.Owner).Replace(ci))
	for name, test := range map[string]struct {
		name   string
		labels []string
		want   float64
	}{
		"conditions that failed":    {"iam_operator_decision_condition_errors_total", nil, 1},
		"their decision":            {"iam_operator_decisions_total", []string{"deny", "ConditionFailed"}, 1},
		"another Organization's":    {"iam_operator_decisions_total", []string{"deny", "UnknownSubject"}, 1},
		"the owner's":               {"iam_operator_decisions_total", []string{"allow", "Owner"}, 1},
		"at zero from the start":    {"iam_operator_decisions_total", []string{"allow", "Granted"}, 0},
		"answered":                  {"iam_operator_decision_requests_total", []string{"200", "evaluation"}, 3},
		"refused":                   {"iam_operator_decision_requests_total", []string{"403", "evaluation"}, 1},
		"of nobody":                 {"iam_operator_decision_requests_total", []string{"401", "evaluation"}, 1},
		"how long":                  {"iam_operator_decision_request_duration_seconds", []string{"evaluation"}, 5},
		"revision":                  {"iam_operator_decision_snapshot_revision", nil, 1},
		"items that are refused":    {"iam_operator_decision_items_refused_total", nil, 2},
		"no panics":                 {"iam_operator_decision_panics_total", nil, 0},
		"nothing lost from the log": {"iam_operator_decision_log_lost_total", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := metric(t, w.Registry, test.name, test.labels...); got != test.want {
				t.Errorf("%s of %q is %v, want %v", test.name, test.labels, got, test.want)
			}
		})
	}
	if age := metric(t, w.Registry, "iam_operator_decision_snapshot_age_seconds"); age < 0 || age > 60 {
		t.Errorf("the snapshot is %v seconds old", age)
	}
}

// While the engine knows nothing, nobody is told that their key is wrong.
func TestWithoutASnapshot(t *testing.T) {
	engine := authz.NewEngine(authz.Options{Now: time.Now, After: time.After, Digests: func(string) []string { return []string{"x"} }})
	service, err := decisions.NewService(decisions.Options{
		Engine: engine, Clock: clock.RealClock{}, NewID: func() string { return "id" }, Log: decisions.NewLog(decisions.LogOptions{}), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := serve(t, service)
	for _, path := range []string{"/access/v1/evaluation", "/iam/v1alpha1/check-permissions"} {
		if got := ask(mux, world.PEPKey, path, "{}"); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
			t.Errorf("%s answered %d %s", path, got.Code, got.Body)
		}
	}
}

// told has what a logger was told as an error.
type told struct{ text []string }

func (l *told) Init(logr.RuntimeInfo)               {}
func (l *told) Enabled(int) bool                    { return true }
func (l *told) Info(int, string, ...any)            {}
func (l *told) WithValues(...any) logr.LogSink      { return l }
func (l *told) WithName(string) logr.LogSink        { return l }
func (l *told) Error(err error, m string, v ...any) { l.text = append(l.text, fmt.Sprint(err, m, v)) }

// handled serves one answer over an engine with a world, and the errors that it tells a logger of.
func handled(t *testing.T, answer decisions.Answer) (handler http.Handler, registry *prometheus.Registry, logged *told) {
	t.Helper()
	logged, registry = &told{}, prometheus.NewRegistry()
	service, err := decisions.NewService(decisions.Options{
		Engine: world.New(t, io.Discard).Service.Engine, Clock: clock.RealClock{}, NewID: func() string { return "id" }, Registry: registry,
		Log: decisions.NewLog(decisions.LogOptions{Failures: logr.New(logged)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return service.Handle(decisions.EndpointEvaluation, answer, func(w http.ResponseWriter, refusal *wire.Refusal) {
		wire.WriteJSON(w, refusal.Status, wire.AppendString(nil, refusal.Message))
	}), registry, logged
}

func shown() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
	world.Show(r, world.PEPKey)
	return r
}

// A panic is answered by 500, counted, and logged with its stack, which the client does not see.
func TestPanicsAreTold(t *testing.T) {
	handler, registry, logged := handled(t, func(*decisions.Session, *http.Request, []byte) ([]byte, error) { panic("a fault") })
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, shown())
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "fault") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	for name, labels := range map[string][]string{"iam_operator_decision_panics_total": nil, "iam_operator_decision_requests_total": {"500", "evaluation"}} {
		if got := metric(t, registry, name, labels...); got != 1 {
			t.Errorf("%s is %v", name, got)
		}
	}
	if len(logged.text) != 1 || !strings.Contains(logged.text[0], "a fault") || !strings.Contains(logged.text[0], "service_test.go") {
		t.Errorf("logged %q", logged.text)
	}
}

func TestAbortsGoOn(t *testing.T) {
	handler, registry, logged := handled(t, func(*decisions.Session, *http.Request, []byte) ([]byte, error) { panic(http.ErrAbortHandler) })
	defer func() {
		if cause, _ := recover().(error); !errors.Is(cause, http.ErrAbortHandler) {
			t.Errorf("net/http gets %v", cause)
		}
		if got := metric(t, registry, "iam_operator_decision_panics_total"); got != 0 || len(logged.text) != 0 {
			t.Errorf("it is counted as a panic, and logged: %q", logged.text)
		}
	}()
	handler.ServeHTTP(httptest.NewRecorder(), shown())
}

// Whoever is gone is not decided for any more.
func TestGoneClients(t *testing.T) {
	mux := serve(t, world.New(t, io.Discard).Service)
	alice := `{"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"records:record:read"},"resource":{"type":"project","id":"` + world.Web + `"}`
	for path, body := range map[string]string{
		"/access/v1/evaluations": alice + `,"evaluations":[{}]}`, "/access/v1/search/subject": alice + "}", "/access/v1/search/resource": alice + "}", "/access/v1/search/action": alice + "}",
		"/iam/v1alpha1/check-permissions": `{"permissions":[{"service":"records","name":"record","action":"read","project_id":"` + world.Web + `"}]}`,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, want := range []int{http.StatusOK, 499} {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			world.Show(r, world.PEPKey)
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s answered %d %s, want %d", path, w.Code, w.Body, want)
			}
			cancel()
		}
	}
}
