// SPDX-License-Identifier: Apache-2.0

package decisions

import "sync"

// keptAnswer is the largest buffer that is kept for the next answer.
const keptAnswer = 64 << 10

// buffer is where an answer is written.
type buffer struct{ bytes []byte }

type bufferPool struct{ pool sync.Pool }

var answers = bufferPool{sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 1024)} }}}

func (p *bufferPool) get() *buffer {
	b, _ := p.pool.Get().(*buffer)
	return b
}

func (p *bufferPool) put(b *buffer) {
	if cap(b.bytes) <= keptAnswer {
		b.bytes = b.bytes[:0]
		p.pool.Put(b)
	}
}
