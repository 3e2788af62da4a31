// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// unlistedBatch is how many events are checked at once.
const unlistedBatch = 500

// held is an event, and what the store holds of it outside of its text.
type held struct {
	// shown is the event as readers see it.
	shown iam.Event
	at    int64
	// origin is the event that gives this one's origin; nil if there is none.
	origin *iam.Event
	// given is which event gives the origin of the one of which this one gives it; zero if
	// none does, or if this one gives none, or if the other is no longer kept.
	given int64
	// gone says that the event of which this one gives the origin is no longer kept.
	gone bool
	// chain is the head of the event's chain; nil where the chain is not in the list of chains.
	chain *iam.ChainHead
	// inBlock says that the time is within those of the event's block.
	inBlock bool
}

// unlisted gives the sequence of the first event that queries do not find by all that it says,
// or that they show otherwise than it and its origin say; zero if there is none. It reads all
// events once, a batch at a time, each as of one moment: the store may be written meanwhile. A *store.StrayEventError
// names one that is not of its chain: who follows the chains does not come by it.
func (s *Store) unlisted(ctx context.Context) (found int64, err error) {
	for after, more := int64(0), true; more && found == 0 && err == nil; {
		err = s.view(ctx, func(v view) error {
			batch, err := s.heldAfter(ctx, v, after)
			if err != nil || len(batch) == 0 {
				more = false
				return err
			}
			after = batch[len(batch)-1].shown.Sequence
			found, err = s.firstUnlisted(ctx, v, batch)
			return err
		})
	}
	var unreadable *store.UnreadableEventError
	if errors.As(err, &unreadable) {
		return unreadable.Sequence, nil
	}
	return found, err
}

// firstUnlisted gives the first event of a batch that is not listed as it should be.
func (s *Store) firstUnlisted(ctx context.Context, v view, batch []held) (int64, error) {
	whole, err := s.allListed(ctx, v, batch)
	if err != nil {
		return 0, err
	}
	for _, h := range batch {
		if err := h.stray(); err != nil {
			return 0, err
		}
		if !h.agrees() {
			return h.shown.Sequence, nil
		}
		if whole {
			continue
		}
		if listed, err := s.allListed(ctx, v, []held{h}); err != nil || !listed {
			return h.shown.Sequence, err
		}
	}
	return 0, nil
}

// stray says why the event is not of its chain; nil if it may be.
func (h held) stray() error {
	found := &store.StrayEventError{Sequence: h.shown.Sequence, OrganizationID: h.shown.Organization.ID}
	switch {
	case h.chain == nil:
		found.Reason = "there is no such chain in the list of chains"
	case found.Sequence > h.chain.Sequence:
		found.Reason = fmt.Sprintf("the chain ends with event %d", h.chain.Sequence)
	case found.Sequence <= h.chain.DroppedSequence:
		found.Reason = fmt.Sprintf("retention has removed all of the chain up to event %d", h.chain.DroppedSequence)
	default:
		return nil
	}
	return found
}

// agrees says whether what is held outside of an event's text is as the text says.
func (h held) agrees() bool {
	e := h.shown
	switch {
	case h.at != nanoseconds(e.RecordedAt) || !h.inBlock:
		return false
	case e.Origin != nil && !h.gone && h.given != e.Sequence:
		return false
	case h.origin == nil:
		return true
	}
	of := h.origin.Origin
	return of != nil && of.EventID == e.ID && of.EventSequence == e.Sequence
}

const heldText = "SELECT " + sealedColumns + `, e.recorded_at, j.origin_sequence, o.body,
	e.recorded_at BETWEEN b.min_at AND b.max_at
	FROM (SELECT * FROM audit_events WHERE sequence > ? ORDER BY sequence LIMIT ?) AS e ` + shownJoins + `
	LEFT JOIN audit_blocks AS b ON b.block = e.sequence >> ? ORDER BY e.sequence`

func (s *Store) heldAfter(ctx context.Context, v view, sequence int64) ([]held, error) {
	var batch []held
	err := v.query(ctx, heldText, []any{sequence, unlistedBatch, blockBits}, func(rows *sql.Rows) error {
		var h held
		var originSequence sql.NullInt64
		var originBody []byte
		var inBlock sql.NullBool
		event, err := s.scanSealed(rows, &h.at, &originSequence, &originBody, &inBlock)
		if err != nil {
			return err
		}
		h.shown, h.inBlock = event, inBlock.Bool
		if originSequence.Valid {
			h.origin = &iam.Event{} // of a row whose event is missing there is nothing to say
		}
		if originBody != nil {
			origin, err := decodeEvent(originSequence.Int64, originBody)
			if err != nil {
				return err
			}
			h.origin = &origin
			if origin.Origin != nil {
				h.shown = withOrigin(event, origin)
			}
		}
		if len(batch) == 0 || event.Sequence-batch[0].shown.Sequence < listingSpan {
			batch = append(batch, h)
		}
		return nil
	})
	if err == nil {
		err = place(ctx, v, batch)
	}
	return batch, err
}

// place finds of each of a batch its chain, and what the event is given for whose origin it tells.
func place(ctx context.Context, v view, batch []held) error {
	chains, err := chainsOf(ctx, v, batch)
	if err != nil {
		return err
	}
	for i, h := range batch {
		batch[i].chain = chains[h.shown.Organization.ID]
		if of := h.shown.Origin; of != nil {
			if batch[i].given, batch[i].gone, err = originOf(ctx, v, of.EventSequence); err != nil {
				return err
			}
		}
	}
	return nil
}

// chainsOf gives the heads of the chains of a batch, by Organization id, where they are in the list of chains.
func chainsOf(ctx context.Context, v view, batch []held) (map[string]*iam.ChainHead, error) {
	chains := map[string]*iam.ChainHead{}
	for _, h := range batch {
		chains[h.shown.Organization.ID] = nil
	}
	names, err := json.Marshal(slices.Collect(maps.Keys(chains)))
	if err != nil {
		return nil, err
	}
	err = v.query(ctx, "SELECT organization_id, sequence, dropped_sequence FROM audit_chains WHERE organization_id IN (SELECT value FROM json_each(?))",
		[]any{string(names)}, func(rows *sql.Rows) error {
			var head iam.ChainHead
			err := rows.Scan(&head.OrganizationID, &head.Sequence, &head.DroppedSequence)
			chains[head.OrganizationID] = &head
			return err
		})
	return chains, err
}

// originOf gives which event gives an event's origin, and whether that event is no longer kept.
func originOf(ctx context.Context, v view, sequence int64) (origin int64, gone bool, err error) {
	err = queryOne(ctx, v, `SELECT coalesce((SELECT origin_sequence FROM audit_origins WHERE event_sequence = ?1), 0),
		NOT EXISTS (SELECT 1 FROM audit_events WHERE sequence = ?1)`, []any{sequence}, &origin, &gone)
	return origin, gone, err
}

// missingText counts the rows that the index lacks.
const missingText = `SELECT count(*) FROM json_each(?) AS p WHERE NOT EXISTS
	(SELECT 1 FROM audit_index AS x WHERE x.term = p.value >> 31 AND x.sequence = ? + (p.value & 0x7fffffff))`

// allListed says whether all of some events are in all lists that they are found by.
func (s *Store) allListed(ctx context.Context, v view, batch []held) (bool, error) {
	events := make([]iam.Event, len(batch))
	for i, h := range batch {
		events[i] = h.shown
	}
	packed, base := s.key.listings(events)
	var missing int
	err := queryOne(ctx, v, missingText, []any{jsonOf(packed), base}, &missing)
	return missing == 0, err
}
