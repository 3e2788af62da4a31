// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"slices"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

// comparisonOperators are CEL's names for == != < <= > >=.
func comparisonOperators() []string {
	return []string{
		operators.Equals, operators.NotEquals,
		operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	}
}

// convertComparedStrings wraps every string that is compared with a timestamp in timestamp(), in place. Scaleway
// documents request.time == "2025-03-03T14:30:00.000Z", which CEL refuses. It has to go by type, not by looks:
// either side may be any expression.
func convertComparedStrings(typed *ast.AST) {
	comparisons := comparisonOperators()
	factory := ast.NewExprFactory()
	nextID := ast.MaxID(typed)
	asTime := func(operand ast.Expr) ast.Expr {
		id := nextID
		nextID++
		// A fault in the conversion is one in the operand.
		if at, found := typed.SourceInfo().GetOffsetRange(operand.ID()); found {
			typed.SourceInfo().SetOffsetRange(id, at)
		}
		return factory.NewCall(id, overloads.TypeConvertTimestamp, operand)
	}
	ast.PostOrderVisit(typed.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || !slices.Contains(comparisons, e.AsCall().FunctionName()) {
			return
		}
		left, right := e.AsCall().Args()[0], e.AsCall().Args()[1]
		leftType, rightType := typed.GetType(left.ID()), typed.GetType(right.ID())
		switch {
		case leftType.IsExactType(types.TimestampType) && rightType.IsExactType(types.StringType):
			right = asTime(right)
		case leftType.IsExactType(types.StringType) && rightType.IsExactType(types.TimestampType):
			left = asTime(left)
		default:
			return
		}
		e.SetKindCase(factory.NewCall(e.ID(), e.AsCall().FunctionName(), left, right))
	}))
}
