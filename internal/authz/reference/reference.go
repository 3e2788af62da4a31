// SPDX-License-Identifier: Apache-2.0

// Package reference says what a decision means, in code that is meant to be read beside the specification and for
// nothing else: it looks at every entity anew for each question. The engine is measured by it, so it shares no code with
// the engine, nor with the conditions that the engine evaluates: only the entities, and the services of the catalogue.
package reference

import (
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// World is all that there is at a decision.
type World struct {
	Entities []iam.Entity
	// Conditions gives what the text of a condition says. A text that is not here does not compile.
	Conditions map[string]Condition
}

// Request is one question.
type Request struct {
	SubjectKind, SubjectID string
	Permission             iam.Permission
	// OrganizationID and ProjectID are the scope; both empty mean the subject's Organization.
	OrganizationID, ProjectID string
	// Attributes are what conditions see; a Time that is not set is that of the decision.
	Attributes Attributes
}

// The reasons, by the names that the engine gives them.
const (
	Owner           = "Owner"
	Granted         = "Granted"
	Malformed       = "Malformed"
	UnknownSubject  = "UnknownSubject"
	KeyExpired      = "KeyExpired"
	BearerGone      = "BearerGone"
	Locked          = "Locked"
	Invited         = "Invited"
	UnknownScope    = "UnknownScope"
	NotGranted      = "NotGranted"
	OutOfScope      = "OutOfScope"
	ConditionFalse  = "ConditionFalse"
	ConditionFailed = "ConditionFailed"
)

// Grant is one permission set of one rule.
type Grant struct{ PolicyID, RuleID, PermissionSet string }

// Principal is whom a decision is about.
type Principal struct {
	Kind               iam.PrincipalKind
	ID, OrganizationID string
}

// Answer is the decision.
type Answer struct {
	Allowed bool
	Reason  string
	// Principal is empty where the reason says that nobody asks.
	Principal Principal
	// Grants are all that allow; with ConditionFalse all whose condition is false, and with ConditionFailed all whose
	// condition could not be evaluated.
	Grants []Grant
}

// Decide answers a question at a time.
func Decide(world World, r Request, now time.Time) Answer {
	if malformed(r) {
		return Answer{Reason: Malformed}
	}
	if r.Attributes.Time.IsZero() {
		r.Attributes.Time = now
	}
	e := evaluation{world, r, now}
	who, reason := e.subject()
	switch {
	case reason != "":
		return Answer{Reason: reason}
	case !e.scopeIsOf(who.OrganizationID):
		return Answer{Reason: UnknownScope, Principal: who.Principal}
	case who.Kind == iam.PrincipalOwner:
		return Answer{Allowed: true, Reason: Owner, Principal: who.Principal}
	}
	return e.byPolicies(who)
}

var (
	word = regexp.MustCompile(`^[a-z0-9_]+$`)
	// entry is a permission in a set: each part is a word, or * for any.
	entry = regexp.MustCompile(`^(\*|[a-z0-9_]+):(\*|[a-z0-9_]+):(\*|[a-z0-9_]+)$`)
)

const longest = 128 // characters of a permission

func malformed(r Request) bool {
	p := r.Permission
	return !word.MatchString(p.Service) || !word.MatchString(p.Resource) || !word.MatchString(p.Action) ||
		len(p.Service+":"+p.Resource+":"+p.Action) > longest ||
		!slices.Contains([]string{"user", "application", "api_key", "owner"}, r.SubjectKind)
}

type evaluation struct {
	World
	Request
	now time.Time
}

// bearer is a principal, with the groups that it joins from its own side.
type bearer struct {
	Principal
	joins []string
}

// subject finds who asks, or says why that is nobody.
func (e evaluation) subject() (bearer, string) {
	switch e.SubjectKind {
	case "api_key":
		return e.keyBearer(find[*iam.APIKey](e.World, e.SubjectID))
	case "application":
		return e.application(find[*iam.Application](e.World, e.SubjectID))
	}
	member := find[*iam.Member](e.World, e.SubjectID)
	if e.SubjectKind == "owner" && member != nil && member.Type != iam.TypeOwner {
		return bearer{}, UnknownSubject
	}
	return e.user(member)
}

func (e evaluation) keyBearer(key *iam.APIKey) (bearer, string) {
	if key == nil {
		return bearer{}, UnknownSubject
	}
	if key.ExpiresAt != nil && !e.now.Before(*key.ExpiresAt) {
		return bearer{}, KeyExpired
	}
	if key.BearerKind == iam.PrincipalApplication {
		application := find[*iam.Application](e.World, key.BearerID)
		if application == nil || application.OrganizationID != key.OrganizationID {
			return bearer{}, BearerGone
		}
		return e.application(application)
	}
	member := find[*iam.Member](e.World, key.BearerID)
	if member == nil || member.OrganizationID != key.OrganizationID || key.BearerKind != kindOf(member) {
		return bearer{}, BearerGone
	}
	// An owner's id stays when the Organization is handed over; the predecessor's key must not.
	if key.BearerKind == iam.PrincipalOwner && !strings.EqualFold(key.OwnerEmail, member.Email) {
		return bearer{}, BearerGone
	}
	return e.user(member)
}

func kindOf(member *iam.Member) iam.PrincipalKind {
	if member.Type == iam.TypeOwner {
		return iam.PrincipalOwner
	}
	return iam.PrincipalMember
}

func (e evaluation) application(application *iam.Application) (bearer, string) {
	if application == nil {
		return bearer{}, UnknownSubject
	}
	if find[*iam.Organization](e.World, application.OrganizationID) == nil {
		return bearer{}, BearerGone
	}
	return bearer{Principal{iam.PrincipalApplication, application.ID, application.OrganizationID}, application.Groups}, ""
}

func (e evaluation) user(member *iam.Member) (bearer, string) {
	if member == nil {
		return bearer{}, UnknownSubject
	}
	kind := kindOf(member)
	organization := find[*iam.Organization](e.World, member.OrganizationID)
	switch {
	case organization == nil, (kind == iam.PrincipalOwner) != (member.ID == organization.OwnerID):
		return bearer{}, BearerGone
	case member.Locked != "":
		return bearer{}, Locked
	case member.Invited:
		return bearer{}, Invited
	}
	return bearer{Principal{kind, member.ID, member.OrganizationID}, member.Groups}, ""
}

// scopeIsOf says whether what is named is there and of the subject's Organization.
func (e evaluation) scopeIsOf(organizationID string) bool {
	if e.OrganizationID != "" && e.OrganizationID != organizationID {
		return false
	}
	project := find[*iam.Project](e.World, e.ProjectID)
	return e.ProjectID == "" || project != nil && project.OrganizationID == organizationID
}

// byPolicies takes all rules that reach the bearer together: any of them may allow, none can deny.
func (e evaluation) byPolicies(who bearer) Answer {
	grants, elsewhere := e.grants(who)
	switch {
	case len(grants[True]) > 0:
		return Answer{true, Granted, who.Principal, grants[True]}
	case len(grants[Failed]) > 0:
		return Answer{false, ConditionFailed, who.Principal, grants[Failed]}
	case len(grants[False]) > 0:
		return Answer{false, ConditionFalse, who.Principal, grants[False]}
	case elsewhere:
		return Answer{false, OutOfScope, who.Principal, nil}
	}
	return Answer{false, NotGranted, who.Principal, nil}
}

// grants are those that cover the scope, by what comes of their conditions; and whether there are any on other Projects.
func (e evaluation) grants(who bearer) (here map[Outcome][]Grant, elsewhere bool) {
	here = map[Outcome][]Grant{}
	for _, policy := range e.policies(who) {
		for _, rule := range policy.Rules {
			for set := range all[*iam.PermissionSet](e.World) {
				switch {
				case !counts(rule) || !names(rule, set) || !e.holds(set):
				case e.covers(rule, set):
					outcome := e.outcome(rule)
					here[outcome] = append(here[outcome], Grant{policy.ID, rule.ID, set.Name})
				case set.ScopeType == iam.ScopeProjects:
					elsewhere = true
				}
			}
		}
	}
	return here, elsewhere
}

// policies are the bearer's own and those of its groups, in its Organization.
func (e evaluation) policies(who bearer) []*iam.Policy {
	var groups []string
	for group := range all[*iam.Group](e.World) {
		if group.OrganizationID == who.OrganizationID && belongs(who, group) {
			groups = append(groups, group.ID)
		}
	}
	var policies []*iam.Policy
	for policy := range all[*iam.Policy](e.World) {
		direct := policy.PrincipalKind == who.Kind && policy.PrincipalID == who.ID
		throughGroup := policy.PrincipalKind == iam.PrincipalGroup && slices.Contains(groups, policy.PrincipalID)
		if policy.OrganizationID == who.OrganizationID && (direct || throughGroup) {
			policies = append(policies, policy)
		}
	}
	return policies
}

// counts: a rule that is refused, or has no scope, grants nothing.
func counts(rule iam.Rule) bool {
	return rule.Refused == "" && (rule.OrganizationScope || len(rule.ProjectIDs) > 0)
}

// belongs: a dynamic group has whom it is for and nobody else, whatever is listed; groups do not nest.
func belongs(who bearer, group *iam.Group) bool {
	switch group.Membership {
	case iam.MembershipDeclared:
		return slices.Contains(group.Members, who.ID) || slices.Contains(who.joins, group.ID)
	case iam.MembershipAllUsers:
		return who.Kind == iam.PrincipalMember
	case iam.MembershipAllApplications:
		return who.Kind == iam.PrincipalApplication
	}
	return false
}

// names: a rule names its sets without regard to case. Names are letters and digits of ASCII.
func names(rule iam.Rule, set *iam.PermissionSet) bool {
	return slices.ContainsFunc(rule.PermissionSets, func(name string) bool {
		return strings.EqualFold(name, set.Name)
	})
}

// covers: the Organization is all of its Projects, too. Single Projects are only for sets that are granted on Projects.
func (e evaluation) covers(rule iam.Rule, set *iam.PermissionSet) bool {
	return rule.OrganizationScope ||
		set.ScopeType == iam.ScopeProjects && e.ProjectID != "" && slices.Contains(rule.ProjectIDs, e.ProjectID)
}

// outcome is what comes of a rule's condition.
func (e evaluation) outcome(rule iam.Rule) Outcome {
	if rule.Condition == "" {
		return True
	}
	condition, compiles := e.Conditions[rule.Condition]
	if !compiles {
		return Failed
	}
	return condition.Evaluate(e.Attributes)
}

// holds says whether one of a set's permissions takes in what is asked for.
func (e evaluation) holds(set *iam.PermissionSet) bool {
	for _, permission := range set.Permissions {
		service, resource, action, ok := parts(permission)
		if ok && e.serviceHolds(set.ScopeType, service, resource) &&
			(resource == "*" || resource == e.Permission.Resource) && (action == "*" || action == e.Permission.Action) {
			return true
		}
	}
	return false
}

// parts takes a permission of a set apart; not ok if it is malformed.
func parts(permission string) (service, resource, action string, ok bool) {
	found := entry.FindStringSubmatch(permission)
	if found == nil || len(permission) > longest {
		return "", "", "", false
	}
	return found[1], found[2], found[3], true
}

var organizationServices = []string{
	"iam", "account", "billing", "support", "abuse", "audit_trail", "environmental_impact", "notification",
}

// serviceHolds says whether what a set names takes in the service that is asked for. A set for Projects may name, of the
// Organization's services, nothing but iam:ssh_key.
func (e evaluation) serviceHolds(scopeType iam.ScopeType, service, resource string) bool {
	asked := e.Permission
	switch scopeType {
	case iam.ScopeOrganization:
		return service == asked.Service // so * is no service here
	case iam.ScopeProjects:
		if service == "*" {
			return asked.Service == "iam" && asked.Resource == "ssh_key" || slices.Contains(e.allProducts(), asked.Service)
		}
		allowed := !slices.Contains(organizationServices, service) || service == "iam" && resource == "ssh_key"
		return service == asked.Service && allowed
	}
	return false
}

// allProducts is what * as a service stands for, iam:ssh_key apart: the catalogue's services for Projects, and those of
// the sets that say so.
func (e evaluation) allProducts() []string {
	services := iam.ProjectServices()
	for set := range all[*iam.PermissionSet](e.World) {
		if !set.IncludedInAllProducts || set.ScopeType != iam.ScopeProjects {
			continue
		}
		for _, permission := range set.Permissions {
			if service, _, _, ok := parts(permission); ok {
				services = append(services, service)
			}
		}
	}
	return slices.DeleteFunc(services, func(service string) bool {
		return service == "k8s" || slices.Contains(organizationServices, service)
	})
}

// all gives the entities of a type.
func all[T iam.Entity](world World) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, entity := range world.Entities {
			if typed, ok := entity.(T); ok && !yield(typed) {
				return
			}
		}
	}
}

// find gives the entity of a type that has an id; nil if there is none.
func find[T iam.Entity](world World, id string) T {
	for entity := range all[T](world) {
		if entity.GetHead().ID == id {
			return entity
		}
	}
	var none T
	return none
}
