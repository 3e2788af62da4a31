// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"strings"
	"time"
)

// Organization is a tenant.
type Organization struct {
	Head
	Name string `json:"name"`
	// Alias by which Members name the Organization at log-in; unique in the cluster.
	Alias string `json:"alias,omitempty"`
	// NamespaceUID is the UID of the home namespace, so that a re-created namespace does
	// not see its predecessor's audit events.
	NamespaceUID string   `json:"namespaceUID,omitempty"`
	OwnerID      string   `json:"ownerID"`
	Security     Security `json:"security"`
	Quotas       Quotas   `json:"quotas"`
	// AuditRetention is how long audit events are kept.
	AuditRetention time.Duration `json:"auditRetention"`
}

// Security holds an Organization's rules for credentials, with the defaults filled in.
type Security struct {
	LoginMethods            []string      `json:"loginMethods"`
	MFARequired             bool          `json:"mfaRequired"`
	RenewPasswordAtLogin    bool          `json:"renewPasswordAtLogin"`
	PasswordMinLength       int           `json:"passwordMinLength"`
	GracePeriod             time.Duration `json:"gracePeriod"`
	LoginAttemptsBeforeLock int           `json:"loginAttemptsBeforeLock"`
	MaxLoginSession         time.Duration `json:"maxLoginSession"`
	// MaxAPIKeyLifetime of new keys; zero means no maximum.
	MaxAPIKeyLifetime time.Duration `json:"maxAPIKeyLifetime"`
}

// MemberSettings are the rules for the life of Members' credentials.
func (s Security) MemberSettings() MemberSettings {
	return MemberSettings{
		MFARequired: s.MFARequired, RenewPassword: s.RenewPasswordAtLogin,
		GracePeriod: s.GracePeriod, AttemptsBeforeLock: s.LoginAttemptsBeforeLock,
	}
}

// PasswordPolicy is the policy for new passwords.
func (s Security) PasswordPolicy() PasswordPolicy {
	return PasswordPolicy{MinLength: s.PasswordMinLength}
}

// Quotas limit how many entities of a kind an Organization may have; nil means no limit.
type Quotas struct {
	Members      *int `json:"members,omitempty"`
	Applications *int `json:"applications,omitempty"`
	Groups       *int `json:"groups,omitempty"`
	Policies     *int `json:"policies,omitempty"`
	APIKeys      *int `json:"apiKeys,omitempty"`
	Projects     *int `json:"projects,omitempty"`
	SSHKeys      *int `json:"sshKeys,omitempty"`
}

