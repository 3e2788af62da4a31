// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// TestConditionsMeanTheSame protects what other policy engines are given instead of CEL: it comes to the same.
func TestConditionsMeanTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := newDice(rapid.Uint64().Draw(t, "seed"), 0)
		c := randomCondition(d, 3)
		compiled, err := condition.Compile(c.CEL())
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			a := randomAttributes(d)
			if d.chance(50) {
				lean(d, c, d.chance(50), &a)
			}
			var input condition.Input
			input.Reset(condition.Attributes(a))
			got := reference.False
			if holds, err := compiled.Evaluate(&input); err != nil {
				got = reference.Failed
			} else if holds {
				got = reference.True
			}
			if want := c.Evaluate(a); got != want {
				t.Fatalf("%s with %+v comes to %d in CEL, and to %d as it is written here", c.CEL(), a, got, want)
			}
		}
	})
}

// TestBrokenConditionsDoNotCompile protects that they are told apart from those that do.
func TestBrokenConditionsDoNotCompile(t *testing.T) {
	t.Parallel()
	for _, text := range broken {
		if _, err := condition.Compile(text); err == nil {
			t.Errorf("%s compiles", text)
		}
	}
}

// TestSeedsRepeat protects that a seed is all one needs to see a failure again.
func TestSeedsRepeat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		one, other := NewSmall(seed), NewSmall(seed)
		for range 30 {
			if a, b := one.Requests(3), other.Requests(3); !reflect.DeepEqual(a, b) {
				t.Fatalf("%+v, then %+v", a, b)
			}
			if a, b := one.Change(), other.Change(); !reflect.DeepEqual(a, b) {
				t.Fatalf("%+v, then %+v", a, b)
			}
		}
		if a, b := one.World(), other.World(); !reflect.DeepEqual(a, b) {
			t.Fatalf("%s\nthen\n%s", Describe(a), Describe(b))
		}
	})
}

// TestSmallWorldsAreSuchAsStoresHold protects tests from failing for what cannot be: ids and unique names are unique, and a
// change tells what it did.
func TestSmallWorldsAreSuchAsStoresHold(t *testing.T) {
	t.Parallel()
	type name struct {
		kind               iam.Kind
		organization, name string
	}
	rapid.Check(t, func(t *rapid.T) {
		s := NewSmall(rapid.Uint64().Draw(t, "seed"))
		for range 100 {
			change := s.Change()
			if change.Revision != s.Revision() || (change.Operation == store.OperationDelete) != (change.Entity == nil) {
				t.Fatalf("%+v at %s", change, s.Revision())
			}
			seen := map[name]bool{}
			for _, entity := range s.World().Entities {
				head := entity.GetHead()
				names := []name{{entity.EntityKind(), "the id", head.ID}}
				if unique := entity.UniqueName(); unique != "" {
					names = append(names, name{entity.EntityKind(), head.OrganizationID, unique})
				}
				for _, n := range names {
					if seen[n] {
						t.Fatalf("%+v is there twice:\n%s", n, Describe(s.World()))
					}
					seen[n] = true
				}
			}
		}
	})
}

// TestShrink protects that failures can be read: only what matters is left.
func TestShrink(t *testing.T) {
	t.Parallel()
	s := NewSmall(1)
	world := s.World()
	var r reference.Request
	for r.SubjectID == "" {
		asked := ForReference(&s.Requests(1)[0])
		if reference.Decide(world, asked, Now()).Reason == reference.Granted {
			r = asked
		}
	}
	small := Shrink(world, func(w World) bool { return reference.Decide(w, r, Now()).Allowed })
	if len(small.Entities) > 8 {
		t.Errorf("%d entities of %d are left:\n%s", len(small.Entities), len(world.Entities), Describe(small))
	}
	for _, entity := range small.Entities {
		if policy, ok := entity.(*iam.Policy); ok && (len(policy.Rules) != 1 || len(policy.Rules[0].PermissionSets) != 1) {
			t.Errorf("more is left than matters:\n%s", Describe(small))
		}
	}
}
