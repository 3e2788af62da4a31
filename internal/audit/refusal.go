// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// maxReason is how many bytes of a reason an event keeps. A refusal can name every verb that
// is missing on hundreds of objects; the log needs the gist, and the requester got it all.
const maxReason = 1024

// cut stands at the end of a reason of which there was more.
const cut = "…"

// Refusal is an attempt that admission refused.
type Refusal struct {
	// Kind, ID, Name and Action say what was to be done, and to what; the ID is empty where there is none yet.
	Kind   iam.Kind
	ID     string
	Name   string
	Action iam.Action
	// OrganizationID is empty for a permission set, and where the Organization is not known.
	OrganizationID string
	// StatusCode is what was answered (HTTP, 400 or above); Reason is a sentence without
	// anything secret, of which an event keeps the first 1,024 bytes.
	StatusCode int
	Reason     string
	// Cause is who asked, and from where. Its Authorship is not used: who asked is known
	// from the request itself.
	Cause Cause
}

// Refuse writes the event of an attempt that was refused. It goes by the method that does the
// action to an object of the kind as a whole (MethodFor), is read where other events of the
// Organization are, and shows no change, since there was none. It fails for a kind or an
// action that the domain does not know, and for a status code that is no refusal.
func (r *Recorder) Refuse(ctx context.Context, tx store.Tx, refusal Refusal) error {
	method, ok := MethodFor(refusal.Kind, refusal.Action)
	if !ok {
		return fmt.Errorf("no event tells of what was refused: there is no method for %q of a %q", refusal.Action, refusal.Kind)
	}
	if refusal.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("no event tells of the refused %s: the status code %d is no refusal, which 400 and above are", method.Name, refusal.StatusCode)
	}
	at, err := r.placeIn(ctx, tx, refusal.OrganizationID, refusal.Cause.Home)
	if err != nil {
		return err
	}
	cause := refusal.Cause
	cause.Authorship = nil
	event := r.event(refusal.note(method), at, cause)
	event.StatusCode, event.Reason = refusal.StatusCode, shortened(refusal.Reason, maxReason)
	if err := tx.Append(ctx, event); err != nil {
		return fmt.Errorf("append the audit event of a refused %s: %w", method.Name, err)
	}
	return nil
}

func (f Refusal) note(method MethodInfo) Note {
	n := Note{
		Method: method.Name, Action: method.Action, Product: method.Product, Service: method.Service,
		Resources: []iam.EventResource{{Kind: method.Kind, Type: method.Type, ID: f.ID, Name: f.Name, Action: method.Action}},
	}
	if f.Kind == iam.KindProject {
		n.ProjectID = f.ID
	}
	return n
}

// shortened keeps what fits into a number of bytes, in whole characters.
func shortened(text string, most int) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= most {
		return text
	}
	end := most - len(cut)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + cut
}
