// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"hash/maphash"
	"iter"
	"maps"
)

// shardCount is into how many maps a table is split. A change copies one of them: with 100,000 entries, about a hundred.
const shardCount = 1024

var shardSeed = maphash.MakeSeed()

// table is a map that is cheap to change without touching what readers of an earlier state of it see. A copy of a table
// goes on as it is, as long as each edit that follows has a token of its own.
type table[V any] struct {
	shards *[shardCount]shard[V]
	owner  *edit
	size   int
}

type shard[V any] struct {
	entries map[string]V
	owner   *edit
}

// edit is the token of one round of changes: what was copied for it need not be copied again.
type edit struct {
	_ byte // Two tokens must not share an address.
}

func shardOf(key string) uint64 { return maphash.String(shardSeed, key) % shardCount }

// get gives an entry; the zero V if there is none.
func (t *table[V]) get(key string) V {
	if t.shards == nil {
		var none V
		return none
	}
	return t.shards[shardOf(key)].entries[key]
}

// put sets an entry, on copies that belong to this edit.
func (t *table[V]) put(e *edit, key string, value V) {
	entries := t.own(e, key)
	before := len(entries)
	entries[key] = value
	t.size += len(entries) - before
}

// remove takes an entry out, on copies that belong to this edit.
func (t *table[V]) remove(e *edit, key string) {
	entries := t.own(e, key)
	before := len(entries)
	delete(entries, key)
	t.size += len(entries) - before
}

// own gives the shard of a key for changes.
func (t *table[V]) own(e *edit, key string) map[string]V {
	if t.owner != e {
		shards := new([shardCount]shard[V])
		if t.shards != nil {
			*shards = *t.shards
		}
		t.shards, t.owner = shards, e
	}
	s := &t.shards[shardOf(key)]
	if s.owner != e {
		s.owner = e
		if s.entries = maps.Clone(s.entries); s.entries == nil {
			s.entries = map[string]V{}
		}
	}
	return s.entries
}

// all gives the entries, in no order.
func (t *table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if t.shards == nil {
			return
		}
		for i := range t.shards {
			for key, value := range t.shards[i].entries {
				if !yield(key, value) {
					return
				}
			}
		}
	}
}
