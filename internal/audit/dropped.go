// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// dropAuditEvents tells of audit events that retention has removed. No change of an entity
// raises it, and so Methods does not list it.
var dropAuditEvents = ownAct(organizationMethod(store.MethodDropAuditEvents, iam.ActionDeleted, "audit events that are older than the retention are removed"))

// dropped is what the event shows as its state before: what is no longer there.
type dropped struct {
	AuditEvents   int       `json:"auditEvents"`
	FirstSequence int64     `json:"firstSequence"`
	LastSequence  int64     `json:"lastSequence"`
	FirstAt       time.Time `json:"firstAt"`
	LastAt        time.Time `json:"lastAt"`
}

// Dropped writes the event that counts what retention removed from an Organization's chain
// (empty: the chain of what belongs to none). That of an Organization that is gone is told in
// the operator's own chain, so that a chain that ends is not begun again by the news of its end.
func (r *Recorder) Dropped(ctx context.Context, tx store.Tx, organizationID string, gone store.Dropped) error {
	change, err := json.Marshal(dropped{gone.Count, gone.First, gone.Last, gone.FirstAt.UTC(), gone.LastAt.UTC()})
	if err != nil {
		return fmt.Errorf("encode what retention removed: %w", err)
	}
	n := noteOf(dropAuditEvents, organizationID, "")
	n.Change.Before = change
	at := place{namespace: r.Namespace, namespaceUID: r.NamespaceUID}
	if organizationID != "" {
		row, err := tx.Get(ctx, iam.KindOrganization, organizationID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("find the Organization of which audit events were removed: %w", err)
		}
		if o, ok := row.Entity.(*iam.Organization); ok {
			at = placeOf(o)
			n.Resources[0].Name = o.Name
		}
	}
	if err := tx.Append(ctx, r.event(n, at, System())); err != nil {
		return fmt.Errorf("append audit event %s: %w", store.MethodDropAuditEvents, err)
	}
	return nil
}

// noteOf is an event by a method that belongs to no change of an entity.
func noteOf(info MethodInfo, id, name string) Note {
	return Note{
		Method: info.Name, Action: info.Action, Product: info.Product, Service: info.Service, OwnAct: info.OwnAct,
		Resources: []iam.EventResource{{Kind: info.Kind, Type: info.Type, ID: id, Name: name, Action: info.Action}},
	}
}
