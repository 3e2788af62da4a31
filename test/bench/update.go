// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"slices"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

var errNotSeen = errors.New("a change is not seen by the next question")

// updates changes policies that single answers hang on, there and back, and holds the engine to the other answer at once.
func (f *figures) updates(e engine, w *world, ready []asked) error {
	policies := map[string]*policy{}
	for _, p := range w.policies {
		policies[p.id] = p
	}
	var samples []sample
	for start, i := time.Now(), 0; i < len(ready) && len(samples) < maxUpdates && time.Since(start) < updateWithin; i++ {
		q := ready[i]
		if q.by == "" {
			continue
		}
		before := policies[q.by]
		after := before.without(w, q.permission)
		for _, change := range []struct {
			from, to *policy
			want     bool
		}{{before, after, false}, {after, before, true}} {
			began := time.Now()
			if err := e.update(change.from, change.to); err != nil {
				return err
			}
			samples = append(samples, sample{float64(time.Since(began)), 1})
			if answer, err := q.ask(); err != nil || answer != change.want {
				return errors.Join(errNotSeen, err)
			}
		}
	}
	f.Update = median(samples)
	return nil
}

// without gives a version of a policy that grants something else than a permission.
func (p *policy) without(w *world, permission string) *policy {
	set := ""
	for name := range w.projectSets {
		if !slices.Contains(w.holders[permission], name) && (set == "" || name < set) {
			set = name
		}
	}
	changed := *p.entity
	changed.Rules = []iam.Rule{{ID: p.entity.Rules[0].ID, PermissionSets: []string{set}, OrganizationScope: true}}
	return newPolicy(&changed, nil)
}
