// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// Format names the form of an export: lines of JSON, the first a header, the last a trailer.
const Format = "iam-operator.dev/audit-export/v1"

// maxLine bounds a line of an export that is read. No event comes near it.
const maxLine = 16 << 20

// Record is a line of an export; one of its fields is set.
type Record struct {
	Header     *Header         `json:"header,omitempty"`
	Event      *EventRecord    `json:"event,omitempty"`
	Stub       *StubRecord     `json:"stub,omitempty"`
	Checkpoint *iam.Checkpoint `json:"checkpoint,omitempty"`
	Trailer    *Trailer        `json:"trailer,omitempty"`
}

// Header is the first line.
type Header struct {
	Format      string `json:"format"`
	Incarnation string `json:"incarnation"`
	// Query is what the events were selected by; its Before and Limit are not used.
	Query store.EventQuery `json:"query"`
	// Filtered says that some events may be there as stubs.
	Filtered bool `json:"filtered"`
	// Chains says where each chain began when the export did; one that is not there began later.
	Chains []iam.ChainHead `json:"chains"`
	// Oldest is the number of the first checkpoint.
	Oldest int64 `json:"oldestCheckpoint"`
}

// EventRecord is an event with what the store gave it. It goes into the export just as it was sealed.
type EventRecord struct {
	Sequence int64     `json:"sequence"`
	Revision string    `json:"revision"`
	Seal     iam.Seal  `json:"seal"`
	Body     iam.Event `json:"body"`
}

// StubRecord stands for an event that the query does not select, so that the chain can be followed.
type StubRecord struct {
	Sequence       int64    `json:"sequence"`
	OrganizationID string   `json:"organizationID"`
	ContentHash    iam.Hash `json:"contentHash"`
	Seal           iam.Seal `json:"seal"`
}

// Trailer is the last line. An export without it is not complete.
type Trailer struct {
	Counts
	// Chains says where each chain ended.
	Chains []iam.ChainHead `json:"chains"`
}

// Counts is what an export holds.
type Counts struct {
	Events      int64 `json:"events"`
	Stubs       int64 `json:"stubs"`
	Checkpoints int64 `json:"checkpoints"`
	// Sequence and Checkpoint are those of the newest event or stub, and the number of the newest checkpoint.
	Sequence   int64 `json:"sequence"`
	Checkpoint int64 `json:"checkpoint"`
}

// add counts a line.
func (c *Counts) add(r Record) {
	switch {
	case r.Event != nil:
		c.Events, c.Sequence = c.Events+1, r.Event.Sequence
	case r.Stub != nil:
		c.Stubs, c.Sequence = c.Stubs+1, r.Stub.Sequence
	case r.Checkpoint != nil:
		c.Checkpoints, c.Checkpoint = c.Checkpoints+1, r.Checkpoint.Number
	}
}

// Export writes the events of a source that a query selects, in the order of the sequence, with all
// checkpoints. A query for one Organization gives its chain alone; whatever else the query leaves out
// of the chains is there as a stub. Resumed, it goes on after what is there already; see Resume.
type Export struct {
	Source Source
	Query  store.EventQuery
	// Progress is told the number of events that were written so far; it may be nil.
	Progress func(events int64)
}

// onlyChain gives the one chain that the scope of a query is about; nil if it is about all.
func onlyChain(scope store.EventScope) *string {
	if scope.OrganizationID == "" && !scope.OwnChain {
		return nil
	}
	return &scope.OrganizationID
}

// filtered says whether a query leaves out anything of the chains that it is about.
func filtered(query store.EventQuery) bool {
	return query.Namespace != "" || query.NamespaceUID != "" || !query.Since.IsZero() || !query.Until.IsZero() ||
		query.EventFilter != store.EventFilter{} || query.Not != store.EventFilter{}
}

