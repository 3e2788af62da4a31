// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"path"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

const (
	// maxPattern and maxComputedPattern are the most instructions that a regular expression may have, which .{1000}
	// needs a thousand of: one in a condition, which is kept compiled, and one that an evaluation has to compile.
	maxPattern         = 5_000
	maxComputedPattern = 1_000
)

// prepared is a call whose last argument is constant, and was parsed once for all evaluations.
type prepared struct {
	id    int64
	arg   interpreter.InterpretableV2
	apply functions.UnaryOp
}

// ID implements [interpreter.Interpretable].
func (p *prepared) ID() int64 { return p.id }

// Eval implements [interpreter.Interpretable].
func (p *prepared) Eval(vars interpreter.Activation) ref.Val {
	return p.Exec(interpreter.AsFrame(vars))
}

// Exec implements [interpreter.InterpretableV2].
func (p *prepared) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	arg := p.arg.Exec(frame)
	if types.IsUnknownOrError(arg) {
		return arg
	}
	return types.LabelErrNode(p.id, p.apply(arg))
}

// prepare makes a step of a plan a prepared call if it can be one.
func prepare(step interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, isCall := step.(interpreter.InterpretableCall)
	if !isCall || len(call.Args()) != 2 {
		return step, nil
	}
	last, isConstant := call.Args()[1].(interpreter.InterpretableConst)
	if !isConstant {
		if call.Function() == overloads.Matches {
			return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), matchComputed), nil
		}
		return step, nil
	}
	text, isText := last.Value().(types.String)
	if !isText {
		return step, nil
	}
	apply, err := withConstant(call.Function(), string(text))
	if err != nil {
		return nil, types.LabelErrNode(last.ID(), types.WrapErr(err)).(*types.Err)
	}
	if apply == nil {
		return step, nil
	}
	return &prepared{id: call.ID(), arg: call.Args()[0], apply: apply}, nil
}

// withConstant is a function whose last argument is this text. It is nil for a function that has no use for knowing
// it beforehand; an error says that no call with this text can work.
func withConstant(function, text string) (functions.UnaryOp, error) {
	switch function {
	case inIPRange:
		addresses, err := parseRange(text)
		return func(address ref.Val) ref.Val { return contains(addresses, address) }, err
	case overloads.Matches:
		pattern, err := compilePattern(text, maxPattern)
		return func(in ref.Val) ref.Val { return match(pattern, in) }, err
	}
	if takesZone(function) {
		return inZone(function, text)
	}
	return nil, nil
}

// takesZone is true of the functions of a time that may be given a time zone.
func takesZone(function string) bool {
	switch function {
	case overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDayOfYear,
		overloads.TimeGetDayOfMonth, overloads.TimeGetDate, overloads.TimeGetDayOfWeek,
		overloads.TimeGetHours, overloads.TimeGetMinutes, overloads.TimeGetSeconds, overloads.TimeGetMilliseconds:
		return true
	}
	return false
}

// inZone is a function of a time in a time zone. Offsets such as +01:00 are left to CEL, for which they are cheap.
func inZone(function, zone string) (functions.UnaryOp, error) {
	if strings.Contains(zone, ":") {
		if types.IsError(types.Timestamp{Time: time.Unix(0, 0)}.Receive(function, "", []ref.Val{types.String(zone)})) {
			return nil, noZone(zone)
		}
		return nil, nil
	}
	location, err := loadZone(zone)
	return func(value ref.Val) ref.Val {
		at, isTime := value.(types.Timestamp)
		if !isTime {
			return types.MaybeNoSuchOverloadErr(value)
		}
		return types.Timestamp{Time: at.In(location)}.Receive(function, "", nil)
	}, err
}

// zones are the time zones that conditions name, by name. Each takes some kilobytes, and many conditions name the same.
var zones sync.Map

// loadZone finds a time zone by its one name: "Europe//Paris" would work too, and be another entry. "Local" is none,
// since a condition means the same wherever it is evaluated.
func loadZone(name string) (*time.Location, error) {
	if known, found := zones.Load(name); found {
		return known.(*time.Location), nil
	}
	location, err := time.LoadLocation(name)
	if err != nil || name != path.Clean(name) || location == time.Local {
		return nil, noZone(name)
	}
	zones.Store(name, location)
	return location, nil
}

func noZone(name string) error {
	return textError{name, "is not a time zone, such as \"Europe/Paris\" or \"+01:00\""}
}

// compilePattern compiles a regular expression of so many instructions at most.
func compilePattern(text string, most uint64) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, textError{text, "is not a regular expression: " + err.Error()}
	}
	if patternSize(parsed) > most {
		return nil, textError{text, "is too large a regular expression: repeat less often"}
	}
	return regexp.Compile(text)
}

// patternSize estimates the instructions of a regular expression without making them, which takes up to seconds: no
// part can be repeated more than a thousand times, but every part can. A class of characters counts by its ranges,
// which take a tenth of the memory of an instruction each.
func patternSize(parsed *syntax.Regexp) uint64 {
	size := max(1, uint64(len(parsed.Rune)))
	if parsed.Op == syntax.OpCharClass {
		size = 1 + uint64(len(parsed.Rune))/10
	}
	for _, part := range parsed.Sub {
		size += patternSize(part)
	}
	if parsed.Op == syntax.OpRepeat {
		once := size
		for range max(parsed.Min, parsed.Max) - 1 {
			size += once
		}
	}
	return size
}

// matchComputed is matches for a pattern that is computed.
func matchComputed(args ...ref.Val) ref.Val {
	text, isText := args[1].(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(args[1])
	}
	pattern, err := compilePattern(string(text), maxComputedPattern)
	if err != nil {
		return types.WrapErr(err)
	}
	return match(pattern, args[0])
}

func match(pattern *regexp.Regexp, in ref.Val) ref.Val {
	text, isText := in.(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(in)
	}
	return types.Bool(pattern.MatchString(string(text)))
}
