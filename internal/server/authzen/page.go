// SPDX-License-Identifier: Apache-2.0

package authzen

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"time"

	"github.com/iam-operator/iam-operator/internal/server/decisions"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// page is which part of the results is wanted.
type page struct {
	Token *string  `json:"token"`
	Limit *float64 `json:"limit"`
}

// paging is where in the results of one query an answer is.
type paging struct {
	decisions.Page
	query [querySize]byte
}

const (
	tokenVersion = 1
	querySize    = 16
	// A token is version, limit and query, and then the last result that was given.
	tokenHead = 1 + 2 + querySize
)

// A token is not secret, and nobody gains by making one: it only says where to go on in what its bearer may see anyway. The query in it
// keeps a token from being used for another question than it was given for.
var tokenEncoding = base64.RawURLEncoding.Strict()

// newPaging reads the page that is wanted. With a token the limit may be left out, as in the standard's own example.
func newPaging(given *page, endpoint decisions.Endpoint, organizationID string, a *asked) (paging, error) {
	p := paging{Page: decisions.Page{Limit: defaultLimit}, query: queryOf(endpoint, organizationID, a)}
	if given == nil {
		return p, nil
	}
	if given.Limit != nil {
		limit := *given.Limit
		if limit < 0 || limit != math.Trunc(limit) {
			return paging{}, wire.BadField("page.limit", "must be a whole number, and not negative")
		}
		p.Limit = int(min(limit, maxLimit))
	}
	if given.Token == nil || *given.Token == "" {
		return p, nil
	}
	from, err := readToken(*given.Token)
	if err != nil {
		return paging{}, err
	}
	if from.query != p.query || given.Limit != nil && from.Limit != p.Limit {
		return paging{}, wire.Refuse(http.StatusBadRequest, "page.token was given for another request; with a token, all else must stay as it was")
	}
	return from, nil
}

// readToken is the inverse of token.
func readToken(text string) (paging, error) {
	raw, err := tokenEncoding.DecodeString(text)
	if err != nil || len(raw) < tokenHead || raw[0] != tokenVersion || binary.BigEndian.Uint16(raw[1:]) > maxLimit {
		return paging{}, wire.BadField("page.token", "is none that an answer gave")
	}
	return paging{
		Page:  decisions.Page{Limit: int(binary.BigEndian.Uint16(raw[1:])), After: string(raw[tokenHead:])},
		query: [querySize]byte(raw[3:tokenHead]),
	}, nil
}

// token gives the token with which to go on after a result; empty when there is nothing more. Who wants no results at all may go on from
// where it was.
func (p *paging) token(next string) string {
	if p.Limit == 0 {
		next = p.After
	} else if next == "" {
		return ""
	}
	raw := make([]byte, 0, tokenHead+len(next))
	raw = append(raw, tokenVersion)
	raw = binary.BigEndian.AppendUint16(raw, uint16(p.Limit)) //nolint:gosec // G115: it is at most maxLimit
	raw = append(raw, p.query[:]...)
	return tokenEncoding.EncodeToString(append(raw, next...))
}

// queryOf gives the digest of a query.
func queryOf(endpoint decisions.Endpoint, organizationID string, a *asked) [querySize]byte {
	at := ""
	if !a.Attributes.Time.IsZero() {
		at = a.Attributes.Time.UTC().Format(time.RFC3339Nano)
	}
	var text []byte
	for _, part := range [...]string{
		string(endpoint), organizationID, string(a.Subject.Kind), a.Subject.ID, a.Permission.Service, a.Permission.Resource, a.Permission.Action, a.resourceType,
		a.Scope.OrganizationID, a.Scope.ProjectID, a.Attributes.IP, a.Attributes.UserAgent, at, a.Attributes.ResourceName, a.Attributes.ResourceID,
		a.Attributes.ResourceLocality,
	} {
		text = binary.AppendUvarint(text, uint64(len(part)))
		text = append(text, part...)
	}
	digest := sha256.Sum256(text)
	return [querySize]byte(digest[:querySize])
}
