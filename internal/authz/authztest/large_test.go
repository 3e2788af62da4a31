// SPDX-License-Identifier: Apache-2.0

package authztest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/condition"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// TestLargeSeedsRepeat protects that benchmarks measure the same world each time.
func TestLargeSeedsRepeat(t *testing.T) {
	t.Parallel()
	one, other := NewLarge(1, 200), NewLarge(1, 200)
	if !reflect.DeepEqual(one.World, other.World) || !reflect.DeepEqual(one.Stream(1, 100), other.Stream(1, 100)) {
		t.Error("a large world differs from itself")
	}
}

// TestLarge protects what the benchmarks say of their worlds.
func TestLarge(t *testing.T) {
	t.Parallel()
	for _, policies := range []int{100, 1_200} {
		l := NewLarge(7, policies)
		counts, rules, conditional := map[iam.Kind]int{}, 0, 0
		for _, entity := range l.Entities {
			counts[entity.EntityKind()]++
			if policy, ok := entity.(*iam.Policy); ok {
				for _, rule := range policy.Rules {
					rules++
					if rule.Condition != "" {
						conditional++
						if compiled, err := condition.Compile(rule.Condition); err != nil || l.Conditions[rule.Condition].CEL() != compiled.Source() {
							t.Fatalf("%s: %v", rule.Condition, err)
						}
					}
				}
			}
		}
		organizations := max(1, policies/policiesAnOrganization)
		if counts[iam.KindPolicy] != policies || counts[iam.KindAPIKey] != policies || counts[iam.KindOrganization] != organizations ||
			counts[iam.KindMember]+counts[iam.KindApplication] != policies+organizations || counts[iam.KindGroup] != policies/10 {
			t.Errorf("with %d policies: %v", policies, counts)
		}
		if share := 100 * conditional / rules; share < 22 || share > 38 {
			t.Errorf("%d %% of the rules have a condition", share)
		}
	}
}

// TestStream protects the shares of a stream, and that what is left out to judge it does not matter.
func TestStream(t *testing.T) {
	t.Parallel()
	for _, policies := range []int{100, 1_000} {
		l := NewLarge(8, policies)
		questions := l.Stream(9, 400)
		shares := map[string]int{}
		for _, q := range questions {
			switch {
			case q.Answer.Allowed:
				shares["allowed"]++
			case q.Answer.Reason == reference.UnknownSubject:
				shares["unknown"]++
			default:
				shares["denied"]++
			}
			r := q.Request
			whole := reference.Decide(l.World, ForReference(&r), Now())
			if whole.Reason != q.Answer.Reason || whole.Principal != q.Answer.Principal || !sameGrants(whole.Grants, q.Answer.Grants) {
				t.Fatalf("%+v: %+v, and in the whole world %+v", r, q.Answer, whole)
			}
		}
		if want := map[string]int{"allowed": 280, "denied": 100, "unknown": 20}; !reflect.DeepEqual(shares, want) {
			t.Errorf("of %d policies: %v, want %v", policies, shares, want)
		}
	}
}

func sameGrants(a, b []reference.Grant) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(grant reference.Grant) bool { return !slices.Contains(b, grant) })
}
