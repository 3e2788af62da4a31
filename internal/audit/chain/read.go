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

	"github.com/iam-operator/iam-operator/internal/store"
)

// Resumed is what a former export has written already.
type Resumed struct {
	Header Header
	Counts Counts
	// Size is how many bytes of the file stay: a trailer, and a line that is not whole, go.
	Size int64
}

// Resume reads what a former export has written, so that another can go on after it.
func Resume(from io.Reader) (*Resumed, error) {
	reader := &exportReader{in: bufio.NewReaderSize(from, 1<<16)}
	r := &Resumed{}
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !line.whole {
			break
		}
		record, err := parseRecord(line.text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w; begin a new export", line.number, err)
		}
		if (line.number == 1) != (record.Header != nil) {
			return nil, fmt.Errorf("line %d: an export has one header, and it is the first line; begin a new export", line.number)
		}
		if record.Trailer != nil {
			break
		}
		if record.Header != nil {
			r.Header = *record.Header
		}
		r.Counts.add(record)
		r.Size += int64(len(line.text)) + 1
	}
	if r.Header.Format != Format {
		return nil, fmt.Errorf("the file does not begin as an export of the form %s does; begin a new one", Format)
	}
	return r, nil
}

// Fits says why an export can't go on with a former one, before anything of its file is given up.
func (r *Resumed) Fits(ctx context.Context, e *Export) error {
	at, err := takeCut(ctx, e.Source, onlyChain(e.Query.EventScope))
	if err != nil {
		return err
	}
	if err := r.continues(at, e.Query); err != nil {
		return err
	}
	_, err = at.streams(ctx, e.Source, r.position())
	return err
}

// position is where the export goes on.
func (r *Resumed) position() position {
	begun := map[string]int64{}
	for _, head := range r.Header.Chains {
		begun[head.OrganizationID] = head.DroppedSequence
	}
	return position{r.Counts.Sequence, r.Counts.Checkpoint, begun}
}

// continues says why an export can't go on with a cut of a store.
func (r *Resumed) continues(at cut, query store.EventQuery) error {
	was, errWas := json.Marshal(r.Header.Query)
	now, errNow := json.Marshal(query)
	switch {
	case errors.Join(errWas, errNow) != nil:
		return errors.Join(errWas, errNow)
	case r.Header.Incarnation != at.incarnation:
		return fmt.Errorf("the file was exported from the store %s, and this is %s; begin a new export", r.Header.Incarnation, at.incarnation)
	case !bytes.Equal(was, now):
		return fmt.Errorf("the file was exported with other filters (%s); give the same, or begin a new export", was)
	case r.Counts.Checkpoint > at.last.Number:
		return fmt.Errorf("the file has come to checkpoint %d, and the store only to %d: an older copy of it was put back; verify it", r.Counts.Checkpoint, at.last.Number)
	case r.Counts.Checkpoint > 0 && r.Counts.Checkpoint+1 < at.last.Oldest:
		return fmt.Errorf("%w: retention has removed checkpoints after %d; begin a new export", store.ErrEventsGone, r.Counts.Checkpoint)
	case r.Counts.Checkpoint == 0 && r.Header.Oldest < at.last.Oldest:
		return fmt.Errorf("%w: retention has removed the checkpoints that it would begin with; begin a new export", store.ErrEventsGone)
	}
	return nil
}

// exportReader reads lines.
type exportReader struct {
	in     *bufio.Reader
	number int
}

// exportLine is a line, without its end.
type exportLine struct {
	text   []byte
	number int
	// whole says that it has an end.
	whole bool
}

// next gives the next line, or io.EOF.
func (r *exportReader) next() (exportLine, error) {
	var text []byte
	for {
		part, err := r.in.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > maxLine {
			return exportLine{}, fmt.Errorf("line %d is longer than any that an export has", r.number+1)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return exportLine{}, fmt.Errorf("read the export: %w", err)
		}
		if len(text) == 0 {
			return exportLine{}, io.EOF
		}
		r.number++
		whole := bytes.HasSuffix(text, []byte("\n"))
		return exportLine{bytes.TrimSuffix(text, []byte("\n")), r.number, whole}, nil
	}
}

// VerifyExport verifies an export by itself. What it finds is the Finding of the result; an error
// means that this is no export, or could not be read.
func VerifyExport(from io.Reader, trust Trust, progress func(events int64)) (Result, error) {
	reader := &exportReader{in: bufio.NewReaderSize(from, 1<<16)}
	first, err := reader.next()
	if err != nil {
		return Result{}, fmt.Errorf("read the header of the export: %w", err)
	}
	record, err := parseRecord(first.text)
	if err != nil || record.Header == nil || record.Header.Format != Format {
		return Result{}, errors.Join(fmt.Errorf("the file does not begin as an export of the form %s does", Format), err)
	}
	only := onlyChain(record.Header.Query.EventScope)
	v := newVerifier(record.Header.Incarnation, trust, only, record.Header.Oldest)
	for _, head := range record.Header.Chains {
		v.begin(head)
	}
	e := &exportVerifier{verifier: v, reader: reader, header: *record.Header, progress: progress}
	return v.conclude(e.run)
}

