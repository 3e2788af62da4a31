// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// TestKeyExpiresWhenever: times that nanoseconds since 1970 can't tell are times like any other.
func TestKeyExpiresWhenever(t *testing.T) {
	for when, want := range map[string]authz.Reason{
		"0001-01-02T00:00:00Z": authz.ReasonKeyExpired, "1600-01-01T00:00:00Z": authz.ReasonKeyExpired, "1970-01-01T00:00:00Z": authz.ReasonKeyExpired,
		noon.Format(time.RFC3339): authz.ReasonKeyExpired, "2026-03-02T12:00:01Z": authz.ReasonGranted, "2300-01-01T00:00:00Z": authz.ReasonGranted, "9999-12-31T00:00:00Z": authz.ReasonGranted,
	} {
		expires, err := time.Parse(time.RFC3339, when)
		if err != nil {
			t.Fatal(err)
		}
		key := &iam.APIKey{Head: iam.Head{ID: "SCWKEY", OrganizationID: "acme"}, BearerKind: iam.PrincipalApplication, BearerID: "ci", Digest: "digest of a secret", ExpiresAt: &expires}
		d := decide(t, acme(key, grant("p", iam.PrincipalApplication, "ci", "", []string{"Buckets"})), ask(authz.SubjectAPIKey, "SCWKEY", "object_storage:bucket:read", "web"))
		if d.Reason != want || d.Principal.OrganizationID != "acme" {
			t.Errorf("a key that expires at %s: %+v, want %s", when, d, want)
		}
	}
}

// TestIDTakenByAnotherKind: an application may come by the id of a group that is about to go, before it goes. Who was in the group is
// granted nothing that is the application's.
func TestIDTakenByAnotherKind(t *testing.T) {
	for _, membership := range []iam.Membership{iam.MembershipAllUsers, iam.MembershipDeclared} {
		head := iam.Head{ID: "taken", OrganizationID: "acme"}
		changes := []store.Change{
			{Operation: store.OperationPut, Entity: &iam.Group{Head: head, Membership: membership, Members: []string{"alice"}}},
			{Operation: store.OperationPut, Entity: &iam.Application{Head: head, Name: "taken"}},
			{Operation: store.OperationPut, Entity: grant("p", iam.PrincipalApplication, "taken", "", []string{"Buckets"})},
			{Operation: store.OperationDelete, Kind: iam.KindGroup, ID: "taken"},
			{Operation: store.OperationPut, Entity: &iam.Application{Head: head, Name: "changed"}},
		}
		snapshot := authz.NewSnapshot(acme(), at(1))
		for i, change := range changes {
			change.Revision = at(int64(i + 2))
			snapshot = snapshot.Apply(change)
			if d := snapshot.Decide(ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web"), noon); d.Allowed {
				t.Errorf("%s, after change %d alice is granted what the application is: %+v", membership, i, d)
			}
		}
		if d := snapshot.Decide(ask(authz.SubjectApplication, "taken", "object_storage:bucket:read", "web"), noon); !d.Allowed {
			t.Errorf("%s: the application that took the id gets %s", membership, d.Reason)
		}
	}
}

// TestGroupBearsNoKey: a key whose row names a group acts for nobody, whatever the group is granted.
func TestGroupBearsNoKey(t *testing.T) {
	key := &iam.APIKey{Head: iam.Head{ID: "SCWKEY", OrganizationID: "acme"}, BearerKind: iam.PrincipalGroup, BearerID: "ops", Digest: "digest of a secret"}
	d := decide(t, acme(key, grant("p", iam.PrincipalGroup, "ops", "", []string{"Buckets"})), ask(authz.SubjectAPIKey, "SCWKEY", "object_storage:bucket:read", "web"))
	if d.Allowed || d.Reason != authz.ReasonBearerGone {
		t.Errorf("it gets %+v", d)
	}
}

