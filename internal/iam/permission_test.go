// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParsePermission(t *testing.T) {
	long := strings.Repeat("a", MaxPermissionLength-len(":b:c"))
	for name, tc := range map[string]struct {
		in      string
		want    Permission
		refusal string // a part of the sentence; empty when it parses
	}{
		"concrete":               {in: "object_storage:bucket:read", want: Permission{"object_storage", "bucket", "read"}},
		"digits":                 {in: "s3:v2_bucket:read2", want: Permission{"s3", "v2_bucket", "read2"}},
		"any resource":           {in: "object_storage:*:read", want: Permission{"object_storage", "*", "read"}},
		"everything":             {in: "*:*:*", want: Permission{"*", "*", "*"}},
		"as long as may be":      {in: long + ":b:c", want: Permission{long, "b", "c"}},
		"too long":               {in: long + "a:b:c", refusal: "at most 128 characters"},
		"empty":                  {in: "", refusal: "write service:resource:action"},
		"two segments":           {in: "instances:read", refusal: "has 2 segments"},
		"four segments":          {in: "instances:server:read:all", refusal: "has 4 segments"},
		"empty service":          {in: ":server:read", refusal: "the service is empty"},
		"empty resource":         {in: "instances::read", refusal: "the resource is empty"},
		"empty action":           {in: "instances:server:", refusal: "the action is empty"},
		"partial wildcard":       {in: "inst*:server:read", refusal: `the service "inst*" mixes * with other characters; * stands for a whole segment`},
		"doubled wildcard":       {in: "instances:**:read", refusal: `the resource "**" mixes`},
		"upper case":             {in: "instances:Server:read", refusal: "lower-case letters"},
		"hyphen":                 {in: "object-storage:bucket:read", refusal: "lower-case letters, digits and _"},
		"blank":                  {in: " instances:server:read", refusal: "lower-case letters"},
		"newline at the end":     {in: "instances:server:read\n", refusal: "lower-case letters"},
		"letters beyond ASCII":   {in: "instances:sérver:read", refusal: "lower-case letters"},
		"bytes that are no text": {in: "instances:\xff:read", refusal: "lower-case letters"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePermission(tc.in)
			if tc.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refusal) {
					t.Fatalf("ParsePermission(%q): want a refusal that says %q, got %v", tc.in, tc.refusal, err)
				}
				return
			}
			if err != nil || got != tc.want || got.String() != tc.in {
				t.Fatalf("ParsePermission(%q) = %#v (%s), %v; want %#v", tc.in, got, got, err, tc.want)
			}
		})
	}
}

// The schema of the API and the parser must not disagree on what a permission is.
func FuzzParsePermission(f *testing.F) {
	for _, s := range []string{"a:b:c", "*:*:*", "inst*:server:read", "a:b", "a:b:c:d", "::", "A:b:c", "a:b:c\n", strings.Repeat("a", 200)} {
		f.Add(s)
	}
	pattern := regexp.MustCompile(PermissionPattern)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePermission(s)
		if want := pattern.MatchString(s) && len(s) <= MaxPermissionLength; (err == nil) != want {
			t.Fatalf("ParsePermission(%q): error %v, while the pattern says %t", s, err, want)
		}
		if err == nil && p.String() != s {
			t.Fatalf("ParsePermission(%q) came back as %q", s, p)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Fatalf("the refusal of %d bytes is %d bytes long", len(s), len(err.Error()))
		}
	})
}

// Few names, so that drawn permissions meet.
func drawPermission() *rapid.Generator[Permission] {
	return rapid.Custom(func(t *rapid.T) Permission {
		return Permission{
			Service:  rapid.SampledFrom([]string{"*", "instances", "redis", "iam", "k8s", "billing", "acme_shop"}).Draw(t, "service"),
			Resource: rapid.SampledFrom([]string{"*", "server", "ssh_key", "user"}).Draw(t, "resource"),
			Action:   rapid.SampledFrom([]string{"*", "read", "list"}).Draw(t, "action"),
		}
	})
}

