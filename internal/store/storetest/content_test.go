// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// declared gives what one set of objects comes to in a cluster that draws its ids from a
// prefix, and its times from a start.
func declared(prefix string, start time.Time) []iam.Entity {
	h := func(kind, objectKind iam.Kind, id, name string) iam.Head {
		return iam.Head{
			ID: prefix + id, OrganizationID: prefix + "o", CreatedAt: start,
			Object: iam.Object{Kind: objectKind, Namespace: "home", Name: name, UID: prefix + "uid-" + id},
		}
	}
	key := func(id string, minted time.Time, retiring bool) iam.Entity {
		k := &iam.APIKey{
			Head: h(iam.KindAPIKey, iam.KindAPIKey, id, "key"), BearerKind: iam.PrincipalOwner, BearerID: prefix + "w",
			DefaultProjectID: prefix + "o", ExpiresAt: new(minted.Add(time.Hour)), Retiring: retiring, Digest: prefix + id, DigestKeyID: prefix,
		}
		k.CreatedAt = minted
		return k
	}
	return []iam.Entity{
		&iam.Organization{Head: h(iam.KindOrganization, iam.KindOrganization, "o", "org"), OwnerID: prefix + "w", NamespaceUID: prefix + "ns"},
		&iam.Project{Head: h(iam.KindProject, iam.KindOrganization, "o", "org"), Name: "default"},
		&iam.Member{Head: h(iam.KindMember, iam.KindOrganization, "w", "org"), Type: iam.TypeOwner},
		&iam.Member{
			Head: h(iam.KindMember, iam.KindMember, "a", "ann"), Username: "ann", MFA: true, PasswordUpdatedAt: new(start.Add(time.Hour)),
			GracePeriods: []iam.MemberGracePeriod{{Type: "UpdatePassword", StartedAt: start, ExpiresAt: start.Add(time.Hour)}},
		},
		&iam.Member{Head: h(iam.KindMember, iam.KindMember, "b", "bea"), Username: "bea"},
		&iam.Group{Head: h(iam.KindGroup, iam.KindGroup, "g", "group"), Members: []string{prefix + "a", prefix + "b"}},
		// The old key first, whichever access key was drawn.
		key(prefix+"1", start, true), key("0"+prefix, start.Add(time.Minute), false),
		&iam.Policy{
			Head: h(iam.KindPolicy, iam.KindPolicy, "p", "policy"), PrincipalID: prefix + "g",
			Rules: []iam.Rule{{ID: prefix + "rule", ProjectIDs: []string{prefix + "o"}}},
		},
	}
}

// TestContentByName compares two clusters with the same objects, given in another order.
func TestContentByName(t *testing.T) {
	one, two := openStore(t), openStore(t)
	put(t, one, declared("a", birth)...)
	others := declared("z", birth.Add(24*time.Hour))
	for i := range others { // backwards, each in a transaction of its own
		put(t, two, others[len(others)-1-i])
	}
	group, _ := others[5].(*iam.Group)
	group.Members = []string{group.Members[1], group.Members[0]}
	put(t, two, group)

	a, err := ContentByName(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ContentByName(t.Context(), two)
	if err != nil || a != b {
		t.Errorf("(%v) one holds\n%sand two\n%s", err, a, b)
	}
	for _, want := range []string{
		`"members":["Member/home/ann","Member/home/bea"]`, `"ownerID":"Organization/home/org#Member"`,
		"APIKey APIKey/home/key#2 ", `"principalID":"Group/home/group"`, `"defaultProjectID":"Organization/home/org"`,
	} {
		if !strings.Contains(a, want) {
			t.Errorf("%s is not in\n%s", want, a)
		}
	}
	// What is history makes no difference; a difference that counts is seen.
	if err := two.Attribute(t.Context(), iam.Attribution{ObjectUID: "uid-a"}); err != nil {
		t.Fatal(err)
	}
	if err := two.Tell(t.Context(), iam.MemberEvent{MemberID: "za", Kind: iam.LoginFailed}); err != nil {
		t.Fatal(err)
	}
	if b, err = ContentByName(t.Context(), two); err != nil || a != b {
		t.Errorf("(%v) who asked, and what log-in told, make a difference:\n%s", err, b)
	}
	remove(t, two, iam.KindMember, "zb")
	if b, err = ContentByName(t.Context(), two); err != nil || a == b {
		t.Errorf("(%v) a missing Member makes no difference", err)
	}
}

// TestContent tells stores apart by all but history.
func TestContent(t *testing.T) {
	one, two := openStore(t), openStore(t)
	put(t, one, project("o", "a", "A"), project("o", "b", "B"))
	put(t, two, project("o", "b", "other"), project("o", "c", "C"))
	if a, b := content(t, one), content(t, two); a == b {
		t.Errorf("different stores both hold\n%s", a)
	}
	put(t, two, project("o", "b", "B"), project("o", "a", "A"))
	remove(t, two, iam.KindProject, "c")
	if a, b := content(t, one), content(t, two); a != b || strings.Count(a, "\n") != 2 {
		t.Errorf("one holds\n%sand two\n%s", a, b)
	}
}

func content(t *testing.T, s store.Store) string {
	t.Helper()
	text, err := Content(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
