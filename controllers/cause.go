// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// userIndex finds who somebody at the API server is: the objects that claim a user name.
const userIndex = "iam-operator.dev/kubernetes-users"

// The names by which the API server knows those who delete on behalf of others, and what
// events call them.
const (
	namespaceController = "namespace-controller"
	garbageCollector    = "garbage-collector"
	// controllerManager stands for both, where its controllers have no ServiceAccounts of their own.
	controllerManager = "system:kube-controller-manager"
)

var deleters = map[string]string{
	"system:serviceaccount:kube-system:namespace-controller":      namespaceController,
	"system:serviceaccount:kube-system:generic-garbage-collector": garbageCollector,
}

// authors lists the records of those who asked for what an object is now, oldest first: the
// last is of just this generation and digest, and before it come those of the generations
// that were never applied by themselves. It is empty when nobody is known to have asked for
// what is there, whoever asked for what was there before. What was applied is forgotten, so
// that all that is left is new.
func authors(records []iam.Attribution, generation int64, digest string) []iam.Attribution {
	var found []iam.Attribution
	known := false
	for _, record := range records {
		exact := record.Generation == generation && record.Digest == digest
		if record.Deletion || record.Generation > generation || record.Generation == generation && !exact {
			continue
		}
		known = known || exact
		found = append(found, record)
	}
	if !known {
		return nil
	}
	slices.SortStableFunc(found, func(a, b iam.Attribution) int { return int(a.Generation - b.Generation) })
	return found
}

// admittedCause is what an event says of a change that these people asked for.
func admittedCause(asked []iam.Attribution) audit.Cause {
	last := asked[len(asked)-1]
	cause := audit.Cause{
		Actor:          iam.Actor{Kind: iam.ActorKubernetesUser, Name: last.Requester.Name},
		KubernetesUser: last.Requester.Name, RequestID: last.RequestID,
		Authorship: &iam.Authorship{State: iam.AuthorshipAdmitted},
	}
	for _, record := range asked {
		cause.Authorship.Authors = append(cause.Authorship.Authors, iam.Author{
			Generation: record.Generation, KubernetesUser: record.Requester.Name, At: record.At,
		})
	}
	if len(asked) == 1 {
		cause.Authorship.Authors = nil
	}
	return cause
}

// unattributed is the cause of a change that somebody asked for whom nobody saw.
func unattributed(fieldManager string) audit.Cause {
	return audit.Cause{
		Actor:      iam.Actor{Kind: iam.ActorKubernetesUser, Name: iam.Unknown},
		Authorship: &iam.Authorship{State: iam.AuthorshipAbsent, FieldManager: fieldManager},
	}
}

// causeOf says who is behind a change of an object's rows; obj is nil when the object is gone.
func (e *Environment) causeOf(ctx context.Context, obj Object, rows []iam.Entity) (audit.Cause, error) {
	if obj == nil {
		return e.causeOfAbsence(ctx, rows)
	}
	records, err := e.Store.Attributions(ctx, string(obj.GetUID()))
	if err != nil {
		return audit.Cause{}, fmt.Errorf("find who asked for the change: %w", err)
	}
	organizationID := ""
	var home *iam.Organization
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		organizationID = idOf(o)
	case belonging:
		if home, err = e.homeOf(ctx, o); err != nil {
			return audit.Cause{}, err
		}
		if home != nil {
			organizationID = home.ID
		}
	}
	cause := e.authorOf(ctx, obj, records, len(rows) > 0)
	cause.Home = home
	return e.named(ctx, cause, organizationID)
}

// authorOf tells people from the system. What changes at a generation that was applied
// already is the system's, unless somebody has asked for it by an annotation.
func (e *Environment) authorOf(ctx context.Context, obj Object, records []iam.Attribution, hasRows bool) audit.Cause {
	if !obj.GetDeletionTimestamp().IsZero() {
		return e.deletionCause(ctx, obj.GetNamespace(), records)
	}
	if asked := authors(records, obj.GetGeneration(), declared.Digest(obj)); len(asked) > 0 {
		return admittedCause(asked)
	}
	status := obj.GetObjectStatus()
	applied := status.ObservedGeneration == obj.GetGeneration() && (hasRows || isReady(status))
	if manager := specManager(obj); !applied && manager != string(fieldOwner) {
		return unattributed(manager)
	}
	return audit.System()
}

// causeOfAbsence says who deleted an object that is gone: its rows know its UID.
func (e *Environment) causeOfAbsence(ctx context.Context, rows []iam.Entity) (audit.Cause, error) {
	if len(rows) == 0 {
		return audit.System(), nil
	}
	head := rows[0].GetHead()
	records, err := e.Store.Attributions(ctx, head.Object.UID)
	if err != nil {
		return audit.Cause{}, fmt.Errorf("find who deleted the object: %w", err)
	}
	organizationID := head.OrganizationID
	if head.Object.Kind == iam.KindOrganization {
		organizationID = ownOrganization(rows)
	}
	return e.named(ctx, e.deletionCause(ctx, head.Object.Namespace, records), organizationID)
}

// ownOrganization is the id of the Organization among the rows of its object.
func ownOrganization(rows []iam.Entity) string {
	for _, row := range rows {
		if row.EntityKind() == iam.KindOrganization {
			return row.GetHead().ID
		}
	}
	return rows[0].GetHead().OrganizationID
}

