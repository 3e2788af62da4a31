// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strconv"
	"strings"
)

// Revision numbers a committed change: <incarnation>.<n>. The incarnation is drawn when a
// store is created, so that a revision of a lost store is never mistaken for one of its successor.
type Revision struct {
	Incarnation string
	N           int64
}

// String gives <incarnation>.<n>.
func (r Revision) String() string { return r.Incarnation + "." + strconv.FormatInt(r.N, 10) }

// ParseRevision is the inverse of String.
func ParseRevision(s string) (Revision, error) {
	incarnation, number, found := strings.Cut(s, ".")
	n, err := strconv.ParseInt(number, 10, 64)
	if !found || incarnation == "" || err != nil || n < 0 || number != strconv.FormatInt(n, 10) {
		return Revision{}, fmt.Errorf("revision %q has not the form <incarnation>.<number>", s)
	}
	return Revision{Incarnation: incarnation, N: n}, nil
}
