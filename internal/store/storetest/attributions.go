// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func attributionContracts() []contract {
	return []contract{
		{"who asked comes back as it was, in order, object by object", testAttributions},
		{"of the deletions of an object the first one counts", testFirstDeletion},
		{"only what an event has used or passed by is forgotten", testForget},
		{"who asked is forgotten in time, little by little", testAttributionAge},
		{"those who ask at once are all recorded, while others write", testAttributionsAtOnce},
	}
}

// asked is a record of a request by somebody.
func asked(uid string, generation int64, digest, name string) iam.Attribution {
	return iam.Attribution{
		ObjectUID: uid, Generation: generation, Digest: digest,
		Requester: iam.Requester{Name: name}, RequestID: "request of " + name, At: birth,
	}
}

// askedDeletion is a record of a request to delete, by somebody.
func askedDeletion(uid, name string) iam.Attribution {
	record := asked(uid, 0, "", name)
	record.Deletion = true
	return record
}

func attribute(t testing.TB, s store.Store, records ...iam.Attribution) {
	t.Helper()
	if err := s.Attribute(t.Context(), records...); err != nil {
		t.Fatalf("attribute: %v", err)
	}
}

func forget(t testing.TB, s store.Store, uid string, generation int64, digest string) {
	t.Helper()
	if err := s.ForgetAttributions(t.Context(), uid, generation, digest); err != nil {
		t.Fatalf("forget: %v", err)
	}
}

func attributions(t testing.TB, s store.Store, uid string) []iam.Attribution {
	t.Helper()
	records, err := s.Attributions(t.Context(), uid)
	if err != nil {
		t.Fatalf("attributions: %v", err)
	}
	return records
}

// askers gives who asked about an object, in order.
func askers(t testing.TB, s store.Store, uid string) string {
	t.Helper()
	var names []string
	for _, record := range attributions(t, s, uid) {
		names = append(names, record.Requester.Name)
	}
	return strings.Join(names, " ")
}

func testAttributions(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	full := iam.Attribution{
		ObjectUID: "x", Generation: 7, Digest: "digest", RequestID: "request", At: birth.Add(123456789),
		Requester: iam.Requester{
			Name: "system:serviceaccount:flux:ctrl", UID: "uid", Groups: []string{"a", "é \x00 'b'"},
			Extra: map[string][]string{"key": {"one", "two"}, "none": {}},
		},
	}
	bare := iam.Attribution{ObjectUID: "x", Generation: 1, At: birth}
	deletion := askedDeletion("x", "ann")
	withGeneration := deletion
	withGeneration.Generation, withGeneration.Digest = 3, "d"
	elsewhere := asked("y", 1, "d", "bea")
	elsewhere.At = birth.In(time.FixedZone("", 3600)) // the same moment
	attribute(t, s, full, bare)
	attribute(t, s, full, elsewhere) // as often as it is asked
	attribute(t, s, asked("X", 1, "", "of another"))
	attribute(t, s, withGeneration)
	attribute(t, s)
	want := []iam.Attribution{full, bare, full, deletion}
	for range 2 {
		if got := attributions(t, s, "x"); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if got, want := attributions(t, s, "y"), []iam.Attribution{asked("y", 1, "d", "bea")}; !reflect.DeepEqual(got, want) {
			t.Errorf("of another time zone came back %+v, want %+v", got, want)
		}
		if got := askers(t, s, "X") + askers(t, s, "nobody"); got != "of another" {
			t.Errorf("about other objects asked %q", got)
		}
		s = h.Reopen(t, s)
	}
	attribute(t, s, bare)
	if got := attributions(t, s, "x"); !reflect.DeepEqual(got, append(want, bare)) {
		t.Errorf("after reopening came %+v", got)
	}
}

func testFirstDeletion(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	attribute(t, s, asked("x", 1, "d", "ann"))
	attribute(t, s, askedDeletion("x", "bea"), asked("x", 2, "e", "cem"), askedDeletion("x", "dan"))
	attribute(t, s, askedDeletion("x", "eve"), askedDeletion("y", "fay"))
	s = h.Reopen(t, s)
	attribute(t, s, askedDeletion("x", "gus"), asked("x", 3, "f", "hal"))
	if got := askers(t, s, "x"); got != "ann bea cem hal" {
		t.Errorf("about x asked %q", got)
	}
	if got := askers(t, s, "y"); got != "fay" {
		t.Errorf("about y asked %q", got)
	}
}

