// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// startEngine has a decision engine follow an operator's store until the store is closed or the test ends.
func startEngine(t *testing.T, o *operator) *authz.Engine {
	t.Helper()
	engine := authz.NewEngine(authz.Options{
		Store: o.Store, Now: o.Clock.Now, After: time.After, Digests: func(string) []string { return nil }, Failed: func(error) {},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = engine.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return engine
}

// question is what somebody may do at one time and not at another.
type question struct {
	kind    authz.SubjectKind
	id      string
	project string
	from    string
}

func (q question) awaitDecision(t *testing.T, engine *authz.Engine, wanted authz.Reason) {
	t.Helper()
	r := &authz.Request{
		Subject: authz.Subject{Kind: q.kind, ID: q.id}, Permission: iam.Permission{Service: "decided", Resource: "thing", Action: "read"},
		Scope: authz.Scope{ProjectID: q.project},
	}
	r.Attributes.IP = q.from
	eventually(t, fmt.Sprintf("%s %s gets %s", q.kind, q.id, wanted), func(context.Context) (bool, string) {
		d := engine.View().Decide(r)
		return d.Reason == wanted, fmt.Sprintf("%+v", d)
	})
}

// What is declared is decided, and what is taken away is denied, whichever way it was given; and all of it again, with the same ids,
// after the database was lost.
func TestDecisions(t *testing.T) {
	o := startOperator(t)
	engine := startEngine(t, o)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	set := &v1alpha1.PermissionSet{Spec: v1alpha1.PermissionSetSpec{Name: "DecidedThings", ScopeType: v1alpha1.ScopeTypeProjects, Permissions: []v1alpha1.Permission{"decided:thing:read"}}}
	set.Name = "decidedthings"
	web, other := project(org, ns, "web"), project(org, ns, "other")
	alice, ci := member(org, ns, "alice"), application(org, ns, "ci")
	ops := group(org, ns, "ops", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: "alice"})
	key := apiKey(org, ns, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "ci"})
	onWeb := v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"DecidedThings"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}}}
	fromHome := onWeb
	fromHome.Condition = `inIpRange(request.ip, "10.0.0.0/8")`
	forGroup := policy(org, ns, "for-group", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "ops"}, onWeb)
	forCI := policy(org, ns, "for-ci", &v1alpha1.Principal{Kind: v1alpha1.PrincipalApplication, Name: "ci"}, fromHome)
	create(t, set, org, web, other, alice, ci, ops, key, forGroup, forCI)
	defer remove(t, set) // It belongs to no namespace that goes by itself.
	awaitReady(t, set, org, web, other, alice, ci, ops, key, forGroup, forCI)

	person := question{authz.SubjectUser, alice.Status.ID, web.Status.ID, ""}
	elsewhere := question{authz.SubjectUser, alice.Status.ID, other.Status.ID, ""}
	pipeline := question{authz.SubjectAPIKey, key.Status.AccessKey, web.Status.ID, "10.1.2.3"}
	outside := question{authz.SubjectAPIKey, key.Status.AccessKey, web.Status.ID, "192.0.2.7"}
	unknown := question{authz.SubjectAPIKey, key.Status.AccessKey, web.Status.ID, ""}
	all := func(engine *authz.Engine) {
		person.awaitDecision(t, engine, authz.ReasonGranted)
		elsewhere.awaitDecision(t, engine, authz.ReasonOutOfScope)
		pipeline.awaitDecision(t, engine, authz.ReasonGranted)
		outside.awaitDecision(t, engine, authz.ReasonConditionFalse)
		unknown.awaitDecision(t, engine, authz.ReasonConditionFailed)
	}
	all(engine)

	change(t, alice, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateLocked })
	person.awaitDecision(t, engine, authz.ReasonLocked)
	change(t, alice, func(m *v1alpha1.Member) { m.Spec.State = v1alpha1.StateActive })
	person.awaitDecision(t, engine, authz.ReasonGranted)
	change(t, ops, func(g *v1alpha1.Group) { g.Spec.Members = nil })
	person.awaitDecision(t, engine, authz.ReasonNotGranted)
	change(t, alice, func(m *v1alpha1.Member) { m.Spec.Groups = []v1alpha1.GroupRef{{Name: "ops"}} })
	person.awaitDecision(t, engine, authz.ReasonGranted)
	change(t, set, func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = []v1alpha1.Permission{"decided:thing:list"} })
	person.awaitDecision(t, engine, authz.ReasonNotGranted)
	change(t, set, func(s *v1alpha1.PermissionSet) { s.Spec.Permissions = []v1alpha1.Permission{"decided:*:*"} })
	all(engine)

	revision, err := o.Store.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.halt(t)
	loseDatabase(t, o)
	o.start(t)
	engine = startEngine(t, o)
	all(engine)
	if _, err := engine.ViewAt(t.Context(), revision); !errors.Is(err, store.ErrOtherIncarnation) {
		t.Errorf("a revision of the store that was lost: %v", err)
	}

	for _, taken := range []struct {
		object client.Object
		asked  question
		gets   authz.Reason
	}{
		{forCI, pipeline, authz.ReasonNotGranted}, {key, pipeline, authz.ReasonUnknownSubject},
		{web, person, authz.ReasonUnknownScope}, {alice, person, authz.ReasonUnknownSubject},
	} {
		remove(t, taken.object)
		taken.asked.awaitDecision(t, engine, taken.gets)
	}
}
