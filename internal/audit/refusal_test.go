// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// refused is an attempt to create a policy that grants too much.
func refused(edits ...func(*audit.Refusal)) audit.Refusal {
	r := audit.Refusal{
		Kind: iam.KindPolicy, Name: "deploy", Action: iam.ActionCreated, OrganizationID: organizationID,
		StatusCode: 403, Reason: "needs the verb bind on projects/web", Cause: byMaya,
	}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

func refuse(t rapid.TB, s store.Store, refusal audit.Refusal) iam.Event {
	t.Helper()
	before := last(t, s)
	_, err := s.Write(context.Background(), func(tx store.Tx) error { return recorder.Refuse(context.Background(), tx, refusal) })
	if err != nil {
		t.Fatal(err)
	}
	got := events(t, s, before)
	if len(got) != 1 {
		t.Fatalf("events: %s", asJSON(t, got))
	}
	return got[0]
}

// An attempt that was refused says what was to be done, by whom, and why not; and no more.
func TestRefuse(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization())
	at := revision(t, s)
	authored := refused(func(r *audit.Refusal) { r.Cause.Authorship = &iam.Authorship{State: iam.AuthorshipAbsent} })
	got := refuse(t, s, authored)
	want := iam.Event{
		ID: got.ID, RecordedAt: now,
		Organization: iam.EventOrganization{ID: organizationID, Name: "Acme Corp"}, Namespace: "acme", NamespaceUID: homeUID,
		Principal: byMaya.Actor, KubernetesUser: "maya@corp.example", SourceIP: "192.0.2.7", UserAgent: "kubectl/v1.37", RequestID: "request-1",
		Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: "CreatePolicy", Action: iam.ActionCreated,
		StatusCode: 403, Reason: "needs the verb bind on projects/web",
		Resources: []iam.EventResource{{Kind: iam.KindPolicy, Type: "iam_policy", Name: "deploy", Action: iam.ActionCreated}},
	}
	if asJSON(t, got) != asJSON(t, want) {
		t.Errorf("got %s\nwant %s", asJSON(t, got), asJSON(t, want))
	}
	if revision(t, s) != at || got.Revision != at.String() {
		t.Errorf("a refusal took the store from %s to %s; its event says %s", at, revision(t, s), got.Revision)
	}
	if found, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{StatusCode: 403}}); err != nil || len(found) != 1 || found[0].ID != got.ID {
		t.Errorf("by its status code: %s (%v)", asJSON(t, found), err)
	}
}

func TestRefuseMethodAndResource(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization())
	of := func(kind iam.Kind, action iam.Action, id string) func(*audit.Refusal) {
		return func(r *audit.Refusal) { r.Kind, r.Action, r.ID, r.Name, r.StatusCode = kind, action, id, "x", 422 }
	}
	tests := []struct {
		name, want string
		refusal    audit.Refusal
	}{
		{"a member", "iam CreateUser created iam_user ", refused(of(iam.KindMember, iam.ActionCreated, ""))},
		{"a member's change", "iam UpdateUser updated iam_user m", refused(of(iam.KindMember, iam.ActionUpdated, "m"))},
		{"a policy's deletion", "iam DeletePolicy deleted iam_policy p", refused(of(iam.KindPolicy, iam.ActionDeleted, "p"))},
		{"an organization's deletion", "account CloseOrganization deleted account_organization o", refused(of(iam.KindOrganization, iam.ActionDeleted, "o"))},
		{"a project's change", "account UpdateProject updated account_project p", refused(of(iam.KindProject, iam.ActionUpdated, "p"))},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			e := refuse(t, s, c.refusal)
			r := e.Resources[0]
			if got := strings.Join([]string{e.Product, e.Method, string(r.Action), r.Type, r.ID}, " "); got != c.want || e.StatusCode != 422 || r.Action != e.Action {
				t.Errorf("got %q with status %d, want %q", got, e.StatusCode, c.want)
			}
			if want := map[bool]string{true: c.refusal.ID}[c.refusal.Kind == iam.KindProject]; e.ProjectID != want {
				t.Errorf("project %q, want %q", e.ProjectID, want)
			}
		})
	}
	if found, err := s.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: "m"}}); err != nil || len(found) != 1 {
		t.Errorf("by its resource: %s (%v)", asJSON(t, found), err)
	}
}

