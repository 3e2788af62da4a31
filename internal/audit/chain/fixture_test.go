// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// tb is what the tests and the property tests have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

var start = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// publication stands for the ConfigMap.
type publication struct {
	mu    sync.Mutex
	is    chain.Published
	times int
	fail  error
}

func (p *publication) load(context.Context) (chain.Published, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is, nil
}

func (p *publication) publish(_ context.Context, next chain.Published) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.is = next
	p.times++
	return nil
}

func (p *publication) trust() chain.Trust {
	p.mu.Lock()
	defer p.mu.Unlock()
	return chain.Trust{Keys: p.is.Keys, Newest: p.is.Newest}
}

// world is a store with what vouches for it.
type world struct {
	path      string
	store     *sqlite.Store
	clock     *clock
	published *publication
	keys      chain.Keys
	signer    *chain.Checkpointer
	recorder  *audit.Recorder
	made      int
}

func newWorld(t tb, folder string) *world {
	t.Helper()
	keys, err := chain.NewKeys(rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{path: filepath.Join(folder, "iam.db"), clock: &clock{now: start}, published: &publication{}, keys: keys}
	w.recorder = &audit.Recorder{Now: w.clock.Now, NewID: uuid.NewString, Namespace: "iam-system", NamespaceUID: "uid-iam-system"}
	w.open(t)
	return w
}

func (w *world) open(t tb) {
	t.Helper()
	var err error
	if w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: w.path, Clock: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	w.signer = w.newSigner()
}

func (w *world) newSigner() *chain.Checkpointer {
	return &chain.Checkpointer{Store: w.store, Keys: w.keys, Now: w.clock.Now, After: time.After, Load: w.published.load, Publish: w.published.publish}
}

func (w *world) close(t tb) {
	t.Helper()
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) event(organization string) iam.Event {
	w.made++
	return iam.Event{
		ID: fmt.Sprintf("event-%04d", w.made), RecordedAt: w.clock.Now(), Organization: iam.EventOrganization{ID: organization, Name: "Org " + organization},
		Namespace: "home-" + organization, NamespaceUID: "uid-" + organization, Principal: iam.Actor{Kind: iam.ActorMember, ID: "m1", Name: "maya"},
		SourceIP: iam.Unknown, UserAgent: iam.Unknown, Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: "CreatePolicy", Action: iam.ActionCreated,
		StatusCode: 200, Resources: []iam.EventResource{{Kind: iam.KindPolicy, Type: "iam_policy", ID: fmt.Sprintf("p%d", w.made), Name: "pólicy <&>", Action: iam.ActionCreated}},
		Change: iam.EventChange{After: []byte(`{"name":"x"}`)},
	}
}

// record adds events, each of an Organization, and gives them.
func (w *world) record(t tb, organizations ...string) []iam.Event {
	t.Helper()
	var events []iam.Event
	for _, organization := range organizations {
		w.clock.advance(time.Second)
		events = append(events, w.event(organization))
	}
	if err := w.store.Submit(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	return events
}

// sign makes a checkpoint, and publishes it.
func (w *world) sign(t tb) iam.Checkpoint {
	t.Helper()
	if err := w.signer.Write(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	last, err := w.store.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.published.is.Newest, w.published.is.Keys = &last, w.keys.Public
	return last
}

// verify holds the file against what was published.
func (w *world) verify(t tb) chain.Result {
	t.Helper()
	return w.verifyAgainst(t, w.published.trust())
}

func (w *world) verifyAgainst(t tb, trust chain.Trust) chain.Result {
	t.Helper()
	view := w.view(t)
	defer view.close()
	result, err := chain.VerifyStore(t.Context(), view, trust, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// organization declares one that keeps its events for a while.
func (w *world) organization(t tb, id string, keeps time.Duration) {
	t.Helper()
	o := &iam.Organization{
		Head: iam.Head{ID: id, OrganizationID: id, CreatedAt: start, Object: iam.Object{Kind: iam.KindOrganization, Namespace: "home-" + id, Name: id, UID: id}},
		Name: "Org " + id, NamespaceUID: "uid-" + id, AuditRetention: keeps,
	}
	_, err := w.store.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Put(t.Context(), o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) retention() *chain.Retention {
	return &chain.Retention{
		Store: w.store, Checkpointer: w.signer, Recorder: w.recorder, Now: w.clock.Now,
		Pause: func(ctx context.Context) error { return ctx.Err() },
	}
}

func ofMethod(t *testing.T, w *world, method string) []iam.Event {
	t.Helper()
	events, err := w.store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{Method: method}})
	if err != nil {
		t.Fatal(err)
	}
	return events
}
