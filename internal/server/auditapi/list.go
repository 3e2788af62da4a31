// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/warning"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/auditapi/query"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	// pageSize is that of a list that does not say one.
	pageSize = 500
	// rounds bounds how often the store is asked for one page, where it gives much that is then left out.
	rounds = 10
)

// List gives a page of events, newest first. Its resource version is that of the newest event
// there was before it looked, so that a watch from there misses none.
func (s *events) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	if options == nil {
		options = &internalversion.ListOptions{}
	}
	a, err := s.ask(ctx, options)
	if err != nil {
		return nil, err
	}
	// The range is read first: what is recorded meanwhile is for the watch.
	kept, err := s.store.EventRange(ctx, a.EventScope)
	if err != nil {
		return nil, internal(err)
	}
	token, err := s.begin(ctx, &a, options, kept)
	if err != nil {
		return nil, err
	}
	list := &auditv1alpha1.AuditEventList{
		TypeMeta: metav1.TypeMeta{APIVersion: auditv1alpha1.GroupVersion.String(), Kind: "AuditEventList"},
		ListMeta: metav1.ListMeta{ResourceVersion: version(token.Newest)},
		Items:    []auditv1alpha1.AuditEvent{},
	}
	if a.None {
		return list, nil
	}
	limit := pageSize
	if options.Limit > 0 {
		limit = int(min(options.Limit, store.MaxPageSize))
	}
	found, next, err := s.page(ctx, a, limit)
	if err != nil {
		return nil, internal(err)
	}
	for _, event := range found {
		list.Items = append(list.Items, object(event))
	}
	if next != 0 {
		token.Before = next
		list.Continue = token.String()
	}
	return list, nil
}

// begin says where the page begins, and gives the token for the one after it, but for its Before.
func (s *events) begin(ctx context.Context, a *asked, options *internalversion.ListOptions, kept store.EventRange) (query.Token, error) {
	// Sequences begin anew in a new store, so that a token of another one would go on anywhere.
	revision, err := s.store.Revision(ctx)
	if err != nil {
		return query.Token{}, apierrors.NewInternalError(err)
	}
	fingerprint, in := query.Fingerprint(a.namespace, a.NamespaceUID, a.Text), query.Fingerprint(revision.Incarnation)
	if options.Continue != "" {
		token, err := query.ParseToken(options.Continue, fingerprint)
		switch {
		case err != nil:
			return token, apierrors.NewBadRequest(err.Error())
		case token.In != in:
			return token, errOtherStore()
		case token.Newest > kept.Newest:
			return token, errAhead()
		}
		a.Before, a.Since, a.Until, a.resumes = token.Before, token.Since, token.Until, true
		return token, nil
	}
	newest, err := listVersion(options, kept)
	if err != nil {
		return query.Token{}, err
	}
	if a.table && a.Since.IsZero() && a.ID == "" {
		a.Since = a.now.Add(-recent).UTC()
		warning.AddWarning(ctx, "", "these are the audit events of the last 24 hours; for more, say since when, as in --field-selector since=30d")
	}
	a.Before, a.resumes = newest+1, options.ResourceVersionMatch == metav1.ResourceVersionMatchExact
	return query.Token{Newest: newest, Since: a.Since, Until: a.Until, Of: fingerprint, In: in}, nil
}

// listVersion gives the resource version of a list. Events are only added, so that the store
// also knows what the list was at an earlier one.
func listVersion(options *internalversion.ListOptions, kept store.EventRange) (int64, error) {
	wanted, err := parseVersion(options.ResourceVersion)
	switch {
	case err != nil:
		return 0, err
	case wanted > kept.Newest:
		return 0, errAhead()
	case options.ResourceVersionMatch == metav1.ResourceVersionMatchExact:
		return wanted, nil
	}
	return kept.Newest, nil
}

// overtaken gives store.ErrEventsGone where retention has removed what would be on a page that is
// empty. It is asked of no other: several chains have each their own retention, and that one of
// them keeps less says nothing about what the others have.
func (s *events) overtaken(ctx context.Context, a asked) error {
	kept, err := s.store.EventRange(ctx, a.EventScope)
	if err == nil && kept.Dropped > 0 && kept.Dropped >= a.Before-1 {
		err = store.ErrEventsGone
	}
	return err
}

// page gives up to limit events, and before which sequence there is more, which is one above that
// of the next event; zero where there is none.
func (s *events) page(ctx context.Context, a asked, limit int) (found []iam.Event, next int64, err error) {
	for round := range rounds {
		// One more than is given tells whether there is another page.
		ask := a.EventQuery
		ask.Limit = min(limit-len(found)+1, store.MaxPageSize)
		batch, err := s.store.Events(ctx, ask)
		if err != nil {
			return nil, 0, fmt.Errorf("read audit events: %w", err)
		}
		if len(batch) == 0 && a.resumes && round == 0 {
			return nil, 0, s.overtaken(ctx, a)
		}
		more := len(batch) == ask.Limit
		if more {
			a.Before = batch[len(batch)-1].Sequence + 1
			batch = batch[:len(batch)-1]
		}
		for _, event := range batch {
			if a.Rest(event) {
				found = append(found, event)
			}
		}
		switch {
		case !more:
			return found, 0, nil
		case len(found) == limit:
			return found, a.Before, nil
		}
	}
	return found, a.Before, nil
}
