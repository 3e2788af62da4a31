// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// The entities that the tests start from: one of each kind, all of one Organization.

const (
	organizationID = "0d9ac9ee-0000-4000-8000-000000000001"
	homeUID        = "0d9ac9ee-0000-4000-8000-00000000000f"
)

var created = time.Date(2026, 10, 1, 8, 30, 0, 0, time.UTC)

func head(kind iam.Kind, id, name string) iam.Head {
	return iam.Head{
		ID: id, OrganizationID: organizationID, CreatedAt: created,
		Object: iam.Object{Kind: kind, Namespace: "acme", Name: name, UID: "uid-" + id},
	}
}

func organization() *iam.Organization {
	fifty := 50
	return &iam.Organization{
		Head: head(iam.KindOrganization, organizationID, "acme"), Name: "Acme Corp", NamespaceUID: homeUID,
		OwnerID: iam.OwnerID(organizationID), Quotas: iam.Quotas{Members: &fifty}, AuditRetention: 720 * time.Hour,
		Security: iam.Security{
			LoginMethods: []string{"Password", "MagicCode"}, PasswordMinLength: 15, GracePeriod: 72 * time.Hour,
			LoginAttemptsBeforeLock: 10, MaxLoginSession: 720 * time.Hour,
		},
	}
}

func project() *iam.Project {
	return &iam.Project{Head: head(iam.KindProject, "project-web", "web"), Name: "web", Description: "the shop"}
}

func defaultProject() *iam.Project {
	return &iam.Project{Head: head(iam.KindOrganization, organizationID, "acme"), Name: "default"}
}

func owner() *iam.Member {
	return &iam.Member{
		Head: head(iam.KindOrganization, iam.OwnerID(organizationID), "acme"), Type: iam.TypeOwner,
		Email: "ada@acme.example", FirstName: "Ada", KubernetesUsers: []string{"ada"},
	}
}

func maya() *iam.Member {
	return &iam.Member{
		Head: head(iam.KindMember, "member-maya", "maya"), Type: iam.TypeMember,
		Username: "maya", Email: "maya@acme.example", FirstName: "Maya",
	}
}

func guest() *iam.Member {
	return &iam.Member{
		Head: head(iam.KindMember, "member-gus", "gus"), Type: iam.TypeGuest,
		Email: "gus@elsewhere.example", Invited: true,
	}
}

func group() *iam.Group {
	return &iam.Group{Head: head(iam.KindGroup, "group-ops", "ops"), Name: "Operations", Membership: iam.MembershipDeclared}
}

func application() *iam.Application {
	return &iam.Application{Head: head(iam.KindApplication, "application-ci", "ci"), Name: "ci"}
}

func apiKey() *iam.APIKey {
	expires := created.Add(720 * time.Hour)
	return &iam.APIKey{
		Head: head(iam.KindAPIKey, "SCWAAAAAAAAAAAAAAAAA", "ci-key"), Description: "used by CI",
		BearerKind: iam.PrincipalApplication, BearerID: "application-ci", DefaultProjectID: organizationID,
		ExpiresAt: &expires, Digest: "digest-one", DigestKeyID: "digest-key-one",
	}
}

func policy() *iam.Policy {
	return &iam.Policy{
		Head: head(iam.KindPolicy, "policy-deploy", "deploy"), Name: "deploy",
		PrincipalKind: iam.PrincipalGroup, PrincipalID: "group-ops",
		Rules: []iam.Rule{
			{ID: iam.RuleID("policy-deploy", 1, 0), PermissionSets: []string{"InstancesFullAccess"}, ProjectIDs: []string{"project-web"}},
			{ID: iam.RuleID("policy-deploy", 1, 1), PermissionSets: []string{"IAMReadOnly"}, OrganizationScope: true},
		},
	}
}

func permissionSet() *iam.PermissionSet {
	set := &iam.PermissionSet{
		Head: head(iam.KindPermissionSet, "set-print", "printreadonly"), Name: "PrintReadOnly",
		ScopeType: "Projects", Permissions: []string{"print:*:read"},
	}
	set.OrganizationID, set.Object.Namespace = "", ""
	return set
}

func sshKey() *iam.SSHKey {
	return &iam.SSHKey{
		Head: head(iam.KindSSHKey, "ssh-maya", "maya-laptop"), Name: "maya-laptop", ProjectID: "project-web",
		PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", Fingerprint: "256 MD5:aa:bb (ssh-ed25519)",
	}
}

// with gives an entity after an edit of it.
func with[T iam.Entity](entity T, edits ...func(T)) T {
	for _, edit := range edits {
		edit(entity)
	}
	return entity
}
