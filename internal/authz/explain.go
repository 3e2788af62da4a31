// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// maxRemedies bounds how many ways an explanation names.
const maxRemedies = 10

// Explanation says in words why a decision is what it is.
type Explanation struct {
	Decision Decision
	// Sentence says why.
	Sentence string
	// Remedies says what would have to be true for a refusal to become an allow: any one of them would do. Empty when it is allowed.
	Remedies []string
}

// Explain decides, and says why. It takes longer than Decide.
func (v View) Explain(r *Request) Explanation {
	d := v.Decide(r)
	e := Explanation{Decision: d}
	who := v.snapshot.describe(r.Subject, d.Principal)
	what := fmt.Sprintf("%s %s", r.Permission, v.snapshot.describeScope(r.Scope, d.Principal.OrganizationID))
	switch d.Reason {
	case ReasonOwner:
		e.Sentence = fmt.Sprintf("%s may do %s: the owner may do everything in its Organization.", who, what)
	case ReasonGranted:
		e.Sentence = fmt.Sprintf("%s may do %s: %s.", who, what, v.snapshot.describeGrant(d))
	case ReasonConditionFalse, ReasonConditionFailed:
		e.Sentence = fmt.Sprintf("%s may not do %s: %s.", who, what, d.Obstacle())
		e.Remedies = v.conditionRemedies(r)
	case ReasonOutOfScope, ReasonNotGranted:
		e.Sentence = fmt.Sprintf("%s may not do %s: %s.", who, what, refusals[d.Reason])
		e.Remedies = v.grantRemedies(r, d)
	default:
		e.Sentence = fmt.Sprintf("%s may not do %s: %s.", who, what, refusals[d.Reason])
		e.Remedies = []string{remedies[d.Reason]}
	}
	return e
}

var refusals = map[Reason]string{
	ReasonMalformed:      "this is no permission that anybody could have, or no kind of subject; a permission is service:resource:action, without wildcards",
	ReasonUnknownSubject: "there is no such subject",
	ReasonKeyExpired:     "the API key has expired",
	ReasonBearerGone:     "the one whom the API key was made for is gone, or the subject's Organization is",
	ReasonLocked:         "the user is locked",
	ReasonInvited:        "the Guest has not accepted the invitation",
	ReasonUnknownScope:   "there is no such Project or Organization in the subject's Organization",
	ReasonNotGranted:     "no policy that reaches it grants this permission anywhere",
	ReasonOutOfScope:     "policies grant this permission, but not there",
	ReasonStale:          "the decision engine has been out of touch with the store for too long, and allows nothing until it is back",
}

var remedies = map[Reason]string{
	ReasonMalformed:      "ask for a permission such as object_storage:bucket:read, for a subject of type user, application, api_key or owner",
	ReasonUnknownSubject: "use the id of a user or application, or the access key of an API key, that exists",
	ReasonKeyExpired:     "use a key that is live: rotate this one, or give it a later spec.expiresAt",
	ReasonBearerGone:     "use a key of a bearer that exists",
	ReasonLocked:         "unlock the Member (spec.state, or annotation iam-operator.dev/unlock-at for a lock that arose by itself)",
	ReasonInvited:        "have the Guest accept the invitation",
	ReasonUnknownScope:   "name a Project of the subject's Organization, or that Organization",
	ReasonStale:          "see why the operator can't read its store (metric iam_operator_decision_snapshot_age_seconds)",
}

// describe names a subject.
func (s *Snapshot) describe(subject Subject, principal Principal) string {
	label := ""
	if slot, n := s.node(principal.ID); n.kind != noNode {
		label = (*s.entities.at(slot)).Label()
	}
	if principal.Kind == "" || label == "" {
		return fmt.Sprintf("%s %s", subject.Kind, subject.ID)
	}
	if subject.Kind == SubjectAPIKey {
		return fmt.Sprintf("%s %s, by API key %s,", principal.Kind, label, subject.ID)
	}
	return fmt.Sprintf("%s %s", principal.Kind, label)
}

// describeScope names a Project of the subject's Organization, and gives the id of any other.
func (s *Snapshot) describeScope(scope Scope, organizationID string) string {
	if scope.ProjectID == "" {
		return "on the Organization as a whole"
	}
	if project, found := s.projects.get(scope.ProjectID); found && project.OrganizationID == organizationID {
		return "on Project " + project.Name
	}
	return "on Project " + scope.ProjectID
}

// describeGrant says which rule grants it, and by which way it reaches the principal.
func (s *Snapshot) describeGrant(d Decision) string {
	text := fmt.Sprintf("policy %s grants it by permission set %s", d.Grant.PolicyName, d.Grant.PermissionSet)
	if group := s.groupOf(d); group != nil {
		text = fmt.Sprintf("policy %s grants it to group %s, by permission set %s", d.Grant.PolicyName, group.Name, d.Grant.PermissionSet)
	}
	if d.Grant.Condition != "" {
		text += fmt.Sprintf(", since the condition holds: %s", d.Grant.Condition)
	}
	return text
}

