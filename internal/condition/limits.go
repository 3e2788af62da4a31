// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"maps"
	"math"
	"regexp/syntax"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

const (
	// maxCost bounds an evaluation at about 2.5 ms, at the 50 ns that cel-go takes a unit for, and at some 20 ms for the
	// worst that could be thought of. The documented examples cost below 100, and matching a name of 1024 characters
	// with a hundred patterns still fits; what does not are loops in loops and texts that double.
	//
	// Nothing is counted at an evaluation. It could not cost more: the estimate is for attributes of the sizes that an
	// Input enforces, and where CEL's own estimate is far too low (it counts in the same way at an evaluation) there is
	// one of ours.
	maxCost = 50_000

	// maxTypeSize bounds the type of any part of a condition: list(string) has 2 parts, map(string, string) 3.
	maxTypeSize = 16

	// maxScalarText is the most characters that a number, bool, timestamp or duration has as a string.
	maxScalarText = 32
)

// cost returns the most that an evaluation can cost for attributes of any content within their sizes.
func (l *language) cost(checked *cel.Ast) (uint64, error) {
	estimate, err := l.strict.EstimateCost(checked, estimator{variables: l.variables, checked: checked.NativeRep()})
	if err != nil {
		return 0, err
	}
	if estimate.Max > maxCost {
		return 0, refusal("evaluating the condition could cost more than the %d units allowed; "+
			"avoid loops in loops, dyn(), lists in lists, and patterns, time zones or texts to search for that are not constant", maxCost)
	}
	return estimate.Max, nil
}

// estimator tells CEL the sizes and costs that it cannot know.
type estimator struct {
	variables variables
	checked   *ast.AST
}

// EstimateSize implements [checker.CostEstimator].
func (e estimator) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	if path := node.Path(); len(path) == 2 {
		if attribute, found := e.variables[path[0]][path[1]]; found {
			return &checker.SizeEstimate{Max: attribute.maxSize}
		}
	}
	if kind := node.Type().Kind(); kind == types.TypeKind || kind == types.NullTypeKind {
		return &checker.SizeEstimate{Min: 1, Max: 1}
	}
	return nil
}

// EstimateCallCost implements [checker.CostEstimator]: for the one function that is ours, for those that make a
// string, whose size CEL otherwise takes for unbounded, and for those that take far longer than CEL's own estimate.
func (e estimator) EstimateCallCost(function, overloadID string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	if target != nil {
		args = append([]checker.AstNode{*target}, args...)
	}
	cost := checker.FixedCostEstimate(1)
	switch overloadID {
	case overloads.StringToString:
		size := sizeOf(args[0])
		return &checker.CallEstimate{CostEstimate: cost, ResultSize: &size}
	case overloads.BoolToString, overloads.IntToString, overloads.UintToString, overloads.DoubleToString,
		overloads.TimestampToString, overloads.DurationToString:
		return &checker.CallEstimate{CostEstimate: cost, ResultSize: &checker.SizeEstimate{Max: maxScalarText}}
	case inIPRangeOverload:
		cost = cost.Add(reading(args[0])).Add(reading(args[1]))
	case overloads.SizeString, overloads.SizeStringInst, overloads.StringToInt, overloads.StringToUint, overloads.StringToDouble,
		overloads.StringToBool, overloads.StringToDuration, overloads.StringToTimestamp:
		cost = cost.Add(reading(args[0]))
	case overloads.Matches, overloads.MatchesString:
		cost = matching(args[0], args[1])
	default:
		if !e.unbounded(overloadID, args) {
			return zoneCost(function, args)
		}
		cost = checker.UnknownCostEstimate()
	}
	return &checker.CallEstimate{CostEstimate: cost}
}

func reading(text checker.AstNode) checker.CostEstimate {
	return sizeOf(text).MultiplyByCostFactor(common.StringTraversalCostFactor)
}

// matching is CEL's cost of a match, except that it goes by the instructions of the pattern if those are more than its
// characters, and includes compiling the pattern if it is computed.
func matching(text, pattern checker.AstNode) checker.CostEstimate {
	const compiling = 4
	cost, size := checker.FixedCostEstimate(0), sizeOf(pattern)
	if literal := pattern.Expr(); literal.Kind() == ast.LiteralKind {
		text, _ := literal.AsLiteral().(types.String)
		if parsed, err := syntax.Parse(string(text), syntax.Perl); err == nil {
			size.Max = max(size.Max, patternSize(parsed))
		}
	} else {
		cost = checker.FixedCostEstimate(compiling * maxComputedPattern)
		size.Max = max(size.Max, maxComputedPattern)
	}
	perCharacter := size.MultiplyByCostFactor(common.RegexStringLengthCostFactor)
	return cost.Add(reading(text).Add(checker.FixedCostEstimate(1)).Multiply(perCharacter))
}

