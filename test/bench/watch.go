// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime/metrics"
	"sync"
	"time"
)

// maxMemory is how much an engine may take, with the world and the questions.
const maxMemory = 12 << 30

// watch gives up on an engine that takes too long or too much memory. Since nothing can stop an engine in the middle of its
// work, each runs in a process of its own, which giveUp ends. A nil watch is patient.
type watch struct {
	giveUp func(why string)

	mu       sync.Mutex
	deadline time.Time
	what     string
}

func newWatch(giveUp func(why string)) *watch {
	w := &watch{giveUp: giveUp}
	go w.run()
	return w
}

func (w *watch) run() {
	for range time.Tick(200 * time.Millisecond) {
		if inUse() > maxMemory {
			w.giveUp(fmt.Sprintf("needs more than %d GiB", maxMemory>>30))
		}
		w.mu.Lock()
		late, what := !w.deadline.IsZero() && time.Now().After(w.deadline), w.what
		w.mu.Unlock()
		if late {
			w.giveUp(what)
		}
	}
}

// inUse is the memory that the process has from the system.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// within gives up if done is not called in time.
func (w *watch) within(limit time.Duration, why string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline, w.what = time.Now().Add(limit), why
}

func (w *watch) done() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = time.Time{}
}
