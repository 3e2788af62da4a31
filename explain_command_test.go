// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// explainedDatabase has Organization acme in namespace acme, whose owner and default Project have its object, a Member and a Project
// of the same name, and what grants something.
func explainedDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "iam.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	head := func(id string, kind iam.Kind, name string) iam.Head {
		return iam.Head{ID: id, OrganizationID: "org", Object: iam.Object{Kind: kind, Namespace: "acme", Name: name, UID: id}}
	}
	_, err = s.Write(t.Context(), func(tx store.Tx) error {
		for _, entity := range []iam.Entity{
			&iam.Organization{Head: head("org", iam.KindOrganization, "acme"), Name: "acme", OwnerID: "owner"},
			&iam.Member{Head: head("owner", iam.KindOrganization, "acme"), Type: iam.TypeOwner, Email: "owner@acme.example"},
			&iam.Member{Head: head("member", iam.KindMember, "acme"), Type: iam.TypeMember, Username: "acme-the-person"},
			&iam.Project{Head: head("org", iam.KindOrganization, "acme"), Name: "default"},
			&iam.Project{Head: head("web", iam.KindProject, "acme"), Name: "web"},
			&iam.PermissionSet{Head: iam.Head{ID: "set"}, Name: "Buckets", ScopeType: iam.ScopeProjects, Permissions: []string{"object_storage:bucket:read"}},
			&iam.Policy{Head: head("policy", iam.KindPolicy, "policy"), Name: "readers", PrincipalKind: iam.PrincipalMember, PrincipalID: "member", Rules: []iam.Rule{{ID: "r", PermissionSets: []string{"Buckets"}, ProjectIDs: []string{"web"}}}},
		} {
			if _, err := tx.Put(t.Context(), entity); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExplainCommand(t *testing.T) {
	database := "--database=" + explainedDatabase(t)
	const read = "--permission=object_storage:bucket:read"
	for name, test := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"allowed":             {[]string{"why", database, "--subject=member:acme/acme", read, "--project=acme/acme"}, exitAllowed, []string{"ALLOWED (Granted", "Member acme-the-person may do", "policy readers grants it by permission set Buckets"}},
		"denied elsewhere":    {[]string{"why", database, "--subject=member:acme/acme", read, "--project=acme/default"}, exitDenied, []string{"DENIED (OutOfScope", "on Project default", "It would be allowed if:", "on Project web"}},
		"the owner":           {[]string{"why", database, "--subject=owner:acme/acme", "--permission=iam:user:read"}, exitAllowed, []string{"ALLOWED (Owner"}},
		"nobody":              {[]string{"why", database, "--subject=api_key:SCWNOBODY", read}, exitDenied, []string{"UnknownSubject"}},
		"who":                 {[]string{"who", database, read, "--project=acme/acme"}, exitAllowed, []string{"acme-the-person", "policy readers, set Buckets", "owner@acme.example"}},
		"what":                {[]string{"what", database, "--subject=member:acme/acme"}, exitAllowed, []string{"Project web", "object_storage:bucket:read"}},
		"no database":         {[]string{"why", "--subject=user:x", read}, exitUsage, []string{"--database is the path"}},
		"no such project":     {[]string{"why", database, "--subject=user:x", read, "--project=acme/nowhere"}, exitUsage, []string{"there is no Project acme/nowhere"}},
		"no permission":       {[]string{"why", database, "--subject=user:x", "--permission=read"}, exitUsage, []string{"--permission:", "service:resource:action"}},
		"no kind":             {[]string{"why", database, "--subject=robot:x", read}, exitUsage, []string{`"robot" is no kind of subject`}},
		"no time":             {[]string{"why", database, "--subject=user:x", read, "--time=noon"}, exitUsage, []string{"RFC 3339"}},
		"who, of what":        {[]string{"who", database, read}, exitUsage, []string{"give --project, or --organization"}},
		"nothing that exists": {[]string{"whence"}, exitUsage, []string{"usage: iam-operator explain"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code := explainCommand{out: &out, err: &out, now: time.Now}.run(t.Context(), test.args)
			if code != test.code {
				t.Errorf("the exit code is %d, want %d", code, test.code)
			}
			for _, text := range test.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("it does not say %q:\n%s", text, out.String())
				}
			}
		})
	}
}
