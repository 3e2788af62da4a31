// SPDX-License-Identifier: Apache-2.0

package authz_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/authz/authztest"
	"github.com/iam-operator/iam-operator/internal/authz/reference"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// questionsAWorld is how many questions are asked of each world.
const questionsAWorld = 50

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}

// seedOf gives the seed of a run, a new one each time unless AGREEMENT_SEED says which.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := setting(t, "AGREEMENT_SEED", uint64(rand.Uint32()))
	t.Logf("AGREEMENT_SEED=%d", seed)
	return seed
}

// disagreement says how a decision differs from the reference's answer; empty if they agree.
func disagreement(world authztest.World, d authz.Decision, want reference.Answer) string {
	switch {
	case d.Allowed != want.Allowed || string(d.Reason) != want.Reason:
		return fmt.Sprintf("the reference says %s", want.Reason)
	case want.Principal != (reference.Principal{}) && reference.Principal(d.Principal) != want.Principal:
		return fmt.Sprintf("the reference finds the principal %+v", want.Principal)
	case len(want.Grants) == 0 && d.Grant != nil:
		return "no grant is to be named"
	case len(want.Grants) > 0 && (d.Grant == nil || !isOf(world, *d.Grant, want.Grants)):
		return fmt.Sprintf("the grant is none of %+v", want.Grants)
	case d.Reason == authz.ReasonConditionFailed && (d.ConditionErrors == 0 || d.Err == nil),
		d.Reason == authz.ReasonConditionFalse && (d.ConditionErrors != 0 || d.Err != nil):
		return "the errors of conditions do not fit the reason"
	}
	return ""
}

// isOf says whether a grant is among others, and says of its policy and rule what they say.
func isOf(world authztest.World, grant authz.Grant, among []reference.Grant) bool {
	named := func(of reference.Grant) bool { // The engine has the set's name as the policy writes it.
		return of.PolicyID == grant.PolicyID && of.RuleID == grant.RuleID && strings.EqualFold(of.PermissionSet, grant.PermissionSet)
	}
	if !slices.ContainsFunc(among, named) {
		return false
	}
	return slices.ContainsFunc(world.Entities, func(entity iam.Entity) bool {
		policy, ok := entity.(*iam.Policy)
		return ok && policy.ID == grant.PolicyID && policy.Name == grant.PolicyName &&
			slices.ContainsFunc(policy.Rules, func(rule iam.Rule) bool { return rule.ID == grant.RuleID && rule.Condition == grant.Condition })
	})
}

// compare asks both, and says how the engine's decision differs.
func compare(world authztest.World, snapshot *authz.Snapshot, r *authz.Request) (reference.Answer, string) {
	want := reference.Decide(world, authztest.ForReference(r), authztest.Now())
	return want, disagreement(world, snapshot.Decide(r, authztest.Now()), want)
}

// question tells of a request, without what only is long.
func question(r *authz.Request) string {
	short := *r
	for _, text := range []*string{
		&short.Permission.Service, &short.Permission.Resource, &short.Permission.Action, &short.Attributes.UserAgent,
		&short.Attributes.ResourceName, &short.Attributes.ResourceID, &short.Attributes.ResourceLocality,
	} {
		if len(*text) > 40 {
			*text = fmt.Sprintf("%s… (%d bytes)", (*text)[:10], len(*text))
		}
	}
	return fmt.Sprintf("%+v", short)
}

// dump tells of a disagreement in the smallest world that shows it.
func dump(world authztest.World, r *authz.Request) string {
	small := authztest.Shrink(world, func(smaller authztest.World) bool {
		_, differs := compare(smaller, authz.NewSnapshot(smaller.Entities, store.Revision{}), r)
		return differs != ""
	})
	snapshot := authz.NewSnapshot(small.Entities, store.Revision{})
	_, differs := compare(small, snapshot, r)
	return fmt.Sprintf("asked %s at %s\nthe engine says %+v\n%s, in this world:\n%s",
		question(r), authztest.Now(), snapshot.Decide(r, authztest.Now()), differs, authztest.Describe(small))
}

// tally counts what came up.
type tally map[string]uint64

func (counts tally) String() string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&lines, "\n%9d  %s", counts[name], name)
	}
	return lines.String()
}