// TestConditionsHaveABudget: nobody can write so many costly conditions that others have to wait; what comes before the end of the
// budget counts.
func TestConditionsHaveABudget(t *testing.T) {
	costly := fmt.Sprintf(`resource.name.matches("(%sb")`, strings.Repeat("(a?){9}", 1)+"){9}")
	p := grant("p", iam.PrincipalMember, "alice", costly, []string{"Buckets"})
	for len(p.Rules) < 500 {
		p.Rules = append(p.Rules, p.Rules[0])
	}
	r := ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web")
	r.Attributes.ResourceName = strings.Repeat("a", 1000)
	d := decide(t, acme(p), r)
	if d.Allowed || d.Reason != authz.ReasonConditionFailed || d.Err == nil || !strings.Contains(d.Err.Error(), "units allowed together") {
		t.Errorf("500 costly conditions: %+v", d)
	}
	first := grant("a", iam.PrincipalMember, "alice", `resource.name.startsWith("a")`, []string{"Buckets"})
	first.CreatedAt = noon.Add(-time.Minute)
	if d := decide(t, acme(p, first), r); !d.Allowed {
		t.Errorf("a condition that holds, before them: %+v", d)
	}
}

func TestExplain(t *testing.T) {
	world := acme(
		grant("readers", iam.PrincipalGroup, "ops", "", []string{"Buckets"}, "web"),
		grant("office", iam.PrincipalMember, "alice", `inIpRange(request.ip, "10.0.0.0/8")`, []string{"Buckets"}),
		&iam.Member{Head: iam.Head{ID: "locked", OrganizationID: "acme"}, Type: iam.TypeMember, Username: "locked", Locked: "Declared"},
	)
	for name, test := range map[string]struct {
		r        *authz.Request
		reason   authz.Reason
		sentence string
		remedy   string
	}{
		"owner":         {ask(authz.SubjectOwner, "owner", "iam:user:read", ""), authz.ReasonOwner, "the owner may do everything", ""},
		"by a group":    {ask(authz.SubjectUser, "bob", "object_storage:bucket:read", "web"), authz.ReasonGranted, "policy readers grants it to group ops, by permission set Buckets", ""},
		"condition":     {ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web"), authz.ReasonConditionFailed, "its condition can't be evaluated (request.ip is not known)", "the condition of policy office holds: inIpRange"},
		"out of scope":  {ask(authz.SubjectUser, "bob", "object_storage:bucket:read", "acme"), authz.ReasonOutOfScope, "but not there", "it asks for what is granted already: on Project web"},
		"not granted":   {ask(authz.SubjectUser, "bob", "instances:server:read", "web"), authz.ReasonNotGranted, "no policy that reaches it", "grants one of the permission sets Everything on Project web"},
		"organization":  {ask(authz.SubjectUser, "bob", "iam:user:read", "web"), authz.ReasonNotGranted, "no policy that reaches it", "grants one of the permission sets People on the Organization as a whole"},
		"in no set":     {ask(authz.SubjectUser, "bob", "iam:user_:read", ""), authz.ReasonNotGranted, "no policy that reaches it", "no set does at the moment"},
		"locked":        {ask(authz.SubjectUser, "locked", "object_storage:bucket:read", "foreign"), authz.ReasonLocked, "on Project foreign: the user is locked", "unlock the Member"},
		"unknown":       {ask(authz.SubjectUser, "nobody", "object_storage:bucket:read", "web"), authz.ReasonUnknownSubject, "user nobody may not do", "that exists"},
		"foreign scope": {ask(authz.SubjectUser, "bob", "object_storage:bucket:read", "foreign"), authz.ReasonUnknownScope, "no such Project", "name a Project of the subject's Organization"},
		"malformed":     {ask(authz.SubjectUser, "bob", "", "web"), authz.ReasonMalformed, "no permission that anybody could have", "ask for a permission such as"},
	} {
		t.Run(name, func(t *testing.T) {
			e := authz.NewSnapshot(world, at(1)).View(noon).Explain(test.r)
			if e.Decision.Reason != test.reason || !strings.Contains(e.Sentence, test.sentence) {
				t.Errorf("%s: %s\nwant %s: %s", e.Decision.Reason, e.Sentence, test.reason, test.sentence)
			}
			if remedies := strings.Join(e.Remedies, "\n"); !strings.Contains(remedies, test.remedy) || test.remedy == "" && remedies != "" {
				t.Errorf("remedies: %s\nwant %s", remedies, test.remedy)
			}
		})
	}
}
