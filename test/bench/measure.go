// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	// buildWithin and checkWithin bound how long an engine may take to be built, and for its answers to be compared.
	buildWithin = 5 * time.Minute
	checkWithin = 20 * time.Second
	// timedWithin bounds each of the two runs that are timed, and updateWithin the updates.
	timedWithin  = 8 * time.Second
	updateWithin = 4 * time.Second
	// blockSize is how many questions of one class are timed together, so that reading the clock (some 50 ns) does not count
	// for engines that take less than blockBelow.
	blockSize  = 64
	blockBelow = 20 * time.Microsecond
	// maxSamples are enough.
	maxSamples = 200_000
	maxUpdates = 200
)

// figures are what was measured of an engine with one world. Times are in nanoseconds.
type figures struct {
	Engine string
	Size   int
	// Failed says why there is no more than this; empty if all went well. OverLimit says that it took too long, or too much.
	Failed    string
	OverLimit bool
	// Checked is how many answers were compared with the reference's, of all Questions.
	Checked, Questions int
	Build              time.Duration
	HeapPerPolicy      float64
	Median, Mean, P99  float64
	Bytes, Allocs      float64
	// Update is the median of how long one policy's change takes until it is seen; zero if none was made.
	Update  float64
	Classes map[class]classFigures
}

// classFigures are of questions of one class.
type classFigures struct{ Median, Bytes, Allocs float64 }

var errDiffer = errors.New("the answers differ")

// asked is a question that is ready to be asked.
type asked struct {
	*question
	ask ask
}

// measure does all that there is to do with one engine and one world.
func measure(c *contestant, w *world, limits *watch) (f figures) {
	f = figures{Engine: c.name, Size: w.size, Questions: len(w.questions)}
	before := heap()
	build, err := c.load(w)
	if err != nil {
		return f.failed("load: %v", err)
	}
	limits.within(buildWithin, fmt.Sprintf("not built in %.0f min", buildWithin.Minutes()))
	start := time.Now()
	e, err := build()
	f.Build = time.Since(start)
	limits.done()
	if err != nil {
		return f.failed("build: %v", err)
	}
	f.HeapPerPolicy = float64(heap()-before) / float64(w.size)
	ready, err := check(e, w, &f)
	if err != nil {
		return f.failed("%v", err)
	}
	f.time(ready)
	f.count(ready)
	if err := f.updates(e, w, ready); err != nil {
		return f.failed("update: %v", err)
	}
	runtime.KeepAlive(w)
	return f
}

func (f *figures) failed(format string, args ...any) figures {
	f.Failed = strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	return *f
}

// heap is how much is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one made unreachable through finalizers and pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// check compares the engine's answers with the reference's, as many as there is time for, and gives the questions that it
// was asked. They are in random order, so that they are a sample.
func check(e engine, w *world, f *figures) ([]asked, error) {
	start := time.Now()
	var ready []asked
	for _, q := range w.questions {
		if time.Since(start) > checkWithin {
			break
		}
		ask, err := e.prepare(q)
		if err != nil {
			return nil, fmt.Errorf("prepare a question: %w", err)
		}
		answer, err := ask()
		switch {
		case err != nil:
			return nil, fmt.Errorf("question %d (%s %s): %w", len(ready), q.subject, q.permission, err)
		case answer != q.want:
			return nil, fmt.Errorf("%w: question %d (%s, %s, %+v, %s) is answered %t, by the reference %t",
				errDiffer, len(ready), q.subject, q.permission, q.scope, q.class, answer, q.want)
		}
		ready = append(ready, asked{q, ask})
	}
	f.Checked = len(ready)
	return ready, nil
}

// time measures how long answers take: each by itself, which gives mean and p99; and in blocks, which gives medians.
func (f *figures) time(ready []asked) {
	each := latencies(ready)
	slices.Sort(each)
	var sum float64
	for _, d := range each {
		sum += d
	}
	f.Mean, f.P99 = sum/float64(len(each)), at(each, 0.99)
	size := 1
	if time.Duration(at(each, 0.5)) < blockBelow {
		size = blockSize
	}
	all, byClass := inBlocks(blocksOf(ready, size))
	if size > 1 { // The clock counts for much in what was measured by itself.
		f.Mean = mean(all)
	}
	f.Median = median(all)
	f.Classes = map[class]classFigures{}
	for c, samples := range byClass {
		f.Classes[c] = classFigures{Median: median(samples)}
	}
}

