// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

func about(kind, id string) string {
	return fmt.Sprintf(`{"subject":{"type":%q,"id":%q},"action":{"name":"records:record:read"},"resource":{"type":"records/record","id":"r"}}`, kind, id)
}

func TestWhoIsAnswered(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		change func(*http.Request)
		status int
	}{
		"a bearer":        {func(*http.Request) {}, 200},
		"in another case": {func(r *http.Request) { r.Header.Set("Authorization", "bearer "+world.Secret(world.PEPKey)) }, 200},
		"as Scaleway's clients do": {func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Auth-Token", world.Secret(world.PEPKey))
		}, 200},
		"both":                         {func(r *http.Request) { r.Header.Set("X-Auth-Token", world.Secret(world.PEPKey)) }, 200},
		"two keys":                     {func(r *http.Request) { r.Header.Set("X-Auth-Token", world.Secret(world.AliceKey)) }, 401},
		"nobody":                       {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"an empty key":                 {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
		"a key that is none":           {func(r *http.Request) { r.Header.Set("Authorization", "Bearer 5ec00000-0000-4000-8000-00000000ffff") }, 401},
		"an access key for the secret": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+world.PEPKey) }, 401},
		"a password":                   {func(r *http.Request) { r.SetBasicAuth(world.PEPKey, world.Secret(world.PEPKey)) }, 401},
		"who is locked":                {as(world.LucyKey), 401},
		"a key that has expired":       {as(world.OldKey), 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, evaluationPath, about("user", world.Alice), test.change)
			if a.status != test.status {
				t.Errorf("answered %d %s, want %d", a.status, a.text, test.status)
			}
			if challenge := a.header.Get("WWW-Authenticate"); (a.status == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer") {
				t.Errorf("answered %d with WWW-Authenticate %q", a.status, challenge)
			}
		})
	}
}

// Everybody may ask about themselves, and about others only who has the permission for it.
func TestWhoMayAskAboutWhom(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		key, kind, id string
		status        int
	}{
		"alice about herself":                  {world.AliceKey, "user", world.Alice, 200},
		"alice about her key":                  {world.AliceKey, "api_key", world.AliceKey, 200},
		"alice about bob":                      {world.AliceKey, "user", world.Bob, 403},
		"alice about an application of her id": {world.AliceKey, "application", world.Alice, 403},
		"alice about an owner of her id":       {world.AliceKey, "owner", world.Alice, 403},
		"alice about her other key":            {world.AliceKey, "api_key", world.OldKey, 403},
		"alice about nobody":                   {world.AliceKey, "user", "nobody", 403},
		"alice about no kind of subject":       {world.AliceKey, "spaceship", world.Alice, 403},
		"an application about itself":          {world.CIKey, "application", world.CI, 200},
		"an application about a user":          {world.CIKey, "user", world.CI, 403},
		"an owner about itself":                {world.OwnerKey, "owner", world.Owner, 200},
		"an owner about itself as user":        {world.OwnerKey, "user", world.Owner, 200},
		"an owner about others":                {world.OwnerKey, "user", world.Bob, 200},
		"who has the permission":               {world.PEPKey, "user", world.Bob, 200},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{evaluationPath, explainPath, evaluationsPath, searchActionPath} {
				if a := s.ask(t, path, about(test.kind, test.id), as(test.key)); a.status != test.status {
					t.Errorf("%s answered %d %s, want %d", path, a.status, a.text, test.status)
				}
			}
			several := s.ask(t, evaluationsPath, `{"evaluations":[`+about(test.kind, test.id)+`]}`, as(test.key))
			if refused := strings.Contains(several.text, `"status":403`); several.status != http.StatusOK || refused != (test.status == http.StatusForbidden) {
				t.Errorf("as one of several: %d %s, want a %d inside", several.status, several.text, test.status)
			}
			places := strings.Replace(about(test.kind, test.id), `"records/record"`, `"project"`, 1)
			if a := s.ask(t, searchResourcePath, places, as(test.key)); a.status != test.status {
				t.Errorf("the search for places answered %d %s, want %d", a.status, a.text, test.status)
			}
		})
	}
	if a := s.ask(t, searchSubjectPath, about("user", world.Alice), as(world.AliceKey)); a.status != http.StatusForbidden {
		t.Errorf("alice may search for subjects: %d %s", a.status, a.text)
	}
}

