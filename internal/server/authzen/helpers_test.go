// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

const baseURL = "https://pdp.example.com"

// served is the API over a world.
type served struct {
	*world.World
	mux *http.ServeMux
}

func serve(t testing.TB, more ...iam.Entity) *served {
	t.Helper()
	return serveAt(t, baseURL, io.Discard, more...)
}

func serveAt(t testing.TB, url string, log io.Writer, more ...iam.Entity) *served {
	t.Helper()
	base, err := ParseBaseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{World: world.New(t, log, more...), mux: http.NewServeMux()}
	New(s.Service, base).Register(s.mux)
	return s
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// ask sends a body as the bearer of a key, who is the enforcement point unless another is given.
func (s *served) ask(t testing.TB, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	world.Show(r, world.PEPKey)
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if kind := a.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("%s answered with Content-Type %q", path, kind)
	}
	if a.status == http.StatusOK {
		if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
			t.Fatalf("%s answered no JSON object: %v: %s", path, err, a.text)
		}
	} else {
		var message string
		if err := json.Unmarshal([]byte(a.text), &message); err != nil || message == "" {
			t.Errorf("%s answered %d with no error message: %s", path, a.status, a.text)
		}
	}
	return a
}

func as(accessKey string) func(*http.Request) {
	return func(r *http.Request) { world.Show(r, accessKey) }
}

// message is an error's.
func (a answer) message() string {
	var message string
	_ = json.Unmarshal([]byte(a.text), &message)
	return message
}

// at gives a value by its keys.
func (a answer) at(keys ...string) any {
	var value any = a.body
	for _, key := range keys {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// decisions gives those of several evaluations.
func (a answer) decisions(t testing.TB) []bool {
	t.Helper()
	list, _ := a.body["evaluations"].([]any)
	all := []bool{}
	for _, element := range list {
		object, _ := element.(map[string]any)
		decision, ok := object["decision"].(bool)
		if !ok {
			t.Fatalf("an evaluation without a decision: %s", a.text)
		}
		all = append(all, decision)
	}
	return all
}

// results gives what a search found, by id or by name.
func (a answer) results(t testing.TB, kind string) []string {
	t.Helper()
	list, ok := a.body["results"].([]any)
	if !ok {
		t.Fatalf("no results: %d %s", a.status, a.text)
	}
	all := []string{}
	for _, element := range list {
		object, _ := element.(map[string]any)
		if kind == "" {
			name, _ := object["name"].(string)
			all = append(all, name)
			continue
		}
		id, _ := object["id"].(string)
		if object["type"] != kind {
			t.Errorf("a result of type %v in a search for %s", object["type"], kind)
		}
		all = append(all, id)
	}
	return all
}
