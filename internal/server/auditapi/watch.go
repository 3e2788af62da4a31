// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// bookmarkEvery is how often a watch says how far it is, though nothing matched.
const bookmarkEvery = time.Minute

// Watch tells of events as they are recorded: ADDED, and MODIFIED when it becomes known where
// an event came from. With a resource version it tells of all that came after it; 410 says that
// this can't be. Without one, or with "0", it first gives what there is, newest first: with
// sendInitialEvents all that a list would give, otherwise that of the last 24 hours, unless the
// selector says since when.
func (s *events) Watch(ctx context.Context, options *internalversion.ListOptions) (watch.Interface, error) {
	if options == nil {
		options = &internalversion.ListOptions{}
	}
	w, err := s.open(ctx, options)
	if err != nil {
		return nil, err
	}
	release, err := s.watches.take(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		defer release()
		defer close(w.results)
		w.run(ctx)
	}()
	return w, nil
}

// open says where the watch begins.
func (s *events) open(ctx context.Context, options *internalversion.ListOptions) (*watcher, error) {
	a, err := s.ask(ctx, options)
	if err != nil {
		return nil, err
	}
	from, err := parseVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	kept, err := s.store.EventRange(ctx, a.EventScope)
	switch {
	case err != nil:
		return nil, internal(err)
	case from > kept.Newest:
		return nil, errAhead()
	}
	w := &watcher{events: s, asked: a, results: make(chan watch.Event), stopped: make(chan struct{}), bookmarks: options.AllowWatchBookmarks}
	return w, w.begin(from, kept, options.SendInitialEvents)
}

// begin says from where the watch tells of what, asked for with or without what there is.
func (w *watcher) begin(from int64, kept store.EventRange, initial *bool) error {
	switch {
	case initial != nil && *initial, initial == nil && from == 0:
		w.initial, w.closing, w.position = true, initial != nil, kept.Newest
		if initial == nil && w.Since.IsZero() {
			w.initialSince = w.now.Add(-recent)
		}
	case from == 0:
		w.position = kept.Newest
	case from < kept.Dropped:
		return errDropped()
	default:
		w.position = from
	}
	return nil
}

// watcher is one open watch. It reads at its own pace.
type watcher struct {
	*events
	asked
	results chan watch.Event
	// position is the sequence up to which it has told everything.
	position int64
	// initial says that it first gives what there is; closing, that a bookmark ends that;
	// initialSince, how far back it goes where the selector doesn't say.
	initial, closing bool
	initialSince     time.Time
	bookmarks        bool

	stop    sync.Once
	stopped chan struct{}
}

// ResultChan gives what happens. It is closed when the watch ends.
func (w *watcher) ResultChan() <-chan watch.Event { return w.results }

// Stop ends the watch.
func (w *watcher) Stop() { w.stop.Do(func() { close(w.stopped) }) }

// errEnded: nobody listens any more.
var errEnded = errors.New("the watch has ended")

func (w *watcher) run(ctx context.Context) {
	err := w.tellAll(ctx)
	if err == nil || errors.Is(err, errEnded) || ctx.Err() != nil {
		return
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) && !errors.As(internal(err), &status) {
		return
	}
	reason := status.Status()
	_ = w.send(ctx, watch.Event{Type: watch.Error, Object: &reason})
}

func (w *watcher) tellAll(ctx context.Context) error {
	if w.initial {
		if err := w.tellInitial(ctx); err != nil {
			return err
		}
	}
	ticker := w.clock.NewTicker(bookmarkEvery)
	defer ticker.Stop()
	for {
		more, err := w.tellNext(ctx)
		if err == nil && more != nil {
			err = w.wait(ctx, more, ticker.C())
		}
		if err != nil {
			return err
		}
	}
}