// TestAgreement protects the meaning of decisions: the engine says what a naive reading of the specification says, of which
// every reason, and every kind of allowing, is put to the test often enough.
//
// AGREEMENT_PAIRS is how many pairs of a world and a question there are; AGREEMENT_SEED repeats a run.
func TestAgreement(t *testing.T) {
	t.Parallel()
	pairs, seed := setting(t, "AGREEMENT_PAIRS", 50_000), seedOf(t)
	counts := tally{}
	for i := range (pairs + questionsAWorld - 1) / questionsAWorld {
		generated := authztest.NewSmall(seed + i)
		world := generated.World()
		snapshot := authz.NewSnapshot(world.Entities, generated.Revision())
		for _, r := range generated.Requests(questionsAWorld) {
			answer, differs := compare(world, snapshot, &r)
			if differs != "" {
				t.Fatalf("world %d: %s", seed+i, dump(world, &r))
			}
			counts[answer.Reason]++
			for _, kind := range authztest.Kinds(world, answer) {
				counts[kind]++
			}
		}
	}
	t.Logf("of %d pairs:%v", pairs, counts)
	for _, reason := range authz.Reasons() {
		if reason != authz.ReasonStale && counts[string(reason)]*100 < pairs {
			t.Errorf("%s came up in %d pairs of %d only", reason, counts[string(reason)], pairs)
		}
	}
	for _, kind := range authztest.AllKinds() {
		if counts[kind]*100 < pairs {
			t.Errorf("what is %s came up in %d pairs of %d only", kind, counts[kind], pairs)
		}
	}
}

// asText is a decision to compare: its grant and its error by what they say.
func asText(d authz.Decision) string {
	grant := authz.Grant{}
	if d.Grant != nil {
		grant = *d.Grant
	}
	d.Grant = nil
	return fmt.Sprintf("%+v %+v", d, grant)
}

// TestIncremental protects what the snapshot computes ahead: after each change, a snapshot that was changed step by step, and
// one that took several changes at once, decide just as one that was built afresh; and what was built before stays as it was.
//
// INCREMENTAL_CHANGES is how many changes there are; AGREEMENT_SEED repeats a run.
func TestIncremental(t *testing.T) {
	t.Parallel()
	const (
		changesAWorld = 250
		probes        = 20
		batch         = 7
	)
	changes, seed := setting(t, "INCREMENTAL_CHANGES", 2_000), seedOf(t)
	for i := range (changes + changesAWorld - 1) / changesAWorld {
		generated := authztest.NewSmall(seed + i)
		stepwise := authz.NewSnapshot(generated.World().Entities, generated.Revision())
		batched := authz.NewSnapshot(generated.World().Entities, generated.Revision()) // a line of its own
		var waiting []store.Change
		var former []authz.Request
		var said []string
		for range changesAWorld {
			before, change := stepwise, generated.Change()
			stepwise, waiting = before.Apply(change), append(waiting, change)
			world := generated.World()
			shuffled := slices.Clone(world.Entities)
			rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			afresh := authz.NewSnapshot(shuffled, generated.Revision())
			snapshots := map[string]*authz.Snapshot{"step by step": stepwise}
			if len(waiting) == batch {
				batched, waiting = batched.Apply(waiting...), nil
				snapshots["at once"] = batched
			}
			for j, r := range former {
				if now := asText(before.Decide(&r, authztest.Now())); now != said[j] {
					t.Fatalf("world %d: after %+v, the snapshot before it says %s of %s, and said %s", seed+i, change, now, question(&r), said[j])
				}
			}
			former, said = generated.Requests(probes), nil
			for _, r := range former {
				want := asText(afresh.Decide(&r, authztest.Now()))
				said = append(said, want)
				for how, snapshot := range snapshots {
					if got := asText(snapshot.Decide(&r, authztest.Now())); got != want {
						t.Fatalf("world %d: asked %s after %+v\nchanged %s it says %s\nbuilt afresh it says %s, in this world:\n%s",
							seed+i, question(&r), change, how, got, want, authztest.Describe(world))
					}
				}
				if _, differs := compare(world, stepwise, &r); differs != "" {
					t.Fatalf("world %d, after %+v: %s", seed+i, change, dump(world, &r))
				}
			}
		}
	}
}

// TestAgreementOnLargeWorlds protects what the benchmarks measure: on their worlds, too, the engine says what the reference says.
func TestAgreementOnLargeWorlds(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	for _, policies := range []int{100, 1_000} {
		large := authztest.NewLarge(seed, policies)
		snapshot := authz.NewSnapshot(large.Entities, store.Revision{})
		questions := large.Stream(seed, 500)
		if len(questions) != 500 {
			t.Errorf("with %d policies: only %d questions of 500 could be made", policies, len(questions))
		}
		for _, q := range questions {
			decision := snapshot.Decide(&q.Request, authztest.Now())
			if differs := disagreement(large.World, decision, q.Answer); differs != "" {
				t.Fatalf("with %d policies: asked %s, the engine says %+v\n%s", policies, question(&q.Request), decision, differs)
			}
		}
	}
}
