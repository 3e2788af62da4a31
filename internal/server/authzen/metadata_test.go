// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

func (s *served) get(path string, change ...func(*http.Request)) answer {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.body)
	return a
}

func TestMetadata(t *testing.T) {
	for name, test := range map[string]struct{ base, path, point string }{
		"a host":                              {"https://pdp.example.com", "/.well-known/authzen-configuration", "https://pdp.example.com"},
		"an Organization":                     {"https://pdp.example.com", "/.well-known/authzen-configuration/organizations/" + world.Acme, "https://pdp.example.com/organizations/" + world.Acme},
		"one that does not exist":             {"https://pdp.example.com", "/.well-known/authzen-configuration/organizations/0c000000-0000-4000-8000-00000000000c", "https://pdp.example.com/organizations/0c000000-0000-4000-8000-00000000000c"},
		"a host with a port and a path":       {"https://pdp.example.com:8443/iam/", "/.well-known/authzen-configuration/iam", "https://pdp.example.com:8443/iam"},
		"an Organization below a path":        {"https://pdp.example.com/iam", "/.well-known/authzen-configuration/iam/organizations/" + world.Acme, "https://pdp.example.com/iam/organizations/" + world.Acme},
		"no id":                               {"https://pdp.example.com", "/.well-known/authzen-configuration/organizations/acme", ""},
		"an id in another form":               {"https://pdp.example.com", "/.well-known/authzen-configuration/organizations/" + strings.ToUpper(world.Acme), ""},
		"another path than that of the point": {"https://pdp.example.com/iam", "/.well-known/authzen-configuration", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveAt(t, test.base, io.Discard)
			a := s.get(test.path)
			if test.point == "" {
				if a.status != http.StatusNotFound {
					t.Errorf("answered %d %s, want 404", a.status, a.text)
				}
				return
			}
			if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || !strings.Contains(a.header.Get("Cache-Control"), "max-age") {
				t.Errorf("answered %d with %v", a.status, a.header)
			}
			for key, want := range map[string]string{
				"policy_decision_point": test.point, "access_evaluation_endpoint": test.point + "/access/v1/evaluation", "access_evaluations_endpoint": test.point + "/access/v1/evaluations",
				"search_subject_endpoint": test.point + "/access/v1/search/subject", "search_resource_endpoint": test.point + "/access/v1/search/resource", "search_action_endpoint": test.point + "/access/v1/search/action",
			} {
				if a.body[key] != want {
					t.Errorf("%s is %v, want %s", key, a.body[key], want)
				}
			}
			// What it names is there, as it is named and, for a proxy that takes the path away, without that.
			endpoint, _ := a.body["access_evaluation_endpoint"].(string)
			for _, path := range []string{strings.TrimPrefix(endpoint, "https://pdp.example.com"), "/access/v1/evaluation"} {
				path = strings.TrimPrefix(path, ":8443")
				if got := s.ask(t, path, about("user", world.Alice)); got.status != http.StatusOK && !strings.Contains(path, "0c000000") {
					t.Errorf("%s answered %d %s", path, got.status, got.text)
				}
			}
			if a := s.ask(t, test.path, "{}"); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET" {
				t.Errorf("a POST is answered %d", a.status)
			}
		})
	}
}

// Metadata that are built from what the request says let an attacker who can have a request made send clients to a host of their own.
func TestDiscoveryIgnoresHost(t *testing.T) {
	s := serve(t)
	for _, path := range []string{wellKnownPath, wellKnownPath + "/organizations/" + world.Acme} {
		honest := s.get(path)
		forged := s.get(path, func(r *http.Request) {
			r.Host = "evil.example"
			r.URL.Host = "evil.example"
			for name, value := range map[string]string{
				"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Prefix": "/evil.example", "X-Forwarded-Port": "1",
				"Forwarded": "host=evil.example;proto=http", "X-Original-Host": "evil.example", "X-Original-URL": "https://evil.example/", "X-Host": "evil.example",
			} {
				r.Header.Set(name, value)
			}
		})
		if forged.text != honest.text || strings.Contains(forged.text, "evil") || !strings.Contains(honest.text, baseURL) {
			t.Errorf("%s answered %s, and to another Host %s", path, honest.text, forged.text)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for text, good := range map[string]bool{
		"https://pdp.example.com": true, "https://pdp.example.com/": true, "https://192.0.2.1:8443/iam": true, "https://[2001:db8::1]:8443": true,
		"http://pdp.example.com": false, "pdp.example.com": false, "https://": false, "https:///x": false, "https://a@pdp.example.com": false,
		"https://pdp.example.com?x": false, "https://pdp.example.com/?": false, "https://pdp.example.com/#x": false, "https://pdp.example.com/a//b": false,
		"https://pdp.example.com/../b": false, "https://pdp.example.com/a b": false, "https://pdp.example.com/{x}": false, "https://pdp example.com": false, "": false,
		"https://xn--dcouverte-b4a.example.com": true, "https://découverte.example.com": false, "https://pdp..example.com": false, "https://pdp.example.com.": false, "https://[fe80::1%25eth0]": false,
	} {
		if _, err := ParseBaseURL(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
