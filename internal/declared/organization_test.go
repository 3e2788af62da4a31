// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func organizationHead() iam.Head {
	h := head(iam.KindOrganization, "acme")
	h.OrganizationID = h.ID
	return h
}

func TestOrganization(t *testing.T) {
	same(t, declared.Organization(organization(), otherID), &iam.Organization{
		Head: organizationHead(), Name: "Acme Corp", Alias: "acme", NamespaceUID: otherID, OwnerID: iam.OwnerID(uid),
		Security: iam.Security{
			LoginMethods: []string{"SAML", "Password"}, MFARequired: true, RenewPasswordAtLogin: true, PasswordMinLength: 20,
			GracePeriod: 24 * time.Hour, LoginAttemptsBeforeLock: 5, MaxLoginSession: 90 * time.Minute, MaxAPIKeyLifetime: 2160 * time.Hour,
		},
		Quotas: iam.Quotas{
			Members: new(1), Applications: new(2), Groups: new(3), Policies: new(4), APIKeys: new(5), Projects: new(6), SSHKeys: new(0),
		},
		AuditRetention: 1440 * time.Hour,
	})
}

func TestOrganizationDefaults(t *testing.T) {
	bare := &v1alpha1.Organization{ObjectMeta: meta("acme"), Spec: v1alpha1.OrganizationSpec{Owner: v1alpha1.Owner{Email: "owner@acme.example"}}}
	check(t, declared.ValidateOrganization(bare))
	wanted := &iam.Organization{
		Head: organizationHead(), Name: "acme", OwnerID: iam.OwnerID(uid),
		Security: iam.Security{
			LoginMethods: []string{"Password", "MagicCode"}, PasswordMinLength: 15,
			GracePeriod: 72 * time.Hour, LoginAttemptsBeforeLock: 10, MaxLoginSession: 720 * time.Hour,
		},
		AuditRetention: 720 * time.Hour,
	}
	same(t, declared.Organization(bare, ""), wanted)

	bare.Spec.Security, bare.Spec.Quotas, bare.Spec.AuditLog = &v1alpha1.Security{}, &v1alpha1.Quotas{}, &v1alpha1.AuditLog{}
	same(t, declared.Organization(bare, ""), wanted)

	bare.Spec.Security.MFA = v1alpha1.MFARequired
	wanted.Security.MFARequired, wanted.Security.PasswordMinLength = true, 8
	same(t, declared.Organization(bare, ""), wanted)
}

