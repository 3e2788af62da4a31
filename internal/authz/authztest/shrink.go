// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Shrink takes away what a world can do without and still fail: entities, and the elements of their lists.
func Shrink(world World, fails func(World) bool) World {
	for smaller := true; smaller; {
		smaller = false
		for i := len(world.Entities) - 1; i >= 0; i-- {
			without := World{Entities: slices.Delete(slices.Clone(world.Entities), i, i+1), Conditions: world.Conditions}
			if fails(without) {
				world, smaller = without, true
				continue
			}
			for _, less := range lesser(world.Entities[i]) {
				with := World{Entities: slices.Clone(world.Entities), Conditions: world.Conditions}
				with.Entities[i] = less
				if fails(with) {
					world, smaller = with, true
					break
				}
			}
		}
	}
	return world
}

// lesser gives an entity with one thing less in it, in every way.
func lesser(entity iam.Entity) []iam.Entity {
	var found []iam.Entity
	switch e := entity.(type) {
	case *iam.Policy:
		for _, rules := range lesserRules(e.Rules) {
			less := *e
			less.Rules = rules
			found = append(found, &less)
		}
	case *iam.PermissionSet:
		for _, permissions := range without(e.Permissions) {
			less := *e
			less.Permissions = permissions
			found = append(found, &less)
		}
	case *iam.Group:
		for _, members := range without(e.Members) {
			less := *e
			less.Members = members
			found = append(found, &less)
		}
	case *iam.Member:
		for _, groups := range without(e.Groups) {
			less := *e
			less.Groups = groups
			found = append(found, &less)
		}
	case *iam.Application:
		for _, groups := range without(e.Groups) {
			less := *e
			less.Groups = groups
			found = append(found, &less)
		}
	}
	return found
}

func lesserRules(rules []iam.Rule) [][]iam.Rule {
	found := without(rules)
	for i, rule := range rules {
		for _, sets := range without(rule.PermissionSets) {
			less := slices.Clone(rules)
			less[i].PermissionSets = sets
			found = append(found, less)
		}
		for _, projects := range without(rule.ProjectIDs) {
			less := slices.Clone(rules)
			less[i].ProjectIDs = projects
			found = append(found, less)
		}
	}
	return found
}

// without gives a list without one of its elements, in every way.
func without[T any](list []T) [][]T {
	found := make([][]T, len(list))
	for i := range list {
		found[i] = slices.Delete(slices.Clone(list), i, i+1)
	}
	return found
}

// Describe tells of a world, a line an entity, for people to read.
func Describe(world World) string {
	var lines strings.Builder
	for _, entity := range world.Entities {
		body, err := json.Marshal(entity)
		var fields map[string]any
		if err == nil {
			err = json.Unmarshal(body, &fields)
		}
		if err != nil {
			fmt.Fprintf(&lines, "%s %v: %v\n", entity.EntityKind(), entity, err)
			continue
		}
		for _, noise := range []string{"object", "createdAt", "security", "quotas", "auditRetention", "digest", "digestKeyID", "defaultProjectID"} {
			delete(fields, noise)
		}
		body, err = json.Marshal(fields)
		fmt.Fprintf(&lines, "  %s %s", entity.EntityKind(), body)
		if err != nil {
			fmt.Fprintf(&lines, " (%v)", err)
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}
