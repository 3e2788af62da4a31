// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func idOf(obj Object) string { return declared.ID(obj) }

// restoresID says whether an object asks for an id that is not its own uid.
func restoresID(obj Object) bool {
	_, asks := obj.GetAnnotations()[v1alpha1.IDAnnotation]
	return asks || obj.GetObjectStatus().ID != "" && obj.GetObjectStatus().ID != string(obj.GetUID())
}

// hasSettledID says whether others may refer to an object by its id. An id that is asked
// for is nobody's until the contest for it is won, which the status records.
func hasSettledID(obj Object) bool { return !restoresID(obj) || obj.GetObjectStatus().ID != "" }

func idClaim(id string) string { return "id/" + id }

// settleID records the object's id. One that is asked for must be free: the object that is
// born with it always has it, else the one whose status records it, then the older. All
// kinds are asked, so that no id ever names two things.
func (e *Environment) settleID(ctx context.Context, obj Object) error {
	if !declared.HasID(obj) {
		return nil // The validator says what is wrong with it.
	}
	id := idOf(obj)
	if id != string(obj.GetUID()) && !isCatalogueSet(obj) {
		if err := e.judgeID(ctx, obj, id); err != nil {
			obj.GetObjectStatus().ID = ""
			return err
		}
	}
	obj.GetObjectStatus().ID = id
	return nil
}

func (e *Environment) judgeID(ctx context.Context, obj Object, id string) error {
	for _, list := range allKinds() {
		others, err := listByIndex[Object](ctx, e.Client, list, claimIndex, idClaim(id))
		if err != nil {
			return fmt.Errorf("list who claims id %s: %w", id, err)
		}
		for _, other := range others {
			if other.GetUID() == obj.GetUID() || !other.GetDeletionTimestamp().IsZero() {
				continue
			}
			lost, err := e.comesFirstForID(ctx, other, obj, id)
			if err != nil {
				return err
			}
			if lost {
				return waiting(v1alpha1.ReasonConflict, "The id of annotation %s is held by another object; remove the annotation, or wait until the id is freed", v1alpha1.IDAnnotation)
			}
		}
	}
	return nil
}

// comesFirstForID says whether another object has an id before this one; not for what it asks for and nobody judged.
func (e *Environment) comesFirstForID(ctx context.Context, other, obj Object, id string) (bool, error) {
	if isBornWith(other, id) {
		return true, nil
	}
	holds := func(o Object) bool { return o.GetObjectStatus().ID == id }
	if !comesFirst(other, obj, holds) {
		return false, nil
	}
	unjudged, err := e.isUnjudged(ctx, other)
	return holds(other) || !unjudged, err
}

// isBornWith says whether an id is an object's by nature, so that no contest is needed: its
// uid, or an Organization's owner's id.
func isBornWith(obj Object, id string) bool {
	organization, ok := obj.(*v1alpha1.Organization)
	return string(obj.GetUID()) == id || ok && iam.OwnerID(idOf(organization)) == id
}

// allKinds gives an empty list of each kind.
func allKinds() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.OrganizationList{}, &v1alpha1.ProjectList{}, &v1alpha1.MemberList{}, &v1alpha1.GroupList{}, &v1alpha1.ApplicationList{},
		&v1alpha1.APIKeyList{}, &v1alpha1.PolicyList{}, &v1alpha1.PermissionSetList{}, &v1alpha1.SSHKeyList{},
	}
}
