// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// tokenVersion is that of the continue tokens' form.
const tokenVersion = 1

// maxToken bounds what is read of a token that somebody else may have made.
const maxToken = 1024

// ErrBadToken: a continue token that this query did not give.
var ErrBadToken = errors.New("the continue token is not one that this list, with these selectors, gave; begin anew without it")

// Token says where a list goes on. Whoever holds it learns nothing that the next page will not
// show, and can ask for nothing with it that a selector could not: whose events are meant, and
// what they say, is not in it, and is only compared.
type Token struct {
	Version int `json:"v"`
	// Before is one above the sequence of the event that comes next.
	Before int64 `json:"before"`
	// Newest is the resource version of the list.
	Newest int64 `json:"newest"`
	// Since and Until stay what they were, though a duration counts back from now.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Of is the fingerprint of the list.
	Of string `json:"of"`
	// In is the fingerprint of the store, of whose sequences it speaks.
	In string `json:"in"`
}

// Fingerprint tells one list from another by all that makes it.
func Fingerprint(parts ...string) string {
	text, err := json.Marshal(parts) // so that ("ab", "c") is not ("a", "bc")
	if err != nil {
		return "" // strings can always be encoded
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// String gives the token as clients keep it.
func (t Token) String() string {
	t.Version = tokenVersion
	text, err := json.Marshal(t)
	if err != nil {
		return "" // its times were read from RFC 3339, and can be written so
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseToken reads a token of the list with this fingerprint. All errors are ErrBadToken.
func ParseToken(token, fingerprint string) (Token, error) {
	if len(token) > maxToken {
		return Token{}, ErrBadToken
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return Token{}, ErrBadToken
	}
	var t Token
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil || decoder.More() {
		return Token{}, ErrBadToken
	}
	if t.Version != tokenVersion || t.Of != fingerprint || t.Before < 1 || t.Newest < t.Before {
		return Token{}, ErrBadToken
	}
	return t, nil
}
