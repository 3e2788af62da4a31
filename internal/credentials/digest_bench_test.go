// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"crypto/rand"
	"testing"
)

// BenchmarkDigest is what it takes to know a caller by a secret key.
func BenchmarkDigest(b *testing.B) {
	ring, err := NewKeyring(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ring.Current.Digest("a7c3b1e2-4d5f-4a6b-8c7d-9e0f1a2b3c4d")
	}
}
