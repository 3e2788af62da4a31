// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

const (
	wellKnownPath = "/.well-known/authzen-configuration"
	// metadataKept is how long a client may keep the metadata, which change only with the operator's flags.
	metadataKept = "public, max-age=3600"
)

// BaseURL is the URL by which clients find the API: https, with a path or without, and nothing else.
type BaseURL struct{ url *url.URL }

// ParseBaseURL reads a base URL.
func ParseBaseURL(text string) (BaseURL, error) {
	parsed, err := url.Parse(strings.TrimRight(text, "/"))
	switch {
	case err != nil:
		return BaseURL{}, err
	case parsed.Scheme != "https":
		return BaseURL{}, errors.New("its scheme must be https: secret keys are shown there")
	case parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return BaseURL{}, errors.New("it must have a host, perhaps a port and a path, and nothing else")
	case !certifiable(parsed.Hostname()):
		return BaseURL{}, errors.New("its host must be an IP address without a zone, or a name of ASCII letters, digits, hyphens and dots, for which a certificate can be made; write any other in punycode (xn--…)")
	case strings.ContainsAny(parsed.EscapedPath(), "{}%") || parsed.Path != "" && path.Clean(parsed.Path) != parsed.Path:
		return BaseURL{}, errors.New("its path must be plain, without escapes, dots and empty parts")
	}
	return BaseURL{url: parsed}, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)

// certifiable says whether a certificate can name a host.
func certifiable(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == ""
	}
	return hostName.MatchString(host)
}

// Host is the name or address in the URL, without port.
func (b BaseURL) Host() string { return b.url.Hostname() }

// String gives the URL, without a slash at its end.
func (b BaseURL) String() string { return b.url.String() }

// Path is that of the URL, empty or with a slash at its beginning and none at its end.
func (b BaseURL) Path() string { return b.url.Path }

// registerMetadata adds the documents by which clients find the endpoints. They are public, and made of the base URL alone: of
// nothing that a request says, and of no knowledge which Organizations there are.
func (a *API) registerMetadata(mux *http.ServeMux) {
	path := wellKnownPath + a.base.Path()
	for _, at := range []string{path, path + organizationsPath} {
		mux.HandleFunc(http.MethodGet+" "+at, a.metadata)
		mux.Handle(at, a.service.NotAllowed(http.MethodGet, refuse))
	}
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) {
	wire.Identify(w, r, a.service.NewID)
	point := a.base.String()
	if id := r.PathValue(organizationWildcard); id != "" {
		if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
			refuse(w, wire.Refuse(http.StatusNotFound, "the id of an Organization is a UUID in lower case"))
			return
		}
		point += "/organizations/" + id
	}
	w.Header().Set("Cache-Control", metadataKept)
	body := append([]byte(`{"policy_decision_point":`), wire.AppendString(nil, point)...)
	for _, endpoint := range [...][2]string{
		{"access_evaluation_endpoint", evaluationPath}, {"access_evaluations_endpoint", evaluationsPath}, {"search_subject_endpoint", searchSubjectPath},
		{"search_resource_endpoint", searchResourcePath}, {"search_action_endpoint", searchActionPath},
	} {
		body = append(append(append(body, `,"`...), endpoint[0]...), `":`...)
		body = wire.AppendString(body, point+endpoint[1])
	}
	wire.WriteJSON(w, http.StatusOK, append(body, "}\n"...))
}
