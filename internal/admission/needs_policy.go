// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"math/big"
	"strings"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// principal is who a policy grants to, with its namespace.
type principal struct {
	kind            v1alpha1.PrincipalKind
	namespace, name string
}

// principalOf names the principal of a policy that has one.
func principalOf(p *v1alpha1.Policy) principal {
	of := p.Spec.Principal
	return principal{of.Kind, or(string(of.Namespace), p.Namespace), string(of.Name)}
}

// target is what a grant reaches: an Organization, or one Project, in the namespace where Kubernetes RBAC says who may
// give it away.
type target struct{ resource, namespace, name string }

// String is the target in words.
func (t target) String() string {
	switch {
	case t.resource == resourceOrganizations:
		return "Organization " + t.name
	case t.name == v1alpha1.DefaultProjectName:
		return "the default Project"
	}
	return "Project " + t.name
}

// reach is where, and when, a rule grants its permission sets.
type reach struct {
	target    target
	condition string
}

// setNames numbers permission sets, so that many of them are compared at once as bits. Their names are taken without
// regard to case, as the names of their objects are.
type setNames map[string]int

func (s setNames) number(name v1alpha1.PermissionSetName) int {
	key := strings.ToLower(string(name))
	number, found := s[key]
	if !found {
		number = len(s)
		s[key] = number
	}
	return number
}

func (s setNames) bits(names []v1alpha1.PermissionSetName) *big.Int {
	bits := new(big.Int)
	for _, name := range names {
		bits.SetBit(bits, s.number(name), 1)
	}
	return bits
}

// policy: a grant is new when its principal, its permission set, its target or its condition is. So the order of rules,
// and how sets and Projects are spread over them, do not matter.
func (n *needs) policy(f facts, p *v1alpha1.Policy) {
	if p.Spec.Principal == nil {
		return // It grants nothing; who adds the principal grants all of it.
	}
	numbers := setNames{}
	granted := map[reach]*big.Int{}
	former := formerOf[v1alpha1.Policy](f)
	if former != nil && !f.principalGone && sameGrantee(p, former) {
		granted = grantsOf(former, numbers)
	}
	for i, rule := range p.Spec.Rules {
		sets := numbers.bits(rule.PermissionSets)
		for _, target := range targetsOf(p, rule) {
			fresh := new(big.Int).Set(sets)
			if before, found := granted[reach{target, rule.Condition}]; found {
				fresh.AndNot(sets, before)
			}
			n.grant(declared.RulePath(i).String(), target, newOf(rule.PermissionSets, fresh, numbers))
		}
	}
}

// sameGrantee says whether two versions of a policy grant to the same principal of the same Organization.
func sameGrantee(p, former *v1alpha1.Policy) bool {
	return former.Spec.Principal != nil && principalOf(p) == principalOf(former) && organizationOf(p) == organizationOf(former)
}

// grantsOf gathers which permission sets a policy grants where and when.
func grantsOf(p *v1alpha1.Policy, numbers setNames) map[reach]*big.Int {
	grants := map[reach]*big.Int{}
	for _, rule := range p.Spec.Rules {
		sets := numbers.bits(rule.PermissionSets)
		for _, target := range targetsOf(p, rule) {
			at := reach{target, rule.Condition}
			if grants[at] == nil {
				grants[at] = new(big.Int)
			}
			grants[at].Or(grants[at], sets)
		}
	}
	return grants
}

// targetsOf lists what a rule reaches. What a rule of the one scope says of the other is counted too: the schema forbids
// it, and should it ever not, the guard must not be the one who looked away.
func targetsOf(p *v1alpha1.Policy, rule v1alpha1.PolicyRule) []target {
	home := organizationOf(p)
	targets := make([]target, 0, len(rule.ProjectRefs)+1)
	if rule.Scope != v1alpha1.ScopeProjects {
		targets = append(targets, target{resourceOrganizations, home.namespace, home.name})
	}
	for _, ref := range rule.ProjectRefs {
		if ref.Name == v1alpha1.DefaultProjectName {
			targets = append(targets, target{resourceProjects, home.namespace, v1alpha1.DefaultProjectName})
			continue
		}
		targets = append(targets, target{resourceProjects, or(string(ref.Namespace), p.Namespace), string(ref.Name)})
	}
	return targets
}

func newOf(names []v1alpha1.PermissionSetName, fresh *big.Int, numbers setNames) []v1alpha1.PermissionSetName {
	if fresh.Sign() == 0 {
		return nil
	}
	kept := make([]v1alpha1.PermissionSetName, 0, len(names))
	for _, name := range names {
		if fresh.Bit(numbers.number(name)) == 1 {
			kept = append(kept, name)
		}
	}
	return kept
}

// grant is the need for permission sets that a rule newly grants on a target: to give away the target, and each set.
func (n *needs) grant(path string, on target, sets []v1alpha1.PermissionSetName) {
	if len(sets) == 0 {
		return
	}
	n.addOurs(verbBind, on.resource, on.namespace, on.name, path+" grants "+string(sets[0])+more(len(sets)-1)+" on "+on.String())
	for _, set := range sets {
		n.addOurs(verbBind, resourcePermissionSets, on.namespace, strings.ToLower(string(set)),
			path+" grants "+string(set)+" on "+on.String())
	}
}
