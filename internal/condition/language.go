// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

const (
	inIPRange         = "inIpRange"
	inIPRangeOverload = "in_ip_range_string_string"
)

// language is what conditions are compiled with.
type language struct {
	// strict is the language as its users know it.
	strict *cel.Env
	// lenient differs in that anything may be compared with anything, so that types can be told apart in a
	// condition that compares times with strings.
	lenient   *cel.Env
	planner   interpreter.Interpreter
	variables variables
}

// languageOnce sets the language up at its first use: it takes about as long as compiling a dozen conditions, and
// is safe for concurrent use afterwards.
var languageOnce = sync.OnceValues(newLanguage)

func newLanguage() (*language, error) {
	vars := declared
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	shared := []cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{Provider: registry, variables: vars}),
		cel.Function(inIPRange, cel.Overload(inIPRangeOverload, []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(inRange))),
		// Among the standard functions of the CEL specification, though cel-go has it off.
		cel.CrossTypeNumericComparisons(true),
		cel.EagerlyValidateDeclarations(true),
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		shared = append(shared, cel.Variable(name, cel.ObjectType(typeName(name))))
	}
	strict, err := cel.NewCustomEnv(slices.Concat(shared, []cel.EnvOption{cel.StdLib(), cel.ASTValidators(validator{})})...)
	if err != nil {
		return nil, err
	}
	lenient, err := cel.NewCustomEnv(slices.Concat(shared, lenientLibrary())...)
	if err != nil {
		return nil, err
	}
	placeSharedErrors()
	planner, err := newPlanner(strict)
	if err != nil {
		return nil, err
	}
	return &language{strict: strict, lenient: lenient, planner: planner, variables: vars}, nil
}

// lenientLibrary is CEL's standard library with comparisons that take any two operands. Two libraries are needed
// because CEL lets nobody add an overload to its generic equality.
func lenientLibrary() []cel.EnvOption {
	operands := []*cel.Type{cel.TypeParamType("A"), cel.TypeParamType("B")}
	subset := env.NewLibrarySubset()
	var comparisons []cel.EnvOption
	for _, operator := range comparisonOperators() {
		subset.AddExcludedFunctions(env.NewFunction(operator))
		comparisons = append(comparisons, cel.Function(operator, cel.Overload("lenient"+operator, operands, cel.BoolType)))
	}
	return append(comparisons, cel.StdLib(cel.StdLibSubset(subset)))
}

// variables are what a condition can see, by variable and attribute.
type variables map[string]map[string]*attribute

type attribute struct {
	celType *cel.Type
	// maxSize is the most code points that the value can have; 1 for what is no string. The cost limit rests on it.
	maxSize uint64
	// read makes the value that conditions see, of no more than maxSize, or one of the two errors.
	read           func(*attribute, *Attributes) ref.Val
	unknown, wrong *types.Err
	// slot is the attribute's place in an Input.
	slot int
}

const (
	requestVariable  = "request"
	resourceVariable = "resource"

	// attributeCount is how many attributes there are.
	attributeCount = 6
	// maxAddress is the length of the longest way to write an IPv6 address.
	maxAddress = 45
)

// declared are the variables; nothing changes them.
var declared = declaredVariables()

// declaredVariables are those that Scaleway documents under request-level and resource-level conditions. Scaleway
// gives a length for the user agent only; the others are ample.
func declaredVariables() variables {
	vars := variables{
		requestVariable: {
			"ip":         {celType: cel.StringType, maxSize: maxAddress, read: readIP},
			"time":       {celType: cel.TimestampType, maxSize: 1, read: readTime},
			"user_agent": {celType: cel.StringType, maxSize: 255, read: readUserAgent},
		},
		resourceVariable: {
			"name":     {celType: cel.StringType, maxSize: 1024, read: readName},
			"id":       {celType: cel.StringType, maxSize: 255, read: readID},
			"locality": {celType: cel.StringType, maxSize: 64, read: readLocality},
		},
	}
	slot := 0
	for variable, attributes := range vars {
		for name, a := range attributes {
			path := variable + "." + name
			a.slot = slot
			slot++
			a.unknown = readError(path, "is not known")
			a.wrong = readError(path, fmt.Sprintf("has more than %d characters", a.maxSize))
		}
	}
	vars[requestVariable]["ip"].wrong = readError("request.ip", "is not an IP address")
	vars[requestVariable]["time"].wrong = readError("request.time", "is not in the years 1 to 9999")
	return vars
}

// typeName is the name that messages give to the type of a variable. It is no identifier of CEL, so that no
// condition can make a value of that type.
func typeName(variable string) string { return variable + "-attributes" }

// provider adds the types of the variables to CEL's own, for the type checker: a declared type, unlike a map, turns a
// misspelt attribute into an error and still lets has() ask whether one is known.
type provider struct {
	types.Provider
	variables variables
}

func (p provider) attributes(structType string) (map[string]*attribute, bool) {
	for variable, attributes := range p.variables {
		if typeName(variable) == structType {
			return attributes, true
		}
	}
	return nil, false
}

// FindStructType implements [types.Provider].
func (p provider) FindStructType(structType string) (*types.Type, bool) {
	if _, found := p.attributes(structType); found {
		return types.NewTypeTypeWithParam(types.NewObjectType(structType)), true
	}
	return p.Provider.FindStructType(structType)
}

// FindStructFieldNames implements [types.Provider].
func (p provider) FindStructFieldNames(structType string) ([]string, bool) {
	if attributes, found := p.attributes(structType); found {
		return slices.Sorted(maps.Keys(attributes)), true
	}
	return p.Provider.FindStructFieldNames(structType)
}

// FindStructFieldType implements [types.Provider].
func (p provider) FindStructFieldType(structType, fieldName string) (*types.FieldType, bool) {
	if attributes, found := p.attributes(structType); found {
		if attribute, found := attributes[fieldName]; found {
			return &types.FieldType{Type: attribute.celType}, true
		}
		return nil, false
	}
	return p.Provider.FindStructFieldType(structType, fieldName)
}
