// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// The verbs by which Kubernetes RBAC says who may give something away. get is Kubernetes' own.
const (
	verbBind        = "bind"
	verbIssue       = "issue"
	verbEscalate    = "escalate"
	verbImpersonate = "impersonate"
	verbGet         = "get"
)

// The resources that the verbs are on.
const (
	resourceOrganizations   = "organizations"
	resourceProjects        = "projects"
	resourceMembers         = "members"
	resourceGroups          = "groups"
	resourceApplications    = "applications"
	resourcePolicies        = "policies"
	resourcePermissionSets  = "permissionsets"
	resourceSecrets         = "secrets"
	resourceUsers           = "users"
	resourceServiceAccounts = "serviceaccounts"
)

// Need is a right that an attempt takes: a verb on an object in a namespace.
type Need struct {
	Verb, Group, Resource string
	// Namespace of what is given away; empty for what is of the cluster.
	Namespace string
	Name      string
	// For says what the right is needed for, with the field's path, such as
	// "spec.rules[0] grants InstancesFullAccess on Project web".
	For string
}

// forAll is the question whether somebody has the right on every object of the kind in the namespace.
func (n Need) forAll() Need {
	n.Name, n.For = "", ""
	return n
}

// forOne is the question whether somebody has the right on this object.
func (n Need) forOne() Need {
	n.For = ""
	return n
}

// facts are all that the needs of an attempt depend on.
type facts struct {
	// user is the requester's name, as the API server knows it.
	user           string
	object, former declared.Object
	// principalGone says that the principal to which the former policy was bound is no longer there.
	principalGone bool
	// listedBy are the Groups that list a principal by its name before it is there.
	listedBy []string
	// grantedSets are the permission sets that policies grant to a group that becomes dynamic.
	grantedSets []v1alpha1.PermissionSetName
}

// needsOf lists what an attempt newly gives away, as rights that the requester must have: each once, in the order of the
// fields. What the former object gave away already needs nothing.
func needsOf(f facts) ([]Need, error) {
	n := &needs{seen: map[Need]struct{}{}, names: map[Need]int{}}
	switch obj := f.object.(type) {
	case *v1alpha1.Organization:
		n.organization(f, obj)
	case *v1alpha1.Member:
		n.member(f, obj)
	case *v1alpha1.Group:
		n.group(f, obj)
	case *v1alpha1.Application:
		n.application(f, obj)
	case *v1alpha1.APIKey:
		n.apiKey(f, obj)
	case *v1alpha1.Policy:
		n.policy(f, obj)
	case *v1alpha1.PermissionSet:
		n.permissionSet(f, obj)
	case *v1alpha1.Project, *v1alpha1.SSHKey:
		// They give nothing away: that others may write them is said by Kubernetes RBAC alone.
	default:
		return nil, fmt.Errorf("%T is no kind that the guard knows, so it passes none of them", f.object)
	}
	n.restoredID(f)
	return n.list, nil
}

// needs collects rights.
type needs struct {
	list []Need
	// seen are the questions of the list.
	seen map[Need]struct{}
	// names counts the objects of each kind and namespace.
	names map[Need]int
}

// add takes note of a need unless it is there already. A policy within the bounds of its schema can name half a million
// grants. Of rights to bind, therefore, none is kept beyond those that will certainly not be asked one by one: this
// changes no answer, because too many questions are refused, and what is answered for all objects is so for the rest.
func (n *needs) add(need Need) {
	class := need.forAll()
	if need.Verb == verbBind {
		_, known := n.names[class]
		if n.names[class] > maxQuestions || !known && len(n.names) > maxQuestions {
			return
		}
	}
	question := need.forOne()
	if _, found := n.seen[question]; found {
		return
	}
	n.seen[question] = struct{}{}
	n.names[class]++
	n.list = append(n.list, need)
}

// addOurs takes note of a need on an object of our own API group.
func (n *needs) addOurs(verb, resource, namespace, name, what string) {
	n.add(Need{Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: resource, Namespace: namespace, Name: name, For: what})
}

// restoredID is the need for annotation iam-operator.dev/id, which gives an object the grants and the past of another.
func (n *needs) restoredID(f facts) {
	if !annotated(f, v1alpha1.IDAnnotation) {
		return
	}
	what := "annotation " + v1alpha1.IDAnnotation + " restores an id"
	if set, ok := f.object.(*v1alpha1.PermissionSet); ok {
		n.addOurs(verbEscalate, resourcePermissionSets, "", set.Name, what)
		return
	}
	organization := organizationOf(f.object)
	n.addOurs(verbEscalate, resourceOrganizations, organization.namespace, organization.name, what)
}

// permissionSet: whoever changes what a set holds changes what all policies with it grant.
func (n *needs) permissionSet(f facts, set *v1alpha1.PermissionSet) {
	if what := writtenOf(set, formerOf[v1alpha1.PermissionSet](f)); what != "" {
		n.addOurs(verbEscalate, resourcePermissionSets, "", set.Name, what)
	}
}

// writtenOf says what of a permission set counts that is new, or empty if nothing is.
func writtenOf(set, former *v1alpha1.PermissionSet) string {
	switch {
	case former == nil:
		return "a permission set is created, which policies may name already"
	case !sameSet(set.Spec.Permissions, former.Spec.Permissions):
		return "spec.permissions says what policies with this set grant"
	case set.Spec.ScopeType != former.Spec.ScopeType:
		return "spec.scopeType says where this set counts"
	case set.Spec.IncludedInAllProducts != former.Spec.IncludedInAllProducts:
		return "spec.includedInAllProducts says what * means in other sets"
	case set.Spec.Name != former.Spec.Name:
		return "spec.name says which policies have this set"
	case set.Labels[v1alpha1.ManagedLabel] != former.Labels[v1alpha1.ManagedLabel]:
		return "label " + v1alpha1.ManagedLabel + " says which sets are built in"
	}
	return ""
}

// organizationName is the name and the home namespace of an Organization, as a reference gives them. Whether it exists,
// or admits the object, does not matter: what it could come to mean is what must not be given away.
type organizationName struct{ namespace, name string }

func organizationOf(obj declared.Object) organizationName {
	belonging, ok := obj.(interface {
		GetOrganizationRef() v1alpha1.OrganizationRef
	})
	if !ok {
		return organizationName{obj.GetNamespace(), obj.GetName()}
	}
	ref := belonging.GetOrganizationRef()
	return organizationName{or(string(ref.Namespace), obj.GetNamespace()), string(ref.Name)}
}

// formerOf gives the former object as one of the same kind, nil when there is none.
func formerOf[K any, T interface {
	*K
	declared.Object
}](f facts) T {
	former, ok := f.former.(T)
	if !ok {
		return nil
	}
	return former
}

// annotated says whether an annotation is new, or has a new value.
func annotated(f facts, name string) bool {
	value, found := f.object.GetAnnotations()[name]
	if !found {
		return false
	}
	if f.former == nil {
		return true
	}
	before, had := f.former.GetAnnotations()[name]
	return !had || before != value
}

// added lists what is in a list and was not before, in its order.
func added[T comparable](list, before []T) []T {
	had := make(map[T]struct{}, len(before))
	for _, item := range before {
		had[item] = struct{}{}
	}
	var fresh []T
	for _, item := range list {
		if _, found := had[item]; !found {
			fresh = append(fresh, item)
		}
	}
	return fresh
}

func sameSet[T comparable](a, b []T) bool { return len(added(a, b)) == 0 && len(added(b, a)) == 0 }

func or(written, otherwise string) string {
	if written != "" {
		return written
	}
	return otherwise
}
