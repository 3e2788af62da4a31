// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func unlocated() iam.Event {
	return iam.Event{
		ID: "earlier", Sequence: 7, RecordedAt: created, Organization: iam.EventOrganization{ID: organizationID, Name: "Acme Corp"},
		Namespace: "acme", NamespaceUID: homeUID, ProjectID: "project-web", Principal: iam.Actor{Kind: iam.ActorMember, ID: "member-maya", Name: "maya"},
		KubernetesUser: "maya@acme.example", SourceIP: iam.Unknown, UserAgent: iam.Unknown, Product: "iam", Service: "scaleway.iam.v1alpha1.Api",
		Method: "CreateSSHKey", Action: iam.ActionCreated, RequestID: "request-1", StatusCode: 200,
		Resources: []iam.EventResource{{Kind: iam.KindSSHKey, ID: "ssh-maya"}},
	}
}

// Whoever may read an event may read where its request came from, and nobody else.
func TestOriginLiesWhereTheEventDoes(t *testing.T) {
	of := unlocated()
	at := created.Add(time.Second).In(time.FixedZone("elsewhere", 3600))
	got, ok := audit.Origin(of, "192.0.2.7", "kubectl/v1.37.2", "later", at)
	if !ok {
		t.Fatal("there is no event")
	}
	if got.Organization != of.Organization || got.Namespace != of.Namespace || got.NamespaceUID != of.NamespaceUID || got.ProjectID != of.ProjectID {
		t.Errorf("it lies elsewhere: %+v", got)
	}
	want := iam.EventOrigin{EventID: "earlier", EventSequence: 7, SourceIP: "192.0.2.7", UserAgent: "kubectl/v1.37.2"}
	if got.Origin == nil || *got.Origin != want {
		t.Errorf("origin %+v, want %+v", got.Origin, want)
	}
	if got.ID != "later" || !got.RecordedAt.Equal(at) || got.RecordedAt.Location() != time.UTC || got.Method != "RecordOrigin" || got.Principal.Kind != iam.ActorSystem {
		t.Errorf("got %+v", got)
	}
}

func TestOriginAddsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		edit      func(*iam.Event)
		ip, agent string
	}{
		"to one that knows":                          {edit: func(e *iam.Event) { e.SourceIP, e.UserAgent = "192.0.2.1", "curl" }, ip: "192.0.2.7", agent: "kubectl"},
		"to one that knows the address":              {edit: func(e *iam.Event) { e.SourceIP = "192.0.2.1" }, ip: "192.0.2.7", agent: "kubectl"},
		"to one that tells of an origin itself":      {edit: func(e *iam.Event) { e.Origin = &iam.EventOrigin{} }, ip: "192.0.2.7", agent: "kubectl"},
		"where nothing is known":                     {},
		"where there is no address and no agent":     {ip: "the moon"},
		"where the agent says that nothing is known": {ip: "unknown", agent: "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			of := unlocated()
			if test.edit != nil {
				test.edit(&of)
			}
			if got, ok := audit.Origin(of, test.ip, test.agent, "later", created); ok {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Both come from the client, who must be able neither to fill the log nor to break a line of it.
func TestOriginIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ip := rapid.OneOf(rapid.String(), rapid.Just("2001:db8::1"), rapid.Just("fe80::1%"+strings.Repeat("z", 99)), rapid.Just("192.0.2.7")).Draw(t, "ip")
		agent := strings.Repeat(string(rapid.SliceOf(rapid.Byte()).Draw(t, "agent")), rapid.IntRange(1, 100).Draw(t, "times"))
		got, ok := audit.Origin(unlocated(), ip, agent, "later", created)
		if !ok {
			return
		}
		if len(got.Origin.UserAgent) > 512 || !utf8.ValidString(got.Origin.UserAgent) || got.Origin.UserAgent == "" {
			t.Errorf("user agent %q", got.Origin.UserAgent)
		}
		if ip, err := netip.ParseAddr(got.Origin.SourceIP); (err != nil || ip.Zone() != "") && got.Origin.SourceIP != iam.Unknown {
			t.Errorf("address %q", got.Origin.SourceIP)
		}
	})
}
