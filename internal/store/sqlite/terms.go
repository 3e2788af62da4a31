// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// facet is one thing that an audit event says and can be selected by.
type facet store.Facet

// Besides what EventFilter compares with, events are listed by where they belong. Those that
// only give another's origin have lists of their own: readers of one sort never step over the
// other, and who wants both merges two lists.
const (
	listAll       = "all"
	listChain     = "chain"
	listNamespace = "namespace"
	listHome      = "home"
	originPrefix  = "origins in "
)

// isNarrow says whether a facet is of one Organization alone, or of one event: to list it by
// namespace, too, would find nothing faster.
func (f facet) isNarrow() bool {
	switch f.Field {
	case "id", "requestID", "principalID", "resourceID", "projectID":
		return true
	}
	return false
}

// home names a namespace of one UID.
func home(namespace, uid string) string { return namespace + "\x00" + uid }

// termKey makes terms of facets. It is the store's own.
type termKey []byte

// term is what a facet is listed by in audit_index, within one home or (empty) everywhere.
func (k termKey) term(home string, f facet) int64 {
	text := slices.Concat(k, []byte(home), []byte{0}, []byte(f.Field), []byte{0}, []byte(f.Value))
	sum := sha256.Sum256(text)
	return int64(int32(binary.BigEndian.Uint32(sum[:]))) //nolint:gosec // any 32 bits will do
}

// termsOf gives the terms of an event, in order and each once. Its origin is that which readers see.
func (k termKey) termsOf(e iam.Event) []int64 {
	here := home(e.Namespace, e.NamespaceUID)
	var terms []int64
	for _, list := range []facet{{listAll, ""}, {listChain, e.Organization.ID}, {listNamespace, e.Namespace}, {listHome, here}} {
		terms = append(terms, k.term("", list.of(e.Origin != nil)))
	}
	facets := store.FacetsOf(e)
	if e.Origin != nil {
		facets = store.EventFilter{ID: e.ID}.Facets()
	}
	for _, of := range facets {
		f := facet(of)
		terms = append(terms, k.term("", f))
		if !f.isNarrow() {
			terms = append(terms, k.term(here, f))
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

// listingSpan is how far the sequences may be apart of events whose rows are packed together.
const listingSpan = 1 << 31

// listings gives the rows of audit_index that events have, each as one number: 32 bits of the
// term, and 31 of the sequence after that of the first event. They are in the order of the
// index, so that whoever goes through them comes to each of its pages once.
func (k termKey) listings(events []iam.Event) (packed []int64, base int64) {
	base = events[0].Sequence
	for _, e := range events {
		for _, term := range k.termsOf(e) {
			packed = append(packed, term<<31|(e.Sequence-base))
		}
	}
	slices.Sort(packed)
	return packed, base
}

// of gives a list, or the list of origins beside it.
func (f facet) of(origins bool) facet {
	if origins {
		f.Field = originPrefix + f.Field
	}
	return f
}

// termsFor gives the terms that every event of a query has; at least one.
func (k termKey) termsFor(q store.EventQuery) []int64 {
	here := ""
	if q.Namespace != "" && q.NamespaceUID != "" {
		here = home(q.Namespace, q.NamespaceUID)
	}
	var terms []int64
	placed := false
	for _, asked := range q.Facets() {
		f := facet(asked)
		if here == "" || f.isNarrow() {
			terms = append(terms, k.term("", f))
			continue
		}
		terms, placed = append(terms, k.term(here, f)), true
	}
	list, scoped := listOf(q.EventScope)
	if scoped && !placed || len(terms) == 0 {
		terms = append(terms, k.term("", list))
	}
	return terms
}

// listOf gives the shortest list that has all events of a scope, and whether it is not the list of all.
func listOf(scope store.EventScope) (facet, bool) {
	switch {
	case scope.Namespace != "" && scope.NamespaceUID != "":
		return facet{listHome, home(scope.Namespace, scope.NamespaceUID)}, true
	case scope.OrganizationID != "" || scope.OwnChain:
		return facet{listChain, scope.OrganizationID}, true
	case scope.Namespace != "":
		return facet{listNamespace, scope.Namespace}, true
	}
	return facet{listAll, ""}, false
}
