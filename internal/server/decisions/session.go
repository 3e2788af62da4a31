// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Session is one request of a caller who is known. All of it is answered from one view of the snapshot. It never tells what
// is outside of the caller's Organization: there, what exists is answered as what does not.
type Session struct {
	service  *Service
	endpoint Endpoint
	request  *http.Request
	id       string
	began    time.Time

	view   authz.View
	secret string
	caller authz.Caller
	// mayCheck says whether the caller may ask about others.
	mayCheck bool
}

// open finds who calls.
func (s *Session) open() error {
	secret, err := secretOf(s.request.Header)
	if err != nil {
		return err
	}
	s.secret = secret
	return s.use(s.service.Engine.View())
}

// use goes on with a view. Whoever is nobody at that view is not answered from it.
func (s *Session) use(view authz.View) error {
	caller, reason := view.Authenticate(s.secret)
	if reason != "" {
		return s.nobody(reason)
	}
	s.view, s.caller = view, caller
	check := authz.Request{Subject: caller.Subject(), Permission: checkPermission, Scope: s.organization(), Attributes: s.Attributes()}
	s.mayCheck = view.Decide(&check).Allowed
	return nil
}

// Expired is the reason of a refusal of a key whose time is over.
const Expired = "expired"

// nobody refuses a secret key that does not count.
func (s *Session) nobody(reason authz.Reason) error {
	switch {
	case reason == authz.ReasonStale || s.service.Engine.Ready() != nil:
		return wire.Refuse(http.StatusServiceUnavailable, "the decision engine is out of touch with its store, and does not know who you are; try again")
	case reason == authz.ReasonKeyExpired:
		return &wire.Refusal{Status: http.StatusUnauthorized, Reason: Expired, Message: "the secret key has expired"}
	}
	return wire.Refuse(http.StatusUnauthorized, "the secret key is unknown, or its bearer does not count")
}

// secretOf gives the secret key that a request shows.
func secretOf(header http.Header) (string, error) {
	const scheme = "Bearer "
	secret := ""
	if given := header["Authorization"]; len(given) > 0 {
		if len(given[0]) <= len(scheme) || !strings.EqualFold(given[0][:len(scheme)], scheme) {
			return "", wire.Refuse(http.StatusUnauthorized, "Authorization must be Bearer, with a secret key")
		}
		secret = given[0][len(scheme):]
	}
	if given := header["X-Auth-Token"]; len(given) > 0 {
		if secret != "" && secret != given[0] {
			return "", wire.Refuse(http.StatusUnauthorized, "Authorization and X-Auth-Token show different secret keys")
		}
		secret = given[0]
	}
	if secret == "" {
		return "", wire.Refuse(http.StatusUnauthorized, "a secret key is needed, as Authorization: Bearer … or as X-Auth-Token: …")
	}
	return secret, nil
}

// Caller is who asks.
func (s *Session) Caller() authz.Caller { return s.caller }

// MayAskAboutOthers says whether the caller has the permission to.
func (s *Session) MayAskAboutOthers() bool { return s.mayCheck }

// Revision from which the session answers.
func (s *Session) Revision() store.Revision { return s.view.Revision() }

// organization is the caller's, as a whole.
func (s *Session) organization() authz.Scope {
	return authz.Scope{OrganizationID: s.caller.Principal.OrganizationID}
}

// Attributes are those of the caller's own request: the address that it came from, by the connection and by no header, and
// what the client calls itself.
func (s *Session) Attributes() condition.Attributes {
	a := condition.Attributes{UserAgent: s.request.UserAgent()}
	if from, err := netip.ParseAddrPort(s.request.RemoteAddr); err == nil {
		a.IP = from.Addr().WithZone("").Unmap().String()
	}
	return a
}

// Demands gives the revision that a text demands, and the one that the request's header does, whichever is later; the zero
// Revision when neither demands one. The text is of a field, which a refusal names.
func (s *Session) Demands(field, text string) (store.Revision, error) {
	var later store.Revision
	for _, given := range [...]struct{ place, text string }{{field, text}, {wire.AtLeastRevisionHeader, s.request.Header.Get(wire.AtLeastRevisionHeader)}} {
		if given.text == "" {
			continue
		}
		demanded, err := store.ParseRevision(given.text)
		if err != nil {
			return store.Revision{}, wire.BadField(given.place, "must be a revision as an answer gives it, such as 0f3a.17, not %q", wire.Cut(given.text))
		}
		if later, err = Later(later, demanded); err != nil {
			return store.Revision{}, err
		}
	}
	return later, nil
}

// Later gives the later of two revisions, either of which may be zero. Those of two stores can't be compared.
func Later(a, b store.Revision) (store.Revision, error) {
	switch {
	case a.Incarnation == "":
		return b, nil
	case b.Incarnation == "":
		return a, nil
	case a.Incarnation != b.Incarnation:
		return store.Revision{}, otherIncarnation()
	case a.N > b.N:
		return a, nil
	}
	return b, nil
}

func otherIncarnation() *wire.Refusal {
	return wire.Refuse(http.StatusConflict, "the revision that is demanded was given by another store, and says nothing about this one; ask without it")
}

// AtLeast goes on with a view of at least a revision, for which it waits up to RevisionWait. The zero Revision demands none.
func (s *Session) AtLeast(demanded store.Revision) error {
	if demanded.Incarnation == "" {
		return nil
	}
	if at := s.view.Revision(); at.Incarnation == demanded.Incarnation && at.N >= demanded.N {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.request.Context(), RevisionWait)
	defer cancel()
	view, err := s.service.Engine.ViewAt(ctx, demanded)
	if errors.Is(err, store.ErrOtherIncarnation) {
		return otherIncarnation()
	}
	if err != nil {
		return wire.Refuse(http.StatusServiceUnavailable, "revision %s has not arrived here within %s; try again", demanded, RevisionWait)
	}
	return s.use(view)
}

// IsIn refuses an Organization that is not the caller's, whether it exists or not.
func (s *Session) IsIn(organizationID string) error {
	if organizationID == s.caller.Principal.OrganizationID {
		return nil
	}
	return wire.Refuse(http.StatusForbidden, "your key is not of this Organization")
}