// tellNext tells what comes next. The channel is nil where there may be more at once.
func (w *watcher) tellNext(ctx context.Context) (more <-chan struct{}, err error) {
	found, last, more, err := w.next(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range found {
		if err := w.tell(ctx, n); err != nil {
			return nil, err
		}
	}
	w.position = max(w.position, last)
	return more, nil
}

func (w *watcher) wait(ctx context.Context, more <-chan struct{}, tick <-chan time.Time) error {
	select {
	case <-more:
		return nil
	case <-tick:
		return w.bookmark(ctx, false)
	case <-ctx.Done():
	case <-w.ending:
	case <-w.stopped:
	}
	return errEnded
}

// tellInitial gives what there is, page by page.
func (w *watcher) tellInitial(ctx context.Context) error {
	a := w.asked
	a.Before = w.position + 1
	if a.Since.IsZero() {
		a.Since = w.initialSince
	}
	for more := !a.None; more; more = a.Before != 0 {
		found, next, err := w.page(ctx, a, pageSize)
		if err != nil {
			return err
		}
		for _, event := range found {
			if err := w.sendEvent(ctx, watch.Added, event, event.Sequence); err != nil {
				return err
			}
		}
		a.Before = next
	}
	if w.closing {
		return w.bookmark(ctx, true)
	}
	return nil
}

// next gives what comes after the position, from the tail that all watches share or, where it
// doesn't reach back so far, from the store. The channel is nil where there may be more at once.
func (w *watcher) next(ctx context.Context) (found []news, last int64, more <-chan struct{}, err error) {
	found, last, more, start, complete := w.tail.since(w.position)
	if complete {
		return found, last, more, nil
	}
	batch, err := w.store.EventsAfter(ctx, store.EventScope{Namespace: w.Namespace, NamespaceUID: w.NamespaceUID}, w.position, tailBatch)
	if err != nil {
		return nil, 0, nil, err
	}
	if found, err = tell(ctx, w.store, batch); err != nil {
		return nil, 0, nil, err
	}
	last = w.position
	if len(batch) > 0 {
		last = batch[len(batch)-1].Sequence // It may be newer than start.
	}
	if len(batch) < tailBatch {
		last = max(last, start) // The tail had come to start before the store was asked.
	}
	return found, last, nil, nil
}

// tell gives one piece of news, if it is of what was asked for.
func (w *watcher) tell(ctx context.Context, n news) error {
	if err := w.outlived(ctx, n.event); err != nil {
		return err
	}
	is := w.Matches(n.event)
	was := n.before != nil && w.Matches(*n.before)
	switch {
	case is && was:
		return w.sendEvent(ctx, watch.Modified, n.event, n.sequence)
	case is:
		return w.sendEvent(ctx, watch.Added, n.event, n.sequence)
	case was:
		return w.sendEvent(ctx, watch.Deleted, n.event, n.sequence)
	}
	return nil
}

// outlived ends a watch whose namespace is not the one that lives now: it was made, or made again,
// since the watch began, of which an event is the sign.
func (w *watcher) outlived(ctx context.Context, event iam.Event) error {
	if w.namespace == "" || event.Namespace != w.namespace || event.NamespaceUID == w.NamespaceUID {
		return nil
	}
	uid, err := w.namespaceUID(ctx, w.namespace)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if uid != "" && uid != w.NamespaceUID {
		return apierrors.NewResourceExpired("the namespace was made since the watch began; begin anew with a list")
	}
	return nil
}

func (w *watcher) sendEvent(ctx context.Context, kind watch.EventType, event iam.Event, sequence int64) error {
	o := object(event)
	o.ResourceVersion = version(sequence)
	return w.send(ctx, watch.Event{Type: kind, Object: &o})
}

// bookmark says how far the watch is, for whoever wants to know.
func (w *watcher) bookmark(ctx context.Context, closing bool) error {
	if !w.bookmarks {
		return nil
	}
	o := &auditv1alpha1.AuditEvent{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1alpha1.GroupVersion.String(), Kind: "AuditEvent"},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: version(w.position)},
	}
	if closing {
		o.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return w.send(ctx, watch.Event{Type: watch.Bookmark, Object: runtime.Object(o)})
}

// send waits for whoever listens, and for nobody else.
func (w *watcher) send(ctx context.Context, event watch.Event) error {
	select {
	case w.results <- event:
		return nil
	case <-ctx.Done():
	case <-w.ending:
	case <-w.stopped:
	}
	return errEnded
}