// A refusal is read where the other events of its Organization are.
func TestRefusePlace(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization())
	declared := with(organization(), func(o *iam.Organization) {
		o.ID, o.Name, o.Object.Namespace, o.NamespaceUID = "new", "New", "new-home", "uid-new"
	})
	in := func(id string, home *iam.Organization) audit.Refusal {
		return refused(func(r *audit.Refusal) { r.OrganizationID, r.Cause.Home = id, home })
	}
	tests := []struct {
		name    string
		refusal audit.Refusal
		want    [4]string
	}{
		{"the row of its Organization", in(organizationID, nil), [4]string{"acme", homeUID, organizationID, "Acme Corp"}},
		{"the row before what the cause says", in(organizationID, with(organization(), func(o *iam.Organization) { o.Object.Namespace = "lie" })), [4]string{"acme", homeUID, organizationID, "Acme Corp"}},
		{"an Organization that is yet to come", in("new", declared), [4]string{"new-home", "uid-new", "new", "New"}},
		{"the home of another", in("other", declared), [4]string{"iam-operator-system", "uid-system", "other", ""}},
		{"an Organization that nobody knows", in("gone", nil), [4]string{"iam-operator-system", "uid-system", "gone", ""}},
		{"no Organization", in("", declared), [4]string{"iam-operator-system", "uid-system", "", ""}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			e := refuse(t, s, c.refusal)
			if at := [4]string{e.Namespace, e.NamespaceUID, e.Organization.ID, e.Organization.Name}; at != c.want {
				t.Errorf("read at %q, want %q", at, c.want)
			}
		})
	}
}

func TestRefuseReason(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom([]string{"a", "é", "€", "😀", "\xff", "verb, "})
		reason := strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "reason"), "")
		reason = strings.Repeat("x", rapid.IntRange(1000, 1030).Draw(t, "before")) + reason
		got := refuse(t, s, refused(func(r *audit.Refusal) { r.Reason = reason })).Reason
		if len(got) > 1024 || !utf8.ValidString(got) {
			t.Fatalf("the reason has %d bytes: %q", len(got), got)
		}
		whole := strings.ToValidUTF8(reason, "\uFFFD")
		kept, wasCut := strings.CutSuffix(got, "…")
		if wasCut != (len(whole) > 1024) || !strings.HasPrefix(whole, kept) || wasCut && len(kept) < 1024-len("…")-utf8.UTFMax {
			t.Fatalf("of %q is left %q", whole, got)
		}
	})
}

// What is no refusal is not written as one, and a store that fails is not passed over.
func TestRefuseFails(t *testing.T) {
	s := open(t)
	put(t, s, audit.System(), organization())
	before := last(t, s)
	broken := errors.New("broken")
	working := func(tx store.Tx) store.Tx { return tx }
	tests := []struct {
		name    string
		refusal audit.Refusal
		tx      func(store.Tx) store.Tx
		says    string
	}{
		{"another kind", refused(func(r *audit.Refusal) { r.Kind = "Secret" }), working, `"Secret"`},
		{"another action", refused(func(r *audit.Refusal) { r.Action = "read" }), working, `"read"`},
		{"a success", refused(func(r *audit.Refusal) { r.StatusCode = 200 }), working, "200"},
		{"the event cannot be written", refused(), func(tx store.Tx) store.Tx { return failing{Tx: tx, append: broken} }, "broken"},
		{"the Organization cannot be read", refused(), func(tx store.Tx) store.Tx { return failing{Tx: tx, get: broken, of: iam.KindOrganization} }, "broken"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Write(t.Context(), func(tx store.Tx) error { return recorder.Refuse(t.Context(), c.tx(tx), c.refusal) })
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if got := events(t, s, before); len(got) > 0 {
		t.Errorf("events: %s", asJSON(t, got))
	}
}
