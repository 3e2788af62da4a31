// SPDX-License-Identifier: Apache-2.0

package condition

import (
	// getHours("Europe/Paris") is in Scaleway's documentation; whether it works must not hang on the container image.
	_ "time/tzdata"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

// validator finds what the type checker lets pass and yet could never hold: a result that is not a bool, and
// constants that can only fail. A mistyped time zone would otherwise show as a rule that never applies.
type validator struct{}

// Name implements [cel.ASTValidator].
func (validator) Name() string { return "iam-operator.condition" }

// Validate implements [cel.ASTValidator].
func (validator) Validate(_ *cel.Env, _ cel.ValidatorConfig, checked *ast.AST, issues *cel.Issues) {
	root := checked.Expr()
	if result := checked.GetType(root.ID()); !result.IsExactType(types.BoolType) {
		issues.ReportErrorAtID(root.ID(), "expected type 'bool' but found '%s'", cel.FormatCELType(result))
	}
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.StructKind {
			reportLargeMessage(issues, checked, e.AsStruct())
		}
		if e.Kind() != ast.CallKind || len(e.AsCall().Args()) == 0 {
			return
		}
		// In each of these functions, as member or not, it is the last argument that has a form to keep to.
		args := e.AsCall().Args()
		last := args[len(args)-1]
		if last.Kind() != ast.LiteralKind {
			return
		}
		if text, isString := last.AsLiteral().(types.String); isString {
			reportBadLiteral(issues, last.ID(), e.AsCall().FunctionName(), text)
		}
	}))
}

func reportBadLiteral(issues *cel.Issues, id int64, function string, text types.String) {
	switch function {
	case overloads.TypeConvertTimestamp:
		if types.IsError(text.ConvertToType(types.TimestampType)) {
			issues.ReportErrorAtID(id, "%q is not a time in the form of RFC 3339, such as \"2025-03-03T14:30:00Z\"", text)
		}
	case overloads.TypeConvertDuration:
		if types.IsError(text.ConvertToType(types.DurationType)) {
			issues.ReportErrorAtID(id, "%q is not a duration, such as \"1h30m\"", text)
		}
	default:
		if _, err := withConstant(function, string(text)); err != nil {
			issues.ReportErrorAtID(id, "%v", err)
		}
	}
}

// reportLargeMessage refuses messages of CEL, such as google.protobuf.Value, that are made of computed lists: a copy of
// the whole is made each time, which CEL's estimate of the cost leaves out.
func reportLargeMessage(issues *cel.Issues, checked *ast.AST, message ast.StructExpr) {
	for _, value := range fieldValues(message) {
		if !scalar(checked.GetType(value.ID())) && computed(value) {
			issues.ReportErrorAtID(value.ID(), "a message of type '%s' must not be made of computed lists", message.TypeName())
		}
	}
}
