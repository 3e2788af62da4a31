// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"regexp"
	"time"

	// getHours("Europe/Paris") is in Scaleway's documentation; whether it works must not hang on the container image.
	_ "time/tzdata"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
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
	case overloads.Matches:
		if _, err := regexp.Compile(string(text)); err != nil {
			issues.ReportErrorAtID(id, "%q is not a regular expression: %v", text, err)
		}
	case inIPRange:
		if _, err := parseRange(string(text)); err != nil {
			issues.ReportErrorAtID(id, "%q is not an address range in CIDR form, such as \"10.0.0.0/8\" or \"2001:db8::/32\"", text)
		}
	case overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDayOfYear,
		overloads.TimeGetDayOfMonth, overloads.TimeGetDate, overloads.TimeGetDayOfWeek,
		overloads.TimeGetHours, overloads.TimeGetMinutes, overloads.TimeGetSeconds, overloads.TimeGetMilliseconds:
		if types.IsError(types.Timestamp{Time: time.Unix(0, 0)}.Receive(function, "", []ref.Val{text})) {
			issues.ReportErrorAtID(id, "%q is not a time zone, such as \"Europe/Paris\" or \"+01:00\"", text)
		}
	}
}
