// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"strings"
	"sync"
	"time"

	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Snapshot is everything that decisions need, as of one revision. It never changes.
type Snapshot struct {
	revision      store.Revision
	keys          table[*iam.APIKey]
	keysByDigest  table[*iam.APIKey]
	nodes         table[*node]
	organizations table[*organization]
	projects      table[*iam.Project]
	sets          permissionSets

	// writer goes on from here; only the newest snapshot of a line has it.
	writer *writer
}

// node is who can be granted something: a user, an application or a group, of which it has one; or, none of them, what is
// known of an id that nothing has at the moment.
type node struct {
	user        *iam.Member
	application *iam.Application
	group       *iam.Group
	// listed are the groups that list it, and groups these and those that it joins, each once, by id.
	listed, groups []string
	// policies are those that name it, and grants what those give that count for it.
	policies []*policy
	grants   *grants
}

// organization is an Organization with its dynamic groups, by id.
type organization struct {
	*iam.Organization
	allUsers, allApplications []string
}

// Revision of the store that the snapshot shows.
func (s *Snapshot) Revision() store.Revision { return s.revision }

// bearer is a subject that was found.
type bearer struct {
	*node
	organization *organization
	kind         iam.PrincipalKind
}

// principal says who a bearer is.
func (b *bearer) principal() Principal {
	id := ""
	if b.kind == iam.PrincipalApplication {
		id = b.application.ID
	} else {
		id = b.user.ID
	}
	return Principal{Kind: b.kind, ID: id, OrganizationID: b.organization.ID}
}

// Decide answers a request at a time, which is for the server's clock to say.
func (s *Snapshot) Decide(r *Request, now time.Time) Decision {
	d := Decision{Revision: s.revision}
	if !r.Permission.Concrete() {
		d.Reason = ReasonMalformed
		return d
	}
	var b bearer
	if d.Reason = s.find(r.Subject, now, &b); b.organization != nil {
		d.Principal = b.principal()
	}
	if d.Reason != "" {
		return d
	}
	if !s.reaches(b.organization, r.Scope) {
		d.Reason = ReasonUnknownScope
		return d
	}
	if b.kind == iam.PrincipalOwner {
		d.Allowed, d.Reason = true, ReasonOwner
		return d
	}
	s.search(&b, r, now, &d)
	return d
}

// find gives whom a subject is, or why it counts for nothing.
func (s *Snapshot) find(subject Subject, now time.Time, b *bearer) Reason {
	switch subject.Kind {
	case SubjectAPIKey:
		key := s.keys.get(subject.ID)
		if key == nil {
			return ReasonUnknownSubject
		}
		return s.bearerOf(key, now, b)
	case SubjectUser, SubjectOwner:
		n := s.nodes.get(subject.ID)
		if n == nil || n.user == nil || subject.Kind == SubjectOwner && n.user.Type != iam.TypeOwner {
			return ReasonUnknownSubject
		}
		return s.user(n, b)
	case SubjectApplication:
		n := s.nodes.get(subject.ID)
		if n == nil || n.application == nil {
			return ReasonUnknownSubject
		}
		return s.application(n, b)
	}
	return ReasonMalformed
}

// bearerOf gives for whom a key acts.
func (s *Snapshot) bearerOf(key *iam.APIKey, now time.Time, b *bearer) Reason {
	if !key.Live(now) {
		return ReasonKeyExpired
	}
	n := s.nodes.get(key.BearerID)
	if n == nil {
		return ReasonBearerGone
	}
	if key.BearerKind == iam.PrincipalApplication {
		if n.application == nil || n.application.OrganizationID != key.OrganizationID {
			return ReasonBearerGone
		}
		return s.application(n, b)
	}
	isOwner := key.BearerKind == iam.PrincipalOwner
	switch {
	case !isOwner && key.BearerKind != iam.PrincipalMember,
		n.user == nil, n.user.OrganizationID != key.OrganizationID, isOwner != (n.user.Type == iam.TypeOwner),
		// The id stays when the Organization is handed over; the predecessor's key must not.
		isOwner && !strings.EqualFold(key.OwnerEmail, n.user.Email):
		return ReasonBearerGone
	}
	return s.user(n, b)
}

func (s *Snapshot) user(n *node, b *bearer) Reason {
	home := s.organizations.get(n.user.OrganizationID)
	isOwner := n.user.Type == iam.TypeOwner
	// The owner is who row and Organization both say it is. Where they differ, it is nobody.
	if home == nil || home.Organization == nil || isOwner != (n.user.ID == home.OwnerID) {
		return ReasonBearerGone
	}
	b.node, b.organization, b.kind = n, home, iam.PrincipalMember
	if isOwner {
		b.kind = iam.PrincipalOwner
	}
	switch {
	case n.user.Locked != "":
		return ReasonLocked
	case n.user.Invited:
		return ReasonInvited
	}
	return ""
}

func (s *Snapshot) application(n *node, b *bearer) Reason {
	home := s.organizations.get(n.application.OrganizationID)
	if home == nil || home.Organization == nil {
		return ReasonBearerGone
	}
	b.node, b.organization, b.kind = n, home, iam.PrincipalApplication
	return ""
}