// Project groups resources. The default Project has the Organization's id.
type Project struct {
	Head
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// MemberType says what kind of user somebody is.
type MemberType string

// The types of users.
const (
	TypeOwner  MemberType = "Owner"
	TypeMember MemberType = "Member"
	TypeGuest  MemberType = "Guest"
)

// Member is a user: the owner, a Member or a Guest.
type Member struct {
	Head
	Type            MemberType `json:"type"`
	Username        string     `json:"username,omitempty"`
	Email           string     `json:"email"`
	FirstName       string     `json:"firstName,omitempty"`
	LastName        string     `json:"lastName,omitempty"`
	PhoneNumber     string     `json:"phoneNumber,omitempty"`
	Locale          string     `json:"locale,omitempty"`
	Tags            []string   `json:"tags,omitempty"`
	Groups          []string   `json:"groups,omitempty"`
	KubernetesUsers []string   `json:"kubernetesUsers,omitempty"`
	// Locked is the reason of the lock; empty when there is none.
	Locked string `json:"locked,omitempty"`
	// Invited is true for a Guest who has not accepted: such a Guest is nobody yet.
	Invited bool `json:"invited,omitempty"`
	// MFA says whether a second factor is set.
	MFA bool `json:"mfa,omitempty"`
	// PasswordUpdatedAt is when the password in force was set; nil when there is none.
	PasswordUpdatedAt *time.Time `json:"passwordUpdatedAt,omitempty"`
	// GracePeriods that run.
	GracePeriods []MemberGracePeriod `json:"gracePeriods,omitempty"`
}

// MemberGracePeriod is a time within which a Member must meet a requirement, or is locked.
type MemberGracePeriod struct {
	// Type is what must be done: SetMFA or UpdatePassword.
	Type      string    `json:"type"`
	StartedAt time.Time `json:"startedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Active says whether the user counts as a principal: neither locked nor merely invited.
func (m *Member) Active() bool { return m.Locked == "" && !m.Invited }

// Membership says who belongs to a group.
type Membership string

// The kinds of membership.
const (
	MembershipDeclared        Membership = "Declared"
	MembershipAllUsers        Membership = "AllUsers"
	MembershipAllApplications Membership = "AllApplications"
)

// Group is a set of principals. Its members are those it lists and those that join it.
type Group struct {
	Head
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Tags        []string   `json:"tags,omitempty"`
	Membership  Membership `json:"membership"`
	// Members are the ids that the group itself lists.
	Members []string `json:"members,omitempty"`
}

// Application is a principal that is no person.
type Application struct {
	Head
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	Groups      []string `json:"groups,omitempty"`
	// ServiceAccounts of the object's namespace that are this application.
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// PrincipalKind is the kind of a bearer or of a policy's principal.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalOwner       PrincipalKind = "Owner"
	PrincipalMember      PrincipalKind = "Member"
	PrincipalGroup       PrincipalKind = "Group"
	PrincipalApplication PrincipalKind = "Application"
)

// APIKey is one minted key; its id is its access key.
type APIKey struct {
	Head
	Description string        `json:"description,omitempty"`
	BearerKind  PrincipalKind `json:"bearerKind"`
	BearerID    string        `json:"bearerID"`
	// OwnerEmail tells one owner from the next, who has the same id; for a key of the owner, in lower case.
	OwnerEmail string `json:"ownerEmail,omitempty"`
	// DefaultProjectID is the preferred Project for Object Storage. It grants nothing.
	DefaultProjectID string `json:"defaultProjectID"`
	// ExpiresAt is when the key stops working; nil means never.
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	// Retiring is true for the old key during an overlap.
	Retiring bool `json:"retiring,omitempty"`
	// Digest is the keyed digest of the secret key, under the digest key named DigestKeyID.
	Digest      string `json:"digest"`
	DigestKeyID string `json:"digestKeyID"`
}

// Live says whether the key works at a time.
func (k *APIKey) Live(now time.Time) bool { return k.ExpiresAt == nil || now.Before(*k.ExpiresAt) }

// Policy grants permission sets to a principal. Without a principal it grants nothing.
type Policy struct {
	Head
	Name          string        `json:"name"`
	Description   string        `json:"description,omitempty"`
	Tags          []string      `json:"tags,omitempty"`
	PrincipalKind PrincipalKind `json:"principalKind,omitempty"`
	PrincipalID   string        `json:"principalID,omitempty"`
	Rules         []Rule        `json:"rules,omitempty"`
}

// Rule grants permission sets on a scope, under a condition. It holds only what could be
// resolved: what could not is absent, and so grants nothing.
type Rule struct {
	ID             string   `json:"id"`
	PermissionSets []string `json:"permissionSets,omitempty"`
	// OrganizationScope is true when the rule reaches the whole Organization; then ProjectIDs is empty.
	OrganizationScope bool     `json:"organizationScope,omitempty"`
	ProjectIDs        []string `json:"projectIDs,omitempty"`
	Condition         string   `json:"condition,omitempty"`
	// Refused says why the rule grants nothing although it is listed; empty when it counts.
	Refused string `json:"refused,omitempty"`
}

// Effective says whether the rule can grant anything at all.
func (r Rule) Effective() bool {
	return r.Refused == "" && len(r.PermissionSets) > 0 && (r.OrganizationScope || len(r.ProjectIDs) > 0)
}

// PermissionSet is a named list of permissions.
type PermissionSet struct {
	Head
	Name        string    `json:"name"`
	ScopeType   ScopeType `json:"scopeType"`
	Description string    `json:"description,omitempty"`
	Categories  []string  `json:"categories,omitempty"`
	Permissions []string  `json:"permissions"`
	// Managed is true for the sets of the built-in catalogue.
	Managed bool `json:"managed,omitempty"`
	// IncludedInAllProducts makes the set's services part of what * as a service means.
	IncludedInAllProducts bool `json:"includedInAllProducts,omitempty"`
}

// SSHKey is a public key that machines of a Project let in.
type SSHKey struct {
	Head
	Name      string `json:"name"`
	ProjectID string `json:"projectID"`
	// PublicKey is type and key, without a comment.
	PublicKey   string `json:"publicKey"`
	Fingerprint string `json:"fingerprint"`
	Disabled    bool   `json:"disabled,omitempty"`
}

// EntityKind tells the kind.
func (*Organization) EntityKind() Kind { return KindOrganization }

// EntityKind tells the kind.
func (*Project) EntityKind() Kind { return KindProject }

// EntityKind tells the kind.
func (*Member) EntityKind() Kind { return KindMember }

// EntityKind tells the kind.
func (*Group) EntityKind() Kind { return KindGroup }

// EntityKind tells the kind.
func (*Application) EntityKind() Kind { return KindApplication }

// EntityKind tells the kind.
func (*APIKey) EntityKind() Kind { return KindAPIKey }

// EntityKind tells the kind.
func (*Policy) EntityKind() Kind { return KindPolicy }

// EntityKind tells the kind.
func (*PermissionSet) EntityKind() Kind { return KindPermissionSet }

// EntityKind tells the kind.
func (*SSHKey) EntityKind() Kind { return KindSSHKey }

// Label is the Organization's name.
func (o *Organization) Label() string { return o.Name }

// Label is the Project's name.
func (p *Project) Label() string { return p.Name }

// Label is the username; the e-mail for a user who has none.
func (m *Member) Label() string {
	if m.Username == "" {
		return m.Email
	}
	return m.Username
}

// Label is the group's name.
func (g *Group) Label() string { return g.Name }

// Label is the application's name.
func (a *Application) Label() string { return a.Name }

// Label is the access key.
func (k *APIKey) Label() string { return k.ID }

// Label is the policy's name.
func (p *Policy) Label() string { return p.Name }

// Label is the permission set's name.
func (s *PermissionSet) Label() string { return s.Name }

// Label is the SSH key's name.
func (k *SSHKey) Label() string { return k.Name }

// UniqueName is the alias.
func (o *Organization) UniqueName() string { return o.Alias }

// UniqueName is empty: Projects may share a name.
func (*Project) UniqueName() string { return "" }

// UniqueName is the username without regard to case. The owner's is apart: a Member may
// carry the owner's e-mail, though not as username.
func (m *Member) UniqueName() string { return strings.ToLower(m.Username) }

// UniqueName is empty: groups may share a name.
func (*Group) UniqueName() string { return "" }

// UniqueName is empty: applications may share a name.
func (*Application) UniqueName() string { return "" }

// UniqueName is empty: the id, which is the access key, is unique already.
func (*APIKey) UniqueName() string { return "" }

// UniqueName is empty: policies may share a name.
func (*Policy) UniqueName() string { return "" }

// UniqueName is the name in lower case, as in metadata.name.
func (s *PermissionSet) UniqueName() string { return strings.ToLower(s.Name) }

// UniqueName is empty: SSH keys may share a name.
func (*SSHKey) UniqueName() string { return "" }

// References of an Organization: none.
func (*Organization) References() []Reference { return nil }

// References of a Project: none.
func (*Project) References() []Reference { return nil }

// References of a user: the groups it joins.
func (m *Member) References() []Reference { return references(RelationGroup, m.Groups) }

// References of a group: the members it lists.
func (g *Group) References() []Reference { return references(RelationMember, g.Members) }

// References of an application: the groups it joins.
func (a *Application) References() []Reference { return references(RelationGroup, a.Groups) }

// References of an API key: its bearer and its preferred Project.
func (k *APIKey) References() []Reference {
	return []Reference{{RelationBearer, k.BearerID}, {RelationProject, k.DefaultProjectID}}
}

// References of a policy: its principal and the Projects of its rules.
func (p *Policy) References() []Reference {
	var refs []Reference
	if p.PrincipalID != "" {
		refs = append(refs, Reference{RelationPrincipal, p.PrincipalID})
	}
	seen := map[string]bool{}
	for _, rule := range p.Rules {
		for _, id := range rule.ProjectIDs {
			if !seen[id] {
				seen[id] = true
				refs = append(refs, Reference{RelationProject, id})
			}
		}
	}
	return refs
}

// References of a permission set: none.
func (*PermissionSet) References() []Reference { return nil }

// References of an SSH key: its Project.
func (k *SSHKey) References() []Reference { return references(RelationProject, []string{k.ProjectID}) }

func references(relation Relation, ids []string) []Reference {
	refs := make([]Reference, len(ids))
	for i, id := range ids {
		refs[i] = Reference{relation, id}
	}
	return refs
}

// Without gives the entity as it is once something it refers to is gone. It is the same
// as what its object comes to when the reference is not found.
func Without(entity Entity, id string) Entity {
	switch e := entity.(type) {
	case *Member:
		without := *e
		without.Groups = withoutID(e.Groups, id)
		return &without
	case *Application:
		without := *e
		without.Groups = withoutID(e.Groups, id)
		return &without
	case *Group:
		without := *e
		without.Members = withoutID(e.Members, id)
		return &without
	case *APIKey:
		without := *e
		if e.DefaultProjectID == id {
			without.DefaultProjectID = ""
		}
		return &without
	case *Policy:
		return policyWithout(e, id)
	}
	return entity
}

func policyWithout(policy *Policy, id string) *Policy {
	without := *policy
	if policy.PrincipalID == id {
		without.PrincipalKind, without.PrincipalID = "", ""
	}
	without.Rules = make([]Rule, len(policy.Rules))
	for i, rule := range policy.Rules {
		rule.ProjectIDs = withoutID(rule.ProjectIDs, id)
		without.Rules[i] = rule
	}
	return &without
}

func withoutID(ids []string, id string) []string {
	var kept []string
	for _, other := range ids {
		if other != id {
			kept = append(kept, other)
		}
	}
	return kept
}
