// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// Every engine gives the reference's answers, before and after changes.
func TestAnswers(t *testing.T) {
	w := newWorld(7, 100, 500)
	seen := map[class]int{}
	for _, q := range w.questions {
		seen[q.class]++
	}
	for _, c := range classes() {
		if seen[c] == 0 {
			t.Errorf("no question is of class %q", c)
		}
	}
	for _, c := range contestants() {
		t.Run(c.name, func(t *testing.T) {
			build, err := c.load(w)
			if err != nil {
				t.Fatal(err)
			}
			e, err := build()
			if err != nil {
				t.Fatal(err)
			}
			f := figures{}
			ready, err := check(e, w, &f)
			if err != nil {
				t.Fatal(err)
			}
			if len(ready) != len(w.questions) {
				t.Errorf("only %d questions of %d were asked in time", len(ready), len(w.questions))
			}
			if err := f.updates(e, w, ready[:50]); err != nil {
				t.Error(err)
			}
			if f.Update == 0 {
				t.Error("nothing was updated")
			}
			if _, err := check(e, w, &f); err != nil {
				t.Errorf("after changes that were undone: %v", err)
			}
		})
	}
}

// An engine whose answers are wrong gets no figures, and the run fails.
func TestWrongAnswers(t *testing.T) {
	w := newWorld(7, 20, 50)
	c := contestant{name: oursName, load: simply(func(*world) (engine, error) { return liar{}, nil })}
	f := measure(&c, w, nil)
	if !strings.Contains(f.Failed, errDiffer.Error()) || f.Median != 0 {
		t.Fatalf("measured as %+v", f)
	}
	if b := bars([]int{20}, []figures{f}); len(b) != 1 || len(b[0].missed) != 1 {
		t.Errorf("the bars are %+v", b)
	}
}

// liar denies everything.
type liar struct{}

func (liar) prepare(*question) (ask, error) { return func() (bool, error) { return false, nil }, nil }
func (liar) update(_, _ *policy) error      { return nil }

func TestBars(t *testing.T) {
	own := func(size int, without float64, allocs float64) figures {
		return figures{Engine: oursName, Size: size, Median: without, Classes: map[class]classFigures{
			withoutCondition: {Median: without, Allocs: allocs}, withCondition: {Median: 2 * without, Allocs: allocs},
		}}
	}
	peer := func(size int, median float64) figures { return figures{Engine: "opa", Size: size, Median: median} }
	for name, test := range map[string]struct {
		all  []figures
		want int
	}{
		"all hold":   {[]figures{own(100, 500, 1), peer(100, 900), own(1000, 700, 2), peer(1000, 800)}, 0},
		"slow":       {[]figures{own(100, 1100, 1), own(1000, 1100, 1)}, 2},
		"allocates":  {[]figures{own(100, 500, 2.1), own(1000, 500, 1)}, 1},
		"grows":      {[]figures{own(100, 500, 1), own(1000, 751, 1)}, 1},
		"behind":     {[]figures{own(100, 500, 1), peer(100, 499), own(1000, 500, 1)}, 1},
		"one failed": {[]figures{own(100, 500, 1), {Engine: oursName, Size: 1000, Failed: "not built"}}, 1},
	} {
		missed := 0
		for _, b := range bars([]int{100, 1000}, test.all) {
			if len(b.missed) > 0 {
				missed++
			}
		}
		if missed != test.want {
			t.Errorf("%s: %d bars are missed, want %d", name, missed, test.want)
		}
	}
}
