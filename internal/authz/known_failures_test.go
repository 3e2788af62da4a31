// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// What others got wrong, each with where it became known.

// TestConditionIsAskedEachTime: a cache that leaves the context out of its key answers one caller with another's condition
// (CVE-2026-33729).
func TestConditionIsAskedEachTime(t *testing.T) {
	s := authz.NewSnapshot(acme(grant("p", iam.PrincipalMember, "alice", `inIpRange(request.ip, "10.0.0.0/8")`, []string{"Buckets"})), at(1))
	r := ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web")
	for _, c := range []struct {
		ip      string
		allowed bool
	}{{"10.1.2.3", true}, {"192.0.2.1", false}, {"10.1.2.3", true}, {"", false}, {"10.1.2.3", true}} {
		r.Attributes.IP = c.ip
		if d := s.Decide(r, noon); d.Allowed != c.allowed {
			t.Errorf("from %q: allowed is %t, want %t (%s)", c.ip, d.Allowed, c.allowed, d.Reason)
		}
	}
}

// TestWildcardKeepsItsCondition: a grant by wildcard must not count where the condition of its rule does not hold (CVE-2025-64751).
func TestWildcardKeepsItsCondition(t *testing.T) {
	world := acme(grant("p", iam.PrincipalMember, "alice", `request.user_agent.startsWith("terraform/")`, []string{"Everything"}))
	for _, permission := range []string{"object_storage:bucket:read", "instances:server:start", "iam:ssh_key:read"} {
		r := ask(authz.SubjectUser, "alice", permission, "web")
		if d := decide(t, world, r); d.Allowed || d.Reason != authz.ReasonConditionFailed {
			t.Errorf("%s without a user agent: %t, %s", permission, d.Allowed, d.Reason)
		}
		r.Attributes.UserAgent = "curl/8"
		if d := decide(t, world, r); d.Allowed || d.Reason != authz.ReasonConditionFalse {
			t.Errorf("%s by another agent: %t, %s", permission, d.Allowed, d.Reason)
		}
		r.Attributes.UserAgent = "terraform/1.9"
		if d := decide(t, world, r); !d.Allowed {
			t.Errorf("%s by the agent of the condition: %s", permission, d.Reason)
		}
	}
}

// TestCaseIsNotFolded: what differs in case is something else (CVE-2026-55170).
func TestCaseIsNotFolded(t *testing.T) {
	world := acme(grant("p", iam.PrincipalMember, "alice", "", []string{"Buckets"}, "web"))
	if d := decide(t, world, ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "web")); !d.Allowed {
		t.Fatalf("as granted: %s", d.Reason)
	}
	folded := iam.Permission{Service: "object_storage", Resource: "bucket", Action: "READ"}
	for name, r := range map[string]*authz.Request{
		"subject":      ask(authz.SubjectUser, "Alice", "object_storage:bucket:read", "web"),
		"subject type": ask("User", "alice", "object_storage:bucket:read", "web"),
		"project":      ask(authz.SubjectUser, "alice", "object_storage:bucket:read", "WEB"),
		"key":          ask(authz.SubjectAPIKey, "scwbob", "object_storage:bucket:read", "web"),
		"action":       {Subject: authz.Subject{Kind: authz.SubjectUser, ID: "alice"}, Permission: folded, Scope: authz.Scope{ProjectID: "web"}},
	} {
		if d := decide(t, world, r); d.Allowed {
			t.Errorf("%s in another case is allowed", name)
		}
	}
}

// TestNobodyHasAWildcard: to ask for a pattern is not to ask for all that it covers.
func TestNobodyHasAWildcard(t *testing.T) {
	world := acme(grant("p", iam.PrincipalMember, "alice", "", []string{"Everything"}))
	for _, permission := range []iam.Permission{{Service: "*", Resource: "*", Action: "*"}, {Service: "object_storage", Resource: "bucket", Action: "*"}, {}, {Service: "object_storage", Resource: "bucket"}} {
		for _, who := range []string{"alice", "owner"} {
			r := &authz.Request{Subject: authz.Subject{Kind: authz.SubjectUser, ID: who}, Permission: permission}
			if d := decide(t, world, r); d.Allowed || d.Reason != authz.ReasonMalformed {
				t.Errorf("%s asks for %s: %t, %s", who, permission, d.Allowed, d.Reason)
			}
		}
	}
}
