// SPDX-License-Identifier: Apache-2.0

// Package principals finds who of an Organization somebody at the API server is: which owner, Member or Application
// declares that Kubernetes user its own.
package principals

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// index is the cache's, by Kubernetes user.
const index = "iam-operator.dev/kubernetes-users"

// AddIndex tells the cache how a Finder looks Organizations, Members and Applications up.
func AddIndex(ctx context.Context, indexer client.FieldIndexer) error {
	for _, prototype := range []client.Object{&v1alpha1.Organization{}, &v1alpha1.Member{}, &v1alpha1.Application{}} {
		if err := indexer.IndexField(ctx, prototype, index, kubernetesUsers); err != nil {
			return fmt.Errorf("index the Kubernetes users of each %T: %w", prototype, err)
		}
	}
	return nil
}

// kubernetesUsers lists the names at the API server by which an object's principal is known. ServiceAccounts are contested,
// so only those that it holds are its own.
func kubernetesUsers(obj client.Object) []string {
	var names []string
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		for _, name := range o.Spec.Owner.KubernetesUsers {
			names = append(names, string(name))
		}
	case *v1alpha1.Member:
		for _, name := range o.Spec.KubernetesUsers {
			names = append(names, string(name))
		}
	case *v1alpha1.Application:
		for _, name := range o.Status.ServiceAccounts {
			names = append(names, serviceAccountUser(o.Namespace, name))
		}
	}
	return names
}

func serviceAccountUser(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// Finder finds principals by the names that they claim, and believes the store: what a claimant declares may not be applied.
type Finder struct {
	// Reader is a cache with the index.
	Reader client.Reader
	// Store is the canonical store.
	Store store.Store
}

// Find gives who of the Organization the Kubernetes user is; false where that is nobody, or more than one.
func (f Finder) Find(ctx context.Context, organizationID, user string) (iam.Actor, bool, error) {
	var found []iam.Actor
	for _, list := range []client.ObjectList{&v1alpha1.OrganizationList{}, &v1alpha1.MemberList{}, &v1alpha1.ApplicationList{}} {
		// What is found is only read, so the cache's own objects will do.
		if err := f.Reader.List(ctx, list, client.MatchingFields{index: user}, client.UnsafeDisableDeepCopy); err != nil {
			return iam.Actor{}, false, fmt.Errorf("list who claims Kubernetes user %q: %w", user, err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			row, err := f.row(ctx, item)
			if actor, ok := actorOf(row, item.(client.Object), organizationID, user); ok {
				found = append(found, actor)
			}
			return err
		})
		if err != nil {
			return iam.Actor{}, false, fmt.Errorf("find who claims Kubernetes user %q: %w", user, err)
		}
	}
	if len(found) != 1 {
		return iam.Actor{}, false, nil
	}
	return found[0], true, nil
}

// row gives the row of the principal that an object declares; nil if it has none.
func (f Finder) row(ctx context.Context, obj runtime.Object) (iam.Entity, error) {
	kind, id := iam.KindMember, ""
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		id = iam.OwnerID(declared.ID(o))
	case *v1alpha1.Member:
		id = declared.ID(o)
	case *v1alpha1.Application:
		kind, id = iam.KindApplication, declared.ID(o)
	}
	row, err := f.Store.Get(ctx, kind, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return row.Entity, err
}

// actorOf says who a row is, if it is a claimant's, and in the Organization; there a claim counts. The row has to have the
// name.
func actorOf(row iam.Entity, claimant client.Object, organizationID, user string) (iam.Actor, bool) {
	if row == nil || row.GetHead().OrganizationID != organizationID || row.GetHead().Object.UID != string(claimant.GetUID()) {
		return iam.Actor{}, false
	}
	switch principal := row.(type) {
	case *iam.Member:
		// The types of users are kinds of actors by the same names.
		return iam.Actor{Kind: iam.ActorKind(principal.Type), ID: principal.ID, Name: principal.Label()}, slices.Contains(principal.KubernetesUsers, user)
	case *iam.Application:
		has := slices.ContainsFunc(principal.ServiceAccounts, func(name string) bool {
			return user == serviceAccountUser(principal.Object.Namespace, name)
		})
		return iam.Actor{Kind: iam.ActorApplication, ID: principal.ID, Name: principal.Label()}, has
	}
	return iam.Actor{}, false
}
