// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"hash/maphash"
	"iter"
	"slices"
)

// fanout is how many branches each of the two levels of a table has.
const fanout = 256

var seed = maphash.MakeSeed()

// table is a map by strings that is cheap to change without touching what readers of an earlier state of it see: a hash trie
// of two levels, of which a change copies one branch and one bucket. It has no more levels, since with a million entries a
// bucket has sixteen; and it is no Go map, since a look-up in those misses the processor's caches twice as often.
// A copy of a table goes on as it is, as long as each edit that follows has a token of its own.
type table[V any] struct {
	root *branch[*branch[[]entry[V]]]
}

type branch[V any] struct {
	owner *edit
	below [fanout]V
}

type entry[V any] struct {
	hash  uint64
	key   string
	value V
}

// edit is the token of one round of changes: what was copied for it need not be copied again.
type edit struct {
	_ byte // Two tokens must not share an address.
}

// get gives an entry; the zero V if there is none.
func (t *table[V]) get(key string) (value V, found bool) {
	if t.root == nil {
		return value, false
	}
	hash := maphash.String(seed, key)
	at := t.root.below[hash%fanout]
	if at == nil {
		return value, false
	}
	bucket := at.below[hash/fanout%fanout]
	for i := range bucket {
		if e := &bucket[i]; e.hash == hash && e.key == key {
			return e.value, true
		}
	}
	return value, false
}

// put sets an entry, on copies that belong to this edit.
func (t *table[V]) put(by *edit, key string, value V) {
	hash := maphash.String(seed, key)
	bucket := t.own(by, hash)
	next := make([]entry[V], 0, len(*bucket)+1)
	for _, e := range *bucket {
		if e.hash != hash || e.key != key {
			next = append(next, e)
		}
	}
	*bucket = append(next, entry[V]{hash, key, value})
}

// remove takes an entry out, on copies that belong to this edit.
func (t *table[V]) remove(by *edit, key string) {
	hash := maphash.String(seed, key)
	bucket := t.own(by, hash)
	*bucket = slices.DeleteFunc(slices.Clone(*bucket), func(e entry[V]) bool { return e.hash == hash && e.key == key })
}

// own gives the bucket of a hash to be replaced.
func (t *table[V]) own(by *edit, hash uint64) *[]entry[V] {
	t.root = t.root.own(by)
	at := &t.root.below[hash%fanout]
	*at = (*at).own(by)
	return &(*at).below[hash/fanout%fanout]
}

// own gives a branch that belongs to an edit: itself or a copy.
func (b *branch[V]) own(by *edit) *branch[V] {
	if b == nil {
		return &branch[V]{owner: by}
	}
	if b.owner == by {
		return b
	}
	copied := *b
	copied.owner = by
	return &copied
}

// all gives the entries, in no order.
func (t *table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t.root == nil {
			return
		}
		for _, at := range t.root.below {
			if at == nil {
				continue
			}
			for _, bucket := range at.below {
				for i := range bucket {
					if !yield(bucket[i].key, bucket[i].value) {
						return
					}
				}
			}
		}
	}
}

// vector is a list by small numbers, cheap to change in the same way. What was never set is the zero V.
type vector[V any] struct {
	chunks []*branch[V]
	owner  *edit
}

// at gives an entry to read; the zero V if there is none.
func (v *vector[V]) at(i int32) *V {
	if chunk := int(i) / fanout; chunk < len(v.chunks) && v.chunks[chunk] != nil {
		return &v.chunks[chunk].below[i%fanout]
	}
	return new(V)
}

func (v *vector[V]) put(by *edit, i int32, value V) {
	if v.owner != by {
		v.chunks, v.owner = slices.Clone(v.chunks), by
	}
	chunk := int(i) / fanout
	for chunk >= len(v.chunks) {
		v.chunks = append(v.chunks, nil)
	}
	at := &v.chunks[chunk]
	*at = (*at).own(by)
	(*at).below[i%fanout] = value
}
