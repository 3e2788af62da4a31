// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

// The tables of this file follow the certification scenario of the standard (openid/authzen, certification/), section by section. Its
// world is told in the terms of IAM, which knows no properties of subjects and actions: an admin is who belongs to a group that is
// granted more, an archived record has a name that begins with archived/, and to delete softly is an action of its own.

// names are the scenario's.
var names = strings.NewReplacer(
	"ALICE", `{"type":"user","id":"`+world.Alice+`"}`, "BOB", `{"type":"user","id":"`+world.Bob+`"}`,
	"RECORD1", `{"type":"records/record","id":"record-1"}`, "RECORD2", `{"type":"records/record","id":"record-2"}`,
	"ARCHIVED", `{"type":"records/record","id":"record-2","properties":{"name":"archived/2"}}`,
	"CI", `"subject":{"type":"application","id":"`+world.CI+`"},"action":{"name":"object_storage:bucket:read"},"resource":{"type":"project","id":"`+world.Web+`"}`,
	"READ", `{"name":"read"}`, "WRITE", `{"name":"write"}`, "SOFT", `{"name":"soft_delete"}`, "HARD", `{"name":"delete"}`,
)

func TestScenarioEvaluation(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		body string
		want bool
	}{
		"rule 1":                       {`{"subject":ALICE,"action":READ,"resource":RECORD1}`, true},
		"rule 2":                       {`{"subject":ALICE,"action":WRITE,"resource":RECORD1}`, true},
		"rule 3":                       {`{"subject":BOB,"action":READ,"resource":RECORD1}`, true},
		"rule 4":                       {`{"subject":BOB,"action":WRITE,"resource":RECORD1}`, false},
		"rule 5: archived":             {`{"subject":ALICE,"action":WRITE,"resource":ARCHIVED}`, false},
		"rule 6: an admin":             {`{"subject":BOB,"action":WRITE,"resource":ARCHIVED}`, true},
		"rule 7: softly":               {`{"subject":ALICE,"action":SOFT,"resource":RECORD1}`, true},
		"rule 8: for good":             {`{"subject":ALICE,"action":HARD,"resource":RECORD1}`, false},
		"a context":                    {`{"subject":ALICE,"action":READ,"resource":RECORD1,"context":{"time":"2025-06-27T18:03-07:00","ip":"192.168.1.1"}}`, true},
		"properties beyond":            {`{"subject":{"type":"user","id":"` + world.Alice + `","properties":{"role":"manager"}},"action":{"name":"read","properties":{"method":"GET"}},"resource":{"type":"records/record","id":"record-1","properties":{"status":"active","owner":{"id":1}}}}`, true},
		"unknown fields":               {`{"subject":ALICE,"action":READ,"resource":RECORD1,"foo":"bar","futureField":{"nested":true}}`, true},
		"the permission in one word":   {`{"subject":ALICE,"action":{"name":"records:record:read"},"resource":{"type":"record","id":"record-1"}}`, true},
		"a type that nobody knows":     {`{"subject":ALICE,"action":READ,"resource":{"type":"spaceship","id":"record-1"}}`, false},
		"a subject that nobody knows":  {`{"subject":{"type":"user","id":"nobody"},"action":READ,"resource":RECORD1}`, false},
		"a kind of subject, likewise":  {`{"subject":{"type":"spaceship","id":"x"},"action":READ,"resource":RECORD1}`, false},
		"in another case, other names": {`{"Subject":BOB,"subject":ALICE,"ACTION":{},"action":READ,"resource":RECORD1}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // The same question has the same answer.
				a := s.ask(t, evaluationPath, names.Replace(test.body))
				if a.status != http.StatusOK || a.body["decision"] != test.want {
					t.Fatalf("answered %d %s, want %v", a.status, a.text, test.want)
				}
				// An evaluation is the same when it is the only one of several, or all that is asked of that endpoint.
				for _, body := range []string{test.body, test.body[:len(test.body)-1] + `,"evaluations":[]}`} {
					if a := s.ask(t, evaluationsPath, names.Replace(body)); a.body["decision"] != test.want {
						t.Errorf("as one of several: %d %s, want %v", a.status, a.text, test.want)
					}
				}
				several := s.ask(t, evaluationsPath, `{"evaluations":[`+names.Replace(test.body)+`]}`)
				if !slices.Equal(several.decisions(t), []bool{test.want}) {
					t.Errorf("as one of several: %s, want %v", several.text, test.want)
				}
			}
		})
	}
}

func TestScenarioRefusals(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		body, says string
	}{
		"no subject":               {`{"action":READ,"resource":RECORD1}`, "subject is missing"},
		"no action":                {`{"subject":ALICE,"resource":RECORD1}`, "action is missing"},
		"no resource":              {`{"subject":ALICE,"action":READ}`, "resource is missing"},
		"no type of the subject":   {`{"subject":{"id":"x"},"action":READ,"resource":RECORD1}`, "subject.type is missing"},
		"no id of the subject":     {`{"subject":{"type":"user"},"action":READ,"resource":RECORD1}`, "subject.id is missing"},
		"null as its id":           {`{"subject":{"type":"user","id":null},"action":READ,"resource":RECORD1}`, "subject.id is missing"},
		"no name of the action":    {`{"subject":ALICE,"action":{},"resource":RECORD1}`, "action.name is missing"},
		"no type of the resource":  {`{"subject":ALICE,"action":READ,"resource":{"id":"record-1"}}`, "resource.type is missing"},
		"no id of the resource":    {`{"subject":ALICE,"action":READ,"resource":{"type":"record"}}`, "resource.id is missing"},
		"a string for the subject": {`{"subject":"alice","action":READ,"resource":RECORD1}`, "subject must be an object, not string"},
		"a number for the name":    {`{"subject":ALICE,"action":{"name":123},"resource":RECORD1}`, "action.name must be a string, not number"},
		"properties that are none": {`{"subject":{"type":"user","id":"x","properties":"y"},"action":READ,"resource":RECORD1}`, "subject.properties must be an object"},
		"and of the action":        {`{"subject":ALICE,"action":{"name":"x","properties":[]},"resource":RECORD1}`, "action.properties must be an object"},
		"and of the resource":      {`{"subject":ALICE,"action":READ,"resource":{"type":"t","id":"x","properties":1}}`, "resource.properties must be an object"},
		"no JSON":                  {`{"subject":`, "this is no JSON"},
		"more than one":            {`{}{}`, "this is no JSON"},
		"nothing":                  {``, "the JSON must be an object"},
		"an array":                 {`[]`, "the JSON must be an object"},
		"null":                     {`null`, "the JSON must be an object"},
		"no UTF-8":                 {"{\"subject\":\"\xff\"}", "the JSON is not UTF-8"},
		"a field twice":            {`{"subject":BOB,"subject":ALICE,"action":READ,"resource":RECORD1}`, `subject is there twice`},
		"deeper, a field twice":    {`{"subject":{"type":"user","id":"x","id":"y"},"action":READ,"resource":RECORD1}`, `subject.id is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{evaluationPath, evaluationsPath, explainPath} {
				a := s.ask(t, path, names.Replace(test.body))
				if a.status != http.StatusBadRequest || !strings.Contains(a.message(), test.says) {
					t.Errorf("%s answered %d %s, want 400 that says %q", path, a.status, a.text, test.says)
				}
			}
		})
	}
}

