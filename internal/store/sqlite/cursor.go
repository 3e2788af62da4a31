// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"github.com/iam-operator/iam-operator/internal/store"
)

// cursor is the last entity of a page. The next page begins after it, whether it is still
// there or not.
type cursor struct {
	// Query is the fingerprint of the query that gave the cursor.
	Query   string `json:"q"`
	Created int64  `json:"c"`
	Label   string `json:"l"`
	ID      string `json:"i"`
}

// fingerprint tells queries apart by all that selects or sorts; the page size may change.
func fingerprint(query store.Query) string {
	query.Limit, query.Cursor = 0, ""
	text, _ := json.Marshal(query) // a Query holds only strings and numbers, which always encode
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func (c cursor) encode(query store.Query) string {
	c.Query = fingerprint(query)
	text, _ := json.Marshal(c)
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(query store.Query) (cursor, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(query.Cursor)
	if err != nil {
		return cursor{}, store.ErrBadCursor
	}
	var c cursor
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	// Only what encode gives is taken, so that one position has one cursor.
	if decoder.Decode(&c) != nil || c.ID == "" || c.encode(query) != query.Cursor {
		return cursor{}, store.ErrBadCursor
	}
	return c, nil
}

// condition selects what comes after the cursor.
func (c cursor) condition(order store.Order) (string, []any) {
	switch order {
	case store.OrderCreatedDesc:
		return "(e.created_at, e.id) < (?, ?)", []any{c.Created, c.ID}
	case store.OrderLabelAsc:
		return "(e.label, e.id) > (?, ?)", []any{c.Label, c.ID}
	case store.OrderLabelDesc:
		return "(e.label, e.id) < (?, ?)", []any{c.Label, c.ID}
	case store.OrderCreatedAsc:
	}
	return "(e.created_at, e.id) > (?, ?)", []any{c.Created, c.ID}
}
