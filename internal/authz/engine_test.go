// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// patience bounds what is waited for.
const patience = 30 * time.Second

func openStore(t *testing.T, entities ...iam.Entity) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	write(t, s, entities...)
	return s
}

func write(t *testing.T, s store.Store, entities ...iam.Entity) store.Revision {
	t.Helper()
	revision, err := s.Write(t.Context(), func(tx store.Tx) error {
		for _, entity := range entities {
			if _, err := tx.Put(t.Context(), entity); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// run starts an engine, which ends with the test.
func run(t *testing.T, options authz.Options) *authz.Engine {
	t.Helper()
	if options.Now == nil {
		options.Now = time.Now
	}
	options.After = time.After
	options.Failed = func(error) {}
	if options.Digests == nil {
		options.Digests = func(secret string) []string { return []string{"digest of " + secret} }
	}
	e := authz.NewEngine(options)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return e
}

// viewAt waits for a revision.
func viewAt(t *testing.T, e *authz.Engine, revision store.Revision) authz.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	view, err := e.ViewAt(ctx, revision)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestEngineFollowsTheStore(t *testing.T) {
	t.Parallel()
	s := openStore(t, acme()...)
	e := run(t, authz.Options{Store: s})
	r := ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web")
	before := write(t, s, grant("p", iam.PrincipalMember, "alice", "", []string{"Buckets"}, "web"))
	if d := viewAt(t, e, before).Decide(r); !d.Allowed || d.Revision.N < before.N || d.Grant.PolicyID != "p" {
		t.Errorf("granted, but %+v", d)
	}
	after, err := s.Write(t.Context(), func(tx store.Tx) error { _, err := tx.Delete(t.Context(), iam.KindPolicy, "p"); return err })
	if err != nil {
		t.Fatal(err)
	}
	if d := viewAt(t, e, after).Decide(r); d.Allowed {
		t.Errorf("the policy is gone, but %+v", d)
	}
}

func TestRevisionThatIsDemanded(t *testing.T) {
	t.Parallel()
	s := openStore(t, acme()...)
	e := run(t, authz.Options{Store: s})
	now, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	viewAt(t, e, now)
	if _, err := e.ViewAt(t.Context(), store.Revision{Incarnation: "another", N: 1}); !errors.Is(err, store.ErrOtherIncarnation) {
		t.Errorf("another incarnation's revision: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.ViewAt(ended, store.Revision{Incarnation: now.Incarnation, N: now.N + 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a revision that has not come when the caller leaves: %v", err)
	}
}

// TestDeniesBeforeTheStoreWasRead: an engine that knows nothing yet allows nothing, not even the owner.
func TestDeniesBeforeTheStoreWasRead(t *testing.T) {
	t.Parallel()
	e := authz.NewEngine(authz.Options{Store: openStore(t, acme()...), Now: time.Now, Digests: func(string) []string { return nil }})
	if d := e.View().Decide(ask(authz.SubjectOwner, "owner", "iam:user:read", "")); d.Allowed || d.Reason != authz.ReasonStale {
		t.Errorf("%+v", d)
	}
	if err := e.Ready(); !errors.Is(err, authz.ErrNotReady) {
		t.Errorf("ready: %v", err)
	}
}

// lostStore is a store that can't be reached any more once it is lost.
type lostStore struct {
	store.Store
	lost atomic.Bool
}

func (s *lostStore) Changes(ctx context.Context, after store.Revision, limit int) ([]store.Change, error) {
	if s.lost.Load() {
		return nil, errors.New("the store can't be reached")
	}
	return s.Store.Changes(ctx, after, limit)
}

// TestDeniesWhenOutOfTouch: readiness fails after half a minute, and after the allowed staleness nothing is allowed.
func TestDeniesWhenOutOfTouch(t *testing.T) {
	t.Parallel()
	s := &lostStore{Store: openStore(t, acme()...)}
	var clock atomic.Int64
	clock.Store(noon.UnixNano())
	e := run(t, authz.Options{Store: s, MaxStaleness: 10 * time.Minute, Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	viewAt(t, e, revision)
	s.lost.Store(true)
	write(t, s, grant("p", iam.PrincipalMember, "alice", "", []string{"Buckets"})) // wakes the engine, which finds the store lost
	owner := ask(authz.SubjectOwner, "owner", "iam:user:read", "")
	for _, c := range []struct {
		after          time.Duration
		ready, allowed bool
	}{{20 * time.Second, true, true}, {31 * time.Second, false, true}, {10 * time.Minute, false, true}, {10*time.Minute + time.Second, false, false}} {
		clock.Store(noon.Add(c.after).UnixNano())
		if ready := e.Ready() == nil; ready != c.ready {
			t.Errorf("after %s: ready is %t", c.after, ready)
		}
		if d := e.View().Decide(owner); d.Allowed != c.allowed || !d.Allowed && d.Reason != authz.ReasonStale {
			t.Errorf("after %s: %+v", c.after, d)
		}
	}
	if _, reason := e.View().Authenticate("bob's secret"); reason != authz.ReasonStale {
		t.Error("a secret counts while the engine is out of touch")
	}
	clock.Store(noon.UnixNano())
	s.lost.Store(false)
	now, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	viewAt(t, e, now)
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	expired := &iam.APIKey{Head: iam.Head{ID: "SCWOLD", OrganizationID: "acme"}, BearerKind: iam.PrincipalApplication, BearerID: "ci", Digest: "digest of an old secret", ExpiresAt: new(time.Time)}
	s := openStore(t, acme(expired)...)
	e := run(t, authz.Options{Store: s, Digests: func(secret string) []string {
		return []string{"by the current key: " + secret, "digest of " + secret}
	}})
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view := viewAt(t, e, revision)
	caller, reason := view.Authenticate("bob's secret")
	if want := (authz.Principal{Kind: iam.PrincipalMember, ID: "bob", OrganizationID: "acme"}); reason != "" || caller.AccessKey != "SCWBOB" || caller.Principal != want {
		t.Errorf("bob's secret is %+v's (%s)", caller, reason)
	}
	for secret, want := range map[string]authz.Reason{
		"": authz.ReasonUnknownSubject, "another secret": authz.ReasonUnknownSubject, "Bob's secret": authz.ReasonUnknownSubject, "an old secret": authz.ReasonKeyExpired,
	} {
		if caller, reason := view.Authenticate(secret); reason != want {
			t.Errorf("%q is the secret of %+v, %q; want %q", secret, caller, reason, want)
		}
	}
	locked := &iam.Member{Head: iam.Head{ID: "bob", OrganizationID: "acme"}, Type: iam.TypeMember, Username: "bob", Locked: "Declared"}
	if _, reason := viewAt(t, e, write(t, s, locked)).Authenticate("bob's secret"); reason != authz.ReasonLocked {
		t.Error("the key of a locked Member is taken")
	}
}

// TestRevokeThenAsk: with a policy that comes and goes, and askers who demand the revision that the store has, each answer is one that
// the policy's state allows at some moment between question and answer.
func TestRevokeThenAsk(t *testing.T) {
	t.Parallel()
	s := openStore(t, acme()...)
	e := run(t, authz.Options{Store: s})
	history := newHistory()
	var askers, writers sync.WaitGroup
	for asker := range 3 {
		askers.Go(func() {
			for range 300 { // The time that it takes to check a history grows fast with it.
				history.record(asker+1, false, false, func() bool {
					revision, err := s.Revision(t.Context())
					if err != nil {
						t.Error(err)
						return false
					}
					return viewAt(t, e, revision).Decide(ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web")).Allowed
				})
			}
		})
	}
	writers.Go(func() {
		for i := range 100 {
			granted := i%2 == 0
			history.record(0, true, granted, func() bool {
				_, err := s.Write(t.Context(), func(tx store.Tx) error { return setGranted(t.Context(), tx, granted) })
				if err != nil {
					t.Error(err)
				}
				return granted
			})
		}
	})
	writers.Wait()
	askers.Wait()
	if result := porcupine.CheckOperations(registerModel, history.operations); !result {
		t.Errorf("%d operations are not linearizable", len(history.operations))
	}
}

func setGranted(ctx context.Context, tx store.Tx, granted bool) error {
	if granted {
		_, err := tx.Put(ctx, grant("p", iam.PrincipalMember, "alice", "", []string{"Buckets"}, "web"))
		return err
	}
	_, err := tx.Delete(ctx, iam.KindPolicy, "p")
	return err
}

// history is what was asked and written, and when.
type history struct {
	mu         sync.Mutex
	began      time.Time
	operations []porcupine.Operation
}

func newHistory() *history { return &history{began: time.Now()} }

type registerInput struct{ write, granted bool }

func (h *history) record(client int, isWrite, granted bool, do func() bool) {
	called := time.Since(h.began)
	output := do()
	returned := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: registerInput{isWrite, granted}, Call: int64(called), Output: output, Return: int64(returned)})
}

// registerModel is whether the policy is there.
var registerModel = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, input, output any) (bool, any) {
		in := input.(registerInput)
		if in.write {
			return true, in.granted
		}
		return output.(bool) == state.(bool), state
	},
}

// TestNewEnemy: bob leaves the group, and then the group is granted something. At no revision may bob do it, whatever batches the
// changes come in.
func TestNewEnemy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		head := iam.Head{ID: "ops", OrganizationID: "acme"}
		steps := []iam.Entity{
			&iam.Member{Head: iam.Head{ID: "bob", OrganizationID: "acme"}, Type: iam.TypeMember, Username: "bob"}, // noise
			&iam.Group{Head: head, Name: "ops", Membership: iam.MembershipDeclared},
			&iam.Application{Head: iam.Head{ID: "ci", OrganizationID: "acme"}, Name: "another"}, // noise
			grant("p", iam.PrincipalGroup, "ops", "", []string{"Buckets"}, "web"),
			&iam.Group{Head: head, Name: "ops", Membership: iam.MembershipDeclared, Members: []string{"alice"}},
		}
		var changes []store.Change
		for i, entity := range steps {
			changes = append(changes, store.Change{Revision: at(int64(i + 2)), Operation: store.OperationPut, Kind: entity.EntityKind(), ID: entity.GetHead().ID, Entity: entity})
		}
		snapshot := authz.NewSnapshot(acme(), at(1))
		for len(changes) > 0 {
			n := 1 + random.IntN(len(changes))
			snapshot = snapshot.Apply(changes[:n]...)
			changes = changes[n:]
			for _, r := range []*authz.Request{
				ask(authz.SubjectUser, "bob", "object_storage:bucket:read", "web"), ask(authz.SubjectAPIKey, "SCWBOB", "object_storage:bucket:read", "web"),
			} {
				if d := snapshot.Decide(r, noon); d.Allowed {
					t.Fatalf("seed %d: bob is allowed at revision %s: %+v", seed, snapshot.Revision(), d)
				}
			}
		}
		if d := snapshot.Decide(ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web"), noon); !d.Allowed {
			t.Fatalf("seed %d: alice is in the group: %+v", seed, d)
		}
	}
}

// TestEarlierSnapshotStays: who holds a snapshot sees one state, whatever comes.
func TestEarlierSnapshotStays(t *testing.T) {
	t.Parallel()
	before := authz.NewSnapshot(acme(), at(1))
	r := ask(authz.SubjectUser, "bob", "object_storage:bucket:read", "web")
	policy := grant("p", iam.PrincipalGroup, "ops", "", []string{"Buckets"}, "web")
	granted := before.Apply(store.Change{Revision: at(2), Operation: store.OperationPut, Kind: iam.KindPolicy, ID: "p", Entity: policy})
	revoked := granted.Apply(store.Change{Revision: at(3), Operation: store.OperationDelete, Kind: iam.KindPolicy, ID: "p"})
	got := fmt.Sprint(before.Decide(r, noon).Allowed, granted.Decide(r, noon).Allowed, revoked.Decide(r, noon).Allowed)
	if got != "false true false" {
		t.Errorf("at the three revisions: %s", got)
	}
}

// trimmedStore is a store that has not kept the changes which a follower needs, and takes its time to be read anew.
type trimmedStore struct {
	store.Store
	trimmed          atomic.Bool
	reading, release chan struct{}
}

func (s *trimmedStore) Changes(ctx context.Context, after store.Revision, limit int) ([]store.Change, error) {
	if s.trimmed.Load() {
		return nil, store.ErrRevisionGone
	}
	return s.Store.Changes(ctx, after, limit)
}

func (s *trimmedStore) Snapshot(ctx context.Context) ([]iam.Entity, store.Revision, error) {
	if s.trimmed.CompareAndSwap(true, false) {
		s.reading <- struct{}{}
		<-s.release
	}
	return s.Store.Snapshot(ctx)
}

// TestDeniesUntilReadAnew: while the store is read anew after a long time out of touch, what was there before does not count.
func TestDeniesUntilReadAnew(t *testing.T) {
	t.Parallel()
	s := &trimmedStore{Store: openStore(t, acme()...), reading: make(chan struct{}), release: make(chan struct{})}
	var clock atomic.Int64
	clock.Store(noon.UnixNano())
	e := run(t, authz.Options{Store: s, Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	revision, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	viewAt(t, e, revision)
	clock.Store(noon.Add(authz.DefaultMaxStaleness + time.Second).UnixNano())
	s.trimmed.Store(true)
	revision = write(t, s, grant("p", iam.PrincipalMember, "alice", "", []string{"Buckets"}))
	<-s.reading
	owner := ask(authz.SubjectOwner, "owner", "iam:user:read", "")
	if d := e.View().Decide(owner); d.Reason != authz.ReasonStale {
		t.Errorf("while the store is read: %+v", d)
	}
	close(s.release)
	if d := viewAt(t, e, revision).Decide(owner); !d.Allowed {
		t.Errorf("afterwards: %+v", d)
	}
}
