// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
)

var (
	birth  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	bearer = &iam.KeyBearer{ID: "maya"}
)

func after(d time.Duration) *time.Time {
	at := birth.Add(d)
	return &at
}

func intact(access string, minted time.Duration) iam.KeySecret {
	return iam.KeySecret{State: iam.SecretIntact, AccessKey: access, MintedAt: birth.Add(minted)}
}

func TestDecideKey(t *testing.T) {
	const hour = time.Hour
	rotating := iam.KeySpec{CreatedAt: birth, Every: 10 * hour, Overlap: 2 * hour}
	abrupt := iam.KeySpec{CreatedAt: birth, Every: 10 * hour}
	absent := iam.KeySecret{State: iam.SecretAbsent}
	retiring := iam.KeySecret{State: iam.SecretIntact, AccessKey: "OLD", MintedAt: birth, ExpiresAt: after(12 * hour)}

	for name, tc := range map[string]struct {
		facts        iam.KeyFacts
		at           time.Duration
		want         iam.KeyAction
		expires      *time.Time
		nextRotation *time.Time
		lookAgain    *time.Time
		retireUntil  *time.Time
	}{
		"first minting":                    {facts: iam.KeyFacts{Bearer: bearer, Active: absent}, want: iam.KeyMint},
		"secret lost":                      {facts: iam.KeyFacts{Bearer: bearer, Bound: bearer, Active: absent}, want: iam.KeyMint},
		"all is well":                      {facts: iam.KeyFacts{Bearer: bearer, Bound: bearer, Active: intact("A", 0)}, want: iam.KeyKeep},
		"secret foreign":                   {facts: iam.KeyFacts{Bearer: bearer, Active: iam.KeySecret{State: iam.SecretForeign}}, want: iam.KeyConflict},
		"secret terminating":               {facts: iam.KeyFacts{Bearer: bearer, Bound: bearer, Active: iam.KeySecret{State: iam.SecretTerminating, AccessKey: "A", MintedAt: birth}}, want: iam.KeyConflict},
		"secret altered":                   {facts: iam.KeyFacts{Bearer: bearer, Active: iam.KeySecret{State: iam.SecretAltered}}, want: iam.KeyReplace},
		"digest key replaced":              {facts: iam.KeyFacts{Bearer: bearer, Active: iam.KeySecret{State: iam.SecretUnsealed, AccessKey: "A", MintedAt: birth}}, want: iam.KeyReseal},
		"no bearer":                        {facts: iam.KeyFacts{Active: absent}, want: iam.KeyEnd},
		"bearer gone":                      {facts: iam.KeyFacts{Bound: bearer, Active: intact("A", 0)}, want: iam.KeyEnd},
		"bearer has a successor":           {facts: iam.KeyFacts{Bearer: &iam.KeyBearer{ID: "other maya"}, Bound: bearer, Active: intact("A", 0)}, want: iam.KeyEnd},
		"ownership was handed over":        {facts: iam.KeyFacts{Bearer: &iam.KeyBearer{ID: "o", OwnerEmail: "new@x"}, Bound: &iam.KeyBearer{ID: "o", OwnerEmail: "old@x"}, Active: intact("A", 0)}, want: iam.KeyEnd},
		"no bearer beats a foreign secret": {facts: iam.KeyFacts{Bound: bearer, Active: iam.KeySecret{State: iam.SecretForeign}}, want: iam.KeyEnd},
		"before expiresAt": {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour)}, Active: intact("A", 0)}, at: hour - 1, want: iam.KeyKeep,
			expires: after(hour), lookAgain: after(hour)},
		"at expiresAt":             {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour)}, Active: intact("A", 0)}, at: hour, want: iam.KeyExpire, expires: after(hour)},
		"after expiresIn":          {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{CreatedAt: birth, ExpiresIn: hour}, Active: intact("A", 0)}, at: 2 * hour, want: iam.KeyExpire, expires: after(hour)},
		"expired, secret lost":     {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour)}, Active: absent}, at: hour, want: iam.KeyExpire, expires: after(hour)},
		"expired, secret altered":  {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour)}, Active: iam.KeySecret{State: iam.SecretAltered}}, at: hour, want: iam.KeyExpire, expires: after(hour)},
		"expired, asked to rotate": {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour), RotateAt: birth.Add(2 * hour)}, Active: intact("A", 0)}, at: 2 * hour, want: iam.KeyExpire, expires: after(hour)},
		"rotation not due": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0)}, at: 10*hour - 1, want: iam.KeyKeep,
			expires: after(12 * hour), nextRotation: after(10 * hour), lookAgain: after(10 * hour)},
		"rotation due": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0)}, at: 10 * hour, want: iam.KeyRetire,
			expires: after(12 * hour), nextRotation: after(10 * hour), lookAgain: after(12 * hour), retireUntil: after(12 * hour)},
		"rotation late, part of the overlap left": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0)}, at: 11 * hour, want: iam.KeyRetire,
			expires: after(12 * hour), nextRotation: after(10 * hour), lookAgain: after(12 * hour), retireUntil: after(12 * hour)},
		"rotation too late for an overlap": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0)}, at: 13 * hour, want: iam.KeyReplace,
			expires: after(12 * hour), nextRotation: after(10 * hour)},
		"rotation without overlap": {facts: iam.KeyFacts{Bearer: bearer, Spec: abrupt, Active: intact("A", 0)}, at: 10 * hour, want: iam.KeyReplace,
			expires: after(10 * hour), nextRotation: after(10 * hour)},
		"rotation half done": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0),
			Retiring: iam.KeySecret{State: iam.SecretIntact, AccessKey: "A", MintedAt: birth, ExpiresAt: after(12 * hour)}}, at: 10 * hour, want: iam.KeyReplace,
			expires: after(12 * hour), nextRotation: after(10 * hour), lookAgain: after(12 * hour)},
		"in overlap": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("B", 10*hour), Retiring: retiring}, at: 11 * hour, want: iam.KeyKeep,
			expires: after(22 * hour), nextRotation: after(20 * hour), lookAgain: after(12 * hour)},
		"overlap over": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("B", 10*hour), Retiring: retiring}, at: 12 * hour, want: iam.KeyDropRetiring,
			expires: after(22 * hour), nextRotation: after(20 * hour), lookAgain: after(20 * hour)},
		"overlap over, active secret foreign": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: iam.KeySecret{State: iam.SecretForeign}, Retiring: retiring}, at: 12 * hour, want: iam.KeyDropRetiring},
		"overlap over, expired, active secret lost": {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{ExpiresAt: after(hour)}, Active: absent, Retiring: retiring}, at: 12 * hour, want: iam.KeyDropRetiring,
			expires: after(hour)},
		"retiring secret altered": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("B", 10*hour), Retiring: iam.KeySecret{State: iam.SecretAltered}}, at: 11 * hour, want: iam.KeyDropRetiring,
			expires: after(22 * hour), nextRotation: after(20 * hour), lookAgain: after(20 * hour)},
		"retiring secret foreign, not needed": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("B", 10*hour), Retiring: iam.KeySecret{State: iam.SecretForeign}}, at: 11 * hour, want: iam.KeyKeep,
			expires: after(22 * hour), nextRotation: after(20 * hour), lookAgain: after(20 * hour)},
		"retiring secret foreign, needed": {facts: iam.KeyFacts{Bearer: bearer, Spec: rotating, Active: intact("A", 0), Retiring: iam.KeySecret{State: iam.SecretForeign}}, at: 10 * hour, want: iam.KeyConflict,
			expires: after(12 * hour), nextRotation: after(10 * hour), lookAgain: after(12 * hour)},
		"asked to rotate":           {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{RotateAt: birth.Add(hour)}, Active: intact("A", 0)}, at: hour, want: iam.KeyReplace, nextRotation: after(hour)},
		"asked to rotate later":     {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{RotateAt: birth.Add(hour)}, Active: intact("A", 0)}, want: iam.KeyKeep, nextRotation: after(hour), lookAgain: after(hour)},
		"asked to rotate, and done": {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{RotateAt: birth.Add(hour)}, Active: intact("B", hour)}, at: 2 * hour, want: iam.KeyKeep},
		"asked to rotate within an overlap rule": {facts: iam.KeyFacts{Bearer: bearer, Spec: iam.KeySpec{Every: 10 * hour, Overlap: 2 * hour, RotateAt: birth.Add(hour)}, Active: intact("A", 0)}, at: hour, want: iam.KeyRetire,
			expires: after(12 * hour), nextRotation: after(hour), lookAgain: after(12 * hour), retireUntil: after(3 * hour)},
	} {
		t.Run(name, func(t *testing.T) {
			got := iam.DecideKey(tc.facts, birth.Add(tc.at))
			if got.Action != tc.want {
				t.Fatalf("action %s, want %s", got.Action, tc.want)
			}
			same(t, "expiresAt", got.ExpiresAt, tc.expires)
			same(t, "nextRotationAt", got.NextRotationAt, tc.nextRotation)
			same(t, "lookAgainAt", got.LookAgainAt, tc.lookAgain)
			if tc.retireUntil != nil && !got.RetireUntil.Equal(*tc.retireUntil) {
				t.Errorf("retireUntil %v, want %v", got.RetireUntil, *tc.retireUntil)
			}
		})
	}
}