// The permission to ask about others may be given under a condition, for which the enforcement point's own address counts.
func TestPermissionToAskHasItsCondition(t *testing.T) {
	s := serve(t, world.Policy("ci-checks", world.Acme, iam.PrincipalApplication, world.CI, `inIpRange(request.ip, "192.0.2.0/24")`, "IAMPermissionChecker"))
	for from, status := range map[string]int{"192.0.2.7:1234": 200, "[::ffff:192.0.2.7]:1234": 200, "198.51.100.7:1234": 403} {
		a := s.ask(t, evaluationPath, about("user", world.Alice), as(world.CIKey), func(r *http.Request) {
			r.RemoteAddr = from
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
		})
		if a.status != status {
			t.Errorf("from %s it is answered %d %s, want %d", from, a.status, a.text, status)
		}
	}
}

// What is of another Organization is answered as what does not exist, whichever way it is asked.
func TestOtherOrganizationsAreUnknown(t *testing.T) {
	s := serve(t)
	same := func(t *testing.T, path, foreign, missing string) {
		t.Helper()
		a, b := s.ask(t, path, foreign), s.ask(t, path, missing)
		if a.status != b.status || strings.ReplaceAll(a.text, world.EveKey, "") != strings.ReplaceAll(b.text, "SCWNOBODY00000000000", "") {
			t.Errorf("%s: what is elsewhere is answered by %d %s, and what is nowhere by %d %s", path, a.status, a.text, b.status, b.text)
		}
		for _, secret := range []string{"eve", "pit", "umbra", "policy-"} {
			if strings.Contains(a.text, secret) {
				t.Errorf("%s tells of %s: %s", path, secret, a.text)
			}
		}
	}
	const none = "0c000000-0000-4000-8000-00000000000c"
	inside := func(scope, id string) string {
		return strings.Replace(about("user", world.Alice), `"id":"r"`, `"id":"r","properties":{"`+scope+`":"`+id+`"}`, 1)
	}
	for _, path := range []string{evaluationPath, explainPath, searchActionPath} {
		t.Run(path, func(t *testing.T) {
			same(t, path, about("user", world.Eve), about("user", none))
			same(t, path, about("api_key", world.EveKey), about("api_key", "SCWNOBODY00000000000"))
			same(t, path, inside("project_id", world.Pit), inside("project_id", none))
			same(t, path, inside("organization_id", world.Umbra), inside("organization_id", none))
		})
	}
	t.Run("searches", func(t *testing.T) {
		same(t, searchSubjectPath, inside("project_id", world.Pit), inside("project_id", none))
		same(t, searchSubjectPath, inside("organization_id", world.Umbra), inside("organization_id", none))
		places := strings.NewReplacer("records/record", "project")
		same(t, searchResourcePath, places.Replace(about("user", world.Eve)), places.Replace(about("user", none)))
	})
	t.Run("endpoints", func(t *testing.T) {
		for id, status := range map[string]int{world.Acme: 200, world.Umbra: 403, none: 403, "x": 403} {
			a := s.ask(t, "/organizations/"+id+evaluationPath, about("user", world.Alice))
			if a.status != status {
				t.Errorf("the endpoint of %s answered %d %s, want %d", id, a.status, a.text, status)
			}
			if status == http.StatusForbidden && a.message() != "your key is not of this Organization" {
				t.Errorf("the endpoint of %s says %q", id, a.message())
			}
		}
	})
}

// Who has found a key must not learn from where it works, or who gave it what.
func TestGrantsAreForThoseWhoMayAskAboutOthers(t *testing.T) {
	s := serve(t)
	ci := strings.NewReplacer("records:record:read", "object_storage:bucket:read", "records/record", "bucket", `"id":"r"`, `"id":"b","properties":{"project_id":"`+world.Web+`"}`).Replace(about("application", world.CI))
	for _, path := range []string{evaluationPath, explainPath} {
		own, told := s.ask(t, path, ci, as(world.CIKey)), s.ask(t, path, ci)
		for _, word := range []string{"10.0.0.0/8", "policy-ci-reads", "rule-ci-reads", "Buckets"} {
			if strings.Contains(own.text, word) {
				t.Errorf("%s tells the key itself of %s: %s", path, word, own.text)
			}
			if !strings.Contains(told.text, word) {
				t.Errorf("%s does not tell the enforcement point of %s: %s", path, word, told.text)
			}
		}
		if own.at("context", "reason") != "ConditionFalse" || own.at("context", "reason_user", "403") == "" {
			t.Errorf("%s does not tell the key itself the reason: %s", path, own.text)
		}
	}
}

