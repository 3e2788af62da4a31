// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/authz"
)

// LogQueue is how many lines wait to be written at most, unless options say otherwise: a third of a second's worth at 20,000
// decisions a second.
const LogQueue = 8192

// logEvery is how long after a round of writing the next one begins.
const logEvery = 10 * time.Millisecond

// LogOptions say what is logged, and where.
type LogOptions struct {
	// Writer takes lines of JSON, several at a time. Nil: nothing is logged.
	Writer io.Writer
	// AllowSample is which part of what is allowed is logged, from 0 to 1. What is denied is always logged.
	AllowSample float64
	// Random gives numbers from 0 to below 1.
	Random func() float64
	// Queue is LogQueue if zero.
	Queue int
	Clock clock.Clock
	// Failures is where it is told that lines can't be written.
	Failures logr.Logger
}

// Log is the log of decisions. Whoever decides only puts a line into a queue of bounded length; one goroutine writes. When the
// queue is full, lines are lost, which the log itself says, and a metric.
type Log struct {
	options LogOptions
	// wake tells the writer that there is something to write.
	wake chan struct{}

	mu      sync.Mutex
	waiting []entry
	lost    lost
	metrics *metrics
}

// lost says what is missing from the log.
type lost struct {
	count int
	since time.Time
}

// NewLog makes a log, which Run writes.
func NewLog(o LogOptions) *Log {
	if o.Queue == 0 {
		o.Queue = LogQueue
	}
	return &Log{options: o, wake: make(chan struct{}, 1)}
}

// kind is what a line tells of.
type kind string

const (
	kindDecision kind = "decision"
	kindSearch   kind = "search"
	kindRefusal  kind = "refusal"
	kindGap      kind = "gap"
)

// entry is a line to be written. It holds nothing that is secret.
type entry struct {
	kind      kind
	at        time.Time
	latency   time.Duration
	endpoint  Endpoint
	requestID string
	item      int
	caller    authz.Caller
	question  authz.Request
	decision  authz.Decision
	found     int
	refusal   string
}

// wants says whether a decision is logged.
func (l *Log) wants(d *authz.Decision) bool {
	if l.options.Writer == nil {
		return false
	}
	return !d.Allowed || l.options.AllowSample >= 1 || l.options.AllowSample > 0 && l.options.Random() < l.options.AllowSample
}

// add queues a line, or loses it. It does not wait for the writer.
func (l *Log) add(e *entry) {
	if l.options.Writer == nil {
		return
	}
	e.shorten()
	l.mu.Lock()
	first := len(l.waiting) == 0
	if len(l.waiting) < l.options.Queue {
		l.waiting = append(l.waiting, *e)
	} else {
		l.lose(1, e.at)
	}
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default: // It is awake.
		}
	}
}

// lose counts lines that were lost; the lock is held.
func (l *Log) lose(count int, since time.Time) {
	if l.lost.count == 0 {
		l.lost.since = since
	}
	l.lost.count += count
	l.metrics.lost(count)
}

// Run writes the log until the context ends, and then what is still waiting.
func (l *Log) Run(ctx context.Context) {
	if l.options.Writer == nil {
		return
	}
	w := &logWriter{log: l}
	for {
		select {
		case <-ctx.Done():
			w.drain()
			return
		case <-l.wake:
			w.drain()
		}
		select { // What comes meanwhile is written at once.
		case <-ctx.Done():
		case <-l.options.Clock.After(logEvery):
		}
	}
}

// logWriter is the writing end of a log. It has two lists that change places, and one buffer for all lines of a round.
type logWriter struct {
	log   *Log
	batch []entry
	text  []byte
	// failing says that the last round could not be written.
	failing bool
}

// drain writes what waits, until nothing does.
func (w *logWriter) drain() {
	for {
		missing, some := w.take()
		if !some {
			return
		}
		w.write(missing)
		if w.failing {
			return // With the next line there is another try.
		}
	}
}

// take gets what waits, and what was lost before it came.
func (w *logWriter) take() (missing lost, some bool) {
	l := w.log
	clear(w.batch) // Their strings are not needed any more.
	l.mu.Lock()
	defer l.mu.Unlock()
	w.batch, l.waiting = l.waiting, w.batch[:0]
	missing, l.lost = l.lost, lost{}
	return missing, len(w.batch) > 0 || missing.count > 0
}

// write writes a batch, and after it what is missing.
func (w *logWriter) write(missing lost) {
	l := w.log
	w.text = w.text[:0]
	for i := range w.batch {
		w.text = w.batch[i].append(w.text)
	}
	if missing.count > 0 {
		w.text = appendGap(w.text, l.options.Clock.Now(), missing)
	}
	_, err := l.options.Writer.Write(w.text)
	if cap(w.text) > maxText {
		w.text = nil
	}
	if err == nil {
		w.failing = false
		return
	}
	if !w.failing {
		l.options.Failures.Error(err, "The log of decisions can't be written; it will say what is missing when it can be again")
	}
	w.failing = true
	l.mu.Lock()
	defer l.mu.Unlock()
	since := missing.since
	if len(w.batch) > 0 {
		since = w.batch[0].at
	}
	later := l.lost
	l.lost = lost{count: missing.count + len(w.batch) + later.count, since: since}
	l.metrics.lost(len(w.batch))
}

// maxText is the largest buffer that is kept.
const maxText = 4 << 20