// zoneCost is the cost of finding a time zone that is computed, a search in files, and nil for any other call.
func zoneCost(function string, args []checker.AstNode) *checker.CallEstimate {
	const searching = 500
	if takesZone(function) && len(args) == 2 && args[1].Expr().Kind() != ast.LiteralKind {
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(searching)}
	}
	return nil
}

// unbounded finds the comparisons of which CEL counts a small part: those of lists in lists, of which it counts the
// outermost only. Loops can make those of any size from few characters; one that is written out is small enough.
func (e estimator) unbounded(overloadID string, args []checker.AstNode) bool {
	switch overloadID {
	case overloads.Equals, overloads.NotEquals:
		return nested(e.typeOf(args[0])) && nested(e.typeOf(args[1])) &&
			computed(args[0].Expr()) && computed(args[1].Expr())
	case overloads.InList:
		return !scalar(e.typeOf(args[0])) && computed(args[0].Expr()) && computed(args[1].Expr())
	case overloads.IndexList, overloads.IndexMap:
		// An index that is not there is quoted in the error.
		return !scalar(e.typeOf(args[1])) && computed(args[1].Expr())
	}
	return false
}

// typeOf is the type that a value has, also when dyn() makes a secret of it.
func (e estimator) typeOf(node checker.AstNode) *types.Type {
	expr := node.Expr()
	for expr.Kind() == ast.CallKind && expr.AsCall().FunctionName() == overloads.TypeConvertDyn {
		expr = expr.AsCall().Args()[0]
	}
	return e.checked.GetType(expr.ID())
}

// nested says that a value may be a list or map of others.
func nested(t *types.Type) bool {
	if t.Kind() != types.ListKind && t.Kind() != types.MapKind {
		return !scalar(t)
	}
	return slices.ContainsFunc(t.Parameters(), func(part *types.Type) bool { return !scalar(part) })
}

// scalar says that a value is no list or map.
func scalar(t *types.Type) bool {
	switch t.Kind() {
	case types.ListKind, types.MapKind, types.DynKind, types.AnyKind, types.TypeParamKind, types.OpaqueKind:
		return false
	}
	return true
}

// computed says that a value is not written out, since a variable is part of it.
func computed(e ast.Expr) bool {
	variables := 0
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) {
		if part.Kind() == ast.IdentKind {
			variables++
		}
	}))
	return variables > 0
}

func sizeOf(node checker.AstNode) checker.SizeEstimate {
	if size := node.ComputedSize(); size != nil {
		return *size
	}
	return checker.UnknownSizeEstimate()
}

// typeSize bounds from above how many parts the largest type in an expression can have, saturating. It needs the
// syntax only, since types grow in list and map literals and nowhere else, and travel through the variables of loops:
// [1].map(a, {a: a}).map(b, {b: b})… doubles its type with every step, and the type checker takes minutes for
// two hundred characters of it.
func typeSize(e ast.Expr, loopVars map[string]uint64) uint64 {
	largest := func(exprs ...ast.Expr) uint64 {
		size := uint64(1)
		for _, expr := range exprs {
			size = max(size, typeSize(expr, loopVars))
		}
		return size
	}
	switch e.Kind() {
	case ast.IdentKind:
		return max(1, loopVars[e.AsIdent()])
	case ast.SelectKind:
		return largest(e.AsSelect().Operand())
	case ast.CallKind:
		args := largest(e.AsCall().Args()...)
		if e.AsCall().IsMemberFunction() {
			return max(args, largest(e.AsCall().Target()))
		}
		return args
	case ast.ListKind:
		return saturatingSum(1, largest(e.AsList().Elements()...))
	case ast.MapKind:
		keys, values := entries(e.AsMap())
		return saturatingSum(1, saturatingSum(largest(keys...), largest(values...)))
	case ast.StructKind:
		return largest(fieldValues(e.AsStruct())...)
	case ast.ComprehensionKind:
		return loopTypeSize(e.AsComprehension(), loopVars)
	}
	return 1
}

func loopTypeSize(loop ast.ComprehensionExpr, loopVars map[string]uint64) uint64 {
	elements := max(2, typeSize(loop.IterRange(), loopVars)) - 1
	result := typeSize(loop.AccuInit(), loopVars)
	inner := maps.Clone(loopVars)
	if inner == nil {
		inner = map[string]uint64{}
	}
	inner[loop.IterVar()] = elements
	inner[loop.AccuVar()] = result
	result = max(result, typeSize(loop.LoopCondition(), inner), typeSize(loop.LoopStep(), inner))
	inner[loop.AccuVar()] = result
	return max(elements+1, result, typeSize(loop.Result(), inner))
}

func entries(m ast.MapExpr) (keys, values []ast.Expr) {
	for _, entry := range m.Entries() {
		keys = append(keys, entry.AsMapEntry().Key())
		values = append(values, entry.AsMapEntry().Value())
	}
	return keys, values
}

func fieldValues(s ast.StructExpr) []ast.Expr {
	var values []ast.Expr
	for _, field := range s.Fields() {
		values = append(values, field.AsStructField().Value())
	}
	return values
}

func saturatingSum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
