// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// patience is how long a test waits for what should take a moment.
const patience = 30 * time.Second

// served are the events of a store, as they are served, in namespaces acme and shop.
type served struct {
	*events
	store store.Store
	// count makes ids.
	count int
}

func serve(t *testing.T) *served {
	t.Helper()
	database, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{
		store: database, clock: clock.RealClock{}, ending: ctx.Done(), watches: newSlots(100, 100),
		tail: newTail(database, clock.RealClock{}, logr.Discard()),
		namespaceUID: func(_ context.Context, name string) (string, error) {
			if name == "nowhere" {
				return "", nil
			}
			return "uid-of-" + name, nil
		},
	}
	if err := e.tail.begin(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); e.tail.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	return &served{events: e, store: database}
}

// record keeps an event of namespace acme.
func (s *served) record(t require, edit func(*iam.Event)) iam.Event {
	s.count++
	e := iam.Event{
		ID: fmt.Sprintf("e%d", s.count), RecordedAt: time.Now().UTC(), Organization: iam.EventOrganization{ID: "o", Name: "acme"}, Namespace: "acme", NamespaceUID: "uid-of-acme",
		Principal: iam.Actor{Kind: iam.ActorMember, ID: "m", Name: "maya"}, SourceIP: iam.Unknown, UserAgent: iam.Unknown,
		Product: "iam", Service: "api", Method: "CreatePolicy", Action: iam.ActionCreated, StatusCode: 200,
		Resources: []iam.EventResource{{Kind: iam.KindPolicy, Type: "iam_policy", ID: "p", Name: "deployers", Action: iam.ActionCreated}},
	}
	if edit != nil {
		edit(&e)
	}
	if err := s.store.Submit(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// locate records where an event came from.
func (s *served) locate(t *testing.T, event iam.Event, ip string) {
	t.Helper()
	found, err := s.store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: event.ID}})
	if err != nil || len(found) != 1 {
		t.Fatal(err, found)
	}
	s.record(t, func(e *iam.Event) {
		e.Method, e.Resources = "RecordOrigin", nil
		e.Origin = &iam.EventOrigin{EventID: event.ID, EventSequence: found[0].Sequence, SourceIP: ip, UserAgent: "kubectl"}
	})
}

// require is what testing.T and rapid.T have in common.
type require interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func in(namespace string) context.Context {
	return request.WithNamespace(context.Background(), namespace)
}

func selecting(selector string) *internalversion.ListOptions {
	return &internalversion.ListOptions{FieldSelector: fields.ParseSelectorOrDie(selector)}
}

