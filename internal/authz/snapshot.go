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
//
// Whatever has an id has a slot besides, a small number by which others refer to it: so a decision looks up the few strings that it
// is asked about, and goes on from there by numbers.
type Snapshot struct {
	revision     store.Revision
	keys         table[*apiKey]
	keysByDigest table[*apiKey]
	slots        table[int]
	nodes        vector[*node]
	// groups has what declared groups are granted, by slot: what is in nodes, without the way through the node.
	groups        vector[*grants]
	organizations vector[*organization]
	projects      table[project]
	sets          permissionSets

	// writer goes on from here; only the newest snapshot of a line has it.
	writer *writer
}

// node is who can be granted something: a user, an application or a group, of which it has one.
type node struct {
	id     string
	home   int
	grants *grants
	// groups are the slots of those that list it or that it joins, each once, by id.
	groups      []int
	user        *iam.Member
	application *iam.Application
	group       *iam.Group
}

// organization is an Organization with the slots of its dynamic groups, by id.
type organization struct {
	*iam.Organization
	allUsers, allApplications []int
}

type project struct {
	*iam.Project
	slot, home int
}

type apiKey struct {
	*iam.APIKey
	bearer, home int
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
	return Principal{Kind: b.kind, ID: b.id, OrganizationID: b.organization.ID}
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
	} else {
		d.Principal.OrganizationID = s.homeOf(r.Subject)
	}
	if d.Reason != "" {
		return d
	}
	project, there := s.reaches(&b, r.Scope)
	if !there {
		d.Reason = ReasonUnknownScope
		return d
	}
	if b.kind == iam.PrincipalOwner {
		d.Allowed, d.Reason = true, ReasonOwner
		return d
	}
	s.search(&b, r, project, now, &d)
	return d
}

// find gives whom a subject is, or why it counts for nothing.
func (s *Snapshot) find(subject Subject, now time.Time, b *bearer) Reason {
	if subject.Kind == SubjectAPIKey {
		key, found := s.keys.get(subject.ID)
		if !found {
			return ReasonUnknownSubject
		}
		return s.bearerOf(key, now, b)
	}
	n := s.node(subject.ID)
	switch subject.Kind {
	case SubjectUser, SubjectOwner:
		if n == nil || n.user == nil || subject.Kind == SubjectOwner && n.user.Type != iam.TypeOwner {
			return ReasonUnknownSubject
		}
		return s.findUser(n, b)
	case SubjectApplication:
		if n == nil || n.application == nil {
			return ReasonUnknownSubject
		}
		return s.findApplication(n, b)
	case SubjectAPIKey:
	}
	return ReasonMalformed
}

// homeOf gives the Organization that a subject belongs to which counts for nothing; empty if there is no such subject.
func (s *Snapshot) homeOf(subject Subject) string {
	if subject.Kind == SubjectAPIKey {
		if key, found := s.keys.get(subject.ID); found {
			return key.OrganizationID
		}
		return ""
	}
	switch n := s.node(subject.ID); {
	case n == nil:
		return ""
	case n.user != nil && subject.Kind != SubjectApplication:
		return n.user.OrganizationID
	case n.application != nil && subject.Kind == SubjectApplication:
		return n.application.OrganizationID
	}
	return ""
}

func (s *Snapshot) node(id string) *node {
	slot, found := s.slots.get(id)
	if !found {
		return nil
	}
	return s.nodes.get(slot)
}

// bearerOf gives for whom a key acts.
func (s *Snapshot) bearerOf(key *apiKey, now time.Time, b *bearer) Reason {
	if !key.Live(now) {
		return ReasonKeyExpired
	}
	n := s.nodes.get(key.bearer)
	if n == nil || n.home != key.home {
		return ReasonBearerGone
	}
	if key.BearerKind == iam.PrincipalApplication {
		if n.application == nil {
			return ReasonBearerGone
		}
		return s.findApplication(n, b)
	}
	isOwner := key.BearerKind == iam.PrincipalOwner
	if !isOwner && key.BearerKind != iam.PrincipalMember || n.user == nil || isOwner != (n.user.Type == iam.TypeOwner) {
		return ReasonBearerGone
	}
	// The id stays when the Organization is handed over; the predecessor's key must not.
	if isOwner && !strings.EqualFold(key.OwnerEmail, n.user.Email) {
		return ReasonBearerGone
	}
	return s.findUser(n, b)
}

