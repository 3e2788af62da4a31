// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"fmt"
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
	keys         table[apiKey]
	keysByDigest table[*iam.APIKey]
	slots        table[int32]
	nodes        vector[node]
	entities     vector[iam.Entity]
	// groups has what declared groups are granted, by slot: what is in nodes, without the way through the node.
	groups        vector[*grants]
	organizations vector[organization]
	projects      table[project]
	sets          permissionSets

	// writer goes on from here; only the newest snapshot of a line has it.
	writer *writer
}

// node is who can be granted something: a user, an application or a group. It has what decisions need, and fits a line of the
// processor's cache; the rest is in entities.
type node struct {
	id     string // empty for a slot that nobody has
	grants *grants
	// groups are the slots of those that list it or that it joins, each once, by id.
	groups []int32
	home   int32
	kind   nodeKind
	// locked and invited are a user's.
	locked, invited bool
}

type nodeKind uint8

const (
	noNode nodeKind = iota
	userNode
	ownerNode
	applicationNode
	groupNode
)

func (k nodeKind) isUser() bool { return k == userNode || k == ownerNode }

// organization is an Organization with the slots of its owner, and of its dynamic groups by id.
type organization struct {
	id                        string // empty where there is none
	owner                     int32
	allUsers, allApplications []int32
}

type project struct {
	*iam.Project
	slot, home int32
}

type apiKey struct {
	*iam.APIKey
	bearer, home int32
	kind         nodeKind
}

// Revision of the store that the snapshot shows.
func (s *Snapshot) Revision() store.Revision { return s.revision }

// bearer is a subject that was found.
type bearer struct {
	*node
	organization *organization
}

// principal says who a bearer is.
func (b *bearer) principal() Principal {
	kind := iam.PrincipalMember
	switch b.kind {
	case ownerNode:
		kind = iam.PrincipalOwner
	case applicationNode:
		kind = iam.PrincipalApplication
	case noNode, userNode, groupNode:
	}
	return Principal{Kind: kind, ID: b.id, OrganizationID: b.organization.id}
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
	if b.kind == ownerNode {
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
		return s.bearerOf(&key, now, b)
	}
	slot, n := s.node(subject.ID)
	switch {
	case !subject.Kind.exists():
		return ReasonMalformed
	case !n.is(subject.Kind):
		return ReasonUnknownSubject
	}
	return s.count(slot, n, b)
}

// homeOf gives the Organization that a subject belongs to which counts for nothing; empty if there is no such subject.
func (s *Snapshot) homeOf(subject Subject) string {
	if subject.Kind == SubjectAPIKey {
		if key, found := s.keys.get(subject.ID); found {
			return key.OrganizationID
		}
		return ""
	}
	slot, n := s.node(subject.ID)
	if subject.Kind == SubjectApplication && n.kind == applicationNode || subject.Kind != SubjectApplication && n.kind.isUser() {
		return (*s.entities.at(slot)).GetHead().OrganizationID
	}
	return ""
}

// node gives what has an id; an empty one if nothing has.
func (s *Snapshot) node(id string) (slot int32, n *node) {
	slot, found := s.slots.get(id)
	if !found {
		return whole, &node{}
	}
	return slot, s.nodes.at(slot)
}

// bearerOf gives for whom a key acts.
func (s *Snapshot) bearerOf(key *apiKey, now time.Time, b *bearer) Reason {
	if !key.Live(now) {
		return ReasonKeyExpired
	}
	n := s.nodes.at(key.bearer)
	if n.home != key.home || n.kind != key.kind || n.kind == noNode || n.kind == groupNode { // Groups bear no keys.
		return ReasonBearerGone
	}
	// The id stays when the Organization is handed over; the predecessor's key must not.
	if n.kind == ownerNode && !strings.EqualFold(key.OwnerEmail, s.emailOf(key.bearer)) {
		return ReasonBearerGone
	}
	return s.count(key.bearer, n, b)
}

func (s *Snapshot) emailOf(slot int32) string {
	if user, ok := (*s.entities.at(slot)).(*iam.Member); ok {
		return user.Email
	}
	return ""
}

// count says whether a user or an application counts.
func (s *Snapshot) count(slot int32, n *node, b *bearer) Reason {
	home := s.organizations.at(n.home)
	// The owner is who row and Organization both say it is. Where they differ, it is nobody.
	if home.id == "" || n.kind.isUser() && (n.kind == ownerNode) != (slot == home.owner) {
		return ReasonBearerGone
	}
	b.node, b.organization = n, home
	switch {
	case n.locked:
		return ReasonLocked
	case n.invited:
		return ReasonInvited
	}
	return ""
}

