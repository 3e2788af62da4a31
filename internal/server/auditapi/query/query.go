// SPDX-License-Identifier: Apache-2.0

// Package query turns what people ask of the audit log, field selectors and continue tokens,
// into what the store is asked.
package query

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// The labels that are no field of an event as it is stored.
const (
	LabelName      = "metadata.name"
	LabelNamespace = "metadata.namespace"
	LabelSince     = "since"
	LabelUntil     = "until"
)

// Query is what a field selector asks for.
type Query struct {
	// EventQuery is what the store is asked. Whoever asks adds whose events are meant.
	store.EventQuery
	// Also and Nots are what the events say, too, and what none of them says: the store takes
	// one value for a field, and a selector may have several.
	Also, Nots []store.EventFilter
	// None says that no event can be what is asked for.
	None bool
	// Text is the selector.
	Text string
}

// field compares one label with a field of an event.
type field struct {
	set func(filter *store.EventFilter, value string)
	// of gives what a filter has for it; empty for nothing.
	of func(filter *store.EventFilter) string
	// values are all that there can be; nil where they are not known.
	values []string
	// several says that an event may have several values.
	several bool
}

func text[T ~string](at func(*store.EventFilter) *T, values ...string) field {
	return field{
		set:    func(filter *store.EventFilter, value string) { *at(filter) = T(value) },
		of:     func(filter *store.EventFilter) string { return string(*at(filter)) },
		values: values,
	}
}

func several(f field) field {
	f.several = true
	return f
}

// known are the labels that compare with a field.
var known = map[string]field{
	LabelName:     text(func(f *store.EventFilter) *string { return &f.ID }),
	"principal":   text(func(f *store.EventFilter) *string { return &f.PrincipalName }),
	"principalID": text(func(f *store.EventFilter) *string { return &f.PrincipalID }),
	"principalKind": text(func(f *store.EventFilter) *iam.ActorKind { return &f.PrincipalKind },
		string(iam.ActorOwner), string(iam.ActorMember), string(iam.ActorGuest), string(iam.ActorApplication), string(iam.ActorKubernetesUser), string(iam.ActorSystem)),
	"method": text(func(f *store.EventFilter) *string { return &f.Method }),
	"action": text(func(f *store.EventFilter) *iam.Action { return &f.Action },
		string(iam.ActionCreated), string(iam.ActionUpdated), string(iam.ActionDeleted)),
	"resource":     several(text(func(f *store.EventFilter) *string { return &f.ResourceName })),
	"resourceID":   several(text(func(f *store.EventFilter) *string { return &f.ResourceID })),
	"resourceKind": several(text(func(f *store.EventFilter) *iam.Kind { return &f.ResourceKind }, kinds()...)),
	"project":      text(func(f *store.EventFilter) *string { return &f.ProjectID }),
	"product":      text(func(f *store.EventFilter) *string { return &f.Product }),
	"service":      text(func(f *store.EventFilter) *string { return &f.Service }),
	"sourceIP":     text(func(f *store.EventFilter) *string { return &f.SourceIP }),
	"statusCode": {
		set: func(f *store.EventFilter, value string) { f.StatusCode, _ = strconv.Atoi(value) }, // check has seen it
		of: func(f *store.EventFilter) string {
			if f.StatusCode == 0 {
				return ""
			}
			return strconv.Itoa(f.StatusCode)
		},
	},
}

func kinds() []string {
	var names []string
	for _, kind := range iam.Kinds() {
		names = append(names, string(kind))
	}
	return names
}

// Labels lists the labels that a field selector may have.
func Labels() []string {
	return slices.Sorted(maps.Keys(known))
}

// CheckLabel gives an error for a label that there is not, which names those that there are.
func CheckLabel(label string) error {
	if _, ok := known[label]; ok {
		return nil
	}
	switch label {
	case LabelNamespace, LabelSince, LabelUntil:
		return nil
	}
	return fmt.Errorf("field selector %q: audit events have no such field; there are %s with = and !=, and %s, %s and %s with =",
		label, strings.Join(Labels(), ", "), LabelSince, LabelUntil, LabelNamespace)
}

