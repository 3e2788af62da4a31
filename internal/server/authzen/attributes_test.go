// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"net/http"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/iam"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

// Each attribute comes from its place in the request, is absent where the request says nothing, and is never taken from elsewhere.
func TestAttributes(t *testing.T) {
	const read = `"action":{"name":"records:record:read"}`
	whole := `{"subject":{"type":"user","id":"` + world.Lucy + `"},` + read + `,"resource":{"type":"records/record","id":"r-1","properties":{"name":"/a/b","locality":"fr-par","project_id":"` + world.Web + `"}},` +
		`"context":{"ip":"10.1.2.3","user_agent":"terraform/1","time":"2026-03-02T14:30:00+01:00"}}`
	bare := `{"subject":{"type":"user","id":"` + world.Lucy + `"},` + read + `,"resource":{"type":"records/record","id":""}}`
	unlocked := &iam.Member{Head: iam.Head{ID: world.Lucy, OrganizationID: world.Acme}, Type: iam.TypeMember, Username: "lucy"}
	for condition, test := range map[string]struct {
		body string
		want bool
	}{
		`request.ip == "10.1.2.3"`:                 {whole, true},
		`request.user_agent == "terraform/1"`:      {whole, true},
		`request.time == "2026-03-02T13:30:00Z"`:   {whole, true},
		`resource.id == "r-1"`:                     {whole, true},
		`resource.name == "/a/b"`:                  {whole, true},
		`resource.locality == "fr-par"`:            {whole, true},
		`!has(request.ip)`:                         {bare, true},
		`!has(request.user_agent)`:                 {bare, true},
		`request.time > "2026-03-02T14:30:00Z"`:    {bare, true},
		`!has(resource.id)`:                        {bare, true},
		`!has(resource.name)`:                      {bare, true},
		`!has(resource.locality)`:                  {bare, true},
		`!inIpRange(request.ip, "192.168.0.0/16")`: {bare, false},
		`!has(resource.id) && 1 == 1`:              {strings.Replace(bare, `"records/record","id":""`, `"project","id":"`+world.Web+`"`, 1), true},
	} {
		t.Run(condition, func(t *testing.T) {
			s := serve(t, world.Policy("lucy", world.Acme, iam.PrincipalMember, world.Lucy, condition, "RecordsRead"))
			s.Put(t, unlocked)
			a := s.ask(t, evaluationPath, test.body, func(r *http.Request) { r.Header.Set("User-Agent", "a client of the test") })
			if a.body["decision"] != test.want {
				t.Errorf("answered %d %s, want %v", a.status, a.text, test.want)
			}
		})
	}
}

