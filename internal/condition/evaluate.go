// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
)

var errNoBool = errors.New("the condition yielded no bool")

// maxReason is the most characters that the words of an EvaluationError have: they may quote what a request is about.
const maxReason = 512

// EvaluationError is why a condition is neither true nor false for an input: it read an attribute that is not
// known, say, and nothing else decided it.
type EvaluationError struct{ cause error }

// Error is for people, such as "request.ip is not known". It has at most 512 characters.
func (e *EvaluationError) Error() string { return firstOf(e.cause.Error(), maxReason) }

// Unwrap is CEL's own error, if there is one.
func (e *EvaluationError) Unwrap() error { return e.cause }

// attributeError is what is the matter with an attribute that a condition reads.
type attributeError struct{ attribute, fault string }

func (e attributeError) Error() string { return e.attribute + " " + e.fault }

// readError is the value that reading an attribute yields. All evaluations share it.
func readError(attribute, fault string) *types.Err {
	err := types.WrapErr(&EvaluationError{cause: attributeError{attribute: attribute, fault: fault}})
	return types.LabelErrNode(sharedPlace, err).(*types.Err)
}

// Evaluate says whether the condition holds. When it returns an error, always an *EvaluationError, the condition
// neither holds nor fails to, and the bool is false.
func (c *Condition) Evaluate(i *Input) (holds bool, err error) {
	frame, err := interpreter.NewExecutionFrame((*activation)(i))
	if err != nil {
		return false, &EvaluationError{cause: err}
	}
	defer func() {
		frame.Close()
		if fault := recover(); fault != nil {
			holds, err = false, &EvaluationError{cause: fmt.Errorf("internal error: %v", fault)}
		}
	}()
	switch result := c.plan.Exec(frame).(type) {
	case types.Bool:
		return bool(result), nil
	case *types.Err:
		return false, evaluationError(result)
	default:
		return false, &EvaluationError{cause: errNoBool}
	}
}

func evaluationError(from *types.Err) *EvaluationError {
	if known, ok := errors.AsType[*EvaluationError](from.Unwrap()); ok {
		return known
	}
	return &EvaluationError{cause: from.Unwrap()}
}
