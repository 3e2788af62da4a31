// SPDX-License-Identifier: Apache-2.0

// Package authztest makes worlds and questions for tests and benchmarks of decisions: small worlds that change, in which
// every reason comes up, and large ones as organizations have them. All of it follows from a seed.
package authztest

import (
	"math/rand/v2"
	"slices"
)

// dice is what everything random here is drawn from.
type dice struct{ *rand.Rand }

// newDice gives dice that fall the same way for the same seed. Each stream of a seed is independent of the others.
func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // a test must be repeatable, and keeps no secret
}

// chance is true in so many of a hundred cases.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between gives a number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// pick gives one of the values; the zero value if there are none.
func pick[T any](d dice, from []T) T {
	if len(from) == 0 {
		var none T
		return none
	}
	return from[d.IntN(len(from))]
}

// weighted is a value and how often it comes up, compared with the others.
type weighted[T any] struct {
	weight int
	value  T
}

// pickWeighted gives one of the values by their weights; the zero value if there are none.
func pickWeighted[T any](d dice, from []weighted[T]) T {
	var none T
	total := 0
	for _, w := range from {
		total += w.weight
	}
	if total == 0 {
		return none
	}
	at := d.IntN(total)
	for _, w := range from {
		if at < w.weight {
			return w.value
		}
		at -= w.weight
	}
	return none
}

// either gives the first value if something holds, else the second.
func either(holds bool, yes, no string) string {
	if holds {
		return yes
	}
	return no
}

// several draws so many values, and gives each of them once.
func several[T comparable](count int, draw func() T) []T {
	var drawn []T
	for range count {
		if value := draw(); !slices.Contains(drawn, value) {
			drawn = append(drawn, value)
		}
	}
	return drawn
}
