// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/principals"
)

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

// maxAuthors is how many authors of one change are listed one by one.
const maxAuthors = 64

// authors lists the records of those who asked for what an object is now, oldest first: the
// last is of just this generation and digest, and before it come those of the generations
// after the one that was applied last; that is zero where none was, and -1 where nobody can
// tell. A generation in between that nobody is known to have asked for is somebody's all the
// same. The list is empty when that is so of what is there, whoever asked for what was there
// before.
func authors(records []iam.Attribution, applied, generation int64, digest string) []iam.Attribution {
	if !iam.Admitted(records, generation, digest) {
		return nil
	}
	var found []iam.Attribution
	for _, record := range records {
		if record.Admits(generation, digest) || !record.Deletion && record.Generation > applied && record.Generation < generation {
			found = append(found, record)
		}
	}
	slices.SortStableFunc(found, func(a, b iam.Attribution) int { return cmp.Compare(a.Generation, b.Generation) })
	return eachOnce(withoutGaps(found, applied))
}

// withoutGaps names nobody for the generations that nobody is known to have asked for.
func withoutGaps(found []iam.Attribution, applied int64) []iam.Attribution {
	var list []iam.Attribution
	previous := iam.Attribution{Generation: applied}
	if applied < 0 {
		previous.Generation = found[0].Generation
	}
	for _, record := range found {
		again := len(list) > 0 && previous.Generation == record.Generation && previous.Requester.Name == record.Requester.Name
		switch {
		case again:
			list = list[:len(list)-1] // The API server asks once more when it could not store at once.
		case record.Generation > previous.Generation+1:
			list = append(list, iam.Attribution{Generation: record.Generation - 1, Requester: iam.Requester{Name: iam.Unknown}})
		}
		list = append(list, record)
		previous = record
	}
	return list
}

// eachOnce shortens a long list of authors to the last generation of each: a controller can
// edit an object that waits as often as it likes.
func eachOnce(list []iam.Attribution) []iam.Attribution {
	if len(list) <= maxAuthors {
		return list
	}
	last := map[string]int{}
	for i, record := range list {
		last[record.Requester.Name] = i
	}
	var short []iam.Attribution
	for i, record := range list {
		if last[record.Requester.Name] == i {
			short = append(short, record)
		}
	}
	return short
}

