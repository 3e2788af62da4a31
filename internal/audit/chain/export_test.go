// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// exported writes what a query selects.
func (w *world) exported(t tb, query store.EventQuery) ([]byte, chain.Counts) {
	t.Helper()
	var out bytes.Buffer
	view := w.view(t)
	defer view.close()
	e := chain.Export{Source: view, Query: query}
	counts, err := e.Run(t.Context(), &out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), counts
}

func verifyText(t tb, text []byte, trust chain.Trust) chain.Result {
	t.Helper()
	result, err := chain.VerifyExport(bytes.NewReader(text), trust, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// story is a log with three chains, of which one has lost its oldest to retention, an origin, and several checkpoints.
func story(t tb, folder string) *world {
	t.Helper()
	w := newWorld(t, folder)
	w.organization(t, "a", 24*time.Hour)
	w.organization(t, "b", 87600*time.Hour)
	w.record(t, "a", "b", "a", "")
	w.sign(t)
	w.clock.advance(26 * time.Hour)
	later := w.record(t, "b", "a", "b")
	w.sign(t)
	if err := w.retention().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, err := w.store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: later[0].ID}})
	if err != nil || len(seen) != 1 {
		t.Fatalf("%v, %v", seen, err)
	}
	origin := w.event("b")
	origin.Method = "TellOrigin"
	origin.Origin = &iam.EventOrigin{EventID: seen[0].ID, EventSequence: seen[0].Sequence, SourceIP: "192.0.2.1", UserAgent: "kubectl"}
	if err := w.store.Submit(t.Context(), origin); err != nil {
		t.Fatal(err)
	}
	w.sign(t)
	w.record(t, "", "a", "b", "b")
	w.sign(t)
	w.record(t, "b")
	return w
}

func TestExport(t *testing.T) {
	w := story(t, t.TempDir())
	defer w.close(t)
	for name, test := range map[string]struct {
		query         store.EventQuery
		events, stubs int64
		notes         int
	}{
		"all":              {events: 12},
		"one Organization": {query: store.EventQuery{EventScope: store.EventScope{OrganizationID: "b"}}, events: 7, notes: 1},
		"the own chain":    {query: store.EventQuery{EventScope: store.EventScope{OwnChain: true}}, events: 2, notes: 1},
		"a source, with the event that tells of it": {query: store.EventQuery{EventFilter: store.EventFilter{SourceIP: "192.0.2.1"}}, events: 2, stubs: 10, notes: 1},
		"not a source":       {query: store.EventQuery{Not: store.EventFilter{SourceIP: "192.0.2.1"}}, events: 10, stubs: 2, notes: 1},
		"a method":           {query: store.EventQuery{EventFilter: store.EventFilter{Method: "DropAuditEvents"}}, events: 1, stubs: 11, notes: 1},
		"nothing":            {query: store.EventQuery{EventFilter: store.EventFilter{Method: "None"}}, stubs: 12, notes: 1},
		"a time":             {query: store.EventQuery{Since: start.Add(time.Hour)}, events: 10, stubs: 2, notes: 1},
		"one, by a resource": {query: store.EventQuery{EventScope: store.EventScope{OrganizationID: "b"}, EventFilter: store.EventFilter{ResourceID: "p2"}}, events: 1, stubs: 6, notes: 2},
	} {
		t.Run(name, func(t *testing.T) {
			text, counts := w.exported(t, test.query)
			if counts.Events != test.events || counts.Stubs != test.stubs {
				t.Errorf("exported %+v, want %d events and %d stubs", counts, test.events, test.stubs)
			}
			r := verifyText(t, text, w.published.trust())
			intact(t, r)
			if r.Events != test.events+test.stubs || r.Stubs != test.stubs || len(r.Notes) != test.notes || r.Checkpoints != counts.Checkpoints {
				t.Errorf("verified %+v", r)
			}
		})
	}
}