func (s *Snapshot) findUser(n *node, b *bearer) Reason {
	home := s.organizations.get(n.home)
	isOwner := n.user.Type == iam.TypeOwner
	// The owner is who row and Organization both say it is. Where they differ, it is nobody.
	if home == nil || home.Organization == nil || isOwner != (n.id == home.OwnerID) {
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

func (s *Snapshot) findApplication(n *node, b *bearer) Reason {
	home := s.organizations.get(n.home)
	if home == nil || home.Organization == nil {
		return ReasonBearerGone
	}
	b.node, b.organization, b.kind = n, home, iam.PrincipalApplication
	return ""
}

// reaches gives the slot of a scope's Project, or whole, and says whether the scope is in the bearer's Organization.
func (s *Snapshot) reaches(b *bearer, scope Scope) (slot int, there bool) {
	if scope.OrganizationID != "" && scope.OrganizationID != b.organization.ID {
		return whole, false
	}
	if scope.ProjectID == "" {
		return whole, true
	}
	at, found := s.projects.get(scope.ProjectID)
	return at.slot, found && at.home == b.home
}

// manySources is more than most bearers have sources of grants: themselves and their groups.
const manySources = 16

// sources gives the grants that reach a bearer: its own, and those of its groups.
func (s *Snapshot) sources(b *bearer, into []*grants) []*grants {
	if b.grants != nil {
		into = append(into, b.grants)
	}
	for _, slot := range b.groups {
		if g := s.groups.get(slot); g != nil && g.home == b.home {
			into = append(into, g)
		}
	}
	dynamic := b.organization.allUsers
	if b.kind == iam.PrincipalApplication {
		dynamic = b.organization.allApplications
	}
	for _, slot := range dynamic {
		if n := s.nodes.get(slot); n != nil && n.grants != nil {
			into = append(into, n.grants)
		}
	}
	return into
}

// search looks for a rule that allows: first for one without a condition, then for one whose condition holds.
func (s *Snapshot) search(b *bearer, r *Request, project int, now time.Time, d *Decision) {
	holding := s.sets.holding(r.Permission)
	var buffer [manySources]*grants
	sources := s.sources(b, buffer[:0])
	conditional := false
	for _, g := range sources {
		for onProject, scope := range [2]scopeGrants{g.organization, g.on(project)} {
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
		s.evaluate(sources, &holding, r, project, now, d)
	case s.elsewhere(sources, &holding):
		d.Reason = ReasonOutOfScope
	default:
		d.Reason = ReasonNotGranted
	}
}

// gives says whether a grant is of a permission, on a Project or on the Organization as a whole.
func (s *Snapshot) gives(at *setGrants, holding *holders, onProject bool) bool {
	return holding.has(at.set) && (!onProject || s.sets.projects.has(at.set))
}

// unconditional gives the first grant of a scope that needs no condition, or says whether there are any that do.
func (s *Snapshot) unconditional(scope scopeGrants, holding *holders, onProject bool) (at *setGrants, conditional bool) {
	for i := range scope {
		if !s.gives(&scope[i], holding, onProject) {
			continue
		}
		if scope[i].unconditional {
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
	g := by.rules[i].Grant
	g.PermissionSet = s.sets.bySlot[by.set].Name
	return g
}

var inputs = sync.Pool{New: func() any { return new(condition.Input) }}

// evaluate tries the rules with conditions, all of which are of this permission and scope.
func (s *Snapshot) evaluate(sources []*grants, holding *holders, r *Request, project int, now time.Time, d *Decision) {
	input := inputs.Get().(*condition.Input)
	defer inputs.Put(input)
	attributes := r.Attributes
	if attributes.Time.IsZero() {
		attributes.Time = now
	}
	input.Reset(attributes)
	d.Reason = ReasonConditionFalse
	for _, g := range sources {
		for onProject, scope := range [2]scopeGrants{g.organization, g.on(project)} {
			for i := range scope {
				if s.gives(&scope[i], holding, onProject == 1) && s.anyHolds(&scope[i], input, d) {
					return
				}
			}
		}
	}
}

// anyHolds tries the rules that give one set. Of a refusal, the first rule is named whose condition could not be evaluated; without
// one, the first of all.
func (s *Snapshot) anyHolds(at *setGrants, input *condition.Input, d *Decision) bool {
	for i, r := range at.rules {
		holds, err := r.holds(input)
		switch {
		case holds:
			s.grant(d, at, i)
			return true
		case err != nil:
			if d.ConditionErrors++; d.ConditionErrors == 1 {
				d.Reason, d.Err, d.Grant = ReasonConditionFailed, err, s.grantOf(at, i)
			}
		case d.Grant.PolicyID == "":
			d.Grant = s.grantOf(at, i)
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
