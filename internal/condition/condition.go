// SPDX-License-Identifier: Apache-2.0

// Package condition is the language of policy conditions: the Common Expression Language (CEL, https://cel.dev) as
// Scaleway IAM offers it on a rule.
//
// A condition sees six attributes and nothing else: request.ip, request.user_agent, resource.name, resource.id and
// resource.locality (strings), and request.time (a timestamp). Any of them may be unknown at a decision, so has()
// works on all of them. To the standard functions and macros of CEL this package adds inIpRange(ip, cidr), and
// the comparison of a timestamp with an RFC 3339 string, both of which Scaleway documents; it adds no extension
// library.
package condition

import (
	"fmt"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"
)

// MaxLength is how long a condition may be, in Unicode code points: Scaleway's limit of 2048 characters, counted as
// the API server counts maxLength of a string.
const MaxLength = 2048

// Condition is a condition that compiled. It never changes, so that it may be kept for as long as wanted and used
// by any number of goroutines.
type Condition struct {
	source string
	cost   uint64
	plan   interpreter.InterpretableV2
}

// Source is the text that was compiled, as it was written.
func (c *Condition) Source() string { return c.source }

// Cost is the most that one evaluation can cost, in the units of CEL's static cost estimate (one is about a
// comparison of two numbers).
func (c *Condition) Cost() uint64 { return c.cost }

// Compile checks a condition: its length, syntax, names and types, that it yields a bool, that its constants are
// what they are used as (times, durations, time zones, address ranges, regular expressions), and that evaluating it
// is cheap for any request. What it refuses it returns as *Error.
//
// An empty string is refused too. In a rule it means that there is no condition, which is the caller's to know: a
// compiled nothing that always held would be one mistake away from a grant.
func Compile(source string) (*Condition, error) {
	lang, err := languageOnce()
	if err != nil {
		return nil, fmt.Errorf("set up the language of conditions: %w", err)
	}
	if err := checkText(source); err != nil {
		return nil, err
	}
	parsed, issues := lang.strict.Parse(source)
	if err := asError(issues); err != nil {
		return nil, err
	}
	// Before the type checker, whose time grows with the size of types, exponentially for some texts.
	if size := typeSize(parsed.NativeRep().Expr(), nil); size > maxTypeSize {
		return nil, refusal("lists and maps are nested too deeply: a type of %d parts, at most %d are allowed", size, maxTypeSize)
	}
	checked, err := lang.check(parsed)
	if err != nil {
		return nil, err
	}
	cost, err := lang.cost(checked)
	if err != nil {
		return nil, err
	}
	plan, err := lang.plan(checked)
	if err != nil {
		return nil, err
	}
	return &Condition{source: source, cost: cost, plan: plan}, nil
}

// checkText refuses what can be refused without reading the condition.
func checkText(source string) error {
	if source == "" {
		return refusal("a condition must not be empty; a rule without one applies always")
	}
	if !utf8.ValidString(source) {
		return refusal("a condition must be valid UTF-8")
	}
	if length := utf8.RuneCountInString(source); length > MaxLength {
		return refusal("a condition has at most %d characters; this one has %d", MaxLength, length)
	}
	return nil
}

// check gives every part of the condition its type, in two passes: the first only finds which strings are compared
// with a time, the second is CEL's own check of the condition in which those strings are times.
func (l *language) check(parsed *cel.Ast) (*cel.Ast, error) {
	typed, issues := l.lenient.Check(parsed)
	if err := asError(issues); err != nil {
		return nil, err
	}
	// typed shares its expressions with parsed, so this changes both.
	convertComparedStrings(typed.NativeRep())
	checked, issues := l.strict.Check(parsed)
	if err := asError(issues); err != nil {
		return nil, err
	}
	return checked, nil
}