// reaches says whether a scope is in an Organization, and there.
func (s *Snapshot) reaches(home *organization, scope Scope) bool {
	if scope.OrganizationID != "" && scope.OrganizationID != home.ID {
		return false
	}
	if scope.ProjectID == "" {
		return true
	}
	project := s.projects.get(scope.ProjectID)
	return project != nil && project.OrganizationID == home.ID
}

// manyGrants is more than most bearers have sources of grants: themselves and their groups.
const manyGrants = 16

// sources gives the grants that reach a bearer: its own, and those of its groups.
func (s *Snapshot) sources(b *bearer, into []*grants) []*grants {
	if b.grants != nil {
		into = append(into, b.grants)
	}
	for _, id := range b.groups {
		if n := s.nodes.get(id); n != nil && n.grants != nil && n.group != nil && n.group.Membership == iam.MembershipDeclared && n.group.OrganizationID == b.organization.ID {
			into = append(into, n.grants)
		}
	}
	dynamic := b.organization.allUsers
	if b.kind == iam.PrincipalApplication {
		dynamic = b.organization.allApplications
	}
	for _, id := range dynamic {
		if n := s.nodes.get(id); n != nil && n.grants != nil {
			into = append(into, n.grants)
		}
	}
	return into
}

// search looks for a rule that allows: first for one without a condition, then for one whose condition holds.
func (s *Snapshot) search(b *bearer, r *Request, now time.Time, d *Decision) {
	holding := s.sets.holding(r.Permission)
	var buffer [manyGrants]*grants
	sources := s.sources(b, buffer[:0])
	conditional := false
	for _, g := range sources {
		for onProject, scope := range [2][]setGrants{g.organization, g.projects[r.Scope.ProjectID]} {
			at, more := s.unconditional(scope, &holding, onProject == 1)
			if at != nil {
				s.grant(d, at, 0)
				return
			}
			conditional = conditional || more
		}
	}
	switch {
	case conditional:
		s.evaluate(sources, &holding, r, now, d)
	case s.elsewhere(sources, &holding):
		d.Reason = ReasonOutOfScope
	default:
		d.Reason = ReasonNotGranted
	}
}

// unconditional gives the first grant of a scope that needs no condition, or says whether there are any that do.
func (s *Snapshot) unconditional(scope []setGrants, holding *holders, onProject bool) (at *setGrants, conditional bool) {
	for i := range scope {
		if !holding.has(scope[i].slot) || onProject && !s.sets.projects.has(scope[i].slot) {
			continue
		}
		if !scope[i].rules[0].conditional() {
			return &scope[i], false
		}
		conditional = true
	}
	return nil, conditional
}

// elsewhere says whether a permission is granted on Projects; it is asked when it is not where it was asked for.
func (s *Snapshot) elsewhere(sources []*grants, holding *holders) bool {
	for _, g := range sources {
		for _, granted := range g.onProjects {
			if holding.has(granted.slot) && s.sets.projects.has(granted.slot) {
				return true
			}
		}
	}
	return false
}

func (s *Snapshot) grant(d *Decision, by *setGrants, i int) {
	d.Allowed, d.Reason, d.Grant = true, ReasonGranted, s.grantOf(by, i)
}

// grantOf names a grant.
func (s *Snapshot) grantOf(by *setGrants, i int) Grant {
	r := by.rules[i]
	return Grant{PolicyID: r.policy.ID, PolicyName: r.policy.Name, RuleID: r.ID, PermissionSet: s.sets.bySlot[by.slot].Name, Condition: r.Condition}
}

var inputs = sync.Pool{New: func() any { return new(condition.Input) }}

// evaluate tries the rules with conditions, all of which are of this permission and scope.
func (s *Snapshot) evaluate(sources []*grants, holding *holders, r *Request, now time.Time, d *Decision) {
	input := inputs.Get().(*condition.Input)
	defer inputs.Put(input)
	attributes := r.Attributes
	if attributes.Time.IsZero() {
		attributes.Time = now
	}
	input.Reset(attributes)
	d.Reason = ReasonConditionFalse
	for _, g := range sources {
		if s.anyHolds(g.organization, holding, false, input, d) || s.anyHolds(g.projects[r.Scope.ProjectID], holding, true, input, d) {
			return
		}
	}
}

func (s *Snapshot) anyHolds(scope []setGrants, holding *holders, onProject bool, input *condition.Input, d *Decision) bool {
	for i := range scope {
		at := &scope[i]
		if !holding.has(at.slot) || onProject && !s.sets.projects.has(at.slot) {
			continue
		}
		for j, r := range at.rules {
			holds, err := r.holds(input)
			if holds {
				s.grant(d, at, j)
				return true
			}
			if err != nil {
				if d.ConditionErrors == 0 { // From here on the refusal is about this one.
					d.Reason, d.Err, d.Grant = ReasonConditionFailed, err, s.grantOf(at, j)
				}
				d.ConditionErrors++
			} else if d.Grant.PolicyID == "" {
				d.Grant = s.grantOf(at, j)
			}
		}
	}
	return false
}

func (r *rule) holds(input *condition.Input) (bool, error) {
	if r.broken != nil {
		return false, r.broken
	}
	return r.condition.Evaluate(input)
}
