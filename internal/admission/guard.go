// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// Attempt is one request to write an object of ours, as the guard sees it.
type Attempt struct {
	// User who asks, with groups, uid and extra: an authorizer may look at any of them.
	User authenticationv1.UserInfo
	// Object as it would be stored.
	Object declared.Object
	// Former is what is stored now. It is nil at creation, and when nothing of it was ever applied (AdmissionMissing):
	// then everything in the object is new.
	Former declared.Object
}

// Guard keeps people from giving away what they may not give, in the manner of Kubernetes RBAC. What is given away is a
// matter of needsOf, which is pure; the guard finds the few facts for it and asks the authorizer.
type Guard struct {
	// Reader knows our objects; a cache will do, since what it misses is judged as new.
	Reader client.Reader
	// Authorize answers whether the requester has a right.
	Authorize Authorizer
}

// Missing gives what the requester lacks for what the attempt newly gives away; empty when nothing. An error means that
// nobody could tell, or, as a *TooManyQuestionsError, that nobody will: either way the attempt must not pass.
func (g *Guard) Missing(ctx context.Context, attempt Attempt) ([]Need, error) {
	f, err := g.factsOf(ctx, attempt)
	if err != nil {
		return nil, err
	}
	open, err := needsOf(f)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	return g.unmet(ctx, attempt, open)
}

// factsOf finds what the objects alone do not tell.
func (g *Guard) factsOf(ctx context.Context, attempt Attempt) (facts, error) {
	f := facts{user: attempt.User.Username, object: attempt.Object}
	if former := reflect.ValueOf(attempt.Former); former.IsValid() && !former.IsNil() { // else a nil of some kind is no nil
		f.former = attempt.Former
	}
	var err error
	switch obj := attempt.Object.(type) {
	case *v1alpha1.Policy:
		if former := formerOf[v1alpha1.Policy](f); former != nil {
			f.principalGone, err = g.principalGone(ctx, former)
		}
	case *v1alpha1.Group:
		if becomesDynamic(obj, formerOf[v1alpha1.Group](f)) {
			f.grantedSets, err = g.setsGrantedTo(ctx, obj)
		}
	case *v1alpha1.Member:
		f.listedBy, err = g.groupsThatList(ctx, f, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: v1alpha1.ObjectName(obj.Name)})
	case *v1alpha1.Application:
		f.listedBy, err = g.groupsThatList(ctx, f, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: v1alpha1.ObjectName(obj.Name)})
	}
	return f, err
}

// groupsThatList names the Groups of the Organization that list a principal which is yet to come. Groups list what is in
// their own namespace.
func (g *Guard) groupsThatList(ctx context.Context, f facts, wanted v1alpha1.GroupMember) ([]string, error) {
	if f.former != nil {
		return nil, nil
	}
	var groups v1alpha1.GroupList
	if err := g.Reader.List(ctx, &groups, client.InNamespace(f.object.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the Groups that may list %s %s: %w", wanted.Kind, wanted.Name, err)
	}
	var names []string
	for i := range groups.Items {
		group := &groups.Items[i]
		if organizationOf(group) == organizationOf(f.object) && group.DeletionTimestamp.IsZero() && slices.Contains(group.Spec.Members, wanted) {
			names = append(names, group.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// principalGone says whether the principal that a policy was bound to is no longer there. What has its name now never
// had the grant, so that to edit the policy, which binds it again, is to grant anew.
func (g *Guard) principalGone(ctx context.Context, p *v1alpha1.Policy) (bool, error) {
	if p.Spec.Principal == nil {
		return false, nil
	}
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Reason == v1alpha1.ReasonPrincipalDeleted {
		return true, nil
	}
	if p.Status.PrincipalID == "" {
		return false, nil // It never met a principal; it waits for whoever gets the name, as was granted.
	}
	of := principalOf(p)
	principal := newPrincipal(of.kind)
	err := g.Reader.Get(ctx, client.ObjectKey{Namespace: of.namespace, Name: of.name}, principal)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s %s in namespace %s, the policy's principal: %w", of.kind, of.name, of.namespace, err)
	}
	return !principal.GetDeletionTimestamp().IsZero() || declared.ID(principal) != p.Status.PrincipalID, nil
}

// principalObject is an object that a policy can grant to.
type principalObject interface {
	declared.Object
	client.Object
}

func newPrincipal(kind v1alpha1.PrincipalKind) principalObject {
	switch kind {
	case v1alpha1.PrincipalMember:
		return &v1alpha1.Member{}
	case v1alpha1.PrincipalGroup:
		return &v1alpha1.Group{}
	default:
		return &v1alpha1.Application{}
	}
}

// setsGrantedTo lists, by name and each once, the permission sets that policies grant to a group. A policy in a namespace
// that the Organization does not admit grants nothing, and nothing of it is told.
func (g *Guard) setsGrantedTo(ctx context.Context, group *v1alpha1.Group) ([]v1alpha1.PermissionSetName, error) {
	var policies v1alpha1.PolicyList
	// They are only looked at, and there may be tens of thousands.
	if err := g.Reader.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the policies that may grant to Group %s: %w", group.Name, err)
	}
	grantee := principal{v1alpha1.PrincipalGroup, group.Namespace, group.Name}
	sets := map[string]v1alpha1.PermissionSetName{}
	for i := range policies.Items {
		p := &policies.Items[i]
		if p.Spec.Principal == nil || principalOf(p) != grantee || organizationOf(p) != organizationOf(group) {
			continue
		}
		tenant, err := world{cache: g.Reader, live: g.Reader}.tenant(ctx, p)
		if err != nil {
			return nil, err
		}
		if tenant == nil {
			continue
		}
		for _, rule := range p.Spec.Rules {
			for _, name := range rule.PermissionSets {
				sets[strings.ToLower(string(name))] = name
			}
		}
	}
	names := make([]v1alpha1.PermissionSetName, 0, len(sets))
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		names = append(names, sets[key])
	}
	return names, nil
}
