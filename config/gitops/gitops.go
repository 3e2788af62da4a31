// SPDX-License-Identifier: Apache-2.0

// Package gitops runs what this folder ships for Argo CD and Flux as those tools run it, so that tests can hold it
// against kstatus. Nothing but tests imports it.
package gitops

import (
	_ "embed"
	"fmt"

	"github.com/google/cel-go/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

//go:embed argocd/health.lua
var healthLua string

//go:embed flux/acme.yaml
var fluxKustomization []byte

// The answers of Argo CD's health checks that ours gives.
const (
	ArgoHealthy     = "Healthy"
	ArgoProgressing = "Progressing"
	ArgoDegraded    = "Degraded"
)

// ArgoHealth returns the health and the message that argocd/health.lua gives an object. It fails where the script does,
// or where its answer has no status: Argo CD then shows Unknown.
func ArgoHealth(object map[string]any) (health, message string, err error) {
	// Argo CD opens these libraries and no others, unless it is told to.
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return "", "", fmt.Errorf("lua library %q cannot be opened: %w", name, err)
		}
	}
	l.SetGlobal("obj", toLua(l, object))
	if err := l.DoString(healthLua); err != nil {
		return "", "", fmt.Errorf("health.lua failed: %w", err)
	}
	answer, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("health.lua returned a %s, want a table", l.Get(-1).Type())
	}
	health = lua.LVAsString(answer.RawGetString("status"))
	if health == "" {
		return "", "", fmt.Errorf("health.lua returned no status")
	}
	return health, lua.LVAsString(answer.RawGetString("message")), nil
}

// toLua turns a value of JSON into one of Lua.
func toLua(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, item := range v {
			table.RawSetString(key, toLua(l, item))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, item := range v {
			table.Append(toLua(l, item))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	default:
		return lua.LNil
	}
}

// healthCheckExpr is an item of spec.healthCheckExprs of a Flux Kustomization.
type healthCheckExpr struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// FluxStatus returns the status that the expressions of flux/acme.yaml give an object, in the order of Flux's RFC-0009:
// an old observedGeneration, inProgress, failed, current, and else InProgress. It fails where an expression does, or
// where the object's kind has none.
func FluxStatus(u *unstructured.Unstructured) (status.Status, error) {
	expr, err := fluxExpression(u.GetAPIVersion(), u.GetKind())
	if err != nil {
		return "", err
	}
	observed, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if err != nil {
		return "", fmt.Errorf("status.observedGeneration is no integer: %w", err)
	}
	if found && observed != u.GetGeneration() {
		return status.InProgressStatus, nil
	}
	for _, step := range []struct {
		expression string
		meaning    status.Status
	}{
		{expr.InProgress, status.InProgressStatus},
		{expr.Failed, status.FailedStatus},
		{expr.Current, status.CurrentStatus},
	} {
		holds, err := evaluate(step.expression, u.Object)
		if err != nil {
			return "", fmt.Errorf("the expression %q for %s failed: %w", step.expression, u.GetKind(), err)
		}
		if holds {
			return step.meaning, nil
		}
	}
	return status.InProgressStatus, nil
}

func fluxExpression(apiVersion, kind string) (healthCheckExpr, error) {
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []healthCheckExpr `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(fluxKustomization, &kustomization); err != nil {
		return healthCheckExpr{}, fmt.Errorf("flux/acme.yaml cannot be read: %w", err)
	}
	for _, e := range kustomization.Spec.HealthCheckExprs {
		if e.APIVersion == apiVersion && e.Kind == kind {
			return e, nil
		}
	}
	return healthCheckExpr{}, fmt.Errorf("flux/acme.yaml has no healthCheckExprs for %s of %s", kind, apiVersion)
}

// evaluate does as Flux does: the expression is parsed and not checked, since an object may have any fields.
func evaluate(expression string, object map[string]any) (bool, error) {
	env, err := cel.NewEnv()
	if err != nil {
		return false, err
	}
	ast, issues := env.Parse(expression)
	if issues.Err() != nil {
		return false, issues.Err()
	}
	program, err := env.Program(ast)
	if err != nil {
		return false, err
	}
	result, _, err := program.Eval(object)
	if err != nil {
		return false, err
	}
	holds, ok := result.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the result is %v, want true or false", result)
	}
	return holds, nil
}