func (s *served) list(ctx context.Context, t require, options *internalversion.ListOptions) *auditv1alpha1.AuditEventList {
	obj, err := s.List(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	list, ok := obj.(*auditv1alpha1.AuditEventList)
	if !ok {
		t.Fatalf("the list is a %T", obj)
	}
	return list
}

func idsIn(list *auditv1alpha1.AuditEventList) []string {
	ids := []string{}
	for _, item := range list.Items {
		ids = append(ids, item.Name)
	}
	return ids
}

// next gives what a watch tells next, as "ADDED e1", and its resource version.
func next(t *testing.T, w watch.Interface) (string, string) {
	t.Helper()
	select {
	case event, ok := <-w.ResultChan():
		if !ok {
			return "ended", ""
		}
		if o, ok := event.Object.(*auditv1alpha1.AuditEvent); ok {
			return string(event.Type) + " " + o.Name, o.ResourceVersion
		}
		return string(event.Type) + " " + string(apierrors.ReasonForError(apierrors.FromObject(event.Object))), ""
	case <-time.After(patience):
		t.Fatal("the watch tells of nothing")
		return "", ""
	}
}

func expect(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	for _, tells := range want {
		if got, _ := next(t, w); got != tells {
			t.Fatalf("the watch tells %q, want %q", got, tells)
		}
	}
}

func (s *served) watch(ctx context.Context, t *testing.T, options *internalversion.ListOptions) watch.Interface {
	t.Helper()
	w, err := s.Watch(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

func TestListOfANamespace(t *testing.T) {
	s := serve(t)
	s.record(t, nil)
	s.record(t, func(e *iam.Event) { e.NamespaceUID = "uid-of-its-predecessor" })
	s.record(t, func(e *iam.Event) { e.Namespace, e.NamespaceUID = "shop", "uid-of-shop" })
	for namespace, want := range map[string][]string{"acme": {"e1"}, "shop": {"e3"}, "nowhere": {}, "": {"e3", "e2", "e1"}} {
		if list := s.list(in(namespace), t, nil); !slices.Equal(idsIn(list), want) || list.ResourceVersion != "3" {
			t.Errorf("in %q there is %v at %s, want %v at 3", namespace, idsIn(list), list.ResourceVersion, want)
		}
	}
	if list := s.list(in(""), t, selecting("metadata.namespace=acme")); !slices.Equal(idsIn(list), []string{"e2", "e1"}) {
		t.Errorf("everywhere, of acme, there is %v", idsIn(list))
	}
	if list := s.list(in("shop"), t, selecting("metadata.namespace=acme")); len(list.Items) != 0 {
		t.Errorf("in shop, of acme, there is %v", idsIn(list))
	}
	labelled, err := labels.Parse("app=x")
	if err != nil {
		t.Fatal(err)
	}
	if list := s.list(in("acme"), t, &internalversion.ListOptions{LabelSelector: labelled}); len(list.Items) != 0 {
		t.Errorf("by a label there is %v", idsIn(list))
	}
	for name, want := range map[string]bool{"e1": true, "e2": false, "e3": false} {
		if _, err := s.Get(in("acme"), name, nil); apierrors.IsNotFound(err) == want || err != nil && want {
			t.Errorf("%s in acme: %v", name, err)
		}
	}
}

func TestTableIsOfADay(t *testing.T) {
	s := serve(t)
	s.record(t, func(e *iam.Event) { e.RecordedAt = e.RecordedAt.Add(-25 * time.Hour) })
	s.record(t, nil)
	ctx := context.WithValue(in("acme"), tableKey{}, true)
	for selector, want := range map[string][]string{"": {"e2"}, "since=30d": {"e2", "e1"}, "metadata.name=e1": {"e1"}} {
		list := s.list(ctx, t, selecting(selector))
		if !slices.Equal(idsIn(list), want) {
			t.Errorf("a table with %q has %v, want %v", selector, idsIn(list), want)
		}
	}
	if list := s.list(in("acme"), t, nil); len(list.Items) != 2 {
		t.Errorf("without a table there is %v", idsIn(list))
	}
}

func TestListVersions(t *testing.T) {
	s := serve(t)
	for range 3 {
		s.record(t, nil)
	}
	exact := &internalversion.ListOptions{ResourceVersion: "2", ResourceVersionMatch: metav1.ResourceVersionMatchExact}
	if list := s.list(in("acme"), t, exact); !slices.Equal(idsIn(list), []string{"e2", "e1"}) || list.ResourceVersion != "2" {
		t.Errorf("at 2 there was %v at %s", idsIn(list), list.ResourceVersion)
	}
	for version, refused := range map[string]func(error) bool{"x": apierrors.IsBadRequest, "-1": apierrors.IsBadRequest, "4": apierrors.IsResourceExpired} {
		if _, err := s.List(in("acme"), &internalversion.ListOptions{ResourceVersion: version}); !refused(err) {
			t.Errorf("a list from %q is answered by %v", version, err)
		}
		if _, err := s.Watch(in("acme"), &internalversion.ListOptions{ResourceVersion: version}); !refused(err) {
			t.Errorf("a watch from %q is answered by %v", version, err)
		}
	}
}

// Pages: everything that there was, once, newest first, whatever is recorded meanwhile; and a
// watch from the list's version tells of just the rest.
func TestPagesAndWatchLeaveNoGap(t *testing.T) {
	s := serve(t)
	world := 0
	rapid.Check(t, func(r *rapid.T) {
		world++
		namespace := fmt.Sprintf("world%d", world)
		record := func() string {
			return s.record(r, func(e *iam.Event) { e.Namespace, e.NamespaceUID = namespace, "uid-of-"+namespace }).ID
		}
		var want []string
		for range rapid.IntRange(0, 6).Draw(r, "before") {
			want = append([]string{record()}, want...)
		}
		options := selecting(rapid.SampledFrom([]string{"", "method=CreatePolicy", "method!=X,method!=Y"}).Draw(r, "selector"))
		options.Limit = rapid.Int64Range(1, 7).Draw(r, "limit")
		var got, rest []string
		version := ""
		for {
			page := s.list(in(namespace), r, options)
			if int64(len(page.Items)) > options.Limit || version != "" && page.ResourceVersion != version {
				r.Fatalf("a page of %d has %d at %s after one at %s", options.Limit, len(page.Items), page.ResourceVersion, version)
			}
			got, version = append(got, idsIn(page)...), page.ResourceVersion
			if rapid.Bool().Draw(r, "recorded meanwhile") {
				rest = append(rest, record())
			}
			if options.Continue = page.Continue; options.Continue == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("pages of %d give %v, want %v", options.Limit, got, want)
		}
		w, err := s.Watch(in(namespace), &internalversion.ListOptions{ResourceVersion: version, FieldSelector: options.FieldSelector})
		if err != nil {
			r.Fatal(err)
		}
		defer w.Stop()
		for _, id := range rest {
			if event := <-w.ResultChan(); event.Type != watch.Added || event.Object.(*auditv1alpha1.AuditEvent).Name != id {
				r.Fatalf("the watch from %s tells %+v, want %s", version, event, id)
			}
		}
	})
}

func TestTokens(t *testing.T) {
	s := serve(t)
	for range 3 {
		s.record(t, nil)
	}
	first := s.list(in("acme"), t, &internalversion.ListOptions{Limit: 1})
	if first.Continue == "" {
		t.Fatal("there is no token for the rest")
	}
	for name, ask := range map[string]struct {
		namespace, selector string
	}{"of another namespace": {"shop", ""}, "of all": {"", ""}, "of another selector": {"acme", "method=A"}} {
		options := selecting(ask.selector)
		options.Continue = first.Continue
		if _, err := s.List(in(ask.namespace), options); !apierrors.IsBadRequest(err) {
			t.Errorf("a token is good for a list %s: %v", name, err)
		}
	}
	s.drop(t, "o", 2)
	if _, err := s.List(in("acme"), &internalversion.ListOptions{Continue: first.Continue}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a token into what retention dropped: %v", err)
	}
	if _, err := s.Watch(in("acme"), &internalversion.ListOptions{ResourceVersion: "1"}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a watch from what retention dropped: %v", err)
	}
}

// drop has retention remove the oldest events of an Organization.
func (s *served) drop(t *testing.T, organization string, count int) {
	t.Helper()
	_, err := s.store.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.DropEvents(t.Context(), organization, time.Now().Add(time.Hour), count)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A token of a store that was lost is none of its successor, though the same sequences are there.
func TestTokenOfALostStore(t *testing.T) {
	lost, s := serve(t), serve(t)
	for range 3 {
		lost.record(t, nil)
		s.record(t, nil)
	}
	token := lost.list(in("acme"), t, &internalversion.ListOptions{Limit: 1}).Continue
	if _, err := s.List(in("acme"), &internalversion.ListOptions{Continue: token}); !apierrors.IsResourceExpired(err) || !strings.Contains(err.Error(), "a store that is gone") {
		t.Errorf("the token of a lost store: %v", err)
	}
}

// Where Organizations keep their events for different times, the pages of all of them end only
// where nothing is kept any more.
func TestPagesOverSeveralRetentions(t *testing.T) {
	s := serve(t)
	brief := func(e *iam.Event) {
		e.Organization.ID, e.Namespace, e.NamespaceUID = "brief", "shop", "uid-of-shop"
	}
	for range 3 { // 1 to 6
		s.record(t, nil)
		s.record(t, brief)
	}
	s.drop(t, "brief", 3) // 6 is the newest of what is gone
	var got []string
	var last *internalversion.ListOptions
	for options := (&internalversion.ListOptions{Limit: 1}); ; {
		page := s.list(in(""), t, options)
		if got = append(got, idsIn(page)...); page.Continue == "" {
			break
		}
		options.Continue = page.Continue
		last = options.DeepCopy()
	}
	if want := []string{"e5", "e3", "e1"}; !slices.Equal(got, want) {
		t.Errorf("page by page there is %v, want %v", got, want)
	}
	exact := &internalversion.ListOptions{ResourceVersion: "3", ResourceVersionMatch: metav1.ResourceVersionMatchExact}
	if list := s.list(in(""), t, exact); !slices.Equal(idsIn(list), []string{"e3", "e1"}) {
		t.Errorf("at 3 there was %v", idsIn(list))
	}
	none := *exact
	none.FieldSelector = fields.ParseSelectorOrDie("method!=A,method!=CreatePolicy") // the store is asked for the first, and gives two
	if list := s.list(in(""), t, &none); len(list.Items) != 0 {
		t.Errorf("of other methods there was %v at 3", idsIn(list))
	}
	s.drop(t, "o", 3)
	for name, options := range map[string]*internalversion.ListOptions{"the last page": last, "a former version": exact} {
		if _, err := s.List(in(""), options); !apierrors.IsResourceExpired(err) {
			t.Errorf("%s, of which nothing is kept: %v", name, err)
		}
	}
}

func TestWatchFromAVersion(t *testing.T) {
	s := serve(t)
	s.record(t, nil)
	s.record(t, nil)
	w := s.watch(in("acme"), t, &internalversion.ListOptions{ResourceVersion: "1"})
	expect(t, w, "ADDED e2")
	s.record(t, func(e *iam.Event) { e.Namespace, e.NamespaceUID = "shop", "uid-of-shop" })
	s.record(t, nil)
	expect(t, w, "ADDED e4")
}

func TestWatchBegins(t *testing.T) {
	s := serve(t)
	s.record(t, func(e *iam.Event) { e.RecordedAt = e.RecordedAt.Add(-25 * time.Hour) })
	s.record(t, nil)
	for name, row := range map[string]struct {
		options internalversion.ListOptions
		want    []string
	}{
		"with what is recent":         {internalversion.ListOptions{}, []string{"ADDED e2"}},
		"with what is recent, from 0": {internalversion.ListOptions{ResourceVersion: "0"}, []string{"ADDED e2"}},
		"with what it says":           {internalversion.ListOptions{FieldSelector: fields.ParseSelectorOrDie("since=2d")}, []string{"ADDED e2", "ADDED e1"}},
		"with all, and says so":       {internalversion.ListOptions{SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true}, []string{"ADDED e2", "ADDED e1", "BOOKMARK "}},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.watch(in("acme"), t, &row.options)
			expect(t, w, row.want...)
			w.Stop()
		})
	}
	w := s.watch(in("acme"), t, &internalversion.ListOptions{SendInitialEvents: ptr.To(false)})
	s.record(t, nil)
	expect(t, w, "ADDED e3")
}

// Where a request came from becomes known later: that is a change, also of what a selector selects.
func TestWatchOfAnOrigin(t *testing.T) {
	s := serve(t)
	event := s.record(t, nil)
	all := s.watch(in("acme"), t, &internalversion.ListOptions{})
	unknown := s.watch(in("acme"), t, selecting("sourceIP=unknown"))
	from := s.watch(in("acme"), t, selecting("sourceIP=10.0.0.7"))
	expect(t, all, "ADDED e1")
	expect(t, unknown, "ADDED e1")
	s.locate(t, event, "10.0.0.7")
	if tells, version := next(t, all); tells != "MODIFIED e1" || version != "2" {
		t.Errorf("the watch tells %q at %s", tells, version)
	}
	expect(t, unknown, "DELETED e1")
	expect(t, from, "ADDED e1")
	if list := s.list(in("acme"), t, selecting("sourceIP=10.0.0.7")); !slices.Equal(idsIn(list), []string{"e1"}) || list.Items[0].UserAgent != "kubectl" {
		t.Errorf("by its address there is %+v", list.Items)
	}
}

// A watch that nobody reads holds up nobody, and misses nothing when it is read at last.
func TestSlowWatch(t *testing.T) {
	s := serve(t)
	s.record(t, nil)
	slow := s.watch(in("acme"), t, &internalversion.ListOptions{ResourceVersion: "1"})
	quick := s.watch(in("acme"), t, &internalversion.ListOptions{ResourceVersion: "1"})
	var want []string
	const many = 2*tailLength + 300
	batch := make([]iam.Event, 0, many)
	for range many {
		s.count++
		batch = append(batch, iam.Event{ID: fmt.Sprintf("e%d", s.count), RecordedAt: time.Now(), Namespace: "acme", NamespaceUID: "uid-of-acme", Organization: iam.EventOrganization{ID: "o"}})
		want = append(want, fmt.Sprintf("ADDED e%d", s.count))
	}
	for part := range slices.Chunk(batch, 500) {
		if err := s.store.Submit(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, quick, want...)
	expect(t, slow, want...)
}

// Of a sparse namespace, the store gives a watch that is behind also what is newer than where the
// tail begins: it is told once, and versions grow.
func TestWatchBehindTheTail(t *testing.T) {
	s := serve(t)
	s.record(t, nil) // 1 is where the watch begins
	s.record(t, nil)
	elsewhere := func(e *iam.Event) { e.Namespace, e.NamespaceUID = "shop", "uid-of-shop" }
	s.record(t, elsewhere)
	apart := *s.events
	apart.tail = newTail(s.store, clock.RealClock{}, logr.Discard())
	if err := apart.tail.begin(t.Context()); err != nil { // at 3, and there it stays
		t.Fatal(err)
	}
	s.record(t, elsewhere)
	s.record(t, nil)
	w, err := apart.Watch(in("acme"), &internalversion.ListOptions{ResourceVersion: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, want := range []string{"2", "5"} {
		if tells, version := next(t, w); tells != "ADDED e"+want || version != want {
			t.Fatalf("the watch tells %q at %s, want e%s", tells, version, want)
		}
	}
	s.record(t, nil)
	if _, err := apart.tail.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tells, version := next(t, w); tells != "ADDED e6" || version != "6" {
		t.Fatalf("the watch tells %q at %s, and e6 comes next", tells, version)
	}
}

// of is a request in namespace acme by a user.
func of(name string) context.Context {
	return request.WithUser(in("acme"), &user.DefaultInfo{Name: name})
}

// Neither all users nor one of them can open more watches than there is room for, and each is told which bound it was.
func TestTooManyWatches(t *testing.T) {
	s := serve(t)
	s.watches = newSlots(3, 2)
	refused := func(name, says string) {
		t.Helper()
		if _, err := s.Watch(of(name), &internalversion.ListOptions{}); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("one watch of %s too many is answered by %v, want that %s", name, err, says)
		}
	}
	mine := s.watch(of("maya"), t, &internalversion.ListOptions{})
	s.watch(of("maya"), t, &internalversion.ListOptions{})
	refused("maya", `user "maya" has 2 watches`)
	s.watch(of("noor"), t, &internalversion.ListOptions{})
	refused("noor", "3 watches of audit events are open")
	mine.Stop()
	expect(t, mine, "ended")
	deadline := time.After(patience)
	for {
		w, err := s.Watch(of("maya"), &internalversion.ListOptions{})
		if err == nil {
			w.Stop()
			return
		}
		select {
		case <-deadline:
			t.Fatal("the room of a watch that ended stays taken")
		default:
		}
	}
}

func TestWatchOfANamespaceToCome(t *testing.T) {
	s := serve(t)
	lives := make(chan string, 100)
	lives <- ""
	s.namespaceUID = func(context.Context, string) (string, error) { return <-lives, nil }
	w := s.watch(in("later"), t, &internalversion.ListOptions{})
	lives <- "uid-of-later"
	s.record(t, func(e *iam.Event) { e.Namespace, e.NamespaceUID = "later", "uid-of-later" })
	expect(t, w, "ERROR Expired", "ended")
}
