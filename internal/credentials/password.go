// SPDX-License-Identifier: Apache-2.0

package credentials

import "io"

// Hasher hashes passwords with argon2id, a few at a time.
type Hasher struct{ random io.Reader }

// NewHasher gives a Hasher that takes its salts from random.
func NewHasher(random io.Reader) *Hasher { return &Hasher{random} }
