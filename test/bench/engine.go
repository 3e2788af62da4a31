// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// engine is a policy engine that holds a world.
type engine interface {
	// prepare gives how a question is asked, in the form that is quickest for this engine. It is not timed.
	prepare(q *question) (ask, error)
	// update replaces a policy by another version of it, which questions see at once.
	update(before, after *policy) error
}

// ask asks a question.
type ask func() (bool, error)

// contestant is an engine that can be measured.
type contestant struct {
	// name is for -engines, and title for the table.
	name, title string
	// module is where the version is from; empty for ours.
	module string
	// load gives what builds the engine. What load itself does is not timed, but its memory counts.
	load func(w *world) (func() (engine, error), error)
	// notes say what it cannot express, and what was done about it.
	notes string
}

// simply is for engines that need nothing before they are built.
func simply(build func(w *world) (engine, error)) func(w *world) (func() (engine, error), error) {
	return func(w *world) (func() (engine, error), error) {
		return func() (engine, error) { return build(w) }, nil
	}
}

// byOrganization builds an engine for each Organization, for those that look at everything they have for each question.
// Which one is asked is settled before the clock starts.
func byOrganization(build func(w *world) (engine, error)) func(w *world) (engine, error) {
	return func(w *world) (engine, error) {
		all := split{}
		for _, part := range w.byOrganization() {
			e, err := build(part)
			if err != nil {
				return nil, fmt.Errorf("build for Organization %s: %w", part.organizations[0], err)
			}
			all[part.organizations[0]] = e
		}
		return all, nil
	}
}

// split are engines by Organization.
type split map[string]engine

func (s split) prepare(q *question) (ask, error) { return s[q.organization].prepare(q) }

func (s split) update(before, after *policy) error {
	return s[before.organization].update(before, after)
}

// byOrganization gives the parts of a world.
func (w *world) byOrganization() []*world {
	parts := map[string]*world{}
	all := make([]*world, 0, len(w.organizations))
	for _, id := range w.organizations {
		part := &world{
			seed: w.seed, size: w.size, organizations: []string{id}, projects: map[string][]string{id: w.projects[id]},
			holders: w.holders, projectSets: w.projectSets,
		}
		parts[id] = part
		all = append(all, part)
	}
	for _, p := range w.principals {
		parts[p.organization].principals = append(parts[p.organization].principals, p)
	}
	for _, p := range w.policies {
		parts[p.organization].policies = append(parts[p.organization].policies, p)
	}
	for _, q := range w.questions {
		parts[q.organization].questions = append(parts[q.organization].questions, q)
	}
	return all
}
