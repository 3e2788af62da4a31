// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/internal/store"
)

// FuzzParseRevision reads revisions that come from clients: nothing but what String gives is one.
func FuzzParseRevision(f *testing.F) {
	for _, text := range []string{"4760a7df-2af7-457d-8121-ad4305bca637.1", "a.0", "a.9223372036854775807"} {
		if _, err := store.ParseRevision(text); err != nil {
			f.Errorf("%q is refused: %v", text, err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", ".", "a", "a.", ".1", "a.-1", "a.+1", "a.01", "a.1 ", "a.1.2", "a.9223372036854775808", "a.0x1"} {
		if revision, err := store.ParseRevision(text); err == nil {
			f.Errorf("%q is taken for %+v", text, revision)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if revision, err := store.ParseRevision(text); err == nil && revision.String() != text {
			t.Errorf("%q is read as %s", text, revision)
		}
	})
}
