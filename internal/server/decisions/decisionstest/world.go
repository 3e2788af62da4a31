// SPDX-License-Identifier: Apache-2.0

package decisionstest

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
)

// The world: Organization Acme with the Projects Default and Web, where
//   - Alice may read records and soft-delete them, and write those that are not archived;
//   - Bob may read records, and through group archivists write those that are archived;
//   - Lucy is locked;
//   - the applications CI may read buckets in Web from 10.0.0.0/8, and PEP may ask about others;
//
// and Organization Umbra, of which nobody in Acme may learn anything, with its user Eve and its Project Pit.
const (
	Acme    = "0a000000-0000-4000-8000-00000000000a"
	Umbra   = "0b000000-0000-4000-8000-00000000000b"
	Default = Acme
	Web     = "0a000000-0000-4000-8000-0000000000e0"
	Owner   = "0a000000-0000-4000-8000-000000000001"
	Alice   = "0a000000-0000-4000-8000-000000000002"
	Bob     = "0a000000-0000-4000-8000-000000000003"
	Lucy    = "0a000000-0000-4000-8000-000000000004"
	CI      = "0a000000-0000-4000-8000-0000000000c1"
	PEP     = "0a000000-0000-4000-8000-0000000000ee"
	Eve     = "0b000000-0000-4000-8000-000000000005"
	Pit     = "0b000000-0000-4000-8000-0000000000e1"

	archivists = "0a000000-0000-4000-8000-0000000000a9"
)

// The access keys of the bearers.
const (
	OwnerKey = "SCW0WNER000000000000"
	AliceKey = "SCWALICE000000000000"
	LucyKey  = "SCWLUCY0000000000000"
	CIKey    = "SCWC1000000000000000"
	PEPKey   = "SCWPEP00000000000000"
	EveKey   = "SCWEVE00000000000000"
	OldKey   = "SCW0LD00000000000000"
)

// secrets are the secret keys by access key.
var secrets = map[string]string{
	OwnerKey: "5ec00000-0000-4000-8000-000000000001", AliceKey: "5ec00000-0000-4000-8000-000000000002", LucyKey: "5ec00000-0000-4000-8000-000000000004",
	CIKey: "5ec00000-0000-4000-8000-0000000000c1", PEPKey: "5ec00000-0000-4000-8000-0000000000ee", EveKey: "5ec00000-0000-4000-8000-000000000005",
	OldKey: "5ec00000-0000-4000-8000-0000000000dd",
}

// Secret is the secret key of an access key.
func Secret(accessKey string) string { return secrets[accessKey] }

// Secrets lists the secret keys, none of which may ever be seen in a log.
func Secrets() []string {
	var all []string
	for _, secret := range secrets {
		all = append(all, secret)
	}
	return all
}

// World is an engine that follows a store, and the service that asks it.
type World struct {
	Store    *Store
	Engine   *authz.Engine
	Service  *decisions.Service
	Registry *prometheus.Registry
	keyring  credentials.Keyring
}

// New makes the world, with more entities if wanted, and writes the log of decisions to a writer.
func New(t testing.TB, log io.Writer, more ...iam.Entity) *World {
	t.Helper()
	keyring, err := credentials.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{keyring: keyring, Registry: prometheus.NewRegistry()}
	w.Store = NewStore(append(w.entities(), more...)...)
	w.Engine = authz.NewEngine(authz.Options{
		Store: w.Store, Now: time.Now, After: time.After, Failed: func(err error) { t.Error(err) },
		Digests: func(secretKey string) []string { return []string{keyring.Current.Digest(secretKey)} },
	})
	decisionLog := decisions.NewLog(decisions.LogOptions{Writer: log, AllowSample: 1, Clock: clock.RealClock{}, Failures: logr.Discard()})
	w.Service, err = decisions.NewService(decisions.Options{
		Engine: w.Engine, Clock: clock.RealClock{}, NewID: uuid.NewString, Log: decisionLog, Registry: w.Registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.Engine.Run(ctx) })
	running.Go(func() { decisionLog.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); w.Engine.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the engine does not become ready")
		}
	}
	return w
}

// Put writes an entity, and waits until the engine has it.
func (w *World) Put(t testing.TB, entity iam.Entity) {
	t.Helper()
	if _, err := w.Engine.ViewAt(t.Context(), w.Store.Put(entity)); err != nil {
		t.Fatal(err)
	}
}

// Key makes the entity of a key.
func (w *World) Key(accessKey, organization string, kind iam.PrincipalKind, bearer string) *iam.APIKey {
	return &iam.APIKey{Head: head(accessKey, organization), BearerKind: kind, BearerID: bearer, Digest: w.keyring.Current.Digest(secrets[accessKey])}
}

