// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// rowKinds lists the kinds of rows that objects of a kind account for.
func rowKinds(object iam.Kind) []iam.Kind {
	if object == iam.KindOrganization {
		return []iam.Kind{iam.KindMember, iam.KindProject, iam.KindOrganization}
	}
	return []iam.Kind{object}
}

// rowsOf lists the rows of an object, and of any predecessor of the same name.
func rowsOf(ctx context.Context, reader store.Reader, object iam.Object) ([]iam.Entity, error) {
	name := iam.Object{Kind: object.Kind, Namespace: object.Namespace, Name: object.Name}
	var rows []iam.Entity
	for _, kind := range rowKinds(object.Kind) {
		page, err := reader.List(ctx, store.Query{Kind: kind, Object: &name})
		if err != nil {
			return nil, fmt.Errorf("list the rows of %s %s/%s: %w", object.Kind, object.Namespace, object.Name, err)
		}
		for _, row := range page.Rows {
			rows = append(rows, row.Entity)
		}
	}
	return rows, nil
}

// sameEntities says whether two lists hold the same, in whatever order.
func sameEntities(rows, entities []iam.Entity) (bool, error) {
	if len(rows) != len(entities) {
		return false, nil
	}
	held := map[string]iam.Entity{}
	for _, row := range rows {
		held[rowKey(row)] = row
	}
	for _, entity := range entities {
		equal, err := sameEntity(held[rowKey(entity)], entity)
		if err != nil || !equal {
			return false, err
		}
	}
	return true, nil
}

func rowKey(entity iam.Entity) string { return string(entity.EntityKind()) + "/" + entity.GetHead().ID }

func sameEntity(a, b iam.Entity) (bool, error) {
	if a == nil || b == nil {
		return false, nil
	}
	encodedA, err := iam.Encode(a)
	if err != nil {
		return false, err
	}
	encodedB, err := iam.Encode(b)
	return bytes.Equal(encodedA, encodedB), err
}

// replaceRows puts the entities in the place of all rows of an object. A row of an object
// that is gone, be it for a successor of the same name, takes along what may not outlive
// it; a row that merely does not count any more does not.
func replaceRows(ctx context.Context, tx store.Tx, recorder *audit.Recorder, object iam.Object, entities []iam.Entity, by causes) error {
	rows, err := rowsOf(ctx, tx, object)
	if err != nil {
		return err
	}
	wanted := map[string]iam.Entity{}
	for _, entity := range entities {
		wanted[rowKey(entity)] = entity
	}
	for _, row := range rows {
		gone := object.UID == "" || row.GetHead().Object.UID != object.UID
		cause := by.of(gone)
		switch next := wanted[rowKey(row)]; {
		case gone:
			err = cascade(ctx, tx, recorder, row, cause)
		case next != nil:
			err = endPredecessor(ctx, tx, recorder, row, next, cause)
		}
		if err != nil {
			return err
		}
		if wanted[rowKey(row)] == nil {
			if err := recorder.Delete(ctx, tx, row.EntityKind(), row.GetHead().ID, cause); err != nil {
				return err
			}
		}
	}
	for _, entity := range entities {
		if _, err := recorder.Put(ctx, tx, entity, by.change); err != nil {
			return err
		}
	}
	return nil
}

// endPredecessor ends the keys of an owner who hands the Organization over.
func endPredecessor(ctx context.Context, tx store.Tx, recorder *audit.Recorder, before, after iam.Entity, cause audit.Cause) error {
	owner, ok := before.(*iam.Member)
	next, _ := after.(*iam.Member)
	if !ok || owner.Type != iam.TypeOwner || next == nil || strings.EqualFold(owner.Email, next.Email) {
		return nil
	}
	return deleteReferrers(ctx, tx, recorder, iam.KindAPIKey, iam.Reference{Relation: iam.RelationBearer, ID: owner.ID}, cause)
}

// cascade takes along what may not outlive an entity: keys die with their bearer, SSH keys
// with their Project, everything with its Organization; groups and policies only let go.
func cascade(ctx context.Context, tx store.Tx, recorder *audit.Recorder, gone iam.Entity, cause audit.Cause) error {
	id := gone.GetHead().ID
	switch gone.EntityKind() {
	case iam.KindOrganization:
		return deleteOrganizationRows(ctx, tx, recorder, id, cause)
	case iam.KindMember, iam.KindApplication:
		if err := deleteReferrers(ctx, tx, recorder, iam.KindAPIKey, iam.Reference{Relation: iam.RelationBearer, ID: id}, cause); err != nil {
			return err
		}
	case iam.KindProject:
		if err := deleteReferrers(ctx, tx, recorder, iam.KindSSHKey, iam.Reference{Relation: iam.RelationProject, ID: id}, cause); err != nil {
			return err
		}
	}
	return letGo(ctx, tx, recorder, id, cause)
}

// deleteOrganizationRows removes all that belongs to an Organization, but the Organization
// itself and what comes from the same object: the caller removes those.
func deleteOrganizationRows(ctx context.Context, tx store.Tx, recorder *audit.Recorder, id string, cause audit.Cause) error {
	kinds := iam.Kinds()
	slices.Reverse(kinds)
	for _, kind := range kinds {
		if kind == iam.KindPermissionSet {
			continue
		}
		page, err := tx.List(ctx, store.Query{Kind: kind, OrganizationID: id})
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			if row.Entity.GetHead().Object.Kind == iam.KindOrganization {
				continue
			}
			if err := recorder.Delete(ctx, tx, kind, row.Entity.GetHead().ID, cause); err != nil {
				return err
			}
		}
	}
	return nil
}

func deleteReferrers(ctx context.Context, tx store.Tx, recorder *audit.Recorder, kind iam.Kind, to iam.Reference, cause audit.Cause) error {
	page, err := tx.List(ctx, store.Query{Kind: kind, RefersTo: &to})
	if err != nil {
		return err
	}
	for _, row := range page.Rows {
		if err := recorder.Delete(ctx, tx, kind, row.Entity.GetHead().ID, cause); err != nil {
			return err
		}
	}
	return nil
}

// looseRelations are those in which the referrer lives on without what it refers to.
var looseRelations = []struct {
	kind     iam.Kind
	relation iam.Relation
}{
	{iam.KindGroup, iam.RelationMember},
	{iam.KindMember, iam.RelationGroup},
	{iam.KindApplication, iam.RelationGroup},
	{iam.KindPolicy, iam.RelationPrincipal},
	{iam.KindPolicy, iam.RelationProject},
	{iam.KindAPIKey, iam.RelationProject},
}

// letGo removes an id from all rows that refer to it.
func letGo(ctx context.Context, tx store.Tx, recorder *audit.Recorder, id string, cause audit.Cause) error {
	for _, loose := range looseRelations {
		page, err := tx.List(ctx, store.Query{Kind: loose.kind, RefersTo: &iam.Reference{Relation: loose.relation, ID: id}})
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			if _, err := recorder.Put(ctx, tx, iam.Without(row.Entity, id), cause); err != nil {
				return err
			}
		}
	}
	return nil
}
