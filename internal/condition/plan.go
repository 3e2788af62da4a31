// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"errors"
	"math"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
)

// sharedPlace is the place of an error that many evaluations share: none of any condition. CEL writes a place into an
// error that has none, without regard to other goroutines.
const sharedPlace = -1

// placeSharedErrors gives that place to the two errors that CEL itself shares.
func placeSharedErrors() {
	types.LabelErrNode(sharedPlace, types.NoSuchOverloadErr())
	types.LabelErrNode(sharedPlace, types.Int(math.MaxInt64).ConvertToType(types.TimestampType))
}

// newPlanner makes what turns checked conditions into plans of their evaluation. It is what cel.Program does, less
// one thing: each of those keeps a table of all functions, several times the size of a plan.
func newPlanner(env *cel.Env) (interpreter.Interpreter, error) {
	functions := interpreter.NewDispatcher()
	for _, function := range env.Functions() {
		bindings, err := function.Bindings()
		if err != nil {
			return nil, err
		}
		if err := functions.Add(bindings...); err != nil {
			return nil, err
		}
	}
	adapter, provider := env.CELTypeAdapter(), env.CELTypeProvider()
	attributes := interpreter.NewAttributeFactory(env.Container, adapter, provider)
	return interpreter.NewInterpreter(functions, env.Container, provider, adapter, attributes), nil
}

// plan fixes how a condition is evaluated, with all that only depends on constants done. Constants that cannot be
// converted fail here, or make CEL panic.
func (l *language) plan(checked *cel.Ast) (plan interpreter.InterpretableV2, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			plan, err = nil, refusal("the condition cannot be evaluated: %v", fault)
		}
	}()
	plan, err = l.planner.NewInterpretable(checked.NativeRep(), interpreter.Optimize(), interpreter.CustomDecoratorV2(prepare))
	if err != nil {
		return nil, planError(checked, err)
	}
	return plan, nil
}

// planError gives a fault that CEL found while planning the place of its expression.
func planError(checked *cel.Ast, err error) *Error {
	refused := refusal("%v", err)
	var fault *types.Err
	if errors.As(err, &fault) {
		if at := checked.NativeRep().SourceInfo().GetStartLocation(fault.NodeID()); at.Line() > 0 && at.Column() >= 0 {
			refused.Issues[0].Line, refused.Issues[0].Column = at.Line(), at.Column()+1
		}
	}
	return refused
}