func same(t *testing.T, what string, got, want *time.Time) {
	t.Helper()
	if (got == nil) != (want == nil) || (got != nil && !got.Equal(*want)) {
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

// Whatever the facts, carrying out the actions ends in a few steps, mints nothing for a
// bearer that is gone, and never leaves an old pair working past the end it was given.
func TestDecideKeySettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := drawFacts(t)
		now := birth.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "now")) * time.Hour)
		for step := 0; ; step++ {
			decision := iam.DecideKey(facts, now)
			minting := decision.Action == iam.KeyMint || decision.Action == iam.KeyReplace || decision.Action == iam.KeyRetire
			if minting && (facts.Bearer == nil || facts.Bound != nil && *facts.Bound != *facts.Bearer) {
				t.Fatalf("%s for a bearer that is gone", decision.Action)
			}
			if !carryOut(&facts, decision, now) {
				break
			}
			if step > 6 {
				t.Fatalf("not settled after %d steps: %+v", step, facts)
			}
		}
		if r := facts.Retiring; r.State == iam.SecretIntact && r.ExpiresAt != nil && !now.Before(*r.ExpiresAt) {
			if decision := iam.DecideKey(facts, now); decision.Action != iam.KeyEnd {
				t.Fatalf("a pair past its end was left: %+v", facts)
			}
		}
	})
}