func TestScenarioHeaders(t *testing.T) {
	s := serve(t)
	body := names.Replace(`{"subject":ALICE,"action":READ,"resource":RECORD1}`)
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"JSON":                 {with("Content-Type", "application/json"), 200},
		"JSON and its charset": {with("Content-Type", "application/json; charset=utf-8"), 200},
		"text":                 {with("Content-Type", "text/plain"), 400},
		"nothing":              {func(r *http.Request) { r.Header.Del("Content-Type") }, 400},
		"a GET":                {func(r *http.Request) { r.Method = http.MethodGet }, 405},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, evaluationPath, body, test.change)
			if a.status != test.status {
				t.Errorf("answered %d %s, want %d", a.status, a.text, test.status)
			}
			if a.header.Get("X-Request-ID") == "" {
				t.Error("the answer has no identifier")
			}
		})
	}
	for _, status := range []int{200, 400, 401} {
		a := s.ask(t, evaluationPath, body, with("X-Request-ID", "bfe9 / ab87"), func(r *http.Request) {
			switch status {
			case 400:
				r.Header.Del("Content-Type")
			case 401:
				r.Header.Del("Authorization")
			}
		})
		if got := a.header.Values("X-Request-Id"); a.status != status || len(got) != 1 || got[0] != "bfe9 / ab87" {
			t.Errorf("%d: the request's identifier came back as %q", a.status, got)
		}
	}
}

