// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

const (
	// maxWarnings bounds what is looked up, and told, of one attempt.
	maxWarnings = 5
	// maxWarning is how many bytes of a warning the API server is sure to pass on.
	maxWarning = 256
)

// warnings tells what is admitted and will not do what its author may think. It never tells
// what exists: what is missing and what is of another Organization are the same. Whoever
// can't look something up does not warn of it.
func (v *validator) warnings(ctx context.Context, a *attempt, tenant *v1alpha1.Organization) []string {
	w := &warner{validator: v, tenant: tenant}
	switch obj := a.Object.(type) {
	case *v1alpha1.Organization:
		w.organization(ctx, obj, a.Former)
	case *v1alpha1.Member:
		w.member(ctx, obj, a)
	case *v1alpha1.PermissionSet:
		if isBuiltIn(string(a.kind), obj.Name) {
			w.warn(nil, "PermissionSet %s is built in, and the operator puts it back as it is documented; create another set", obj.Spec.Name)
		}
	}
	w.references(ctx, a.Object)
	return w.list
}

// warner collects warnings.
type warner struct {
	*validator
	tenant *v1alpha1.Organization
	list   []string
}

func (w *warner) full() bool { return len(w.list) >= maxWarnings }

func (w *warner) warn(path *field.Path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != nil {
		text = path.String() + ": " + text
	}
	if !w.full() {
		w.list = append(w.list, shortened(text))
	}
}

// shortened keeps what fits, in whole characters.
func shortened(text string) string {
	const ellipsis = "…"
	if len(text) <= maxWarning {
		return text
	}
	end := maxWarning - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// organization warns of what a changed setting does to what there is already.
func (w *warner) organization(ctx context.Context, o *v1alpha1.Organization, former declared.Object) {
	w.claimedUsers(ctx, o, field.NewPath("spec", "owner", "kubernetesUsers"), o.Spec.Owner.KubernetesUsers)
	before, ok := former.(*v1alpha1.Organization)
	if !ok {
		return
	}
	most, was := maxLifetime(o), maxLifetime(before)
	if most == 0 || was != 0 && was <= most {
		return
	}
	var keys v1alpha1.APIKeyList
	of := organizationName{o.Namespace, o.Name}
	if w.cache.List(ctx, &keys, client.MatchingFields{organizationIndex: of.String()}, client.UnsafeDisableDeepCopy) != nil {
		return
	}
	count := 0
	for i := range keys.Items {
		k := &keys.Items[i]
		if k.Spec.Rotation != nil && len(declared.LifetimeErrors(k, most, k.CreationTimestamp.Time)) > 0 {
			count++
		}
	}
	if count > 0 {
		w.warn(field.NewPath("spec", "security", "maxAPIKeyLifetime"),
			"API keys that rotate less often than this allows: %d. Each keeps the pair in force until its end, and gets no other; shorten their spec.rotation", count)
	}
}

// member warns of a deprecated type, and of a name that another has.
func (w *warner) member(ctx context.Context, m *v1alpha1.Member, a *attempt) {
	spec := field.NewPath("spec")
	if m.Spec.Type == v1alpha1.TypeGuest {
		if a.old == nil {
			w.warn(spec.Child("type"), "Guest is deprecated: declare a Member, with a username, instead; it may have the same e-mail in several Organizations")
		}
		return
	}
	if w.tenant == nil {
		return
	}
	if w.another(ctx, m, usernameIndex, usernameKey(w.tenant, m.Spec.Username)) {
		w.warn(spec.Child("username"), "%q is held by another object; choose another, or wait until it is freed", m.Spec.Username)
	}
	w.claimedUsers(ctx, m, spec.Child("kubernetesUsers"), m.Spec.KubernetesUsers)
}

// claimedUsers warns of Kubernetes users whom somebody else of the Organization claims too.
func (w *warner) claimedUsers(ctx context.Context, obj declared.Object, path *field.Path, users []v1alpha1.UserName) {
	organization := w.tenant
	if o, ok := obj.(*v1alpha1.Organization); ok {
		organization = o
	}
	if organization == nil {
		return
	}
	owner := map[v1alpha1.UserName]bool{}
	if organization != obj {
		for _, user := range organization.Spec.Owner.KubernetesUsers {
			owner[user] = true
		}
	}
	for i, user := range users {
		if !w.full() && (owner[user] || w.another(ctx, obj, kubernetesUserIndex, userKey(organization, user))) {
			w.warn(path.Index(i), "another of this Organization claims %q too, so that audit events name neither; remove it from one", user)
		}
	}
}

// another says whether a Member of the Organization, other than the object itself, has a key of an index.
func (w *warner) another(ctx context.Context, obj declared.Object, index, key string) bool {
	organization := w.tenant
	if o, ok := obj.(*v1alpha1.Organization); ok {
		organization = o
	}
	var members v1alpha1.MemberList
	if w.cache.List(ctx, &members, client.MatchingFields{index: key}, client.UnsafeDisableDeepCopy) != nil {
		return false
	}
	for i := range members.Items {
		other := &members.Items[i]
		if other.UID == obj.GetUID() || !other.DeletionTimestamp.IsZero() {
			continue
		}
		if ours, err := w.belongs(ctx, organization, other); err == nil && ours {
			return true
		}
	}
	return false
}

// The indexes by which a Member with a name is found.
const (
	usernameIndex       = "iam-operator.dev/admission-username"
	kubernetesUserIndex = "iam-operator.dev/admission-kubernetes-user"
)

// nameIndex is an index of the cache by names.
type nameIndex struct {
	prototype client.Object
	name      string
	keys      client.IndexerFunc
}

func nameIndexes() []nameIndex {
	return []nameIndex{
		{&v1alpha1.Member{}, usernameIndex, func(obj client.Object) []string {
			m, ok := obj.(*v1alpha1.Member)
			if !ok || m.Spec.Username == "" {
				return nil
			}
			return []string{organizationOf(m).String() + "/" + strings.ToLower(m.Spec.Username)}
		}},
		{&v1alpha1.Member{}, kubernetesUserIndex, func(obj client.Object) []string {
			m, ok := obj.(*v1alpha1.Member)
			if !ok {
				return nil
			}
			keys := make([]string, len(m.Spec.KubernetesUsers))
			for i, user := range m.Spec.KubernetesUsers {
				keys[i] = organizationOf(m).String() + "/" + string(user)
			}
			return keys
		}},
	}
}

func usernameKey(o *v1alpha1.Organization, username string) string {
	return organizationName{o.Namespace, o.Name}.String() + "/" + strings.ToLower(username)
}

func userKey(o *v1alpha1.Organization, user v1alpha1.UserName) string {
	return organizationName{o.Namespace, o.Name}.String() + "/" + string(user)
}

func maxLifetime(o *v1alpha1.Organization) time.Duration {
	return declared.Organization(o, "").Security.MaxAPIKeyLifetime
}
