// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"net/http"
	"testing"

	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

// Whatever the body, the answer is one of those that the standard has: never a 5xx, never a panic; and what is not JSON is never answered 200.
func FuzzEvaluation(f *testing.F) {
	for _, body := range []string{
		`{"subject":ALICE,"action":READ,"resource":RECORD1}`, `{"subject":ALICE,"action":READ,"resource":RECORD1,"context":{"ip":"::ffff:10.0.0.1","time":"2026-03-02T14:30Z","user_agent":"x"}}`,
		`{"subject":BOB,"action":WRITE,"evaluations":[{"resource":ARCHIVED},{},null],"options":{"evaluations_semantic":"deny_on_first_deny"}}`,
		`{"subject":{"type":"user"},"action":{"name":"a:b:c"},"resource":{"type":"project","id":"` + world.Web + `"},"page":{"limit":1,"token":"AQ"}}`,
		`{"subject":ALICE,"action":READ,"resource":{"type":"organization","id":"` + world.Acme + `","properties":{"project_id":null,"name":"x"}}}`,
		`{"context":{"at_least_revision":"7c1d.1"},"evaluations":[{"context":{"at_least_revision":"7c1d.1"}}]}`, `{`, `[]`, "\xff", `{"subject":{"subject":{"subject":1}}}`,
	} {
		f.Add([]byte(names.Replace(body)))
	}
	s := serve(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{evaluationPath, evaluationsPath, searchSubjectPath, searchResourcePath, searchActionPath, explainPath} {
			switch a := s.ask(t, path, string(body)); a.status {
			case http.StatusOK, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge:
			default:
				t.Errorf("%s answered %d %s", path, a.status, a.text)
			}
		}
	})
}