// groupOf gives the group through which a grant reaches its principal; nil if it is the principal's own.
func (s *Snapshot) groupOf(d Decision) *iam.Group {
	_, n := s.node(d.Principal.ID)
	home := s.organizations.at(n.home)
	for _, slot := range slices.Concat(n.groups, home.allUsers, home.allApplications) {
		if group, ok := (*s.entities.at(slot)).(*iam.Group); ok && s.nodes.at(slot).grants.names(d.Grant) {
			return group
		}
	}
	return nil
}

// names says whether grants have one of a rule.
func (g *grants) names(wanted *Grant) bool {
	return g != nil && slices.ContainsFunc(g.rules, func(rules []*rule) bool {
		return slices.ContainsFunc(rules, func(r *rule) bool {
			return slices.ContainsFunc(r.grants, func(named Grant) bool { return named == *wanted })
		})
	})
}

// Obstacle says which condition stands in the way; empty if none does.
func (d *Decision) Obstacle() string {
	if d.Allowed || d.Grant == nil {
		return ""
	}
	says := "does not hold"
	if d.Err != nil {
		says = fmt.Sprintf("can't be evaluated (%v)", d.Err)
	}
	return fmt.Sprintf("policy %s would grant it by permission set %s, but its condition %s: %s", d.Grant.PolicyName, d.Grant.PermissionSet, says, d.Grant.Condition)
}

// conditionRemedies names the conditions any of which would have to hold.
func (v View) conditionRemedies(r *Request) []string {
	var named []string
	v.eachConditional(r, func(g *Grant) {
		remedy := fmt.Sprintf("the condition of policy %s holds: %s", g.PolicyName, g.Condition)
		if len(named) < maxRemedies && !slices.Contains(named, remedy) {
			named = append(named, remedy)
		}
	})
	return named
}

// eachConditional gives the grants of a request's permission and scope that have a condition.
func (v View) eachConditional(r *Request, found func(*Grant)) {
	s := v.snapshot
	var b bearer
	if s.find(r.Subject, v.now, &b) != "" {
		return
	}
	project, _ := s.reaches(&b, r.Scope)
	holding := s.sets.holding(r.Permission)
	for _, g := range s.sources(&b, nil) {
		for _, part := range g.reaching(project) {
			for i := part.from; i < part.to; i++ {
				if !s.gives(g.index[i], &holding) {
					continue
				}
				for _, r := range g.rules[i] {
					found(r.grantOf(g.index[i].set))
				}
			}
		}
	}
}

// grantRemedies names the sets that hold the permission and could be granted, and where it is granted already.
func (v View) grantRemedies(r *Request, d Decision) []string {
	here, anywhere := v.snapshot.setsWith(r.Permission, r.Scope.ProjectID != "")
	where := v.snapshot.describeScope(r.Scope, d.Principal.OrganizationID)
	if len(here) == 0 { // Sets of type Organization are granted on the Organization as a whole only.
		here, where = anywhere, v.snapshot.describeScope(Scope{}, "")
	}
	if len(here) == 0 {
		return []string{fmt.Sprintf("a permission set holds %s, and a policy grants it; no set does at the moment", r.Permission)}
	}
	more := ""
	if len(here) > maxRemedies {
		here, more = here[:maxRemedies], " or another that holds it"
	}
	named := []string{fmt.Sprintf("a policy for the %s, or a group that it belongs to, grants one of the permission sets %s%s %s",
		strings.ToLower(string(d.Principal.Kind)), strings.Join(here, ", "), more, where)}
	if d.Reason == ReasonOutOfScope {
		if places := v.grantedOn(r); len(places) > 0 {
			named = append(named, "it asks for what is granted already: on "+strings.Join(places, ", "))
		}
	}
	return named
}

// setsWith names the sets that hold a permission, in order: all of them, and those that can be granted on a Project, if that is asked.
func (s *Snapshot) setsWith(permission iam.Permission, onProject bool) (here, anywhere []string) {
	holding := s.sets.holding(permission)
	for slot, set := range s.sets.bySlot {
		if set == nil || !holding.has(int32(slot)) {
			continue
		}
		anywhere = append(anywhere, set.Name)
		if !onProject || set.ScopeType == iam.ScopeProjects {
			here = append(here, set.Name)
		}
	}
	slices.Sort(here)
	slices.Sort(anywhere)
	return here, anywhere
}

// grantedOn names Projects on which the permission is granted, whatever the conditions.
func (v View) grantedOn(r *Request) []string {
	s := v.snapshot
	var b bearer
	if s.find(r.Subject, v.now, &b) != "" {
		return nil
	}
	holding := s.sets.holding(r.Permission)
	granted := map[int32]bool{}
	for _, g := range s.sources(&b, nil) {
		for _, e := range g.index {
			granted[e.project] = granted[e.project] || s.gives(e, &holding)
		}
	}
	var places []string
	for _, project := range s.projects.all() {
		if granted[project.slot] {
			places = append(places, "Project "+project.Name)
		}
	}
	slices.Sort(places)
	return places[:min(len(places), maxRemedies)]
}