// Parse reads a field selector. Times that are given as a duration count back from now. The
// errors are for whoever wrote the selector.
func Parse(selector fields.Selector, now time.Time) (Query, error) {
	var q Query
	if selector == nil {
		return q, nil
	}
	q.Text = selector.String()
	for _, requirement := range selector.Requirements() {
		if err := CheckLabel(requirement.Field); err != nil {
			return Query{}, err
		}
		if err := q.add(requirement, now); err != nil {
			return Query{}, fmt.Errorf("field selector %s: %w", requirement.Field, err)
		}
	}
	for _, not := range append([]store.EventFilter{q.Not}, q.Nots...) {
		q.None = q.None || contradict(&q.EventFilter, &not)
	}
	return q, nil
}

// contradict says whether a field is to have a value, and not to have it.
func contradict(filter, not *store.EventFilter) bool {
	for _, f := range known {
		if value := f.of(not); value != "" && value == f.of(filter) {
			return true
		}
	}
	return false
}

func (q *Query) add(r fields.Requirement, now time.Time) error {
	equal := r.Operator == selection.Equals || r.Operator == selection.DoubleEquals
	f, ok := known[r.Field]
	switch {
	case r.Value == "":
		return errors.New("a value is missing")
	case !ok && !equal:
		return errors.New("it takes = only")
	case !ok:
		return q.bound(r.Field, r.Value, now)
	}
	if err := check(r.Field, r.Value); err != nil {
		return err
	}
	if equal {
		q.equal(f, r.Value)
	} else {
		q.exclude(f, r.Value)
	}
	return nil
}

// bound says in which namespace, and within which times.
func (q *Query) bound(label, value string, now time.Time) error {
	if label == LabelNamespace {
		q.None = q.None || q.Namespace != "" && q.Namespace != value
		q.Namespace = value
		return nil
	}
	at, err := parseTime(value, now)
	if label == LabelSince && at.After(q.Since) {
		q.Since = at
	}
	if label == LabelUntil && (q.Until.IsZero() || at.Before(q.Until)) {
		q.Until = at
	}
	return err
}

// equal asks for a value. Two values for one field contradict each other, unless an event may
// have several.
func (q *Query) equal(f field, value string) {
	switch before := f.of(&q.EventFilter); {
	case before == "":
		f.set(&q.EventFilter, value)
	case before != value && f.several:
		var also store.EventFilter
		f.set(&also, value)
		q.Also = append(q.Also, also)
	case before != value:
		q.None = true
	}
}

// exclude leaves to the store what it takes: one value for each field.
func (q *Query) exclude(f field, value string) {
	if before := f.of(&q.Not); before == "" || before == value {
		f.set(&q.Not, value)
		return
	}
	var not store.EventFilter
	f.set(&not, value)
	q.Nots = append(q.Nots, not)
}

func check(label, value string) error {
	if label == "statusCode" {
		if code, err := strconv.Atoi(value); err != nil || code < 100 || code > 599 || strconv.Itoa(code) != value {
			return fmt.Errorf("%q is no status code of HTTP, such as 200 or 403", value)
		}
		return nil
	}
	if values := known[label].values; values != nil && !slices.Contains(values, value) {
		return fmt.Errorf("%q is none of %s", value, strings.Join(values, ", "))
	}
	return nil
}

// Matches says whether an event is what was asked for.
func (q Query) Matches(event iam.Event) bool {
	return !q.None && q.Selects(event) && q.Rest(event)
}

// Rest says whether an event that the store gave is also what the store was not asked.
func (q Query) Rest(event iam.Event) bool {
	for _, also := range q.Also {
		if !also.Matches(event) {
			return false
		}
	}
	for _, not := range q.Nots {
		if !not.MatchesNone(event) {
			return false
		}
	}
	return true
}