// An export that was interrupted anywhere, or that is old, is gone on with, and is then what an export made at once is.
func TestResume(t *testing.T) {
	w := story(t, t.TempDir())
	defer w.close(t)
	query := store.EventQuery{Not: store.EventFilter{SourceIP: "192.0.2.1"}}
	old, _ := w.exported(t, query)
	w.record(t, "b", "c", "")
	w.sign(t)
	w.record(t, "c")
	whole, want := w.exported(t, query)
	header := bytes.IndexByte(old, '\n') + 1
	rapid.Check(t, func(t *rapid.T) {
		text := old[:rapid.IntRange(header, len(old)).Draw(t, "bytes written")]
		former, err := chain.Resume(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		out := bytes.NewBuffer(bytes.Clone(text[:former.Size]))
		view := w.view(t)
		defer view.close()
		e := chain.Export{Source: view, Query: query}
		if err := former.Fits(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
		counts, err := e.Run(t.Context(), out, former)
		if err != nil || counts != want {
			t.Fatalf("%+v, %v, want %+v", counts, err, want)
		}
		if !bytes.Equal(out.Bytes(), whole) {
			t.Fatalf("resumed, it has %d bytes; made at once, %d", out.Len(), len(whole))
		}
	})
}

func TestResumeOfSomethingElse(t *testing.T) {
	w := story(t, t.TempDir())
	text, _ := w.exported(t, store.EventQuery{})
	fits := func(text []byte, query store.EventQuery) error {
		former, err := chain.Resume(bytes.NewReader(text))
		if err != nil {
			return err
		}
		view := w.view(t)
		defer view.close()
		return former.Fits(t.Context(), &chain.Export{Source: view, Query: query})
	}
	header := bytes.IndexByte(text, '\n') + 1
	for name, test := range map[string]struct {
		text  []byte
		query store.EventQuery
		says  string
	}{
		"nothing":           {says: "does not begin as an export"},
		"half a header":     {text: text[:20], says: "does not begin as an export"},
		"no export":         {text: []byte("{}\n"), says: "line 1: it is not as an export writes it"},
		"another format":    {text: bytes.Replace(text, []byte("export/v1"), []byte("export/v2"), 1), says: "does not begin as an export of the form iam-operator.dev/audit-export/v1"},
		"no header":         {text: text[header:], says: "line 1: an export has one header"},
		"other filters":     {text: text, query: store.EventQuery{EventFilter: store.EventFilter{Method: "x"}}, says: "with other filters"},
		"a line was spoilt": {text: bytes.Replace(text, []byte(`{"event"`), []byte(`{"Event"`), 1), says: "something was added"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := fits(test.text, test.query); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("answered by %v, want %q", err, test.says)
			}
		})
	}
	if err := fits(text, store.EventQuery{}); err != nil {
		t.Error(err)
	}
	old := text
	w.clock.advance(60 * 24 * time.Hour)
	for range 2 {
		if err := w.retention().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.record(t, "a")
		w.clock.advance(60 * 24 * time.Hour)
	}
	if err := fits(old, store.EventQuery{}); !errors.Is(err, store.ErrEventsGone) {
		t.Errorf("what would follow is gone, and it is answered by %v", err)
	}
	w.close(t)
	w.path += "2"
	w.open(t)
	defer w.close(t)
	if err := fits(old, store.EventQuery{}); err == nil || !strings.Contains(err.Error(), "exported from the store") {
		t.Errorf("another store: %v", err)
	}
}

// Whatever is altered in an export of all events is found: any bit of any line, and any line that is
// removed, doubled, moved or cut off.
func TestTamperedExport(t *testing.T) {
	w := story(t, t.TempDir())
	defer w.close(t)
	text, _ := w.exported(t, store.EventQuery{})
	// What no checkpoint covers yet can be cut off by whoever writes a new trailer; it is left out here.
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	intact(t, verifyText(t, text, w.published.trust()))
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"alter", "remove", "double", "swap", "truncate", "cut a line"}).Draw(t, "kind")
		i := rapid.IntRange(1, len(lines)-1).Draw(t, "line")
		j := rapid.IntRange(1, len(lines)-1).Filter(func(j int) bool { return j != i }).Draw(t, "other line")
		changed := make([][]byte, 0, len(lines)+1)
		for _, line := range lines {
			changed = append(changed, bytes.Clone(line))
		}
		switch kind {
		case "alter":
			at := rapid.IntRange(0, len(changed[i])-2).Draw(t, "byte")
			changed[i][at] ^= 1 << rapid.IntRange(0, 6).Draw(t, "bit")
		case "remove":
			changed = append(changed[:i], changed[i+1:]...)
		case "double":
			changed = append(changed[:i], append([][]byte{changed[i]}, changed[i:]...)...)
		case "swap":
			changed[i], changed[j] = changed[j], changed[i]
		case "truncate":
			changed = changed[:i]
		case "cut a line":
			changed[i] = append(changed[i][:len(changed[i])/2], '\n')
		}
		r, err := chain.VerifyExport(bytes.NewReader(bytes.Join(changed, nil)), w.published.trust(), nil)
		if err == nil && r.Finding == nil {
			t.Fatalf("%s of line %d goes unnoticed: %s", kind, i, lines[i])
		}
	})
}

// The header is no part of what is signed; whatever it says, nothing panics, and no other store passes for this one.
func TestTamperedHeader(t *testing.T) {
	w := story(t, t.TempDir())
	defer w.close(t)
	text, _ := w.exported(t, store.EventQuery{})
	header := bytes.IndexByte(text, '\n')
	rapid.Check(t, func(t *rapid.T) {
		changed := bytes.Clone(text)
		changed[rapid.IntRange(0, header-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 6).Draw(t, "bit")
		r, err := chain.VerifyExport(bytes.NewReader(changed), w.published.trust(), nil)
		if err == nil && r.Finding == nil && r.Incarnation != w.published.is.Newest.Incarnation {
			t.Fatalf("passed as of store %s", r.Incarnation)
		}
	})
}

func FuzzVerifyExport(f *testing.F) {
	w := story(f, f.TempDir())
	text, _ := w.exported(f, store.EventQuery{})
	f.Add(text)
	f.Add(text[:len(text)/2])
	w.close(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = chain.VerifyExport(bytes.NewReader(text), w.published.trust(), nil)
		_, _ = chain.Resume(bytes.NewReader(text))
	})
}