// admittedCause is what an event says of a change that these people asked for.
func admittedCause(asked []iam.Attribution) audit.Cause {
	last := asked[len(asked)-1]
	cause := audit.Cause{
		Actor:          iam.Actor{Kind: iam.ActorKubernetesUser, Name: last.Requester.Name},
		KubernetesUser: last.Requester.Name, RequestID: last.RequestID,
		Authorship: &iam.Authorship{State: iam.AuthorshipAdmitted},
	}
	if len(asked) == 1 {
		return cause
	}
	for _, record := range asked {
		cause.Authorship.Authors = append(cause.Authorship.Authors, iam.Author{
			Generation: record.Generation, KubernetesUser: record.Requester.Name, At: record.At,
		})
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

// causes are behind a change of the rows that an object accounts for.
type causes struct {
	// change is who declared what the object is now.
	change audit.Cause
	// end is who deleted it, or the predecessor of the same name that still has rows.
	end audit.Cause
}

func (c causes) of(gone bool) audit.Cause {
	if gone {
		return c.end
	}
	return c.change
}

// causesOf says who is behind a change of an object's rows; obj is nil when the object is
// gone. What goes with something that the object refers to goes by the same hand.
func (e *Environment) causesOf(ctx context.Context, obj Object, rows []iam.Entity, refs []reference) (causes, error) {
	if obj == nil {
		end, err := e.causeOfEnd(ctx, rows)
		return causes{end, end}, err
	}
	var home *iam.Organization
	if o, ok := obj.(belonging); ok {
		var err error
		if home, err = e.homeOf(ctx, o); err != nil {
			return causes{}, err
		}
	}
	former, by := rows, causes{}
	if obj.GetDeletionTimestamp().IsZero() {
		former = slices.DeleteFunc(slices.Clone(rows), func(row iam.Entity) bool { return row.GetHead().Object.UID == string(obj.GetUID()) })
		var err error
		if by.change, err = e.causeOfChange(ctx, obj, home, len(rows) > len(former)); err == nil && by.change == audit.System() {
			by.change, err = e.causeOfLoss(ctx, refs)
		}
		if err != nil {
			return causes{}, err
		}
	}
	end, err := e.causeOfEnd(ctx, former)
	by.end = end
	by.change.Home, by.end.Home = home, home
	return by, err
}

// causeOfChange tells people from the system. What changes at a generation that was applied
// already is the system's, unless somebody has asked for it by an annotation.
func (e *Environment) causeOfChange(ctx context.Context, obj Object, home *iam.Organization, hasRows bool) (audit.Cause, error) {
	records, err := e.Store.Attributions(ctx, string(obj.GetUID()))
	if err != nil {
		return audit.Cause{}, fmt.Errorf("find who asked for the change: %w", err)
	}
	organizationID := ""
	if _, ok := obj.(*v1alpha1.Organization); ok {
		organizationID = idOf(obj)
	} else if home != nil {
		organizationID = home.ID
	}
	status := obj.GetObjectStatus()
	if asked := authors(records, appliedGeneration(status, hasRows), obj.GetGeneration(), declared.Digest(obj)); len(asked) > 0 {
		return e.named(ctx, admittedCause(asked), organizationID), nil
	}
	manager := specManager(obj)
	if status.ObservedGeneration == obj.GetGeneration() && !declared.IsHeld(obj) && (hasRows || isReady(status)) || isCatalogueSet(obj) && manager == string(fieldOwner) {
		return audit.System(), nil
	}
	return unattributed(manager), nil
}

// appliedGeneration gives the generation of an object that was applied last: zero where none
// was, and -1 where the status does not tell.
func appliedGeneration(status *v1alpha1.ObjectStatus, hasRows bool) int64 {
	switch {
	case isReady(status):
		return status.ObservedGeneration
	case status.ObservedGeneration <= 0 && !hasRows:
		return 0
	}
	return -1
}

// causeOfEnd names the first who asked for the deletion of the object that rows come from,
// or what Kubernetes deletes for.
func (e *Environment) causeOfEnd(ctx context.Context, rows []iam.Entity) (audit.Cause, error) {
	if len(rows) == 0 {
		return audit.System(), nil
	}
	head := rows[0].GetHead()
	records, err := e.Store.Attributions(ctx, head.Object.UID)
	if err != nil {
		return audit.Cause{}, fmt.Errorf("find who deleted the object: %w", err)
	}
	i := slices.IndexFunc(records, func(record iam.Attribution) bool { return record.Deletion })
	if i < 0 {
		return unattributed(""), nil
	}
	cause := admittedCause(records[i : i+1])
	name := deleters[cause.KubernetesUser]
	if cause.KubernetesUser == controllerManager {
		name = garbageCollector
		if e.terminating(ctx, head.Object.Namespace) {
			name = namespaceController
		}
	}
	if name != "" {
		cause.Actor = iam.Actor{Kind: iam.ActorSystem, Name: name}
	}
	return e.named(ctx, cause, head.OrganizationID), nil
}

// causeOfLoss says who deletes what an object refers to, while that is yet to leave the store
// and to take along what goes with it: whichever of the two the operator sees first, the
// event says the same. Where nothing of it is being deleted, that is the system.
func (e *Environment) causeOfLoss(ctx context.Context, refs []reference) (audit.Cause, error) {
	for _, ref := range refs {
		if !slices.Contains(iam.Kinds(), ref.kind) {
			continue // A namespace or a Secret has no rows.
		}
		going, err := e.goingRows(ctx, ref)
		if err != nil {
			return audit.Cause{}, err
		}
		if len(going) > 0 {
			return e.causeOfEnd(ctx, going)
		}
	}
	return audit.System(), nil
}

// goingRows lists the rows of an object that is being deleted, or gone already.
func (e *Environment) goingRows(ctx context.Context, ref reference) ([]iam.Entity, error) {
	typed, err := e.Client.Scheme().New(v1alpha1.GroupVersion.WithKind(string(ref.kind)))
	if err != nil {
		return nil, fmt.Errorf("find the kind of %s: %w", ref, err)
	}
	obj := typed.(client.Object)
	err = e.Client.Get(ctx, client.ObjectKey{Namespace: ref.namespace, Name: ref.name}, obj)
	if client.IgnoreNotFound(err) != nil || err == nil && obj.GetDeletionTimestamp().IsZero() {
		return nil, err
	}
	return rowsOf(ctx, e.Store, iam.Object{Kind: ref.kind, Namespace: ref.namespace, Name: ref.name})
}

// terminating says whether a namespace is being deleted, or gone. It never fails: a
// revocation does not wait for the right word.
func (e *Environment) terminating(ctx context.Context, namespace string) bool {
	found := &corev1.Namespace{}
	err := e.Client.Get(ctx, client.ObjectKey{Name: namespace}, found)
	return namespace != "" && (err != nil || !found.DeletionTimestamp.IsZero())
}

// named says who of the Organization the Kubernetes user of a cause is, where just one of
// them has the name. It never fails: where nobody can tell, the raw name has to do.
func (e *Environment) named(ctx context.Context, cause audit.Cause, organizationID string) audit.Cause {
	if cause.Actor.Kind != iam.ActorKubernetesUser || organizationID == "" {
		return cause
	}
	actor, found, err := principals.Finder{Reader: e.Client, Store: e.Store}.Find(ctx, organizationID, cause.KubernetesUser)
	if err != nil {
		log.FromContext(ctx).Error(err, "An event names a Kubernetes user, who may be somebody of the Organization", "user", cause.KubernetesUser)
	}
	if found {
		cause.Actor = actor
	}
	return cause
}

// forgetAuthors forgets who asked for what is applied now, so that a change which comes
// later by itself is nobody's. What admission recorded of what the cache has not seen yet
// stays. A settled object costs one read.
func (e *Environment) forgetAuthors(ctx context.Context, obj Object) error {
	records, err := e.Store.Attributions(ctx, string(obj.GetUID()))
	if err != nil {
		return fmt.Errorf("look for who asked for what is applied: %w", err)
	}
	generation, digest := obj.GetGeneration(), declared.Digest(obj)
	used := func(record iam.Attribution) bool {
		return !record.Deletion && (record.Generation < generation || record.Admits(generation, digest))
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
