// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// errInexact says that a text was altered in a way that no seal shows: by a field that nobody
// reads, or by a space.
var errInexact = errors.New("it is not written as this program writes it: something was added, or put otherwise")

// isExactly says whether a text is what this program writes for a value.
func isExactly(text []byte, value any) bool {
	again, err := json.Marshal(value)
	return err == nil && bytes.Equal(again, text)
}

// hashOf reads a hash. What has not its length is none, and fits nothing.
func hashOf(sum []byte) (hash iam.Hash) {
	if len(sum) == len(hash) {
		copy(hash[:], sum)
	}
	return hash
}