func drawFacts(t *rapid.T) iam.KeyFacts {
	states := []iam.SecretState{iam.SecretAbsent, iam.SecretForeign, iam.SecretTerminating, iam.SecretIntact, iam.SecretAltered, iam.SecretUnsealed}
	hours := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Hour
	}
	bearers := []*iam.KeyBearer{nil, bearer, {ID: "other"}}
	facts := iam.KeyFacts{
		Spec:     iam.KeySpec{CreatedAt: birth},
		Bearer:   rapid.SampledFrom(bearers).Draw(t, "bearer"),
		Bound:    rapid.SampledFrom(bearers).Draw(t, "bound"),
		Active:   iam.KeySecret{State: rapid.SampledFrom(states).Draw(t, "active"), AccessKey: "A", MintedAt: birth.Add(hours("minted", 100))},
		Retiring: iam.KeySecret{State: rapid.SampledFrom(states).Draw(t, "retiring"), AccessKey: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "retiring key"), MintedAt: birth, ExpiresAt: after(hours("retiring until", 100))},
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		facts.Spec.ExpiresAt = after(hours("expiresAt", 150))
	case 1:
		facts.Spec.ExpiresIn = hours("expiresIn", 150)
	case 2:
		facts.Spec.Every = hours("every", 50) + time.Hour
		facts.Spec.Overlap = min(hours("overlap", 50), facts.Spec.Every-1)
	}
	if rapid.Bool().Draw(t, "asked") {
		facts.Spec.RotateAt = birth.Add(hours("rotateAt", 200))
	}
	return facts
}

// carryOut does to the facts what the controller does to the Secrets.
func carryOut(facts *iam.KeyFacts, decision iam.KeyDecision, now time.Time) bool {
	switch decision.Action {
	case iam.KeyMint, iam.KeyReplace:
		facts.Active = iam.KeySecret{State: iam.SecretIntact, AccessKey: "new", MintedAt: now}
	case iam.KeyRetire:
		facts.Retiring = facts.Active
		facts.Retiring.State = iam.SecretIntact
		facts.Retiring.ExpiresAt = &decision.RetireUntil
	case iam.KeyDropRetiring:
		facts.Retiring = iam.KeySecret{State: iam.SecretAbsent}
	case iam.KeyReseal:
		for _, s := range []*iam.KeySecret{&facts.Active, &facts.Retiring} {
			if s.State == iam.SecretUnsealed {
				s.State = iam.SecretIntact
			}
		}
	default:
		return false
	}
	return true
}
