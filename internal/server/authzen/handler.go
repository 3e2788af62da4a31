// SPDX-License-Identifier: Apache-2.0

// Package authzen serves the OpenID AuthZEN Authorization API 1.0 (https://openid.net/specs/authorization-api-1_0.html): single
// and several evaluations, the three searches, and the metadata by which clients find them; and, of our own beside it, the
// explanation of a decision.
package authzen

import (
	"net/http"

	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// The paths of the standard, below the URL of a policy decision point, and our own.
const (
	evaluationPath     = "/access/v1/evaluation"
	evaluationsPath    = "/access/v1/evaluations"
	searchSubjectPath  = "/access/v1/search/subject"
	searchResourcePath = "/access/v1/search/resource"
	searchActionPath   = "/access/v1/search/action"
	explainPath        = "/access/v1/explain"

	organizationWildcard = "organization"
	organizationsPath    = "/organizations/{" + organizationWildcard + "}"
)

// API is the API of one service.
type API struct {
	service *decisions.Service
	base    BaseURL
}

// New makes the API. Base is where clients find it.
func New(service *decisions.Service, base BaseURL) *API { return &API{service: service, base: base} }

// Register adds the endpoints to a mux: for the caller's own Organization, and for each one by its id. Where the base URL has
// a path, they are found with it and, for a proxy that takes it away, without it.
func (a *API) Register(mux *http.ServeMux) {
	prefixes := []string{"", organizationsPath}
	if path := a.base.Path(); path != "" {
		prefixes = append(prefixes, path, path+organizationsPath)
	}
	for path, handler := range a.endpoints() {
		for _, prefix := range prefixes {
			mux.Handle(http.MethodPost+" "+prefix+path, handler)
			mux.Handle(prefix+path, a.service.NotAllowed(http.MethodPost, refuse))
		}
	}
	a.registerMetadata(mux)
}

func (a *API) endpoints() map[string]http.Handler {
	endpoint := func(name decisions.Endpoint, answer decisions.Answer) http.Handler {
		return a.service.Handle(name, inOrganization(answer), refuse)
	}
	return map[string]http.Handler{
		evaluationPath:     endpoint(decisions.EndpointEvaluation, evaluate),
		evaluationsPath:    endpoint(decisions.EndpointEvaluations, evaluateAll),
		searchSubjectPath:  endpoint(decisions.EndpointSearchSubject, searchSubjects),
		searchResourcePath: endpoint(decisions.EndpointSearchResource, searchResources),
		searchActionPath:   endpoint(decisions.EndpointSearchAction, searchActions),
		explainPath:        endpoint(decisions.EndpointExplain, explain),
	}
}

// inOrganization refuses what is asked at the endpoint of another Organization than the caller's.
func inOrganization(answer decisions.Answer) decisions.Answer {
	return func(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
		if id := r.PathValue(organizationWildcard); id != "" {
			if err := s.IsIn(id); err != nil {
				return to, err
			}
		}
		return answer(s, r, to)
	}
}

// refuse answers with the error message as a string of JSON, which is all that the standard says about the body of an error.
func refuse(w http.ResponseWriter, refusal *wire.Refusal) {
	wire.WriteJSON(w, refusal.Status, append(wire.AppendString(nil, refusal.Message), '\n'))
}
