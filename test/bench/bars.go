// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// What the engine of this repository is held to.
const (
	maxWithout = 1000.0 // ns, at the median
	maxWith    = 2000.0
	maxAllocs  = 2.0
	maxGrowth  = 1.5 // from the smallest to the largest world
)

// bar is something that the engine is held to.
type bar struct {
	what string
	// missed says where it was missed; nowhere means that it held.
	missed []string
	// seen is the figure that comes nearest to missing it.
	seen string
}

// bars holds the figures to what is wanted.
func bars(sizes []int, all []figures) []bar {
	var ours []figures
	missing := bar{what: "measured with every number of policies, and every engine's answers are the reference's"}
	for _, f := range all {
		if f.Engine == oursName && f.Failed == "" {
			ours = append(ours, f)
		} else if f.Failed != "" && (f.Engine == oursName || !f.OverLimit) {
			missing.missed = append(missing.missed, fmt.Sprintf("%s with %s: %s", f.Engine, thousands(f.Size), f.Failed))
		}
	}
	if len(ours) == 0 {
		return []bar{missing}
	}
	found := []bar{
		missing,
		medianBar("without condition", maxWithout, withoutCondition, ours),
		medianBar("with a condition", maxWith, withCondition, ours),
		allocsBar(ours),
	}
	if len(sizes) > 1 {
		found = append(found, growthBar(ours))
	}
	return append(found, aheadBar(ours, all))
}

func medianBar(what string, limit float64, of class, ours []figures) bar {
	b := bar{what: fmt.Sprintf("median %s at most %s", what, nanoseconds(limit))}
	worst := 0.0
	for _, f := range ours {
		m := f.Classes[of].Median
		worst = max(worst, m)
		if m > limit {
			b.missed = append(b.missed, fmt.Sprintf("%s with %s policies", nanoseconds(m), thousands(f.Size)))
		}
	}
	b.seen = nanoseconds(worst)
	return b
}

func allocsBar(ours []figures) bar {
	b := bar{what: fmt.Sprintf("at most %.0f allocations, on average of each class", maxAllocs)}
	worst := 0.0
	for _, f := range ours {
		for _, c := range classes() {
			allocs := f.Classes[c].Allocs
			worst = max(worst, allocs)
			if allocs > maxAllocs {
				b.missed = append(b.missed, fmt.Sprintf("%.2f %s with %s policies", allocs, c, thousands(f.Size)))
			}
		}
	}
	b.seen = fmt.Sprintf("%.2f", worst)
	return b
}

// growthBar compares the medians of the smallest world with those of the largest one. Denials and unknown keys are shown, but
// not held to it by themselves.
func growthBar(ours []figures) bar {
	bySize := func(a, b figures) int { return a.Size - b.Size }
	small, large := slices.MinFunc(ours, bySize), slices.MaxFunc(ours, bySize)
	b := bar{what: fmt.Sprintf("medians grow at most %.1f× from %s to %s policies", maxGrowth, thousands(small.Size), thousands(large.Size))}
	var seen []string
	compare := func(what string, from, to float64, isHeld bool) {
		if from == 0 {
			return
		}
		seen = append(seen, fmt.Sprintf("%s %.2f×", what, to/from))
		if isHeld && to/from > maxGrowth {
			b.missed = append(b.missed, fmt.Sprintf("%s %.2f×", what, to/from))
		}
	}
	compare("all", small.Median, large.Median, true)
	for _, c := range classes() {
		compare(string(c), small.Classes[c].Median, large.Classes[c].Median, c == withoutCondition || c == withCondition)
	}
	b.seen = strings.Join(seen, ", ")
	return b
}

// aheadBar compares medians with every other engine's.
func aheadBar(ours, all []figures) bar {
	b := bar{what: "ahead of every other engine, with every number of policies, at the median"}
	nearest := 0.0
	for _, own := range ours {
		for _, f := range all {
			if f.Size != own.Size || f.Engine == oursName || f.Failed != "" {
				continue
			}
			ahead := f.Median / own.Median
			if nearest == 0 || ahead < nearest {
				nearest = ahead
				b.seen = fmt.Sprintf("nearest is %s with %s policies, which takes %.1f×", find(f.Engine).title, thousands(f.Size), ahead)
			}
			if ahead <= 1 {
				b.missed = append(b.missed, fmt.Sprintf("%s with %s policies takes %.2f×", find(f.Engine).title, thousands(f.Size), ahead))
			}
		}
	}
	return b
}

// printBars says of each bar whether it held, and gives whether all did.
func printBars(out io.Writer, all []bar) bool {
	fmt.Fprintln(out)
	held := true
	for _, b := range all {
		if len(b.missed) == 0 {
			fmt.Fprintf(out, "held:   %s", b.what)
			if b.seen != "" {
				fmt.Fprintf(out, ": %s", b.seen)
			}
			fmt.Fprintln(out)
			continue
		}
		held = false
		fmt.Fprintf(out, "MISSED: %s: %s\n", b.what, strings.Join(b.missed, "; "))
	}
	return held
}