// naiveCovers defines Covers over the written form.
func naiveCovers(p, q string) bool {
	ps, qs := strings.Split(p, ":"), strings.Split(q, ":")
	for i := range ps {
		if ps[i] != "*" && ps[i] != qs[i] {
			return false
		}
	}
	return true
}

func TestPermissionCoversIsAPartialOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q, r := drawPermission().Draw(t, "p"), drawPermission().Draw(t, "q"), drawPermission().Draw(t, "r")
		if !p.Covers(p) {
			t.Fatalf("%s does not cover itself", p)
		}
		if p.Covers(q) && q.Covers(r) && !p.Covers(r) {
			t.Fatalf("%s covers %s, that covers %s, and yet the first does not cover the last", p, q, r)
		}
		if p.Covers(q) && q.Covers(p) && p != q {
			t.Fatalf("%s and %s cover each other and differ", p, q)
		}
		if got, want := p.Covers(q), naiveCovers(p.String(), q.String()); got != want {
			t.Fatalf("%s covers %s: got %t, want %t", p, q, got, want)
		}
	})
}

func TestPermissionHasWildcard(t *testing.T) {
	for s, want := range map[string]bool{"a:b:c": false, "*:b:c": true, "a:*:c": true, "a:b:*": true} {
		if got := mustPermission(t, s).HasWildcard(); got != want {
			t.Errorf("%s has a wildcard: got %t, want %t", s, got, want)
		}
	}
}

func TestPermissionAtOrganizationLevel(t *testing.T) {
	for s, want := range map[string]bool{
		"iam:user:read": true, "iam:*:read": true, "iam:*:*": true, "account:project:list": true, "billing:invoice:read": true,
		"support:ticket:create": true, "abuse:ticket:list": true, "audit_trail:event:list": true,
		"environmental_impact:report:read": true, "notification:contact:write": true,
		"iam:ssh_key:read": false, "iam:ssh_key:*": false, "instances:server:read": false, "k8s:pod:get": false, "*:*:*": false,
	} {
		if got := IsOrganizationPermission(mustPermission(t, s)); got != want {
			t.Errorf("%s at organization level: got %t, want %t", s, got, want)
		}
	}
}