func testForget(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	attribute(t, s,
		asked("x", 1, "d", "earlier"), asked("x", 2, "d", "used"), asked("x", 2, "e", "otherDigest"), asked("x", 2, "d", "usedToo"),
		asked("x", 3, "d", "later"), askedDeletion("x", "deletes"), asked("y", 1, "d", "otherObject"))
	steps := []struct {
		uid        string
		generation int64
		digest     string
		want       string
	}{
		{"none", 9, "d", "earlier used otherDigest usedToo later deletes"},
		{"x", 1, "e", "earlier used otherDigest usedToo later deletes"},
		{"x", 2, "d", "otherDigest later deletes"},
		{"x", 2, "d", "otherDigest later deletes"}, // again
		{"x", 3, "e", "later deletes"},
		{"x", 4, "", "deletes"},
	}
	for _, step := range steps {
		forget(t, s, step.uid, step.generation, step.digest)
		if got := askers(t, s, "x"); got != step.want {
			t.Errorf("after %s %d %q was forgotten there are %q, want %q", step.uid, step.generation, step.digest, got, step.want)
		}
	}
	if s = h.Reopen(t, s); askers(t, s, "x") != "deletes" || askers(t, s, "y") != "otherObject" {
		t.Errorf("after reopening asked about x %q, about y %q", askers(t, s, "x"), askers(t, s, "y"))
	}
}

func testAttributionAge(t *testing.T, h Harness) {
	var mu sync.Mutex
	now := birth
	s := h.Open(t, Options{Clock: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	advance := func(by time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(by) }
	const many = 1000
	old := make([]iam.Attribution, many)
	for i := range old {
		old[i] = asked("old", int64(i), "d", "ann")
	}
	old[0] = askedDeletion("old", "ann")
	attribute(t, s, old...)
	left := func() int { return len(attributions(t, s, "old")) }

	advance(store.AttributionKept)
	ancient := asked("new", 1, "d", "bea") // asked long ago, and recorded now: as good as new
	ancient.At = birth.Add(-time.Hour)
	attribute(t, s, ancient)
	if left() != many {
		t.Errorf("%d of %d are left before their time", left(), many)
	}
	advance(time.Nanosecond)
	attribute(t, s, asked("new", 2, "d", "cem"))
	if left() == 0 {
		t.Errorf("one call removed all %d", many)
	}
	for calls := 0; left() > 0; calls++ {
		before := left()
		if attribute(t, s, asked("other", 1, "d", "dan")); left() >= before {
			t.Fatalf("after %d calls there were %d, after one more %d", calls, before, left())
		}
	}
	if got := askers(t, s, "new"); got != "bea cem" {
		t.Errorf("of the new ones are left %q", got)
	}
	attribute(t, s, askedDeletion("old", "eve")) // nothing is known of the first one any more
	if got := askers(t, s, "old"); got != "eve" {
		t.Errorf("then asked %q", got)
	}
}

func testAttributionsAtOnce(t *testing.T, h Harness) {
	s := h.Open(t, Options{})
	const callers, each = 16, 15
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := range each {
				record := asked("x", int64(i), fmt.Sprint(caller), "ann")
				if err := s.Attribute(t.Context(), record, askedDeletion(fmt.Sprint("of ", i), fmt.Sprint(caller))); err != nil {
					t.Errorf("caller %d: %v", caller, err)
				}
			}
		})
	}
	start := revisionOf(t, s)
	writeMuch(t, s, 3, 9, func(store.Revision) {})
	wg.Wait()
	s = h.Reopen(t, s)
	generations := map[string][]int64{}
	for _, record := range attributions(t, s, "x") {
		generations[record.Digest] = append(generations[record.Digest], record.Generation)
	}
	for caller := range callers {
		got := generations[fmt.Sprint(caller)]
		if len(got) != each || !slices.IsSorted(got) {
			t.Errorf("of caller %d are kept, in this order, %v", caller, got)
		}
	}
	for i := range each {
		if got := attributions(t, s, fmt.Sprint("of ", i)); len(got) != 1 {
			t.Errorf("there are %d deletions of one object: %+v", len(got), got)
		}
	}
	if changes := changesAfter(t, s, start); int64(len(changes)) != revisionOf(t, s).N-start.N {
		t.Errorf("there are %d changes up to %s", len(changes), revisionOf(t, s))
	}
}