// What the validator refuses never weakens an Organization, should it be converted all the same.
func TestOrganizationFailsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		written   v1alpha1.Duration
		grace     time.Duration
		session   time.Duration
		lifetime  time.Duration
		retention time.Duration
	}{
		"malformed": {"1d", time.Hour, 5 * time.Minute, time.Hour, 87600 * time.Hour},
		"too short": {"0s", time.Hour, 5 * time.Minute, time.Hour, 24 * time.Hour},
		"too long":  {"99999h", 8760 * time.Hour, 8760 * time.Hour, 87600 * time.Hour, 87600 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			o := organization()
			s := o.Spec.Security
			s.GracePeriod, s.MaxLoginSession, s.MaxAPIKeyLifetime, o.Spec.AuditLog.Retention = c.written, c.written, c.written, c.written
			got := declared.Organization(o, "")
			if got.Security.GracePeriod != c.grace || got.Security.MaxLoginSession != c.session ||
				got.Security.MaxAPIKeyLifetime != c.lifetime || got.AuditRetention != c.retention {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOwner(t *testing.T) {
	h := organizationHead()
	h.ID = iam.OwnerID(uid)
	owner := declared.Owner(organization())
	same(t, owner, &iam.Member{
		Head: h, Type: iam.TypeOwner, Email: "owner@acme.example", FirstName: "Ada", LastName: "Ng", Locale: "en_US",
		KubernetesUsers: []string{"ada@corp.example"},
	})
	if owner.UniqueName() != "" || !owner.Active() {
		t.Errorf("the owner claims the name %q, active: %t", owner.UniqueName(), owner.Active())
	}
	handedOver := organization()
	handedOver.Spec.Owner = v1alpha1.Owner{Email: "bob@acme.example"}
	if got := declared.Owner(handedOver).ID; got != h.ID {
		t.Errorf("the successor has the id %s, want %s", got, h.ID)
	}
}

func TestDefaultProject(t *testing.T) {
	same(t, declared.DefaultProject(organization()), &iam.Project{
		Head: organizationHead(), Name: "main", Description: "what has no project of its own",
	})
	bare := organization()
	bare.Spec.DefaultProject = nil
	same(t, declared.DefaultProject(bare), &iam.Project{Head: organizationHead(), Name: "default"})
	bare.Spec.DefaultProject = &v1alpha1.DefaultProject{Description: "d"}
	same(t, declared.DefaultProject(bare), &iam.Project{Head: organizationHead(), Name: "default", Description: "d"})
}

func TestValidateOrganization(t *testing.T) {
	type organizationCase = invalid[*v1alpha1.Organization]
	refuses(t, organization, declared.ValidateOrganization, map[string]organizationCase{
		"no e-mail of the owner": {
			func(o *v1alpha1.Organization) { o.Spec.Owner.Email = "" },
			[]want{{"spec.owner.email", "write an e-mail address such as maya@acme.example"}},
		},
		"malformed e-mail of the owner": {
			func(o *v1alpha1.Organization) { o.Spec.Owner.Email = "owner@" },
			[]want{{"spec.owner.email", `"owner@": this is not an e-mail address; write an address such as`}},
		},
		"Selector without a selector": {
			func(o *v1alpha1.Organization) { o.Spec.AllowedNamespaces.Selector = nil },
			[]want{{"spec.allowedNamespaces.selector", "from: Selector needs a selector; use from: All"}},
		},
		"All with a selector": {
			func(o *v1alpha1.Organization) { o.Spec.AllowedNamespaces.From = v1alpha1.NamespacesAll },
			[]want{{"spec.allowedNamespaces.selector", "a selector goes with from: Selector only"}},
		},
		"a label that can't be": {
			func(o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces.Selector.MatchLabels = map[string]string{"a b": "x", "a c": "x"}
			},
			[]want{{"spec.allowedNamespaces.selector.matchLabels", `"a b"`}, {"spec.allowedNamespaces.selector.matchLabels", `"a c"`}},
		},
		"a label value that can't be": {
			func(o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces.Selector.MatchExpressions[0].Values[1] = "no!"
			},
			[]want{{"spec.allowedNamespaces.selector.matchExpressions[0].values[1]", `"no!"`}},
		},
		"an operator without its values": {
			func(o *v1alpha1.Organization) { o.Spec.AllowedNamespaces.Selector.MatchExpressions[0].Values = nil },
			[]want{{"spec.allowedNamespaces.selector.matchExpressions[0].values", "must be specified when `operator` is 'In'"}},
		},
		"an unknown operator": {
			func(o *v1alpha1.Organization) {
				o.Spec.AllowedNamespaces.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}
			},
			[]want{{"spec.allowedNamespaces.selector.matchExpressions[0].operator", "not a valid selector operator"}},
		},
		"grace period too short": {
			func(o *v1alpha1.Organization) { o.Spec.Security.GracePeriod = "59m" },
			[]want{{"spec.security.gracePeriod", `"59m": must be between 1h and 8760h`}},
		},
		"session too short": {
			func(o *v1alpha1.Organization) { o.Spec.Security.MaxLoginSession = "299s" },
			[]want{{"spec.security.maxLoginSession", "must be between 5m and 8760h"}},
		},
		"key lifetime too long": {
			func(o *v1alpha1.Organization) { o.Spec.Security.MaxAPIKeyLifetime = "87601h" },
			[]want{{"spec.security.maxAPIKeyLifetime", "must be between 1h and 87600h"}},
		},
		"retention too short": {
			func(o *v1alpha1.Organization) { o.Spec.AuditLog.Retention = "23h59m" },
			[]want{{"spec.auditLog.retention", "must be between 24h and 87600h"}},
		},
		"retention in days": {
			func(o *v1alpha1.Organization) { o.Spec.AuditLog.Retention = "30d" },
			[]want{{"spec.auditLog.retention", `"30d": a duration is up to four numbers, each with one of the units h, m, s and ms, such as 72h`}},
		},
		"everything at once": {
			func(o *v1alpha1.Organization) {
				o.Spec.Owner.Email, o.Spec.Security.GracePeriod, o.Spec.AuditLog.Retention = "x", "x", "x"
			},
			[]want{{"spec.owner.email", "not an e-mail"}, {"spec.security.gracePeriod", "a duration"}, {"spec.auditLog.retention", "a duration"}},
		},
	})
	passes(t, organization, declared.ValidateOrganization, map[string]func(*v1alpha1.Organization){
		"no selection": func(o *v1alpha1.Organization) { o.Spec.AllowedNamespaces = nil },
		"Same": func(o *v1alpha1.Organization) {
			o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSame}
		},
		"the least": func(o *v1alpha1.Organization) {
			o.Spec.Security.GracePeriod, o.Spec.Security.MaxLoginSession, o.Spec.AuditLog.Retention = "1h", "300s", "1440m"
		},
		"the most": func(o *v1alpha1.Organization) {
			o.Spec.Security.GracePeriod, o.Spec.Security.MaxAPIKeyLifetime, o.Spec.AuditLog.Retention = "8760h", "87600h", "87600h"
		},
	})
}

func TestEmails(t *testing.T) {
	long := strings.Repeat("a", 64)
	for email, words := range map[string]string{
		"maya@acme.example":                     "",
		"Maya.Diaz+iam@mail.acme.example":       "",
		"o'neill_1@acme-corp.example":           "",
		"maya@ac.me":                            "",
		"maya@bücher.example":                   "",
		"maya@उदाहरण.परीक्षा":                   "",
		"máya@acme.example":                     "",
		long + "@acme.example":                  "",
		"":                                      "write an e-mail address",
		"maya":                                  "not an e-mail address",
		"maya@":                                 "not an e-mail address",
		"@acme.example":                         "not an e-mail address",
		"maya@@acme.example":                    "not an e-mail address",
		"maya@a@acme.example":                   "not an e-mail address",
		"maya..diaz@acme.example":               "not an e-mail address",
		"maya.@acme.example":                    "not an e-mail address",
		"maya@acme..example":                    "not an e-mail address",
		"maya@acme.example, ada@acme.example":   "not an e-mail address",
		"maya\n@acme.example":                   "not an e-mail address",
		"maya\xff@acme.example":                 "not an e-mail address",
		"Maya Diaz <maya@acme.example>":         "leave out names, quotes, brackets and comments",
		"<maya@acme.example>":                   "leave out names, quotes, brackets and comments",
		" maya@acme.example":                    "leave out names, quotes, brackets and comments",
		"maya@acme.example (Maya)":              "leave out names, quotes, brackets and comments",
		`"maya diaz"@acme.example`:              "leave out names, quotes, brackets and comments",
		"maya@acme":                             "no complete domain",
		"maya@localhost":                        "no complete domain",
		"maya@[192.0.2.1]":                      "is no domain",
		"maya@-acme.example":                    "is no domain",
		"maya@acme-.example":                    "is no domain",
		"maya@acme_corp.example":                "is no domain",
		"maya@acme\u200b.example":               "is no domain",
		"maya@" + long + ".example":             "is no domain",
		"ma\u202eya@acme.example":               "cannot be seen",
		long + "a@acme.example":                 "at most 64 bytes, and this one has 65",
		"a@" + strings.Repeat("a.", 125) + "ab": "",
		"a@" + strings.Repeat("a.", 126) + "a":  "at most 254 bytes, and this one has 255",
	} {
		t.Run(email, func(t *testing.T) {
			o := organization()
			o.Spec.Owner.Email = v1alpha1.Email(email)
			if words == "" {
				check(t, declared.ValidateOrganization(o))
			} else {
				check(t, declared.ValidateOrganization(o), want{"spec.owner.email", words})
			}
		})
	}
}