func TestPermissionGrants(t *testing.T) {
	for name, tc := range map[string]struct {
		scopeType ScopeType
		set       string
		extra     []string
		wanted    string
		want      bool
	}{
		"named":                                     {ScopeProjects, "instances:server:read", nil, "instances:server:read", true},
		"another action":                            {ScopeProjects, "instances:server:read", nil, "instances:server:write", false},
		"any resource":                              {ScopeProjects, "instances:*:read", nil, "instances:server:read", true},
		"any service takes a product":               {ScopeProjects, "*:*:read", nil, "redis:cluster:read", true},
		"any service, another resource":             {ScopeProjects, "*:server:read", nil, "redis:cluster:read", false},
		"any service is not an unknown one":         {ScopeProjects, "*:*:*", nil, "acme_shop:cart:read", false},
		"any service takes a custom one that joins": {ScopeProjects, "*:*:*", []string{"acme_shop"}, "acme_shop:cart:read", true},
		"a custom one by its name":                  {ScopeProjects, "acme_shop:*:*", nil, "acme_shop:cart:read", true},
		"any service takes SSH keys":                {ScopeProjects, "*:*:read", nil, "iam:ssh_key:read", true},
		"any service, SSH keys by resource":         {ScopeProjects, "*:ssh_key:*", nil, "iam:ssh_key:read", true},
		"any service, not the other resources":      {ScopeProjects, "*:server:*", nil, "iam:ssh_key:read", false},
		"any service is not IAM":                    {ScopeProjects, "*:*:*", nil, "iam:policy:create", false},
		"any service is not IAM, even if it joins":  {ScopeProjects, "*:*:*", []string{"iam", "billing"}, "iam:policy:create", false},
		"any service is not billing":                {ScopeProjects, "*:*:*", []string{"billing"}, "billing:invoice:read", false},
		"any service is not the cluster":            {ScopeProjects, "*:*:*", []string{"k8s"}, "k8s:secret:get", false},
		"a joining wildcard joins nothing":          {ScopeProjects, "*:*:*", []string{"*"}, "acme_shop:cart:read", false},
		"the cluster by its name":                   {ScopeProjects, "k8s:*:*", nil, "k8s:secret:get", true},
		"an Organization's service, misplaced":      {ScopeProjects, "iam:*:*", nil, "iam:user:read", false},
		"misplaced, and no way to SSH keys either":  {ScopeProjects, "iam:*:*", nil, "iam:ssh_key:read", false},
		"an Organization's service":                 {ScopeOrganization, "iam:user:*", nil, "iam:user:read", true},
		"any service at organization level":         {ScopeOrganization, "*:*:*", nil, "iam:user:read", false},
		"any service at organization level, extra":  {ScopeOrganization, "*:*:*", []string{"acme_shop"}, "acme_shop:cart:read", false},
		"no such scope type":                        {"Galaxy", "instances:*:*", nil, "instances:server:read", false},
		"no scope type":                             {"", "instances:*:*", nil, "instances:server:read", false},
		"a wildcard is not to be had":               {ScopeProjects, "instances:*:*", nil, "instances:*:read", false},
		"the second of two":                         {ScopeProjects, "redis:*:* instances:*:*", nil, "instances:server:read", true},
		"nothing":                                   {ScopeProjects, "", nil, "instances:server:read", false},
	} {
		t.Run(name, func(t *testing.T) {
			set, wanted := permissionsOf(t, tc.set), mustPermission(t, tc.wanted)
			if got := Grants(tc.scopeType, set, tc.extra, wanted); got != tc.want {
				t.Fatalf("a %s set of %v, with %v among all products, grants %s: got %t, want %t",
					tc.scopeType, set, tc.extra, wanted, got, tc.want)
			}
		})
	}
	t.Run("malformed", func(t *testing.T) {
		for _, wanted := range []Permission{{}, {"instances", "", "read"}, {"instances", "a:b", "read"}, {"instances", "Server", "read"}} {
			if Grants(ScopeProjects, permissionsOf(t, "instances:*:*"), nil, wanted) {
				t.Errorf("%#v was granted", wanted)
			}
		}
	})
}

// naiveGrants says what a Projects-type set means without expanding anything.
func naiveGrants(set []Permission, extra []string, wanted Permission) bool {
	sshKey := wanted.Service == "iam" && wanted.Resource == "ssh_key"
	return slices.ContainsFunc(set, func(p Permission) bool {
		switch {
		case p.Service == "*":
			return p.Covers(wanted) && (sshKey || !IsOrganizationService(wanted.Service) && wanted.Service != "k8s" &&
				(slices.Contains(ProjectServices(), wanted.Service) || slices.Contains(extra, wanted.Service)))
		case IsOrganizationPermission(p):
			return false
		}
		return p.Covers(wanted)
	})
}

func TestPermissionGrantsAgreesWithItsDefinition(t *testing.T) {
	extras := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"acme_shop", "iam", "k8s", "billing"}), rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		set, extra := rapid.SliceOfN(drawPermission(), 0, 4).Draw(t, "set"), extras.Draw(t, "extra")
		wanted := drawPermission().Filter(func(p Permission) bool { return !p.HasWildcard() }).Draw(t, "wanted")
		if got, want := Grants(ScopeProjects, set, extra, wanted), naiveGrants(set, extra, wanted); got != want {
			t.Fatalf("%v with %v grants %s: got %t, want %t", set, extra, wanted, got, want)
		}
		for _, p := range ExpandPermissions(ScopeProjects, set, extra) {
			if p.Service == "*" || IsOrganizationPermission(p) {
				t.Fatalf("%v expanded to %s", set, p)
			}
		}
	})
}

