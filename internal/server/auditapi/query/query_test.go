// SPDX-License-Identifier: Apache-2.0

package query_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/auditapi/query"
	"github.com/iam-operator/iam-operator/internal/store"
)

var now = time.Date(2026, 11, 29, 19, 56, 39, 5, time.UTC)

func parse(t *testing.T, selector string) (query.Query, error) {
	t.Helper()
	s, err := fields.ParseSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return query.Parse(s, now)
}

func TestParse(t *testing.T) {
	for selector, want := range map[string]query.Query{
		"": {},
		"principal=maya,method==SetRules,statusCode=403":  {EventQuery: store.EventQuery{EventFilter: store.EventFilter{PrincipalName: "maya", Method: "SetRules", StatusCode: 403}}},
		"principalKind!=System,sourceIP!=unknown":         {EventQuery: store.EventQuery{Not: store.EventFilter{PrincipalKind: iam.ActorSystem, SourceIP: "unknown"}}},
		"method!=A,method!=B,method!=A":                   {EventQuery: store.EventQuery{Not: store.EventFilter{Method: "A"}}, Nots: []store.EventFilter{{Method: "B"}}},
		"resource=a,resource=b":                           {EventQuery: store.EventQuery{EventFilter: store.EventFilter{ResourceName: "a"}}, Also: []store.EventFilter{{ResourceName: "b"}}},
		"resourceKind=Policy,resourceID=x,action=deleted": {EventQuery: store.EventQuery{EventFilter: store.EventFilter{ResourceKind: iam.KindPolicy, ResourceID: "x", Action: iam.ActionDeleted}}},
		"project=p,product=iam,service=s,principalID=i":   {EventQuery: store.EventQuery{EventFilter: store.EventFilter{ProjectID: "p", Product: "iam", Service: "s", PrincipalID: "i"}}},
		"since=24h":                            {EventQuery: store.EventQuery{Since: now.Add(-24 * time.Hour)}},
		"since=7d,until=1w":                    {EventQuery: store.EventQuery{Since: now.Add(-7 * 24 * time.Hour), Until: now.Add(-7 * 24 * time.Hour)}},
		"since=2h,since=1h":                    {EventQuery: store.EventQuery{Since: now.Add(-time.Hour)}},
		"until=2h,until=1h":                    {EventQuery: store.EventQuery{Until: now.Add(-2 * time.Hour)}},
		"since=2026-11-29T20:00:00.5+01:00":    {EventQuery: store.EventQuery{Since: time.Date(2026, 11, 29, 19, 0, 0, 5e8, time.UTC)}},
		"metadata.name=x,metadata.namespace=n": {EventQuery: store.EventQuery{EventScope: store.EventScope{Namespace: "n"}, EventFilter: store.EventFilter{ID: "x"}}},
		"method=A,method=B":                    {EventQuery: store.EventQuery{EventFilter: store.EventFilter{Method: "A"}}, None: true},
		"method=A,method!=A":                   {EventQuery: store.EventQuery{EventFilter: store.EventFilter{Method: "A"}, Not: store.EventFilter{Method: "A"}}, None: true},
	} {
		got, err := parse(t, selector)
		if err != nil {
			t.Errorf("%q: %v", selector, err)
			continue
		}
		if want.Text = selector; got.EventQuery != want.EventQuery || !slices.Equal(got.Also, want.Also) || !slices.Equal(got.Nots, want.Nots) || got.None != want.None {
			t.Errorf("%q is\n%+v, want\n%+v", selector, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for selector, want := range map[string]string{
		"verb=get":                        `field selector "verb": audit events have no such field; there are action, metadata.name, method, principal, principalID, principalKind, product, project, resource, resourceID, resourceKind, service, sourceIP, statusCode with = and !=, and since, until and metadata.namespace with =`,
		"since=yesterday":                 `field selector since: "yesterday" is neither a time such as 2026-11-29T19:56:39Z (RFC 3339) nor a duration back from now such as 90m, 24h or 7d`,
		"since=-1h":                       "neither a time",
		"since=99999999d":                 "neither a time",
		"since=60000d":                    "neither a time",
		"since=d":                         "neither a time",
		"since=1.5d":                      "neither a time",
		"until=2026-11-29":                "neither a time",
		"until=0000-01-01T00:00:00+10:00": "out of range",
		"since!=24h":                      "it takes = only",
		"until!=24h":                      "it takes = only",
		"metadata.namespace!=x":           "it takes = only",
		"statusCode=many":                 `"many" is no status code of HTTP`,
		"statusCode=0200":                 "is no status code",
		"statusCode=99":                   "is no status code",
		"principalKind=member":            `"member" is none of Owner, Member, Guest, Application, KubernetesUser, System`,
		"action=create":                   "is none of created, updated, deleted",
		"resourceKind=Pod":                "is none of Organization,",
		"principal=":                      "a value is missing",
	} {
		if _, err := parse(t, selector); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is answered by %v, want %q", selector, err, want)
		}
	}
}

func TestMatches(t *testing.T) {
	event := iam.Event{
		ID: "e", Namespace: "acme", RecordedAt: now, Method: "CreatePolicy", StatusCode: 200,
		Resources: []iam.EventResource{{Name: "a", Kind: iam.KindPolicy}, {Name: "b", Kind: iam.KindGroup}},
	}
	for selector, want := range map[string]bool{
		"":                                    true,
		"resource=a,resource=b":               true,
		"resource=a,resource=c":               false,
		"resource!=c,resource!=b":             false,
		"method!=X,method!=CreatePolicy":      false,
		"method!=X,method!=Y":                 true,
		"method=CreatePolicy,method=X":        false,
		"metadata.namespace=acme":             true,
		"metadata.namespace=shop":             false,
		"since=0s":                            true,
		"until=0s":                            false,
		"since=1h,until=2026-11-29T20:00:00Z": true,
		"statusCode=200,resourceKind!=APIKey": true,
		"metadata.name=e,statusCode!=200":     false,
	} {
		q, err := parse(t, selector)
		if err != nil {
			t.Errorf("%q: %v", selector, err)
		} else if q.Matches(event) != want {
			t.Errorf("%q selects it: %v, want %v", selector, !want, want)
		}
	}
}

func TestToken(t *testing.T) {
	list := query.Fingerprint("acme", "uid", "method=A")
	token := query.Token{Before: 7, Newest: 9, Since: now, Of: list}
	got, err := query.ParseToken(token.String(), list)
	if err != nil || got.Before != 7 || got.Newest != 9 || !got.Since.Equal(now) || !got.Until.IsZero() {
		t.Errorf("the token %+v is read as %+v, %v", token, got, err)
	}
	for name, text := range map[string]string{
		"of another list": query.Token{Before: 7, Newest: 9, Of: query.Fingerprint("acme", "uidmethod=A")}.String(),
		"from nowhere":    query.Token{Newest: 9, Of: list}.String(),
		"ahead of itself": query.Token{Before: 10, Newest: 9, Of: list}.String(),
		"no base64":       "%",
		"no JSON":         "AAAA",
		"cut":             token.String()[:20],
		"long":            strings.Repeat("A", 2000),
		"another version": "eyJ2IjoyfQ",
	} {
		if _, err := query.ParseToken(text, list); err == nil {
			t.Errorf("a token %s is taken", name)
		}
	}
}

// Whatever a selector says, it is understood or refused in words.
func FuzzSelector(f *testing.F) {
	for _, seed := range []string{"principal=maya,since=24h", "method!=A,method!=B", "since=7d,until=2026-11-29T19:56:39Z", "statusCode=403", "resource=a\\,b", "until=0000-01-01T00:00:00+10:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		selector, err := fields.ParseSelector(text)
		if err != nil {
			return
		}
		q, err := query.Parse(selector, now)
		if err != nil {
			if err.Error() == "" {
				t.Error("it is refused without a word")
			}
			return
		}
		again, err := query.Parse(selector, now)
		if err != nil || again.EventQuery != q.EventQuery || again.None != q.None {
			t.Errorf("%q is understood in two ways", text)
		}
		token := query.Token{Before: 1, Newest: 1, Since: q.Since, Until: q.Until, Of: "x"}
		back, err := query.ParseToken(token.String(), "x")
		if err != nil || !back.Since.Equal(q.Since) || !back.Until.Equal(q.Until) {
			t.Errorf("%q doesn't outlive a page: %v", text, err)
		}
		q.Matches(iam.Event{})
	})
}

// Whatever a token says, it is one of this list, or refused.
func FuzzContinue(f *testing.F) {
	list := query.Fingerprint("acme")
	f.Add(query.Token{Before: 7, Newest: 9, Since: now, Of: list}.String())
	f.Add("")
	f.Add("eyJ2IjoxfQ")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := query.ParseToken(text, list)
		if err != nil {
			return
		}
		again, err := query.ParseToken(token.String(), list)
		if err != nil || again.Before != token.Before || again.Newest != token.Newest || token.Before < 1 {
			t.Errorf("%q is read as %+v and written as another: %+v, %v", text, token, again, err)
		}
	})
}