// exportVerifier verifies the lines after the header.
type exportVerifier struct {
	*verifier
	reader   *exportReader
	header   Header
	counts   Counts
	progress func(events int64)
}

func (e *exportVerifier) run() error {
	if err := e.checkTrust(); err != nil {
		return err
	}
	for {
		line, err := e.reader.next()
		if errors.Is(err, io.EOF) {
			return e.here(Truncated, "the export has no trailer: its end is missing, or it was not finished; resume it")
		}
		if err != nil {
			return err
		}
		record, err := parseRecord(line.text)
		if err != nil {
			return e.here(Altered, fmt.Sprintf("line %d: %v", line.number, err))
		}
		if record.Trailer != nil {
			return e.trailer(*record.Trailer)
		}
		if err := e.record(record); err != nil {
			return err
		}
		e.counts.add(record)
		if e.progress != nil {
			e.progress(e.result.Events)
		}
	}
}

// here is a finding at the place to which the export was read.
func (e *exportVerifier) here(problem Problem, text string) error {
	chain := ""
	if e.only != nil {
		chain = *e.only
	}
	return &Finding{Problem: problem, OrganizationID: chain, Sequence: e.counts.Sequence, Text: text}
}

func (e *exportVerifier) record(r Record) error {
	switch {
	case r.Event != nil:
		if err := e.inOrder(r.Event.Body.Organization.ID, r.Event.Sequence); err != nil {
			return err
		}
		return e.whole(r.Event.Body.Organization.ID, r.Event.Body)
	case r.Stub != nil:
		if !e.header.Filtered {
			return &Finding{Problem: Altered, OrganizationID: r.Stub.OrganizationID, Sequence: r.Stub.Sequence, Text: "there is only a stub of it, although the export says that it has all events"}
		}
		if err := e.inOrder(r.Stub.OrganizationID, r.Stub.Sequence); err != nil {
			return err
		}
		e.result.Stubs++
		return e.event(link{chain: r.Stub.OrganizationID, sequence: r.Stub.Sequence, content: r.Stub.ContentHash, seal: r.Stub.Seal})
	case r.Checkpoint != nil:
		if e.counts.Sequence > r.Checkpoint.Sequence {
			return &Finding{Problem: Reordered, Checkpoint: max(r.Checkpoint.Number, 1), Text: fmt.Sprintf("it stands after event %d, which it does not cover", e.counts.Sequence)}
		}
		return e.checkpoint(*r.Checkpoint)
	}
	return e.here(Inserted, "the export has a second header")
}

// inOrder refuses an event that does not come after the one before it, of whatever chain, or that
// the newest checkpoint should have covered.
func (e *exportVerifier) inOrder(chain string, sequence int64) error {
	problem := ""
	switch {
	case sequence <= e.counts.Sequence:
		problem = fmt.Sprintf("it stands after event %d", e.counts.Sequence)
	case sequence <= e.last.Sequence:
		problem = fmt.Sprintf("it stands after checkpoint %d, which covers all up to event %d", e.last.Number, e.last.Sequence)
	case e.only != nil && chain != *e.only:
		return &Finding{Problem: Inserted, OrganizationID: chain, Sequence: sequence, Text: "the export is of another chain"}
	}
	if problem == "" {
		return nil
	}
	return &Finding{Problem: Reordered, OrganizationID: chain, Sequence: sequence, Text: problem}
}

func (e *exportVerifier) trailer(t Trailer) error {
	if line, err := e.reader.next(); !errors.Is(err, io.EOF) {
		return errors.Join(e.here(Inserted, fmt.Sprintf("line %d stands after the trailer", line.number)), err)
	}
	if t.Counts != e.counts {
		return e.here(Removed, fmt.Sprintf("the trailer counts %+v, and there are %+v", t.Counts, e.counts))
	}
	if err := e.finish(t.Chains); err != nil {
		return err
	}
	if e.result.Stubs > 0 {
		e.result.note("%d events are there as stubs, since the filters leave them out: that they stand in the chain is proven, and not what they say, nor that the filters leave them out.", e.result.Stubs)
	}
	if e.only != nil {
		e.result.note("The export is of one chain: of the others nothing is proven.")
	}
	return nil
}