func TestAttributesThatAreRefused(t *testing.T) {
	s := serve(t)
	body := func(resource, context string) string {
		return `{"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"records:record:read"},"resource":{"type":"record","id":"r"` + resource + `},"context":{` + context + `}}`
	}
	for name, test := range map[string]struct {
		body   string
		key    string
		status int
		says   string
	}{
		"no address":               {body("", `"ip":"300.1.1.1"`), world.PEPKey, 400, `context.ip must be an IP address without a zone, not "300.1.1.1"`},
		"an empty one":             {body("", `"ip":""`), world.PEPKey, 400, `context.ip must be`},
		"an address with a port":   {body("", `"ip":"10.0.0.1:80"`), world.PEPKey, 400, `context.ip must be`},
		"an address with a zone":   {body("", `"ip":"fe80::1%eth0"`), world.PEPKey, 400, `context.ip must be`},
		"a number for an address":  {body("", `"ip":1`), world.PEPKey, 400, `context.ip must be a string, not number`},
		"no time":                  {body("", `"time":"yesterday"`), world.PEPKey, 400, `context.time must be a time such as`},
		"a time without its zone":  {body("", `"time":"2026-03-02T14:30:00"`), world.PEPKey, 400, `context.time must be a time such as`},
		"the zero time":            {body("", `"time":"0001-01-01T00:00:00Z"`), world.PEPKey, 400, `context.time must be a time such as`},
		"the zero time, elsewhere": {body("", `"time":"0001-01-01T01:00:00+01:00"`), world.AliceKey, 400, `context.time must be a time such as`},
		"a time before year 1":     {body("", `"time":"0001-01-01T00:30:00+01:00"`), world.PEPKey, 400, `context.time must be a time such as`},
		"a time after year 9999":   {body("", `"time":"9999-12-31T23:59:59-01:00"`), world.PEPKey, 400, `context.time must be a time such as`},
		"a time, by who may not":   {body("", `"time":"2026-03-02T14:30:00Z"`), world.AliceKey, 403, `to give context.time takes the permission iam:permission:check`},
		"no text for a client":     {body("", `"user_agent":{}`), world.PEPKey, 400, `context.user_agent must be a string`},
		"no text for a Project":    {body(`,"properties":{"project_id":7}`, ""), world.PEPKey, 400, `resource.properties.project_id must be a string`},
		"an empty Project":         {body(`,"properties":{"project_id":""}`, ""), world.PEPKey, 400, `resource.properties.project_id must not be empty`},
		"an empty Organization":    {body(`,"properties":{"organization_id":""}`, ""), world.PEPKey, 400, `resource.properties.organization_id must not be empty`},
		"two different actions":    {strings.Replace(body("", ""), `"record"`, `"records/folder"`, 1), world.PEPKey, 400, `action.name is of "records/record", but resource.type is "records/folder"`},
		"two different Projects":   {strings.Replace(body(`,"properties":{"project_id":"`+world.Web+`"}`, ""), `"record"`, `"project"`, 1), world.PEPKey, 400, `resource.properties.project_id is another than resource.id`},
		"a Project without an id":  {strings.NewReplacer(`"record"`, `"project"`, `"id":"r"`, `"id":""`).Replace(body("", "")), world.PEPKey, 400, `resource.id must not be empty`},
		"a Project, Organization":  {strings.Replace(body(`,"properties":{"project_id":"`+world.Web+`"}`, ""), `"record"`, `"organization"`, 1), world.PEPKey, 400, `resource.properties.project_id is of no use`},
		"another Organization":     {strings.Replace(body(`,"properties":{"organization_id":"`+world.Acme+`"}`, ""), `"record"`, `"organization"`, 1), world.PEPKey, 400, `resource.properties.organization_id is another`},
		"a revision that is none":  {body("", `"at_least_revision":"17"`), world.PEPKey, 400, `context.at_least_revision must be a revision`},
		"a long text that is none": {body("", `"ip":"`+strings.Repeat("é", 1000)+`"`), world.PEPKey, 400, `context.ip must be`},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.ask(t, evaluationPath, test.body, as(test.key))
			if a.status != test.status || !strings.Contains(a.message(), test.says) {
				t.Errorf("answered %d %s, want %d that says %q", a.status, a.text, test.status, test.says)
			}
			if len(a.text) > 400 {
				t.Errorf("the message is %d bytes long: %s", len(a.text), a.text)
			}
		})
	}
}

// The id of a Project or of an Organization is a scope where that is the resource's type.
func TestPlacesAreScopes(t *testing.T) {
	s := serve(t)
	for _, test := range []struct {
		resource string
		want     string
	}{
		{`{"type":"project","id":"` + world.Web + `"}`, "ConditionFailed"},
		{`{"type":"project","id":"` + world.Default + `"}`, "OutOfScope"},
		{`{"type":"organization","id":"` + world.Acme + `"}`, "OutOfScope"},
		{`{"type":"organization","id":"` + world.Web + `"}`, "UnknownScope"},
		{`{"type":"bucket","id":"` + world.Web + `"}`, "OutOfScope"},
		{`{"type":"bucket","id":"b","properties":{"project_id":"` + world.Web + `"}}`, "ConditionFailed"},
		{`{"type":"bucket","id":"b","properties":{"project_id":"` + world.Web + `","organization_id":"` + world.Acme + `"}}`, "ConditionFailed"},
	} {
		a := s.ask(t, evaluationPath, `{"subject":{"type":"application","id":"`+world.CI+`"},"action":{"name":"object_storage:bucket:read"},"resource":`+test.resource+`}`)
		if a.at("context", "reason") != test.want {
			t.Errorf("%s answered %d %s, want %s", test.resource, a.status, a.text, test.want)
		}
	}
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	s := serve(t)
	body := `{"subject":{"type":"user","id":"` + world.Alice + `"},"action":{"name":"x"},"resource":{"type":"t","id":"r"},"pad":"`
	fits := body + strings.Repeat("x", 1<<20-len(body)-2) + `"}`
	if a := s.ask(t, evaluationPath, fits); a.status != http.StatusOK {
		t.Errorf("a body of 1 MiB is answered %d %.200s", a.status, a.text)
	}
	for name, change := range map[string]func(*http.Request){
		"told":      func(*http.Request) {},
		"not known": func(r *http.Request) { r.ContentLength = -1 },
	} {
		if a := s.ask(t, evaluationPath, strings.Replace(fits, "pad", "padd", 1), change); a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("a body of one byte more, its length %s, is answered %d %.200s", name, a.status, a.text)
		}
	}
}
