// SPDX-License-Identifier: Apache-2.0

package iamapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/scaleway/scaleway-sdk-go/scw"

	world "github.com/iam-operator/iam-operator/internal/server/decisions/decisionstest"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

func serve(t testing.TB) (*world.World, *http.ServeMux) {
	t.Helper()
	w, mux := world.New(t, io.Discard), http.NewServeMux()
	Register(mux, w.Service, "/iam-operator")
	return w, mux
}

func ask(mux *http.ServeMux, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, checkPermissionsPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", world.Secret(world.CIKey))
	r.RemoteAddr = "10.1.2.3:4567"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func permissionBody(permissions ...string) string {
	return `{"permissions":[` + strings.Join(permissions, ",") + `]}`
}

const (
	inWeb          = `{"service":"object_storage","name":"bucket","action":"read","project_id":"` + world.Web + `"}`
	inDefault      = `{"service":"object_storage","name":"bucket","action":"read","project_id":"` + world.Default + `"}`
	inOrganization = `{"service":"object_storage","name":"bucket","action":"read","organization_id":"` + world.Acme + `"}`
)

func TestCheckPermissions(t *testing.T) {
	_, mux := serve(t)
	for name, test := range map[string]struct {
		body string
		want []string
	}{
		"nothing":                {`{}`, nil},
		"no permissions":         {`{"permissions":[]}`, nil},
		"null":                   {`{"permissions":null}`, nil},
		"in order":               {permissionBody(inDefault, inWeb, inOrganization, inWeb), []string{"deny", "allow", "deny", "allow"}},
		"one-of with a null":     {permissionBody(strings.Replace(inWeb, "{", `{"organization_id":null,`, 1)), []string{"allow"}},
		"another Organization":   {permissionBody(strings.Replace(inOrganization, world.Acme, world.Umbra, 1), strings.Replace(inWeb, world.Web, world.Pit, 1)), []string{"deny", "deny"}},
		"what nobody could have": {permissionBody(strings.Replace(inWeb, "read", "*", 1), strings.Replace(inWeb, "read", "Read", 1)), []string{"deny", "deny"}},
		"unknown fields":         {`{"permissions":[` + strings.Replace(inWeb, "{", `{"more":{},"Service":"x",`, 1) + `],"page":1}`, []string{"allow"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(mux, test.body)
			var body struct {
				Responses []struct{ Decision string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != http.StatusOK || err != nil || body.Responses == nil {
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
			var got []string
			for _, r := range body.Responses {
				got = append(got, r.Decision)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("answered %q, want %q", got, test.want)
			}
		})
	}
}

// What conditions see is what the caller can't choose: the other end of the connection. The client's name is of the caller's own making.
func TestCheckPermissionsSeesTheConnection(t *testing.T) {
	_, mux := serve(t)
	for from, want := range map[string]string{"10.9.9.9:1": "allow", "[::ffff:10.9.9.9]:1": "allow", "11.0.0.1:1": "deny", "no address": "deny"} {
		w := ask(mux, permissionBody(inWeb), func(r *http.Request) {
			r.RemoteAddr = from
			for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
				r.Header.Set(name, "10.1.2.3")
			}
		})
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("from %s it is answered %s, want %s", from, w.Body, want)
		}
	}
}

func TestCheckPermissionsRefuses(t *testing.T) {
	_, mux := serve(t)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	details := func(argument, reason string) string {
		return fmt.Sprintf(`"argument_name":%q`, argument) + "|" + fmt.Sprintf(`"reason":%q`, reason) + `|"type":"invalid_arguments"|"message":"invalid argument(s)"`
	}
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		parts  string
	}{
		"no key":              {`{}`, func(r *http.Request) { r.Header.Del("X-Auth-Token") }, 401, `{"message":"authentication is denied","method":"api_key","reason":"not_found","type":"denied_authentication"}`},
		"no such key":         {`{}`, header("X-Auth-Token", "5ec00000-0000-4000-8000-00000000ffff"), 401, `"type":"denied_authentication"`},
		"an expired key":      {`{}`, header("X-Auth-Token", world.Secret(world.OldKey)), 401, `{"message":"authentication is denied","method":"api_key","reason":"expired","type":"denied_authentication"}`},
		"a locked bearer":     {`{}`, header("X-Auth-Token", world.Secret(world.LucyKey)), 401, `"reason":"not_found"`},
		"no scope":            {permissionBody(inWeb, `{"service":"a","name":"b","action":"c"}`), nil, 400, details("permissions[1].scope", "required")},
		"an empty scope":      {permissionBody(`{"service":"a","name":"b","action":"c","project_id":""}`), nil, 400, details("permissions[0].scope", "required")},
		"two scopes":          {permissionBody(`{"service":"a","name":"b","action":"c","project_id":"x","organization_id":"y"}`), nil, 400, details("permissions[0].scope", "constraint")},
		"no service":          {permissionBody(`{"name":"b","action":"c","project_id":"x"}`), nil, 400, details("permissions[0].service", "required")},
		"no name":             {permissionBody(`{"service":"a","action":"c","project_id":"x"}`), nil, 400, details("permissions[0].name", "required")},
		"no action":           {permissionBody(`{"service":"a","name":"b","project_id":"x"}`), nil, 400, details("permissions[0].action", "required")},
		"a number":            {permissionBody(`{"service":1}`), nil, 400, details("permissions.service", "format")},
		"no list":             {`{"permissions":{}}`, nil, 400, details("permissions", "format")},
		"a field twice":       {`{"permissions":[],"permissions":[]}`, nil, 400, details("permissions", "format")},
		"no JSON":             {`{`, nil, 400, details("body", "format")},
		"another type":        {`{}`, header("Content-Type", "text/plain"), 400, details("body", "format")},
		"too many":            {permissionBody(slices.Repeat([]string{inWeb}, maxPermissions+1)...), nil, 400, details("permissions", "constraint")},
		"too large":           {`{"x":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, details("body", "format")},
		"another method":      {`{}`, func(r *http.Request) { r.Method = http.MethodGet }, 405, `"message"`},
		"no such path":        {`{}`, func(r *http.Request) { r.URL.Path = "/iam/v1alpha1/nothing" }, 404, `"type":"not_found"`},
		"no revision":         {`{}`, header(wire.AtLeastRevisionHeader, "x"), 400, details(wire.AtLeastRevisionHeader, "format")},
		"another incarnation": {`{}`, header(wire.AtLeastRevisionHeader, "beef.1"), 409, `"message"`},
	} {
		t.Run(name, func(t *testing.T) {
			change := test.change
			if change == nil {
				change = func(*http.Request) {}
			}
			w := ask(mux, test.body, change, header("X-Request-Id", "fdb2f5a0"))
			if w.Code != test.status || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Request-Id") != "fdb2f5a0" || !json.Valid(w.Body.Bytes()) {
				t.Errorf("answered %d %v %.300s, want %d", w.Code, w.Header(), w.Body, test.status)
			}
			for _, part := range strings.Split(test.parts, "|") {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("answered %.300s, in which there is no %s", w.Body, part)
				}
			}
		})
	}
}

// The path of the base URL may be there or not.
func TestPaths(t *testing.T) {
	_, mux := serve(t)
	for _, path := range []string{"/iam/v1alpha1/check-permissions", "/iam-operator/iam/v1alpha1/check-permissions"} {
		if w := ask(mux, `{}`, func(r *http.Request) { r.URL.Path = path }); w.Code != http.StatusOK {
			t.Errorf("%s answered %d", path, w.Code)
		}
	}
}

// The official client shows its key, and understands answers and errors.
func TestOfficialClient(t *testing.T) {
	_, mux := serve(t)
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	for _, key := range []string{world.CIKey, world.LucyKey} {
		client, err := scw.NewClient(scw.WithAPIURL(server.URL), scw.WithInsecure(), scw.WithAuth("SCWXXXXXXXXXXXXXXXXX", world.Secret(key)))
		if err != nil {
			t.Fatal(err)
		}
		request := &scw.ScalewayRequest{Method: http.MethodPost, Path: checkPermissionsPath}
		if err := request.SetBody(json.RawMessage(permissionBody(inWeb, inDefault))); err != nil {
			t.Fatal(err)
		}
		var got json.RawMessage
		err = client.Do(request, &got)
		if key == world.LucyKey {
			if _, denied := err.(*scw.DeniedAuthenticationError); !denied { //nolint:errorlint // this is the type that the client gives
				t.Errorf("a locked user gets %T %v", err, err)
			}
			continue
		}
		// From 127.0.0.1, which the condition does not have.
		if want := []byte(`{"responses":[{"decision":"deny"},{"decision":"deny"}]}`); err != nil || !bytes.Equal(bytes.TrimSpace(got), want) {
			t.Errorf("answered %s, %v; want %s", got, err, want)
		}
	}
}
