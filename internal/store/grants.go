// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Grant is what one permission set of one rule gives to whoever bears a key.
type Grant struct {
	// Owner is true for an owner's key, which may do everything in its Organization; then
	// only OrganizationID is set besides.
	Owner bool
	// PolicyID and RuleID say where the grant comes from.
	PolicyID string
	RuleID   string
	// PermissionSet is the set's name, Permissions what is in it, ScopeType its type.
	PermissionSet string
	Permissions   []string
	ScopeType     iam.ScopeType
	// OrganizationID is the Organization that the grant is in.
	OrganizationID string
	// ProjectIDs that the grant reaches; empty means the whole Organization.
	ProjectIDs []string
	// Condition under which it counts; empty means always.
	Condition string
}

// EffectiveGrants gives all that an access key is granted at a time, policy by policy in
// order of creation, and in the order of their rules. A key that is unknown, expired,
// without a bearer or with one that is locked has none. It reads everything anew and takes
// no short cut: it is what faster ways to decide are measured by, not one of them.
func EffectiveGrants(ctx context.Context, r Reader, accessKey string, now time.Time) ([]Grant, error) {
	bearer, err := findBearer(ctx, r, accessKey, now)
	if err != nil || bearer == nil {
		return nil, err
	}
	if bearer.kind == iam.PrincipalOwner {
		return []Grant{{Owner: true, OrganizationID: bearer.organizationID}}, nil
	}
	principals, err := bearer.principals(ctx, r)
	if err != nil {
		return nil, err
	}
	policies, err := entitiesOf[*iam.Policy](ctx, r, Query{Kind: iam.KindPolicy, OrganizationID: bearer.organizationID})
	if err != nil {
		return nil, err
	}
	var grants []Grant
	for _, policy := range policies {
		if !slices.Contains(principals, principal{policy.PrincipalKind, policy.PrincipalID}) {
			continue
		}
		for _, rule := range policy.Rules {
			more, err := ruleGrants(ctx, r, policy, rule)
			if err != nil {
				return nil, err
			}
			grants = append(grants, more...)
		}
	}
	return grants, nil
}

type principal struct {
	kind iam.PrincipalKind
	id   string
}

// bearer is a principal that counts, with what leads to its groups.
type bearer struct {
	principal
	organizationID string
	// joins are the groups that the bearer joins from its own side.
	joins []string
}

// findBearer gives whom the key acts for; nil when nobody.
func findBearer(ctx context.Context, r Reader, accessKey string, now time.Time) (*bearer, error) {
	key, err := find[*iam.APIKey](ctx, r, iam.KindAPIKey, accessKey)
	if err != nil || key == nil || !key.Live(now) {
		return nil, err
	}
	organization, err := find[*iam.Organization](ctx, r, iam.KindOrganization, key.OrganizationID)
	if err != nil || organization == nil {
		return nil, err
	}
	switch key.BearerKind {
	case iam.PrincipalOwner, iam.PrincipalMember:
		return findUser(ctx, r, organization, key)
	case iam.PrincipalApplication:
		return findApplication(ctx, r, organization, key)
	case iam.PrincipalGroup: // groups bear no keys
	}
	return nil, nil
}

func findUser(ctx context.Context, r Reader, organization *iam.Organization, key *iam.APIKey) (*bearer, error) {
	member, err := find[*iam.Member](ctx, r, iam.KindMember, key.BearerID)
	if err != nil || member == nil || member.OrganizationID != organization.ID || !member.Active() {
		return nil, err
	}
	// The owner is who the key, the row and the Organization all say it is. Where they
	// differ, the key acts for nobody.
	isOwner := key.BearerKind == iam.PrincipalOwner
	if isOwner != (member.Type == iam.TypeOwner) || isOwner != (member.ID == organization.OwnerID) {
		return nil, nil
	}
	// The id stays when the Organization is handed over; the predecessor's key must not.
	if isOwner && !strings.EqualFold(key.OwnerEmail, member.Email) {
		return nil, nil
	}
	return &bearer{principal{key.BearerKind, member.ID}, organization.ID, member.Groups}, nil
}

