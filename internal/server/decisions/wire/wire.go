// SPDX-License-Identifier: Apache-2.0

// Package wire reads and writes what the APIs of the decision engine have in common on HTTP: bodies of JSON, refusals, and
// strings of JSON that are appended to an answer.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"unicode/utf8"

	"sigs.k8s.io/json"
)

const (
	// MaxBody is the largest body that is read.
	MaxBody = 1 << 20
	// keptBody is the largest buffer that is kept for the next request.
	keptBody = 64 << 10

	contentType = "application/json"
)

// The headers of a request and of its answer, in the form in which Go keeps them.
const (
	RequestIDHeader = "X-Request-Id"
	// RevisionHeader says at which revision it was decided.
	RevisionHeader = "X-Iam-Revision"
	// AtLeastRevisionHeader demands a revision.
	AtLeastRevisionHeader = "X-Iam-At-Least-Revision"
)

// Refusal is why a request is not answered.
type Refusal struct {
	// Status is the HTTP status code.
	Status int
	// Field of the body that is at fault, in dotted form; empty when it is none of them.
	Field string
	// Reason is what is the matter with it, in the words of an API that has such; it may be empty.
	Reason string
	// Message is a sentence for whoever wrote the client. It begins with the field, where there is one.
	Message string
}

// Error is the message.
func (r *Refusal) Error() string { return r.Message }

// Refuse makes a refusal that is not about a field.
func Refuse(status int, format string, args ...any) *Refusal {
	return &Refusal{Status: status, Message: fmt.Sprintf(format, args...)}
}

// BadField makes a refusal of a field; the message goes on after its name.
func BadField(field, format string, args ...any) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Field: field, Message: field + " " + fmt.Sprintf(format, args...)}
}

// RefusalOf gives the refusal that an error is, or makes one that tells nothing of what went wrong inside.
func RefusalOf(err error) *Refusal {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal
	}
	return Refuse(http.StatusInternalServerError, "the request could not be answered")
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ReadJSON reads a request's body of JSON into a value. What it refuses, it refuses with a *Refusal.
func ReadJSON(r *http.Request, into any) error {
	if given := r.Header.Get("Content-Type"); !isJSON(given) {
		return Refuse(http.StatusBadRequest, "the body must be JSON, with Content-Type %s", contentType)
	}
	if r.ContentLength > MaxBody {
		return tooLarge()
	}
	buffer, _ := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= keptBody {
			buffer.Reset()
			buffers.Put(buffer)
		}
	}()
	if _, err := buffer.ReadFrom(io.LimitReader(r.Body, MaxBody+1)); err != nil {
		return Refuse(http.StatusBadRequest, "the body could not be read to its end")
	}
	if buffer.Len() > MaxBody {
		return tooLarge()
	}
	return Decode(buffer.Bytes(), into)
}

func tooLarge() *Refusal {
	return Refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", MaxBody)
}

func isJSON(given string) bool {
	if given == contentType {
		return true
	}
	media, _, err := mime.ParseMediaType(given)
	return err == nil && media == contentType
}

// Decode reads JSON into a struct. Names are compared exactly, unlike by encoding/json; unknown ones are ignored. A name
// that is there twice is refused: two readers of the body must not take it for two different questions (RFC 7493).
func Decode(text []byte, into any) error {
	if !utf8.Valid(text) {
		return Refuse(http.StatusBadRequest, "the JSON is not UTF-8")
	}
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Refuse(http.StatusBadRequest, "the JSON must be an object")
	}
	doubled, err := json.UnmarshalStrict(text, into, json.DisallowDuplicateFields)
	if err != nil {
		return decodeRefusal(err)
	}
	if len(doubled) > 0 {
		if named, ok := errors.AsType[json.FieldError](doubled[0]); ok {
			return BadField(named.FieldPath(), "is there twice")
		}
		return Refuse(http.StatusBadRequest, "a field of the JSON is there twice")
	}
	return nil
}

// Value is a text that may be absent, which is as empty.
func Value(given *string) string {
	if given == nil {
		return ""
	}
	return *given
}

// AppendString appends a string as JSON. Bytes that are no UTF-8 become U+FFFD.
func AppendString(to []byte, s string) []byte {
	to = append(to, '"')
	plain := 0
	for i := 0; i < len(s); {
		if b := s[i]; b >= ' ' && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		r, width := utf8.DecodeRuneInString(s[i:])
		if r != utf8.RuneError && r >= utf8.RuneSelf || r == utf8.RuneError && width > 1 {
			i += width
			continue
		}
		to = append(to, s[plain:i]...)
		to = appendEscaped(to, r)
		i += width
		plain = i
	}
	to = append(to, s[plain:]...)
	return append(to, '"')
}

const hexadecimal = "0123456789abcdef"

func appendEscaped(to []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(to, '\\', byte(r))
	case '\n':
		return append(to, '\\', 'n')
	case utf8.RuneError:
		return append(to, "\uFFFD"...)
	}
	return append(to, '\\', 'u', '0', '0', hexadecimal[r>>4&0xf], hexadecimal[r&0xf])
}

// Cut gives the beginning of a text from outside, for a message.
func Cut(text string) string {
	const enough = 64
	if len(text) <= enough {
		return text
	}
	return strings.ToValidUTF8(text[:enough], "") + "…"
}

// Values of headers that are the same in each answer; nobody may change them.
var (
	jsonValue    = []string{contentType}
	noSniffValue = []string{"nosniff"}
	noStoreValue = []string{"no-store"}
)

// WriteJSON answers with a body of JSON, which is not kept by anybody on the way unless the header says so already.
func WriteJSON(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = jsonValue
	header["X-Content-Type-Options"] = noSniffValue
	if len(header["Cache-Control"]) == 0 {
		header["Cache-Control"] = noStoreValue
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // Whoever asked is gone.
}

// Identify gives an answer the identifier of its request, or of its own where there is none; and gives it to the caller.
func Identify(w http.ResponseWriter, r *http.Request, newID func() string) string {
	given := r.Header[RequestIDHeader]
	if len(given) == 0 || given[0] == "" {
		given = []string{newID()}
	}
	w.Header()[RequestIDHeader] = given[:1]
	return given[0]
}
