// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

// All is found once, in order, by pages of any size, and the token may come with the limit or without it.
func TestPages(t *testing.T) {
	var more []iam.Entity
	for i := range 7 {
		more = append(more, &iam.Project{Head: iam.Head{ID: fmt.Sprintf("0a000000-0000-4000-8000-0000000f000%d", i), OrganizationID: world.Acme}, Name: fmt.Sprint(i)})
	}
	s := serve(t, more...)
	for name, test := range map[string]struct{ path, query, kind string }{
		"subjects":  {searchSubjectPath, `"subject":{"type":"user"},"action":{"name":"records:record:read"},"resource":{"type":"record","id":"r"}`, "user"},
		"resources": {searchResourcePath, `"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"records:record:read"},"resource":{"type":"project"}`, "project"},
		"actions":   {searchActionPath, `"subject":{"type":"user","id":"` + world.Alice + `"},"resource":{"type":"organization","id":"` + world.Acme + `"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			whole := s.ask(t, test.path, "{"+test.query+"}").results(t, test.kind)
			if len(whole) < 3 {
				t.Fatalf("found %q", whole)
			}
			for limit := 1; limit <= len(whole)+1; limit++ {
				for _, again := range []string{"", fmt.Sprintf(`,"limit":%d`, limit)} {
					var found []string
					page := fmt.Sprintf(`{"limit":%d}`, limit)
					for page != "" && len(found) <= len(whole) {
						a := s.ask(t, test.path, "{"+test.query+`,"page":`+page+"}")
						results := a.results(t, test.kind)
						if len(results) > limit || a.at("page", "count") != float64(len(results)) {
							t.Fatalf("a page of at most %d is %s", limit, a.text)
						}
						found = append(found, results...)
						page = ""
						if next, _ := a.at("page", "next_token").(string); next != "" {
							page = `{"token":"` + next + `"` + again + `}`
						}
					}
					if !slices.Equal(found, whole) {
						t.Errorf("by pages of %d found %q, want %q", limit, found, whole)
					}
				}
			}
		})
	}
}

// A page of places is full of those that are wanted, wherever the others stand in the order.
func TestPagesOfPlaces(t *testing.T) {
	s := serve(t)
	query := `{"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"records:record:read"},"resource":{"type":"TYPE"WITHIN},"page":{"limit":1}}`
	for name, test := range map[string]struct {
		kind, within, want string
		more               bool
	}{
		"Projects":                       {"project", ``, world.Default, true},
		"a Project":                      {"project", `,"properties":{"project_id":"` + world.Web + `"}`, world.Web, false},
		"Projects of the Organization":   {"project", `,"properties":{"organization_id":"` + world.Acme + `"}`, world.Default, true},
		"Projects of another":            {"project", `,"properties":{"organization_id":"` + world.Umbra + `"}`, "", false},
		"another's Project":              {"project", `,"properties":{"project_id":"` + world.Pit + `"}`, "", false},
		"the Organization":               {"organization", ``, world.Acme, false},
		"the Organization, in a Project": {"organization", `,"properties":{"project_id":"` + world.Web + `"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, searchResourcePath, strings.NewReplacer("TYPE", test.kind, "WITHIN", test.within).Replace(query))
			if found := strings.Join(a.results(t, test.kind), ","); found != test.want || (a.at("page", "next_token") != "") != test.more {
				t.Errorf("found %s; want %s, and more is %v", a.text, test.want, test.more)
			}
		})
	}
}

func TestPagesThatAreRefused(t *testing.T) {
	s := serve(t)
	query := `{"subject":{"type":"user"},"action":{"name":"records:record:read"},"resource":{"type":"record","id":"r"},"page":PAGE}`
	first := s.ask(t, searchSubjectPath, strings.Replace(query, "PAGE", `{"limit":1}`, 1))
	token, _ := first.at("page", "next_token").(string)
	if token == "" {
		t.Fatalf("no token: %s", first.text)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	large := slices.Clone(raw)
	large[1], large[2] = 0xff, 0xff
	change := func(from, to string) func(string) string {
		return func(body string) string { return strings.Replace(body, from, to, 1) }
	}
	same := func(body string) string { return body }
	for name, test := range map[string]struct {
		page   string
		change func(string) string
		status int
	}{
		"the token":                {`{"token":"` + token + `"}`, same, 200},
		"with its limit":           {`{"token":"` + token + `","limit":1}`, same, 200},
		"another limit":            {`{"token":"` + token + `","limit":2}`, same, 400},
		"another action":           {`{"token":"` + token + `"}`, change("record:read", "record:write"), 400},
		"another resource":         {`{"token":"` + token + `"}`, change(`"id":"r"`, `"id":"s"`), 400},
		"another kind":             {`{"token":"` + token + `"}`, change(`"user"`, `"application"`), 400},
		"another context":          {`{"token":"` + token + `"}`, change(`"page"`, `"context":{"ip":"10.0.0.1"},"page"`), 400},
		"another time":             {`{"token":"` + token + `"}`, change(`"page"`, `"context":{"time":"2026-03-02T14:30:00Z"},"page"`), 400},
		"cut":                      {`{"token":"` + token[:8] + `"}`, same, 400},
		"no token":                 {`{"token":"x"}`, same, 400},
		"not in its one form":      {`{"token":"` + token + `="}`, same, 400},
		"of another version":       {`{"token":"` + base64.RawURLEncoding.EncodeToString(append([]byte{9}, raw[1:]...)) + `"}`, same, 400},
		"with too large a limit":   {`{"token":"` + base64.RawURLEncoding.EncodeToString(large) + `"}`, same, 400},
		"a number":                 {`{"token":1}`, same, 400},
		"an empty one":             {`{"token":""}`, same, 200},
		"null":                     {`null`, same, 200},
		"nothing":                  {`{}`, same, 200},
		"a limit in words":         {`{"limit":"1"}`, same, 400},
		"a negative limit":         {`{"limit":-1}`, same, 400},
		"half a limit":             {`{"limit":1.5}`, same, 400},
		"a limit beyond numbers":   {`{"limit":1e300}`, same, 200},
		"more than there can be":   {`{"limit":100000}`, same, 200},
		"what else there may be":   {`{"properties":{"sort":"x"},"more":1}`, same, 200},
		"not even an object":       {`[]`, same, 400},
		"properties that are none": {`{"limit":1,"properties":1}`, same, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if a := s.ask(t, searchSubjectPath, test.change(strings.Replace(query, "PAGE", test.page, 1))); a.status != test.status {
				t.Errorf("answered %d %s, want %d", a.status, a.text, test.status)
			}
		})
	}
	t.Run("of another endpoint", func(t *testing.T) {
		a := s.ask(t, searchActionPath, `{"subject":{"type":"user","id":"`+world.Alice+`"},"resource":{"type":"record","id":"r"},"page":{"token":"`+token+`"}}`)
		if a.status != http.StatusBadRequest {
			t.Errorf("answered %d %s", a.status, a.text)
		}
	})
	t.Run("no results wanted", func(t *testing.T) {
		a := s.ask(t, searchSubjectPath, strings.Replace(query, "PAGE", `{"limit":0}`, 1))
		if found := a.results(t, "user"); len(found) != 0 || a.at("page", "next_token") == "" {
			t.Errorf("answered %s", a.text)
		}
	})
}