func findApplication(ctx context.Context, r Reader, organization *iam.Organization, key *iam.APIKey) (*bearer, error) {
	application, err := find[*iam.Application](ctx, r, iam.KindApplication, key.BearerID)
	if err != nil || application == nil || application.OrganizationID != organization.ID {
		return nil, err
	}
	return &bearer{principal{key.BearerKind, application.ID}, organization.ID, application.Groups}, nil
}

// principals gives the bearer itself and the groups that it belongs to, from either side.
func (b *bearer) principals(ctx context.Context, r Reader) ([]principal, error) {
	groups, err := entitiesOf[*iam.Group](ctx, r, Query{Kind: iam.KindGroup, OrganizationID: b.organizationID})
	if err != nil {
		return nil, err
	}
	principals := []principal{b.principal}
	for _, group := range groups {
		if b.belongsTo(group) {
			principals = append(principals, principal{iam.PrincipalGroup, group.ID})
		}
	}
	return principals, nil
}

func (b *bearer) belongsTo(group *iam.Group) bool {
	switch group.Membership {
	case iam.MembershipAllUsers:
		return b.kind == iam.PrincipalMember
	case iam.MembershipAllApplications:
		return b.kind == iam.PrincipalApplication
	case iam.MembershipDeclared:
		return slices.Contains(group.Members, b.id) || slices.Contains(b.joins, group.ID)
	}
	return false
}

func ruleGrants(ctx context.Context, r Reader, policy *iam.Policy, rule iam.Rule) ([]Grant, error) {
	if !rule.Effective() {
		return nil, nil
	}
	projects, err := existingProjects(ctx, r, policy.OrganizationID, rule.ProjectIDs)
	if err != nil {
		return nil, err
	}
	if !rule.OrganizationScope && len(projects) == 0 {
		return nil, nil // no Project is left; no Projects would mean the whole Organization
	}
	var grants []Grant
	for _, name := range rule.PermissionSets {
		sets, err := entitiesOf[*iam.PermissionSet](ctx, r, Query{Kind: iam.KindPermissionSet, UniqueName: strings.ToLower(name)})
		if err != nil {
			return nil, err
		}
		for _, set := range sets {
			if set.ScopeType == iam.ScopeOrganization && !rule.OrganizationScope {
				continue // such a set is granted on an Organization as a whole, or not at all
			}
			grants = append(grants, Grant{
				PolicyID: policy.ID, RuleID: rule.ID,
				PermissionSet: set.Name, Permissions: set.Permissions, ScopeType: set.ScopeType,
				OrganizationID: policy.OrganizationID, ProjectIDs: projects, Condition: rule.Condition,
			})
		}
	}
	return grants, nil
}

func existingProjects(ctx context.Context, r Reader, organizationID string, ids []string) ([]string, error) {
	var existing []string
	for _, id := range ids {
		project, err := find[*iam.Project](ctx, r, iam.KindProject, id)
		if err != nil {
			return nil, err
		}
		if project != nil && project.OrganizationID == organizationID {
			existing = append(existing, id)
		}
	}
	return existing, nil
}

// find gives an entity; the zero T when there is none.
func find[T iam.Entity](ctx context.Context, r Reader, kind iam.Kind, id string) (found T, err error) {
	row, err := r.Get(ctx, kind, id)
	if errors.Is(err, ErrNotFound) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	return as[T](row.Entity)
}

func entitiesOf[T iam.Entity](ctx context.Context, r Reader, query Query) ([]T, error) {
	page, err := r.List(ctx, query)
	if err != nil {
		return nil, err
	}
	entities := make([]T, len(page.Rows))
	for i, row := range page.Rows {
		if entities[i], err = as[T](row.Entity); err != nil {
			return nil, err
		}
	}
	return entities, nil
}

func as[T iam.Entity](entity iam.Entity) (T, error) {
	typed, ok := entity.(T)
	if !ok {
		return typed, fmt.Errorf("the store gave a %T where it should give a %T", entity, typed)
	}
	return typed, nil
}
