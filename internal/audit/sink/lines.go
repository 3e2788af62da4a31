// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// line is the one JSON form of an event for all sinks. With it the seal can be verified.
type line struct {
	Sequence int64     `json:"sequence"`
	Revision string    `json:"revision"`
	Seal     iam.Seal  `json:"seal"`
	Body     iam.Event `json:"body"`
}

// encode gives the JSON form of an event, without a newline in it or after it.
func encode(event iam.Event) ([]byte, error) {
	event.RecordedAt = event.RecordedAt.UTC()
	text, err := json.Marshal(line{event.Sequence, event.Revision, event.Seal, event})
	if err != nil {
		return nil, fmt.Errorf("encode audit event %s: %w", event.ID, err)
	}
	return text, nil
}

// encodeAll gives a line for each event.
func encodeAll(events []iam.Event) ([]byte, error) {
	var out bytes.Buffer
	for _, event := range events {
		text, err := encode(event)
		if err != nil {
			return nil, err
		}
		out.Write(text)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// Lines writes an event a line, as JSON.
type Lines struct {
	to io.Writer
	// torn says that a line may have been left unfinished.
	torn bool
}

// NewLines gives a sink that writes to a stream.
func NewLines(to io.Writer) *Lines { return &Lines{to: to} }

// Deliver writes the events.
func (l *Lines) Deliver(_ context.Context, events []iam.Event) error {
	text, err := encodeAll(events)
	if err != nil {
		return err
	}
	if l.torn {
		text = append([]byte{'\n'}, text...)
	}
	_, err = l.to.Write(text)
	if l.torn = err != nil; l.torn {
		return fmt.Errorf("write audit events: %w", err)
	}
	return nil
}

// File appends an event a line, as JSON, to a file, and has the disk keep it. Where the file
// was moved away, as a rotation of logs does, it begins a new one.
type File struct {
	path string
	open *os.File
}

// NewFile gives a sink that appends to the file of that path. Close ends it.
func NewFile(path string) *File { return &File{path: path} }

// Deliver appends the events; they are on the disk when it returns.
func (f *File) Deliver(_ context.Context, events []iam.Event) error {
	text, err := encodeAll(events)
	if err != nil {
		return err
	}
	if err := f.reopen(); err != nil {
		return fmt.Errorf("open the file of audit events: %w", err)
	}
	_, err = f.open.Write(text)
	if err == nil {
		err = f.open.Sync()
	}
	if err != nil {
		// What of it is there is not known: the file is opened anew, which mends a torn line.
		return fmt.Errorf("write audit events: %w", errors.Join(err, f.Close()))
	}
	return nil
}

// Close closes the file. Deliver opens it again.
func (f *File) Close() error {
	if f.open == nil {
		return nil
	}
	open := f.open
	f.open = nil
	return open.Close()
}

// reopen opens the file, unless it is open and still the one of that path.
func (f *File) reopen() error {
	if f.open != nil {
		there, err := os.Stat(f.path)
		mine, failed := f.open.Stat()
		if err == nil && failed == nil && os.SameFile(there, mine) {
			return nil
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if there, err := os.Stat(f.path); err == nil && !there.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.path) // Opening a named pipe would wait for a reader.
	}
	open, err := os.OpenFile(f.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(mend(open), syncFolder(f.path)); err != nil {
		return errors.Join(err, open.Close())
	}
	f.open = open
	return nil
}

// mend ends a line that was left unfinished when the operator was killed: the event is
// delivered again, and would be lost as the rest of that line.
func mend(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.WriteString("\n")
	return err
}

// syncFolder has the disk keep that the file is there.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	// Some file systems know no such thing of a folder.
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