func head(id, organization string) iam.Head { return iam.Head{ID: id, OrganizationID: organization} }

func (w *World) entities() []iam.Entity {
	ownerKey := w.Key(OwnerKey, Acme, iam.PrincipalOwner, Owner)
	ownerKey.OwnerEmail = "owner@acme.example"
	oldKey := w.Key(OldKey, Acme, iam.PrincipalMember, Alice)
	past := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	oldKey.ExpiresAt = &past
	const live, archived = `!has(resource.name) || !resource.name.startsWith("archived/")`, `has(resource.name) && resource.name.startsWith("archived/")`
	return []iam.Entity{
		&iam.Organization{Head: head(Acme, Acme), Name: "acme", OwnerID: Owner},
		&iam.Organization{Head: head(Umbra, Umbra), Name: "umbra", OwnerID: "0b000000-0000-4000-8000-000000000001"},
		&iam.Project{Head: head(Default, Acme), Name: "default"}, &iam.Project{Head: head(Web, Acme), Name: "web"}, &iam.Project{Head: head(Pit, Umbra), Name: "pit"},
		&iam.Member{Head: head(Owner, Acme), Type: iam.TypeOwner, Email: "owner@acme.example"},
		&iam.Member{Head: head(Alice, Acme), Type: iam.TypeMember, Username: "alice"},
		&iam.Member{Head: head(Bob, Acme), Type: iam.TypeMember, Username: "bob"},
		&iam.Member{Head: head(Lucy, Acme), Type: iam.TypeMember, Username: "lucy", Locked: "Declared"},
		&iam.Member{Head: head(Eve, Umbra), Type: iam.TypeMember, Username: "eve"},
		&iam.Application{Head: head(CI, Acme), Name: "ci"}, &iam.Application{Head: head(PEP, Acme), Name: "pep"},
		&iam.Group{Head: head(archivists, Acme), Name: "archivists", Membership: iam.MembershipDeclared, Members: []string{Bob}},
		ownerKey, oldKey, w.Key(AliceKey, Acme, iam.PrincipalMember, Alice), w.Key(LucyKey, Acme, iam.PrincipalMember, Lucy),
		w.Key(CIKey, Acme, iam.PrincipalApplication, CI), w.Key(PEPKey, Acme, iam.PrincipalApplication, PEP), w.Key(EveKey, Umbra, iam.PrincipalMember, Eve),
		set("RecordsRead", iam.ScopeProjects, "records:record:read"), set("RecordsWrite", iam.ScopeProjects, "records:record:write"),
		set("RecordsDelete", iam.ScopeProjects, "records:record:soft_delete"), set("Buckets", iam.ScopeProjects, "object_storage:bucket:read"),
		set("IAMPermissionChecker", iam.ScopeOrganization, "iam:permission:check"),
		Policy("alice-reads", Acme, iam.PrincipalMember, Alice, "", "RecordsRead", "RecordsDelete"),
		Policy("alice-writes", Acme, iam.PrincipalMember, Alice, live, "RecordsWrite"),
		Policy("bob-reads", Acme, iam.PrincipalMember, Bob, "", "RecordsRead"),
		Policy("archivists-write", Acme, iam.PrincipalGroup, archivists, archived, "RecordsWrite"),
		Policy("pep-checks", Acme, iam.PrincipalApplication, PEP, "", "IAMPermissionChecker"),
		Policy("eve-reads", Umbra, iam.PrincipalMember, Eve, "", "RecordsRead", "IAMPermissionChecker"),
		onWeb(Policy("ci-reads", Acme, iam.PrincipalApplication, CI, `inIpRange(request.ip, "10.0.0.0/8")`, "Buckets")),
	}
}

func set(name string, scope iam.ScopeType, permissions ...string) *iam.PermissionSet {
	return &iam.PermissionSet{Head: iam.Head{ID: "set-" + name}, Name: name, ScopeType: scope, Permissions: permissions}
}

// Policy is one that grants permission sets on an Organization as a whole, by one rule.
func Policy(name, organization string, kind iam.PrincipalKind, principal, condition string, sets ...string) *iam.Policy {
	return &iam.Policy{
		Head: head("policy-"+name, organization), Name: name, PrincipalKind: kind, PrincipalID: principal,
		Rules: []iam.Rule{{ID: "rule-" + name, PermissionSets: sets, OrganizationScope: true, Condition: condition}},
	}
}

func onWeb(p *iam.Policy) *iam.Policy {
	p.Rules[0].OrganizationScope, p.Rules[0].ProjectIDs = false, []string{Web}
	return p
}

// Show has a request show the secret key of an access key.
func Show(r *http.Request, accessKey string) {
	r.Header.Set("Authorization", "Bearer "+secrets[accessKey])
}