// Run writes the export, after what a former one has written; Resumed is nil for a new one.
func (e *Export) Run(ctx context.Context, to io.Writer, former *Resumed) (Counts, error) {
	e.Query.Before, e.Query.Limit = 0, 0
	out := &lines{out: bufio.NewWriter(to)}
	at, err := takeCut(ctx, e.Source, onlyChain(e.Query.EventScope))
	if err != nil {
		return Counts{}, err
	}
	var from position
	if former == nil {
		header := &Header{Format: Format, Incarnation: at.incarnation, Query: e.Query, Filtered: filtered(e.Query), Chains: bases(at.heads), Oldest: max(at.last.Oldest, 1)}
		err = out.write(Record{Header: header})
	} else {
		err = former.continues(at, e.Query)
		out.counts, from = former.Counts, former.position()
	}
	if err != nil {
		return Counts{}, err
	}
	err = at.walk(ctx, e.Source, from, visitor{
		event: func(chain string, event iam.Event) error {
			record, err := e.record(ctx, chain, event)
			if err != nil {
				return err
			}
			if e.Progress != nil {
				e.Progress(out.counts.Events + out.counts.Stubs)
			}
			return out.write(record)
		},
		checkpoint: func(checkpoint iam.Checkpoint) error { return out.write(Record{Checkpoint: &checkpoint}) },
	})
	if err != nil {
		return Counts{}, errors.Join(err, out.out.Flush()) // What is there can be resumed.
	}
	if err := out.write(Record{Trailer: &Trailer{Counts: out.counts, Chains: at.heads}}); err != nil {
		return Counts{}, err
	}
	return out.counts, out.out.Flush()
}

// bases gives the heads of the chains that do not begin with their first event.
func bases(heads []iam.ChainHead) []iam.ChainHead {
	var begun []iam.ChainHead
	for _, head := range heads {
		if head.DroppedSequence > 0 {
			begun = append(begun, iam.ChainHead{
				OrganizationID: head.OrganizationID, Sequence: head.DroppedSequence, Hash: head.DroppedHash,
				DroppedSequence: head.DroppedSequence, DroppedHash: head.DroppedHash,
			})
		}
	}
	return begun
}

// record gives an event, or its stub where the query does not select it.
func (e *Export) record(ctx context.Context, chain string, event iam.Event) (Record, error) {
	selected, err := e.selects(ctx, event)
	if err != nil {
		return Record{}, err
	}
	if selected {
		return Record{Event: &EventRecord{Sequence: event.Sequence, Revision: event.Revision, Seal: event.Seal, Body: event}}, nil
	}
	content, err := event.ContentHash()
	if err != nil {
		return Record{}, err
	}
	return Record{Stub: &StubRecord{Sequence: event.Sequence, OrganizationID: chain, ContentHash: content, Seal: event.Seal}}, nil
}

// selects compares with an event as readers see it. One that gives another's origin goes with the other.
func (e *Export) selects(ctx context.Context, event iam.Event) (bool, error) {
	if !filtered(e.Query) {
		return true, nil
	}
	sequence := event.Sequence
	switch {
	case event.Origin != nil:
		sequence = event.Origin.EventSequence
	case e.Query.SourceIP == "" && e.Query.Not.SourceIP == "":
		return e.Query.Selects(event), nil
	}
	seen, err := e.Source.Events(ctx, store.EventQuery{EventScope: scopeOf(event.Organization.ID), Before: sequence + 1, Limit: 1})
	if err != nil {
		return false, fmt.Errorf("look up event %d: %w", sequence, err)
	}
	return len(seen) > 0 && seen[0].Sequence == sequence && e.Query.Selects(seen[0]), nil
}

// lines writes records, and counts them.
type lines struct {
	out    *bufio.Writer
	counts Counts
}

func (l *lines) write(r Record) error {
	text, err := json.Marshal(r)
	if err == nil {
		_, err = l.out.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	l.counts.add(r)
	return nil
}

// parseRecord reads a line. It takes only what an export writes, so that nothing can stand in a
// line beside what is sealed.
func parseRecord(line []byte) (Record, error) {
	var r Record
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("it is not a line of an export: %w", err)
	}
	if r.Event != nil {
		r.Event.Body.Sequence, r.Event.Body.Revision, r.Event.Body.Seal = r.Event.Sequence, r.Event.Revision, r.Event.Seal
	}
	set := 0
	for _, is := range []bool{r.Header != nil, r.Event != nil, r.Stub != nil, r.Checkpoint != nil, r.Trailer != nil} {
		if is {
			set++
		}
	}
	again, err := json.Marshal(r)
	if err != nil || set != 1 || !bytes.Equal(again, line) {
		return Record{}, errors.New("it is not as an export writes it: something was added, or written otherwise")
	}
	return r, nil
}