// Who may not ask about others asks for the connection that it has, whatever it says in the context.
func TestNobodyTriesAddressesOfItsOwnChoosing(t *testing.T) {
	agents := world.Policy("ci-agent", world.Acme, iam.PrincipalApplication, world.CI, `request.user_agent == "terraform/1"`, "RecordsRead")
	s := serve(t, agents)
	ci := strings.NewReplacer("records:record:read", "object_storage:bucket:read", "records/record", "bucket", `"id":"r"`, `"id":"b","properties":{"project_id":"`+world.Web+`"}`).Replace(about("application", world.CI))
	records := about("application", world.CI)
	for name, test := range map[string]struct {
		body, context, from, agent string
		status                     int
		allowed                    bool
		says                       string
	}{
		"from where it works":               {ci, ``, "10.1.2.3:1", "x", 200, true, ""},
		"from elsewhere":                    {ci, ``, "192.0.2.7:1", "x", 200, false, ""},
		"its own address":                   {ci, `"ip":"10.1.2.3"`, "10.1.2.3:1", "x", 200, true, ""},
		"its own address, written as IPv6":  {ci, `"ip":"::ffff:10.1.2.3"`, "10.1.2.3:1", "x", 200, true, ""},
		"another address":                   {ci, `"ip":"10.1.2.3"`, "192.0.2.7:1", "x", 403, false, "another context.ip than the address that you call from"},
		"an address, from nowhere":          {ci, `"ip":"10.1.2.3"`, "@", "x", 403, false, "context.ip"},
		"what it calls itself":              {records, ``, "192.0.2.7:1", "terraform/1", 200, true, ""},
		"what it calls itself, said again":  {records, `"user_agent":"terraform/1"`, "192.0.2.7:1", "terraform/1", 200, true, ""},
		"something else than it is called":  {records, `"user_agent":"terraform/1"`, "192.0.2.7:1", "curl", 403, false, "another context.user_agent than your User-Agent"},
		"nothing, though it is called that": {records, `"user_agent":""`, "192.0.2.7:1", "terraform/1", 403, false, "context.user_agent"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.TrimSuffix(test.body, "}") + `,"context":{` + test.context + `}}`
			change := func(r *http.Request) {
				world.Show(r, world.CIKey)
				r.RemoteAddr = test.from
				r.Header.Set("User-Agent", test.agent)
				r.Header.Set("X-Forwarded-For", "10.1.2.3")
			}
			for _, path := range []string{evaluationPath, explainPath, evaluationsPath} {
				a := s.ask(t, path, body, change)
				if allowed := a.body["decision"] == true; a.status != test.status || allowed != test.allowed || !strings.Contains(a.message(), test.says) {
					t.Errorf("%s answered %d %s, want %d", path, a.status, a.text, test.status)
				}
			}
			several := s.ask(t, evaluationsPath, `{"evaluations":[`+body+`]}`, change)
			if decided := several.decisions(t); len(decided) != 1 || decided[0] != test.allowed || !strings.Contains(several.text, test.says) {
				t.Errorf("as one of several it is answered %s", several.text)
			}
			places := s.ask(t, searchResourcePath, strings.NewReplacer(`"type":"bucket"`, `"type":"project"`, `"type":"records/record"`, `"type":"project"`, `"name":"read"`, `"name":"records:record:read"`).Replace(body), change)
			if places.status != test.status || test.status == http.StatusOK && (len(places.results(t, "project")) > 0) != test.allowed {
				t.Errorf("the search for places is answered %d %s, want %d", places.status, places.text, test.status)
			}
		})
	}
	if a := s.ask(t, evaluationPath, strings.TrimSuffix(ci, "}")+`,"context":{"ip":"10.1.2.3"}}`); a.body["decision"] != true {
		t.Errorf("who may ask about others gives an address, and is answered %d %s", a.status, a.text)
	}
}