func TestPermissionExpansionIsSortedWithoutDuplicates(t *testing.T) {
	set := permissionsOf(t, "redis:*:read *:*:read redis:*:read")
	first := ExpandPermissions(ScopeProjects, set, []string{"acme_shop", "redis", "acme_shop"})
	written := make([]string, 0, len(first))
	for _, p := range first {
		written = append(written, p.String())
	}
	if !slices.IsSorted(written) || len(slices.Compact(slices.Clone(written))) != len(written) {
		t.Fatalf("not sorted, or with duplicates: %v", written)
	}
	if want := len(ProjectServices()) + len([]string{"acme_shop", "iam:ssh_key"}); len(first) != want {
		t.Fatalf("expanded to %d permissions, want %d: %v", len(first), want, first)
	}
}

func TestPermissionContributedServices(t *testing.T) {
	got := ContributedServices(permissionsOf(t, "shop:cart:read acme:*:* shop:order:read *:*:read iam:ssh_key:read k8s:pod:get billing:*:read"))
	if want := []string{"acme", "shop"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestValidatePermissionSet(t *testing.T) {
	type problem struct {
		index int
		part  string
	}
	for name, tc := range map[string]struct {
		scopeType ScopeType
		set       []string
		want      []problem
	}{
		"products":                         {ScopeProjects, []string{"acme_shop:*:*", "instances:server:read", "*:*:list"}, nil},
		"SSH keys in projects":             {ScopeProjects, []string{"iam:ssh_key:*"}, nil},
		"the cluster by its name":          {ScopeProjects, []string{"k8s:pod:get"}, nil},
		"organization":                     {ScopeOrganization, []string{"iam:*:*", "billing:invoice:read", "acme_audit:*:read"}, nil},
		"empty":                            {ScopeProjects, nil, nil},
		"malformed":                        {ScopeProjects, []string{"inst*:server:read"}, []problem{{0, "whole segment"}}},
		"twice":                            {ScopeProjects, []string{"a:b:c", "d:e:f", "a:b:c"}, []problem{{2, "listed already, as number 1"}}},
		"any service in an Organization":   {ScopeOrganization, []string{"iam:user:read", "*:*:read"}, []problem{{1, "names its services"}}},
		"an Organization's in projects":    {ScopeProjects, []string{"billing:invoice:read"}, []problem{{0, "only a set of scope type Organization"}}},
		"IAM in projects":                  {ScopeProjects, []string{"iam:user:read"}, []problem{{0, "only iam:ssh_key:<action>"}}},
		"IAM's any resource in projects":   {ScopeProjects, []string{"iam:*:read"}, []problem{{0, "only iam:ssh_key:<action>"}}},
		"all problems, in order":           {ScopeProjects, []string{"x", "iam:user:read", "a:b:c", "a:b:c"}, []problem{{0, "segments"}, {1, "iam"}, {3, "already"}}},
		"a misplaced one listed twice":     {ScopeProjects, []string{"iam:user:read", "iam:user:read"}, []problem{{0, "iam"}, {1, "already"}}},
		"no such scope type":               {"projects", []string{"a:b:c", "x"}, []problem{{-1, `"projects" does not exist; write Projects or Organization`}}},
		"covered by another is no problem": {ScopeProjects, []string{"a:*:*", "a:b:c"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := ValidatePermissionSet(tc.scopeType, tc.set)
			if len(got) != len(tc.want) {
				t.Fatalf("got %v, want %v", got, tc.want)
			}
			for i, want := range tc.want {
				if got[i].Index != want.index || !strings.Contains(got[i].Error(), want.part) {
					t.Errorf("problem %d: got %d %q, want %d and %q", i, got[i].Index, got[i], want.index, want.part)
				}
			}
		})
	}
}

func mustPermission(t *testing.T, s string) Permission {
	t.Helper()
	p, err := ParsePermission(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func permissionsOf(t *testing.T, list string) []Permission {
	t.Helper()
	var permissions []Permission
	for _, s := range strings.Fields(list) {
		permissions = append(permissions, mustPermission(t, s))
	}
	return permissions
}
