// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// opaPolicy goes from the subject to what it is granted by look-ups, which is what OPA's documentation advises.
//
//go:embed opa.rego
var opaPolicy string

// opaEngine is OPA: one prepared query, and all policies as data in the store in memory, which keeps them as the evaluator
// takes them (values of the AST), so that nothing is converted at a question.
type opaEngine struct {
	query rego.PreparedEvalQuery
	store storage.Store
}

func newOPA(w *world) (engine, error) {
	grants := map[string]any{}
	for _, p := range w.policies {
		for _, g := range p.grants {
			opaGrant(grants, g)
		}
	}
	subjects := map[string]any{}
	for _, p := range w.principals {
		grantees := []any{p.id}
		for _, group := range p.groups {
			grantees = append(grantees, group)
		}
		for _, subject := range p.subjects() {
			subjects[subject] = grantees
		}
	}
	holders := map[string]any{}
	for permission, sets := range w.holders {
		all := map[string]any{}
		for _, set := range sets {
			all[set] = true
		}
		holders[permission] = all
	}
	data := map[string]any{"grants": grants, "subjects": subjects, "holders": holders}
	e := &opaEngine{store: inmem.NewFromObjectWithOpts(data, inmem.OptRoundTripOnWrite(false), inmem.OptReturnASTValuesOnRead(true))}
	var err error
	e.query, err = rego.New(
		rego.Query("data.iam.allow"), rego.Module("iam.rego", opaPolicy), rego.Store(e.store), rego.StoreReadAST(true),
	).PrepareForEval(context.Background())
	return e, err
}

// opaGrant adds a grant where a question finds it: by whom it is for, by scope, by set, by rule.
func opaGrant(grants map[string]any, g grant) {
	for _, s := range g.scopes {
		for _, set := range g.sets {
			at := grants
			for _, key := range []string{g.grantee, opaScope(s), set} {
				next, found := at[key].(map[string]any)
				if !found {
					next = map[string]any{}
					at[key] = next
				}
				at = next
			}
			at[g.id] = opaCondition(g.condition)
		}
	}
}

func opaScope(s scope) string {
	if s.isProject {
		return "project/" + s.id
	}
	return "organization/" + s.id
}

// opaCondition gives a condition as a list of alternatives, each of which is a list of terms; an empty one if there is none.
func opaCondition(c reference.Condition) any {
	if c == nil {
		return []any{}
	}
	var found []any
	for _, all := range alternatives(c) {
		var terms []any
		for _, l := range all {
			terms = append(terms, opaTerm(l))
		}
		found = append(found, terms)
	}
	return found
}

func opaTerm(l literal) map[string]any {
	term := map[string]any{"negated": l.negated}
	switch c := l.term.(type) {
	case reference.IPInRange:
		maps.Copy(term, map[string]any{"kind": "ip", "range": c.Range.String()})
	case reference.UserAgentPrefix:
		maps.Copy(term, map[string]any{"kind": "user agent", "prefix": c.Prefix})
	case reference.Hours:
		maps.Copy(term, map[string]any{"kind": "hours", "zone": zoneName(c.Zone), "from": c.From, "until": c.Until})
	case reference.Before:
		maps.Copy(term, map[string]any{"kind": "before", "time": c.Time.UnixNano()})
	}
	return term
}

func (e *opaEngine) prepare(q *question) (ask, error) {
	scopes := []any{opaScope(scope{id: q.organization})}
	if q.scope.isProject {
		scopes = append(scopes, opaScope(q.scope))
	}
	attributes := q.request.Attributes
	input, err := ast.InterfaceToValue(map[string]any{
		"subject": q.subject, "scopes": scopes, "permission": q.permission,
		"ip": attributes.IP, "user_agent": attributes.UserAgent, "time": attributes.Time.UnixNano(),
	})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return func() (bool, error) {
		results, err := e.query.Eval(ctx, rego.EvalParsedInput(input))
		return results.Allowed(), err
	}, nil
}

func (e *opaEngine) update(before, after *policy) error {
	ctx := context.Background()
	return storage.Txn(ctx, e.store, storage.WriteParams, func(txn storage.Transaction) error {
		for _, g := range before.grants {
			if err := e.each(g, func(path storage.Path) error { return e.store.Write(ctx, txn, storage.RemoveOp, path, nil) }); err != nil {
				return err
			}
		}
		for _, g := range after.grants {
			err := e.each(g, func(path storage.Path) error {
				if err := storage.MakeDir(ctx, e.store, txn, path[:len(path)-1]); err != nil {
					return err
				}
				return e.store.Write(ctx, txn, storage.AddOp, path, opaCondition(g.condition))
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls do for all places in which a grant is.
func (e *opaEngine) each(g grant, do func(path storage.Path) error) error {
	for _, s := range g.scopes {
		for _, set := range g.sets {
			if err := do(storage.Path{"grants", g.grantee, opaScope(s), set, g.id}); err != nil {
				return err
			}
		}
	}
	return nil
}