// deletionCause names the first who asked for the deletion, or what Kubernetes deletes for.
func (e *Environment) deletionCause(ctx context.Context, namespace string, records []iam.Attribution) audit.Cause {
	i := slices.IndexFunc(records, func(record iam.Attribution) bool { return record.Deletion })
	if i < 0 {
		return unattributed("")
	}
	cause := admittedCause(records[i : i+1])
	name := deleters[cause.KubernetesUser]
	if cause.KubernetesUser == controllerManager {
		name = garbageCollector
		if e.terminating(ctx, namespace) {
			name = namespaceController
		}
	}
	if name != "" {
		cause.Actor = iam.Actor{Kind: iam.ActorSystem, Name: name}
	}
	return cause
}

// terminating says whether a namespace is being deleted, or gone. It never fails: a
// revocation does not wait for the right word.
func (e *Environment) terminating(ctx context.Context, namespace string) bool {
	found := &corev1.Namespace{}
	err := e.Client.Get(ctx, client.ObjectKey{Name: namespace}, found)
	return namespace != "" && (err != nil || !found.DeletionTimestamp.IsZero())
}

// named says who of the Organization the Kubernetes user of a cause is, where just one of
// them claims the name. Claims count in the claimant's own Organization only.
func (e *Environment) named(ctx context.Context, cause audit.Cause, organizationID string) (audit.Cause, error) {
	if cause.KubernetesUser == "" || cause.Actor.Kind != iam.ActorKubernetesUser || organizationID == "" {
		return cause, nil
	}
	var found []iam.Actor
	for _, list := range []client.ObjectList{&v1alpha1.OrganizationList{}, &v1alpha1.MemberList{}, &v1alpha1.ApplicationList{}} {
		claimants, err := listByIndex[Object](ctx, e.Client, list, userIndex, cause.KubernetesUser)
		if err != nil {
			return audit.Cause{}, fmt.Errorf("list who is %q: %w", cause.KubernetesUser, err)
		}
		for _, claimant := range claimants {
			actor, err := e.actorIn(ctx, claimant, organizationID)
			if err != nil {
				return audit.Cause{}, err
			}
			if actor != nil {
				found = append(found, *actor)
			}
		}
	}
	if len(found) == 1 {
		cause.Actor = found[0]
	}
	return cause, nil
}

// actorIn gives the principal that an object declares, if it counts in the Organization.
func (e *Environment) actorIn(ctx context.Context, obj Object, organizationID string) (*iam.Actor, error) {
	kind, id, actor := iam.KindMember, idOf(obj), iam.ActorMember
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		if id != organizationID {
			return nil, nil
		}
		// Its own row may be yet to come.
		owner := declared.Owner(o)
		return &iam.Actor{Kind: iam.ActorOwner, ID: owner.ID, Name: owner.Label()}, nil
	case *v1alpha1.Application:
		kind, actor = iam.KindApplication, iam.ActorApplication
	}
	row, err := e.Store.Get(ctx, kind, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the row of a claimant: %w", err)
	}
	head := row.Entity.GetHead()
	if head.OrganizationID != organizationID || head.Object.UID != string(obj.GetUID()) {
		return nil, nil
	}
	return &iam.Actor{Kind: actor, ID: head.ID, Name: row.Entity.Label()}, nil
}

// kubernetesUsersOf lists the names at the API server by which an object's principal is
// known. ServiceAccounts are contested, so only those that it holds are its own.
func kubernetesUsersOf(obj client.Object) []string {
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
			names = append(names, "system:serviceaccount:"+o.Namespace+":"+name)
		}
	}
	return names
}

// forgetAuthors forgets who asked for what is applied now, so that a change which comes
// later by itself is nobody's. A settled object costs one read.
func (e *Environment) forgetAuthors(ctx context.Context, obj Object) error {
	records, err := e.Store.Attributions(ctx, string(obj.GetUID()))
	if err != nil {
		return fmt.Errorf("look for who asked for what is applied: %w", err)
	}
	generation, digest := obj.GetGeneration(), declared.Digest(obj)
	used := func(record iam.Attribution) bool {
		return !record.Deletion && (record.Generation < generation || record.Generation == generation && record.Digest == digest)
	}
	if !slices.ContainsFunc(records, used) {
		return nil
	}
	return e.Store.ForgetAttributions(ctx, string(obj.GetUID()), generation, digest)
}

// homeOf gives the Organization that an object names, whether or not it is in force yet;
// nil when there is none.
func (e *Environment) homeOf(ctx context.Context, obj belonging) (*iam.Organization, error) {
	organization, namespace := &v1alpha1.Organization{}, &corev1.Namespace{}
	ref := organizationOf(obj)
	err := e.Client.Get(ctx, client.ObjectKey{Namespace: ref.namespace, Name: ref.name}, organization)
	if err == nil {
		err = e.Client.Get(ctx, client.ObjectKey{Name: ref.namespace}, namespace)
	}
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return declared.Organization(organization, string(namespace.UID)), nil
}

// specManager is the field manager that wrote the object last, its status apart.
func specManager(obj client.Object) string {
	var latest metav1.ManagedFieldsEntry
	for _, entry := range obj.GetManagedFields() {
		if entry.Subresource != "" || entry.Manager == string(fieldOwner) && latest.Manager != "" {
			continue
		}
		if latest.Manager == "" || latest.Manager == string(fieldOwner) || latest.Time.Before(entry.Time) {
			latest = entry
		}
	}
	return latest.Manager
}