func TestScenarioEvaluations(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		body string
		want []bool
	}{
		"a resource each":             {`{"subject":ALICE,"action":READ,"evaluations":[{"resource":RECORD1},{"resource":RECORD2}]}`, []bool{true, true}},
		"in order":                    {`{"subject":BOB,"resource":RECORD1,"evaluations":[{"action":READ},{"action":WRITE}]}`, []bool{true, false}},
		"by the resource":             {`{"subject":ALICE,"action":WRITE,"evaluations":[{"resource":RECORD1},{"resource":ARCHIVED}]}`, []bool{true, false}},
		"by the subject":              {`{"action":WRITE,"resource":ARCHIVED,"evaluations":[{"subject":ALICE},{"subject":BOB}]}`, []bool{false, true}},
		"no defaults":                 {`{"evaluations":[{"subject":ALICE,"action":READ,"resource":RECORD1},{"subject":BOB,"action":WRITE,"resource":RECORD1}]}`, []bool{true, false}},
		"a context inherited, or not": {`{"subject":ALICE,"action":READ,"context":{"time":"2025-06-27T18:03-07:00"},"evaluations":[{"resource":RECORD1},{"resource":RECORD2,"context":{"time":"2025-06-27T19:00-07:00","source":"x"}}]}`, []bool{true, true}},
		"a context that counts":       {`{CI,"context":{"ip":"10.0.0.1"},"evaluations":[{},{"context":{"ip":"11.0.0.1"}},{"context":{"user_agent":"x"}},{"context":{"ip":"10.0.0.2"}}]}`, []bool{true, false, false, true}},
		"all of it inherited":         {`{"subject":ALICE,"action":WRITE,"resource":RECORD1,"evaluations":[{},{"resource":ARCHIVED}]}`, []bool{true, false}},
		"one is broken":               {`{"subject":ALICE,"action":READ,"options":{"evaluations_semantic":"execute_all"},"evaluations":[{"resource":RECORD1},{}]}`, []bool{true, false}},
		"one lacks what has default":  {`{"subject":ALICE,"action":READ,"resource":RECORD1,"evaluations":[{"subject":{"type":"user"}},{}]}`, []bool{false, true}},
		"one is of another type":      {`{"subject":ALICE,"action":READ,"resource":RECORD1,"evaluations":[{"subject":1},null,[],"x",{}]}`, []bool{false, false, false, false, true}},
		"a default that nobody uses":  {`{"subject":{},"action":READ,"resource":RECORD1,"evaluations":[{"subject":ALICE}]}`, []bool{true}},
		"other options":               {`{"subject":ALICE,"action":READ,"resource":RECORD1,"options":{"another":"x"},"evaluations":[{}]}`, []bool{true}},
		"deny on first deny":          {`{"subject":ALICE,"resource":RECORD1,"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[{"action":READ},{"action":HARD},{"action":READ}]}`, []bool{true, false}},
		"deny on first error":         {`{"subject":ALICE,"resource":RECORD1,"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[{"action":READ},{},{"action":READ}]}`, []bool{true, false}},
		"nothing denied":              {`{"subject":ALICE,"resource":RECORD1,"options":{"evaluations_semantic":"deny_on_first_deny"},"evaluations":[{"action":READ},{"action":WRITE}]}`, []bool{true, true}},
		"permit on first permit":      {`{"subject":ALICE,"resource":RECORD1,"options":{"evaluations_semantic":"permit_on_first_permit"},"evaluations":[{"action":HARD},{},{"action":READ},{"action":WRITE}]}`, []bool{false, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, evaluationsPath, names.Replace(test.body))
			if got := a.decisions(t); a.status != http.StatusOK || !slices.Equal(got, test.want) {
				t.Errorf("answered %d %s, want %v", a.status, a.text, test.want)
			}
			if _, there := a.body["decision"]; there {
				t.Error("there is a decision beside the evaluations")
			}
		})
	}
	for name, body := range map[string]string{
		"another semantic":     `{"subject":ALICE,"action":READ,"resource":RECORD1,"options":{"evaluations_semantic":"all"},"evaluations":[{}]}`,
		"no semantic":          `{"subject":ALICE,"action":READ,"resource":RECORD1,"options":{"evaluations_semantic":1},"evaluations":[{}]}`,
		"no array":             `{"subject":ALICE,"action":READ,"resource":RECORD1,"evaluations":{}}`,
		"too many":             `{"subject":ALICE,"action":READ,"resource":RECORD1,"evaluations":[{}` + strings.Repeat(",{}", maxEvaluations) + `]}`,
		"a default is no type": `{"subject":1,"action":READ,"resource":RECORD1,"evaluations":[{"subject":ALICE}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if a := s.ask(t, evaluationsPath, names.Replace(body)); a.status != http.StatusBadRequest {
				t.Errorf("answered %d %s, want 400", a.status, a.text)
			}
		})
	}
}

// A batch that was answered as one question, so that its first decision stood for all, is how another product let in whom it should not
// (CVE-2026-34972): items differ in any of their parts, and are decided each by itself.
func TestBatchItemsAreDecidedOneByOne(t *testing.T) {
	s := serve(t)
	items := []struct {
		body string
		want bool
	}{
		{`{"subject":ALICE,"action":WRITE,"resource":RECORD1}`, true},
		{`{"subject":BOB,"action":WRITE,"resource":RECORD1}`, false},
		{`{"subject":ALICE,"action":HARD,"resource":RECORD1}`, false},
		{`{"subject":ALICE,"action":WRITE,"resource":ARCHIVED}`, false},
		{`{"subject":BOB,"action":WRITE,"resource":ARCHIVED}`, true},
		{`{"subject":{"type":"application","id":"` + world.CI + `"},"action":{"name":"object_storage:bucket:read"},"resource":{"type":"bucket","id":"b","properties":{"project_id":"` + world.Web + `"}},"context":{"ip":"10.0.0.1"}}`, true},
		{`{"subject":{"type":"application","id":"` + world.CI + `"},"action":{"name":"object_storage:bucket:read"},"resource":{"type":"bucket","id":"b","properties":{"project_id":"` + world.Web + `"}},"context":{"ip":"11.0.0.1"}}`, false},
		{`{"subject":{"type":"application","id":"` + world.CI + `"},"action":{"name":"object_storage:bucket:read"},"resource":{"type":"bucket","id":"b","properties":{"project_id":"` + world.Default + `"}},"context":{"ip":"10.0.0.1"}}`, false},
	}
	// Each item beside each other, in both orders, with the other as the default of the whole.
	for _, first := range items {
		for _, second := range items {
			body := names.Replace(first.body[:len(first.body)-1] + `,"evaluations":[` + first.body + "," + second.body + `]}`)
			if got := s.ask(t, evaluationsPath, body).decisions(t); !slices.Equal(got, []bool{first.want, second.want}) {
				t.Errorf("%s answered %v, want %v, %v", body, got, first.want, second.want)
			}
		}
	}
}

func TestScenarioSearch(t *testing.T) {
	s := serve(t)
	const context = `"context":{"time":"2025-06-27T18:03-07:00","ip":"192.168.1.1"}`
	for name, test := range map[string]struct {
		path, body, kind string
		want             []string
	}{
		"S1":                  {searchSubjectPath, `{"subject":{"type":"user"},"action":READ,"resource":RECORD1}`, "user", []string{world.Owner, world.Alice, world.Bob}},
		"S1 with a context":   {searchSubjectPath, `{"subject":{"type":"user"},"action":READ,"resource":RECORD1,` + context + `}`, "user", []string{world.Owner, world.Alice, world.Bob}},
		"S1 with an id":       {searchSubjectPath, `{"subject":ALICE,"action":READ,"resource":RECORD1}`, "user", []string{world.Owner, world.Alice, world.Bob}},
		"S2":                  {searchResourcePath, `{"subject":ALICE,"action":{"name":"records:record:read"},"resource":{"type":"project"}}`, "project", []string{world.Acme, world.Web}},
		"S2 with a context":   {searchResourcePath, `{"subject":ALICE,"action":{"name":"records:record:read"},"resource":{"type":"project"},` + context + `}`, "project", []string{world.Acme, world.Web}},
		"S2 with an id":       {searchResourcePath, `{"subject":ALICE,"action":{"name":"records:record:read"},"resource":{"type":"project","id":"` + world.Web + `"}}`, "project", []string{world.Acme, world.Web}},
		"S3":                  {searchActionPath, `{"subject":ALICE,"resource":RECORD1}`, "", []string{"read", "soft_delete", "write"}},
		"S3 with a context":   {searchActionPath, `{"subject":ALICE,"resource":RECORD1,` + context + `}`, "", []string{"read", "soft_delete", "write"}},
		"S4":                  {searchSubjectPath, `{"subject":{"type":"user"},"action":WRITE,"resource":ARCHIVED}`, "user", []string{world.Owner, world.Bob}},
		"S5":                  {searchResourcePath, `{"subject":BOB,"action":{"name":"records:record:write"},"resource":{"type":"project","properties":{"name":"archived/2"}}}`, "project", []string{world.Acme, world.Web}},
		"S6":                  {searchActionPath, `{"subject":BOB,"resource":ARCHIVED}`, "", []string{"read", "write"}},
		"an unknown subject":  {searchActionPath, `{"subject":{"type":"user","id":"nobody"},"resource":RECORD1}`, "", nil},
		"by an unknown":       {searchResourcePath, `{"subject":{"type":"user","id":"nobody"},"action":{"name":"records:record:read"},"resource":{"type":"project"}}`, "project", nil},
		"an unknown kind":     {searchSubjectPath, `{"subject":{"type":"spaceship"},"action":READ,"resource":RECORD1}`, "spaceship", nil},
		"an unknown type":     {searchResourcePath, `{"subject":ALICE,"action":READ,"resource":{"type":"spaceship"}}`, "spaceship", nil},
		"of a service":        {searchResourcePath, `{"subject":ALICE,"action":READ,"resource":{"type":"records/record"}}`, "records/record", nil},
		"on an unknown type":  {searchActionPath, `{"subject":ALICE,"resource":{"type":"spaceship","id":"x"}}`, "", nil},
		"of an unknown thing": {searchSubjectPath, `{"subject":{"type":"user"},"action":READ,"resource":{"type":"spaceship","id":"x"}}`, "user", nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, test.path, names.Replace(test.body))
			if got := a.results(t, test.kind); a.status != http.StatusOK || !slices.Equal(got, append([]string{}, test.want...)) {
				t.Errorf("answered %d %s, want %q", a.status, a.text, test.want)
			}
			if next := a.at("page", "next_token"); next != "" {
				t.Errorf("the token for more is %v", next)
			}
		})
	}
	for name, test := range map[string]struct{ path, body, says string }{
		"who: no action":              {searchSubjectPath, `{"subject":{"type":"user"},"resource":RECORD1}`, "action is missing"},
		"who: no id of the resource":  {searchSubjectPath, `{"subject":{"type":"user"},"action":READ,"resource":{"type":"record"}}`, "resource.id is missing"},
		"who: no type of the subject": {searchSubjectPath, `{"subject":{},"action":READ,"resource":RECORD1}`, "subject.type is missing"},
		"where: no subject":           {searchResourcePath, `{"action":READ,"resource":{"type":"record"}}`, "subject is missing"},
		"where: no id of the subject": {searchResourcePath, `{"subject":{"type":"user"},"action":READ,"resource":{"type":"record"}}`, "subject.id is missing"},
		"what: no resource":           {searchActionPath, `{"subject":ALICE}`, "resource is missing"},
		"what: no id of the subject":  {searchActionPath, `{"subject":{"type":"user"},"resource":RECORD1}`, "subject.id is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := s.ask(t, test.path, names.Replace(test.body)); a.status != http.StatusBadRequest || !strings.Contains(a.message(), test.says) {
				t.Errorf("answered %d %s, want 400 that says %q", a.status, a.text, test.says)
			}
		})
	}
}
