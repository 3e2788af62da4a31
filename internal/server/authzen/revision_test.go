// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

func demanding(revision string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(wire.AtLeastRevisionHeader, revision) }
}

func TestRevisions(t *testing.T) {
	s := serve(t)
	body := about("user", world.Alice)
	inContext := func(revision string) string {
		return body[:len(body)-1] + `,"context":{"at_least_revision":"` + revision + `"}}`
	}
	t.Run("it is told", func(t *testing.T) {
		a := s.ask(t, evaluationPath, body)
		if want := world.At(1).String(); a.at("context", "revision") != want || a.header.Get("X-IAM-Revision") != want {
			t.Errorf("answered %s with header %q, want %s", a.text, a.header.Get("X-IAM-Revision"), want)
		}
	})
	for name, test := range map[string]struct {
		body, header string
		status       int
	}{
		"what is there":                {inContext("7c1d.1"), "", 200},
		"by the header":                {body, "7c1d.1", 200},
		"by both":                      {inContext("7c1d.0"), "7c1d.1", 200},
		"another store's":              {inContext("beef.1"), "", 409},
		"another store's, in a header": {body, "beef.1", 409},
		"of two stores":                {inContext("7c1d.1"), "beef.1", 409},
		"no revision":                  {body, "latest", 400},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(*http.Request) {}
			if test.header != "" {
				change = demanding(test.header)
			}
			for _, path := range []string{evaluationPath, evaluationsPath, explainPath, searchActionPath} {
				if a := s.ask(t, path, test.body, change); a.status != test.status {
					t.Errorf("%s answered %d %s, want %d", path, a.status, a.text, test.status)
				}
			}
			items := `{"evaluations":[` + about("user", world.Bob) + `,` + test.body + `]}`
			if a := s.ask(t, evaluationsPath, items, change); a.status != test.status {
				t.Errorf("several answered %d %s, want %d", a.status, a.text, test.status)
			}
		})
	}
}

// A change that was made before a question, and that the question demands, is seen by it, whether it was there already or comes meanwhile.
func TestRevisionIsWaitedFor(t *testing.T) {
	s := serve(t)
	body := about("user", world.Alice)
	locked := &iam.Member{Head: iam.Head{ID: world.Alice, OrganizationID: world.Acme}, Type: iam.TypeMember, Username: "alice", Locked: "Declared"}
	got := make(chan answer)
	go func() { got <- s.ask(t, evaluationPath, body, demanding(world.At(2).String())) }()
	select {
	case a := <-got:
		t.Fatalf("answered %d %s before there is that revision", a.status, a.text)
	case <-time.After(50 * time.Millisecond):
	}
	s.Store.Put(locked)
	if a := <-got; a.at("context", "reason") != "Locked" || a.at("context", "revision") != world.At(2).String() {
		t.Errorf("answered %d %s", a.status, a.text)
	}
	// Also who asks is judged at that revision.
	revoked := s.Store.Delete(s.Key(world.PEPKey, world.Acme, iam.PrincipalApplication, world.PEP))
	if a := s.ask(t, evaluationPath, body, demanding(revoked.String())); a.status != http.StatusUnauthorized {
		t.Errorf("a key that is gone at revision %s is answered %d %s", revoked, a.status, a.text)
	}
}

func TestRevisionIsNotWaitedForForEver(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for as long as a request may")
	}
	s := serve(t)
	a := s.ask(t, evaluationPath, about("user", world.Alice), demanding(world.At(9).String()))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(a.message(), "has not arrived") {
		t.Errorf("answered %d %s", a.status, a.text)
	}
}
