// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
)

// quiet is an answer that is thrown away.
type quiet struct {
	header http.Header
	status int
}

func (q *quiet) Header() http.Header               { return q.header }
func (q *quiet) Write(text []byte) (int, error)    { return len(text), nil }
func (q *quiet) WriteHeader(status int)            { q.status = status }
func (q *quiet) WriteString(s string) (int, error) { return len(s), nil }

// BenchmarkHandler measures what is between net/http and the engine, the engine included: routing, body, caller, decision, log and answer.
func BenchmarkHandler(b *testing.B) {
	single := names.Replace(`{"subject":ALICE,"action":READ,"resource":{"type":"records/record","id":"5a3c3b9e-0c47-4d58-8c1a-3f6c8a2f1a00","properties":{"project_id":"` + world.Web + `"}},"context":{"ip":"10.1.2.3","user_agent":"terraform/1.9"}}`)
	conditional := strings.Replace(single, `"read"`, `"write"`, 1)
	batch := single[:len(single)-1] + `,"evaluations":[{}` + strings.Repeat(",{}", 99) + `]}`
	for name, test := range map[string]struct {
		path, body, key string
	}{
		"evaluation, allowed":            {evaluationPath, single, world.PEPKey},
		"evaluation, allowed, by itself": {evaluationPath, single, world.AliceKey},
		"evaluation, by condition":       {evaluationPath, conditional, world.PEPKey},
		"evaluation, denied":             {evaluationPath, strings.Replace(single, `"read"`, `"drop"`, 1), world.PEPKey},
		"evaluations, 100 of them":       {evaluationsPath, batch, world.PEPKey},
	} {
		b.Run(name, func(b *testing.B) {
			s := serveAt(b, baseURL, io.Discard)
			reader := bytes.NewReader(nil)
			r := httptest.NewRequest(http.MethodPost, test.path, nil)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Request-Id", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
			world.Show(r, test.key)
			r.ContentLength = int64(len(test.body))
			w := &quiet{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset([]byte(test.body))
				r.Body = io.NopCloser(reader)
				clear(w.header)
				s.mux.ServeHTTP(w, r)
			}
			if w.status != http.StatusOK {
				b.Fatal(fmt.Sprint("answered ", w.status))
			}
		})
	}
}
