// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestMember(t *testing.T) {
	wanted := &iam.Member{
		Head: head(iam.KindMember, "maya"), Type: iam.TypeMember, Username: "Maya", Email: "maya@acme.example", FirstName: "Maya",
		LastName: "Diaz", PhoneNumber: "+33612345678", Locale: "fr_FR", Tags: []string{"b", "a=1"}, Groups: []string{otherID, projectID},
		KubernetesUsers: []string{"maya@corp.example"}, Locked: "Declared",
	}
	// A group that is named twice is joined once; one that was not found is not joined.
	same(t, declared.Member(member(), organizationID, []string{otherID, "", projectID, otherID}), wanted)

	unlocked := member()
	unlocked.Spec.State, unlocked.Spec.Type, unlocked.Spec.Locale = v1alpha1.StateActive, "", ""
	wanted.Locked, wanted.Locale, wanted.Groups = "", "en_US", nil
	same(t, declared.Member(unlocked, organizationID, nil), wanted)
}

func TestGuest(t *testing.T) {
	for name, c := range map[string]struct {
		invitation *v1alpha1.Invitation
		invited    bool
	}{
		"no invitation yet": {nil, true},
		"pending":           {&v1alpha1.Invitation{State: v1alpha1.InvitationPending}, true},
		"accepted":          {&v1alpha1.Invitation{State: v1alpha1.InvitationAccepted}, false},
		"expired":           {&v1alpha1.Invitation{State: v1alpha1.InvitationExpired}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := guest()
			g.Status.Invitation = c.invitation
			got := declared.Member(g, organizationID, nil)
			same(t, got, &iam.Member{
				Head: head(iam.KindMember, "gus"), Type: iam.TypeGuest, Email: "gus@elsewhere.example", Locale: "en_US", Tags: []string{"a"}, Invited: c.invited,
			})
			if got.Active() == c.invited {
				t.Errorf("active: %t", got.Active())
			}
		})
	}
}

func TestValidateMember(t *testing.T) {
	type memberCase = invalid[*v1alpha1.Member]
	refuses(t, member, declared.ValidateMember, map[string]memberCase{
		"no username": {
			func(m *v1alpha1.Member) { m.Spec.Username = "" },
			[]want{{"spec.username", "Required value: a Member logs in by username: 2 to 150 letters, digits and @ . _ -"}},
		},
		"malformed e-mail": {
			func(m *v1alpha1.Member) { m.Spec.Email = "maya" },
			[]want{{"spec.email", "not an e-mail address"}},
		},
		"the same tag twice": {
			func(m *v1alpha1.Member) { m.Spec.Tags = []v1alpha1.Tag{"a", "b", "a"} },
			[]want{{"spec.tags[2]", `Duplicate value: "a"`}},
		},
		"a tag with a colon": {
			func(m *v1alpha1.Member) { m.Spec.Tags = []v1alpha1.Tag{"a", "team:web"} },
			[]want{{"spec.tags[1]", `"team:web": a tag has 1 to 70 letters, digits, blanks and . _ - / = + @`}},
		},
		"an empty tag": {
			func(m *v1alpha1.Member) { m.Spec.Tags = []v1alpha1.Tag{""} },
			[]want{{"spec.tags[0]", "a tag has 1 to 70"}},
		},
		"too many tags": {
			func(m *v1alpha1.Member) {
				m.Spec.Tags = []v1alpha1.Tag{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}
			},
			[]want{{"spec.tags", "Too many: 11: must have at most 10 items"}},
		},
		"a password from nowhere": {
			func(m *v1alpha1.Member) { m.Spec.Password = &v1alpha1.MemberPassword{} },
			[]want{{"spec.password", "write exactly one of secretRef and generate"}},
		},
		"a password from two places": {
			func(m *v1alpha1.Member) { m.Spec.Password.Generate = &v1alpha1.GeneratedPassword{SecretName: "x"} },
			[]want{{"spec.password", "write exactly one of secretRef and generate"}},
		},
	})
	for username, words := range map[string]string{
		"owner":                  "owner, root and scaleway are reserved usernames; choose another",
		"Root":                   "owner, root and scaleway are reserved",
		"SCALEWAY":               "owner, root and scaleway are reserved",
		"system:admin":           "names that begin with system: are reserved for Kubernetes",
		"System:admin":           "names that begin with system: are reserved for Kubernetes",
		"m":                      `"m": a username has 2 to 150 letters, digits and @ . _ -`,
		"maya diaz":              "a username has 2 to 150",
		"maya:diaz":              "a username has 2 to 150",
		"máya":                   "a username has 2 to 150",
		"maya\n":                 "a username has 2 to 150",
		strings.Repeat("m", 151): "a username has 2 to 150",
		strings.Repeat("m", 150): "",
		"maya@acme.example":      "",
		"owners":                 "",
		"root_":                  "",
		"system":                 "",
	} {
		t.Run("username "+username, func(t *testing.T) {
			m := member()
			m.Spec.Username = username
			if words == "" {
				check(t, declared.ValidateMember(m))
			} else {
				check(t, declared.ValidateMember(m), want{"spec.username", words})
			}
		})
	}
}

