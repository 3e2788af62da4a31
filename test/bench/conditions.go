// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/iam-operator/iam-operator/internal/authz/reference"

// literal is a condition without operators, or the opposite of one.
type literal struct {
	term    reference.Condition
	negated bool
}

// alternatives give a condition as alternatives, one of which must hold, of terms that must all hold. All engines can be
// told that; some have no way to nest operators in data.
func alternatives(c reference.Condition) [][]literal { return normal(c, false) }

func normal(c reference.Condition, negated bool) [][]literal {
	switch c := c.(type) {
	case reference.Not:
		return normal(c.Condition, !negated)
	case reference.And:
		if negated {
			return append(normal(c.Left, true), normal(c.Right, true)...)
		}
		return both(normal(c.Left, false), normal(c.Right, false))
	case reference.Or:
		if negated {
			return both(normal(c.Left, true), normal(c.Right, true))
		}
		return append(normal(c.Left, false), normal(c.Right, false)...)
	}
	return [][]literal{{{c, negated}}}
}

// both gives all pairs of alternatives.
func both(left, right [][]literal) [][]literal {
	var all [][]literal
	for _, l := range left {
		for _, r := range right {
			all = append(all, append(append([]literal(nil), l...), r...))
		}
	}
	return all
}