// reaches gives the slot of a scope's Project, or whole, and says whether the scope is in the bearer's Organization.
func (s *Snapshot) reaches(b *bearer, scope Scope) (slot int32, there bool) {
	if scope.OrganizationID != "" && scope.OrganizationID != b.organization.id {
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
		if g := *s.groups.at(slot); g != nil && g.home == b.home {
			into = append(into, g)
		}
	}
	dynamic := b.organization.allUsers
	if b.kind == applicationNode {
		dynamic = b.organization.allApplications
	}
	for _, slot := range dynamic {
		if n := s.nodes.at(slot); n.kind == groupNode && n.grants != nil {
			into = append(into, n.grants)
		}
	}
	return into
}

// search looks for a rule that allows: first for one without a condition, then for one whose condition holds.
func (s *Snapshot) search(b *bearer, r *Request, project int32, now time.Time, d *Decision) {
	holding := s.sets.holding(r.Permission)
	var buffer [manySources]*grants
	sources := s.sources(b, buffer[:0])
	conditional := false
	for _, g := range sources {
		at, more := s.unconditional(g, project, &holding)
		if at >= 0 {
			d.Allowed, d.Reason, d.Grant = true, ReasonGranted, g.first[at]
			return
		}
		conditional = conditional || more
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

// gives says whether an entry is of a permission.
func (s *Snapshot) gives(e indexed, holding *holders) bool {
	return holding.has(e.set) && (e.project == whole || s.sets.projects.has(e.set))
}

// unconditional gives the first entry of an index that reaches a scope and needs no condition, or -1, and whether there are any that do.
func (s *Snapshot) unconditional(g *grants, project int32, holding *holders) (at int, conditional bool) {
	for _, part := range g.reaching(project) {
		for i := part.from; i < part.to; i++ {
			if e := g.index[i]; s.gives(e, holding) {
				if e.unconditional {
					return i, false
				}
				conditional = true
			}
		}
	}
	return -1, conditional
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

var inputs = sync.Pool{New: func() any { return new(condition.Input) }}

// evaluate tries the rules with conditions, all of which are of this permission and scope.
func (s *Snapshot) evaluate(sources []*grants, holding *holders, r *Request, project int32, now time.Time, d *Decision) {
	input := inputs.Get().(*condition.Input)
	defer inputs.Put(input)
	attributes := r.Attributes
	if attributes.Time.IsZero() {
		attributes.Time = now
	}
	input.Reset(attributes)
	d.Reason = ReasonConditionFalse
	budget := uint64(decisionCost)
	for _, g := range sources {
		for _, part := range g.reaching(project) {
			for i := part.from; i < part.to; i++ {
				if s.gives(g.index[i], holding) && anyHolds(g, i, input, &budget, d) {
					return
				}
			}
		}
	}
}

// anyHolds tries the rules of an entry. Of a refusal, the first rule is named whose condition could not be evaluated; without
// one, the first of all.
func anyHolds(g *grants, entry int, input *condition.Input, budget *uint64, d *Decision) bool {
	for _, r := range g.rules[entry] {
		holds, err := r.holds(input, budget)
		switch {
		case holds:
			d.Allowed, d.Reason, d.Grant, d.Err = true, ReasonGranted, r.grantOf(g.index[entry].set), nil
			return true
		case err != nil:
			if d.ConditionErrors++; d.ConditionErrors == 1 {
				d.Reason, d.Err, d.Grant = ReasonConditionFailed, err, r.grantOf(g.index[entry].set)
			}
		case d.Grant == nil:
			d.Grant = r.grantOf(g.index[entry].set)
		}
	}
	return false
}

// decisionCost is the most that the conditions of one decision may cost together: two of the dearest that compile, and hundreds
// of the usual ones. Without a bound, whoever writes policies could have everybody wait.
const decisionCost = 100_000

var errTooCostly = fmt.Errorf("the conditions that would have to be tried for this decision cost more than the %d units allowed together: write fewer, or cheaper ones", decisionCost)

func (r *rule) holds(input *condition.Input, budget *uint64) (bool, error) {
	if r.broken != nil {
		return false, r.broken
	}
	cost := r.condition.Cost()
	if cost > *budget {
		return false, errTooCostly
	}
	*budget -= cost
	return r.condition.Evaluate(input)
}