func TestValidateGuest(t *testing.T) {
	type guestCase = invalid[*v1alpha1.Member]
	refuses(t, guest, declared.ValidateMember, map[string]guestCase{
		"everything that a Member has": {
			func(m *v1alpha1.Member) { m.Spec = member().Spec; m.Spec.Type = v1alpha1.TypeGuest },
			[]want{
				{"spec.username", "a Guest has an e-mail only; remove username, or declare a Member instead"},
				{"spec.firstName", "remove firstName"},
				{"spec.lastName", "remove lastName"},
				{"spec.phoneNumber", "remove phoneNumber"},
				{"spec.locale", "remove locale"},
				{"spec.state", "remove state"},
				{"spec.password", "remove password"},
				{"spec.kubernetesUsers", "remove kubernetesUsers"},
			},
		},
		"no e-mail": {
			func(m *v1alpha1.Member) { m.Spec.Email = "" },
			[]want{{"spec.email", "write an e-mail address"}},
		},
	})
}

func TestReservedUsername(t *testing.T) {
	for name, c := range map[string]struct {
		username string
		owner    v1alpha1.Email
		refused  bool
	}{
		"the owner's e-mail":             {"owner@acme.example", "owner@acme.example", true},
		"the owner's e-mail in capitals": {"OWNER@Acme.Example", "owner@acme.example", true},
		"another name":                   {"maya", "owner@acme.example", false},
		"a part of it":                   {"owner@acme", "owner@acme.example", false},
		"no username":                    {"", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := member()
			m.Spec.Username = c.username
			err := declared.ReservedUsername(m, c.owner)
			if (err != nil) != c.refused {
				t.Fatalf("got %v", err)
			}
			if err != nil && (err.Field != "spec.username" || !strings.Contains(err.Error(), "choose another username")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whether a username passes does not depend on its case, since two that differ in nothing else are the same.
func FuzzUsername(f *testing.F) {
	for _, username := range []string{
		"maya", "Maya.Diaz-42_x", "maya@acme.example", "m", "", "OWNER", "rooT", "scaleway", "ſcaleway", "system:admin", "System:x",
		"maya\n", "máya", "\xff\xfe", "K\u212a", strings.Repeat("m", 150), strings.Repeat("m", 151),
	} {
		f.Add(username)
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-"
	f.Fuzz(func(t *testing.T, username string) {
		m := member()
		m.Spec.Username = username
		errs := declared.ValidateMember(m)
		passes := len(username) >= 2 && len(username) <= 150 && strings.Trim(username, letters) == ""
		for _, reserved := range []string{"owner", "root", "scaleway"} {
			passes = passes && !strings.EqualFold(username, reserved)
		}
		if passes != (len(errs) == 0) {
			t.Fatalf("%q got %v", username, errs)
		}
		if !passes {
			if len(errs) != 1 || errs[0].Field != "spec.username" {
				t.Errorf("%q got %v, want one error about spec.username", username, errs)
			}
			return
		}
		for _, other := range []string{strings.ToUpper(username), strings.ToLower(username)} {
			m.Spec.Username = other
			check(t, declared.ValidateMember(m))
			if declared.ReservedUsername(m, v1alpha1.Email(username)) == nil {
				t.Errorf("%q passes where the owner's e-mail is %q", other, username)
			}
		}
	})
}
