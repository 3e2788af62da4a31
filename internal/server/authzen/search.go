// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// search is a question from which something is left out, and which part of the results is wanted.
type search struct {
	question
	Page *page `json:"page"`
}

// ready reads a search, and has the session come to the revision that it demands.
func ready(s *decisions.Session, r *http.Request, endpoint decisions.Endpoint, w wanted) (asked, paging, error) {
	var q search
	if err := wire.ReadJSON(r, &q); err != nil {
		return asked{}, paging{}, err
	}
	a, err := q.read(s, w)
	if err == nil {
		err = s.AtLeast(a.demanded)
	}
	if err != nil {
		return asked{}, paging{}, err
	}
	p, err := newPaging(q.Page, endpoint, s.Caller().Principal.OrganizationID, &a) // Of what is asked, whatever the connection.
	if err == nil {
		err = a.confine(s, decisions.Alone)
	}
	return a, p, err
}

// searchSubjects answers who may do it.
func searchSubjects(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	a, p, err := ready(s, r, decisions.EndpointSearchSubject, wanted{action: true, resourceID: true})
	if err != nil {
		return to, err
	}
	found, next, err := s.Subjects(&a.Request, p.Page)
	if err != nil {
		return to, err
	}
	to = p.appendHead(to, s, len(found), next, "")
	for i, id := range found {
		to = appendEntity(to, i, string(a.Subject.Kind), id)
	}
	return append(to, "]}\n"...), nil
}

// searchResources answers where it may be done. The resources of services are theirs, and not known here; what is known are the places
// that they are in.
func searchResources(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	a, p, err := ready(s, r, decisions.EndpointSearchResource, wanted{subjectID: true, action: true})
	if err != nil {
		return to, err
	}
	kinds := authz.ProjectScopes
	if a.resourceType == typeOrganization {
		kinds = authz.OrganizationScope
	}
	var found []authz.Scope
	next, note := "", ""
	switch {
	case a.resourceType != typeProject && a.resourceType != typeOrganization:
		note = "Resources of this type are known to their service only; search for resources of type project or organization, where they are."
		err = s.MayAsk(&a.Request, decisions.Alone)
	default:
		found, next, err = s.Scopes(&a.Request, kinds, p.Page)
	}
	if err != nil {
		return to, err
	}
	to = p.appendHead(to, s, len(found), next, note)
	for i, scope := range found {
		to = appendEntity(to, i, a.resourceType, cmp.Or(scope.ProjectID, scope.OrganizationID))
	}
	return append(to, "]}\n"...), nil
}

// searchActions answers what may be done. On a resource of type service/resource that are actions on just these; on a place, permissions in full.
func searchActions(s *decisions.Session, r *http.Request, to []byte) ([]byte, error) {
	a, p, err := ready(s, r, decisions.EndpointSearchAction, wanted{subjectID: true, resourceID: true})
	if err != nil {
		return to, err
	}
	var found []string
	next, note := "", ""
	named := strings.Contains(a.resourceType, "/")
	switch {
	case named || a.resourceType == typeProject || a.resourceType == typeOrganization:
		found, next, err = s.Actions(&a.Request, p.Page)
	default:
		note = "This type of resource has no actions; search by one of the form service/resource, or for resources of type project or organization."
		err = s.MayAsk(&a.Request, decisions.Alone)
	}
	if err != nil {
		return to, err
	}
	to = p.appendHead(to, s, len(found), next, note)
	for i, name := range found {
		if i > 0 {
			to = append(to, ',')
		}
		if named {
			name = name[strings.LastIndexByte(name, ':')+1:]
		}
		to = append(to, `{"name":`...)
		to = wire.AppendString(to, name)
		to = append(to, '}')
	}
	return append(to, "]}\n"...), nil
}

func appendEntity(to []byte, place int, kind, id string) []byte {
	if place > 0 {
		to = append(to, ',')
	}
	to = append(to, `{"type":`...)
	to = wire.AppendString(to, kind)
	to = append(to, `,"id":`...)
	to = wire.AppendString(to, id)
	return append(to, '}')
}

// appendHead writes an answer up to its results.
func (p *paging) appendHead(to []byte, s *decisions.Session, count int, next, note string) []byte {
	to = append(to, `{"page":{"next_token":`...)
	to = wire.AppendString(to, p.token(next))
	to = append(to, `,"count":`...)
	to = strconv.AppendInt(to, int64(count), 10)
	to = append(to, `},"context":{"revision":`...)
	to = wire.AppendString(to, s.Revision().String())
	if note != "" {
		to = append(to, `,"note":`...)
		to = wire.AppendString(to, note)
	}
	return append(to, `},"results":[`...)
}
