// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"errors"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/server/auditapi/query"
	"github.com/iam-operator/iam-operator/internal/store"
)

// recent is how far back a table goes, and a watch that says not where to begin, when they do
// not say since when.
const recent = 24 * time.Hour

var groupResource = auditv1alpha1.GroupVersion.WithResource(auditv1alpha1.Resource).GroupResource()

// events serves the rows of the store. It can read, and nothing else: nothing that would write
// is implemented.
type events struct {
	store store.Store
	clock clock.WithTicker
	// namespaceUID gives the uid of the namespace of that name which lives now; empty where
	// there is none.
	namespaceUID func(ctx context.Context, name string) (string, error)
	tail         *tail
	// watches has a slot for each watch that may be open.
	watches *slots
	// ending is closed when the server ends: open watches would hold it back.
	ending <-chan struct{}
}

var (
	_ rest.Storage              = &events{}
	_ rest.Scoper               = &events{}
	_ rest.SingularNameProvider = &events{}
	_ rest.ShortNamesProvider   = &events{}
	_ rest.Getter               = &events{}
	_ rest.Lister               = &events{}
	_ rest.Watcher              = &events{}
)

// New gives an empty event.
func (s *events) New() runtime.Object { return &auditv1alpha1.AuditEvent{} }

// NewList gives an empty list.
func (s *events) NewList() runtime.Object { return &auditv1alpha1.AuditEventList{} }

// Destroy has nothing to end: the store is not ours.
func (s *events) Destroy() {}

// NamespaceScoped says that events are read in a namespace.
func (s *events) NamespaceScoped() bool { return true }

// GetSingularName is what one of them is called.
func (s *events) GetSingularName() string { return "auditevent" }

// ShortNames is in the manner of the declared kinds. They share a category; the events are not
// in it, since `kubectl get iam` is to show what is declared.
func (s *events) ShortNames() []string { return []string{"iamevent"} }

// asked is what a request asks for.
type asked struct {
	query.Query
	// absent says that the request names a namespace that does not exist.
	absent bool
	// namespace is the one that the request names; empty for all of them.
	namespace string
	// table says that a table is to come of it.
	table bool
	// resumes says that it is about what an earlier answer said there was.
	resumes bool
	// now is when it was asked.
	now time.Time
}

// ask reads a request. A namespaced one is about the namespace that lives now: one that was made
// again doesn't show what belonged to its predecessor.
func (s *events) ask(ctx context.Context, options *internalversion.ListOptions) (asked, error) {
	a := asked{namespace: request.NamespaceValue(ctx), table: wantsTable(ctx), now: s.clock.Now()}
	var selector fields.Selector
	if options != nil {
		selector = options.FieldSelector
	}
	var err error
	if a.Query, err = query.Parse(selector, a.now); err != nil {
		return a, apierrors.NewBadRequest(err.Error())
	}
	if options != nil && options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set{}) {
		a.None = true // events have no labels
	}
	if a.namespace == "" {
		return a, nil
	}
	if a.Namespace != "" && a.Namespace != a.namespace {
		a.None = true
	}
	a.Namespace = a.namespace
	if a.NamespaceUID, err = s.namespaceUID(ctx, a.namespace); err != nil {
		return a, apierrors.NewInternalError(err)
	}
	a.absent = a.NamespaceUID == ""
	a.None = a.None || a.absent
	return a, nil
}

// Get gives one event by its name, which is its id.
func (s *events) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	a, err := s.ask(ctx, nil)
	if err != nil {
		return nil, err
	}
	if a.None {
		return nil, apierrors.NewNotFound(groupResource, name)
	}
	a.ID, a.Limit = name, 1
	found, err := s.store.Events(ctx, a.EventQuery)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if len(found) == 0 {
		return nil, apierrors.NewNotFound(groupResource, name)
	}
	event := object(found[0])
	return &event, nil
}

// parseVersion reads a resource version. Zero stands for "0" and for none.
func parseVersion(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	sequence, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sequence < 0 {
		return 0, apierrors.NewBadRequest("resourceVersion " + strconv.Quote(text) + " is none that a list or a watch of audit events gave: those are whole numbers")
	}
	return sequence, nil
}

// errAhead is the answer to what another store gave, such as the one before the database was lost.
func errAhead() error {
	return apierrors.NewResourceExpired("the resource version is newer than the newest audit event, so it was given by a store that is gone; begin anew with a list")
}

// errOtherStore is the answer to a token that another store gave.
func errOtherStore() error {
	return apierrors.NewResourceExpired("the continue token was given by a store that is gone; begin anew with a list")
}

// errDropped is the answer to a reader that retention has overtaken.
func errDropped() error {
	return apierrors.NewResourceExpired("retention has removed audit events that would come next; begin anew with a list")
}

// internal hides nothing but makes an error of the store one of the API.
func internal(err error) error {
	if errors.Is(err, store.ErrEventsGone) {
		return errDropped()
	}
	return apierrors.NewInternalError(err)
}