// latencies asks all questions in turn for some time.
func latencies(ready []asked) []float64 {
	var samples []float64
	for start := time.Now(); ; {
		for i := range ready {
			ready[i].touch()
			before := time.Now()
			_, _ = ready[i].ask()
			samples = append(samples, float64(time.Since(before)))
			if len(samples) >= maxSamples || time.Since(start) > timedWithin {
				return samples
			}
		}
	}
}

// touch reads a request, as whoever asks has just done who got it from somewhere: so it is in the processor's cache, which
// thousands of requests that were made beforehand are not.
func (q *question) touch() {
	r, sum := &q.request, byte(0)
	for _, text := range [...]string{
		r.Subject.ID, r.Permission.Service, r.Permission.Resource, r.Permission.Action, r.Scope.OrganizationID, r.Scope.ProjectID,
		r.Attributes.IP, r.Attributes.UserAgent, q.subject, q.permission, q.organization,
	} {
		for i := 0; i < len(text); i += 16 {
			sum += text[i]
		}
	}
	runtime.KeepAlive(sum)
}

// block are questions of one class.
type block []asked

// blocksOf gives the questions in blocks, in random order. The shares of the classes stay as they are.
func blocksOf(ready []asked, size int) []block {
	byClass := map[class][]asked{}
	for _, q := range ready {
		byClass[q.class] = append(byClass[q.class], q)
	}
	var blocks []block
	for _, c := range classes() {
		for part := range slices.Chunk(byClass[c], size) {
			blocks = append(blocks, part)
		}
	}
	rand.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	return blocks
}

// sample is how long a question took, on average of so many.
type sample struct {
	nanoseconds float64
	count       int
}

// inBlocks gives the times that blocks take, all and by class.
func inBlocks(blocks []block) (all []sample, byClass map[class][]sample) {
	byClass = map[class][]sample{}
	for start := time.Now(); ; {
		for _, b := range blocks {
			for i := range b {
				b[i].touch()
			}
			before := time.Now()
			for i := range b {
				_, _ = b[i].ask()
			}
			s := sample{float64(time.Since(before)) / float64(len(b)), len(b)}
			all = append(all, s)
			byClass[b[0].class] = append(byClass[b[0].class], s)
			if len(all) >= maxSamples || time.Since(start) > timedWithin {
				return all, byClass
			}
		}
	}
}

// count counts what is allocated, by asking each question once.
func (f *figures) count(ready []asked) {
	byClass := map[class][]asked{}
	for _, q := range ready {
		byClass[q.class] = append(byClass[q.class], q)
	}
	for c, questions := range byClass {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		count := 0
		for start := time.Now(); count < len(questions) && time.Since(start) < timedWithin/4; count++ {
			_, _ = questions[count].ask()
		}
		runtime.ReadMemStats(&after)
		counted := f.Classes[c]
		counted.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(count)
		counted.Allocs = float64(after.Mallocs-before.Mallocs) / float64(count)
		f.Classes[c] = counted
		share := float64(len(questions)) / float64(len(ready))
		f.Bytes += share * counted.Bytes
		f.Allocs += share * counted.Allocs
	}
}

// median of samples, each of which counts as often as it was asked.
func median(samples []sample) float64 {
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.nanoseconds, b.nanoseconds) })
	left := 0
	for _, s := range samples {
		left += s.count
	}
	left /= 2
	for _, s := range samples {
		if left -= s.count; left < 0 {
			return s.nanoseconds
		}
	}
	return 0
}

func mean(samples []sample) float64 {
	var sum float64
	count := 0
	for _, s := range samples {
		sum += s.nanoseconds * float64(s.count)
		count += s.count
	}
	return sum / float64(max(1, count))
}

func at(sorted []float64, share float64) float64 {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
