// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"maps"
	"math"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

const (
	// maxCost bounds an evaluation at about 2.5 ms, at the 50 ns that cel-go takes a unit for. The documented examples
	// cost below 100, and matching a name of 1024 characters with a hundred patterns still fits; what does not are
	// loops in loops and texts that double.
	maxCost = 50_000

	// maxTypeSize bounds the type of any part of a condition: list(string) has 2 parts, map(string, string) 3.
	maxTypeSize = 16

	// maxScalarText is the most characters that a number, bool, timestamp or duration has as a string.
	maxScalarText = 32
)

// cost returns the most that an evaluation can cost for attributes of any content within their sizes.
func (l *language) cost(checked *cel.Ast) (uint64, error) {
	estimate, err := l.strict.EstimateCost(checked, estimator{variables: l.variables})
	if err != nil {
		return 0, err
	}
	if estimate.Max > maxCost {
		return 0, refusal("evaluating the condition could cost more than the %d units allowed; "+
			"avoid loops in loops, dyn(), and patterns or texts to search for that are not constant", maxCost)
	}
	return estimate.Max, nil
}

// estimator tells CEL the sizes that it cannot know.
type estimator struct{ variables variables }

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

// EstimateCallCost implements [checker.CostEstimator]: for the one function that is ours, and for those that make a
// string, whose size CEL otherwise takes for unbounded.
func (e estimator) EstimateCallCost(_, overloadID string, _ *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	switch overloadID {
	case inIPRangeOverload:
		read := sizeOf(args[0]).Add(sizeOf(args[1])).MultiplyByCostFactor(common.StringTraversalCostFactor)
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(1).Add(read)}
	case overloads.StringToString:
		size := sizeOf(args[0])
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(1), ResultSize: &size}
	case overloads.BoolToString, overloads.IntToString, overloads.UintToString, overloads.DoubleToString,
		overloads.TimestampToString, overloads.DurationToString:
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(1), ResultSize: &checker.SizeEstimate{Max: maxScalarText}}
	}
	return nil
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
