// SPDX-License-Identifier: Apache-2.0

package iam

import "time"

// KeyAction is the next step in the life of an API key.
type KeyAction string

// The actions. Whoever carries one out looks at the facts again afterwards, until the
// action is KeyKeep or one that ends the matter.
const (
	// KeyKeep: everything is as it should be.
	KeyKeep KeyAction = "Keep"
	// KeyMint: make a pair, into a new Secret.
	KeyMint KeyAction = "Mint"
	// KeyReplace: make a pair, in place of the one in the Secret.
	KeyReplace KeyAction = "Replace"
	// KeyRetire: copy the pair to the retiring Secret, as the first half of a rotation.
	KeyRetire KeyAction = "Retire"
	// KeyDropRetiring: delete the retiring Secret.
	KeyDropRetiring KeyAction = "DropRetiring"
	// KeyReseal: the pair is right, but vouched for by a digest key that is no longer current.
	KeyReseal KeyAction = "Reseal"
	// KeyExpire: the key is past its expiry, and stays so.
	KeyExpire KeyAction = "Expire"
	// KeyEnd: the bearer is gone; both Secrets go, and nothing is ever minted again.
	KeyEnd KeyAction = "End"
	// KeyConflict: a Secret of the wanted name is not the operator's, or is on its way out.
	KeyConflict KeyAction = "Conflict"
)

// SecretState says what was found under the name of a key's Secret.
type SecretState string

// The states of a Secret.
const (
	SecretAbsent SecretState = "Absent"
	// SecretForeign: it exists, and is not the operator's for this APIKey.
	SecretForeign SecretState = "Foreign"
	// SecretTerminating: the operator's, and being deleted. Its pair counts no more.
	SecretTerminating SecretState = "Terminating"
	// SecretIntact: the operator's, as it wrote it.
	SecretIntact SecretState = "Intact"
	// SecretAltered: the operator's, but edited by hand.
	SecretAltered SecretState = "Altered"
	// SecretUnsealed: as the operator wrote it, vouched for by a former or lost digest key.
	SecretUnsealed SecretState = "Unsealed"
)

// KeySecret is what is known of the Secret that holds a pair.
type KeySecret struct {
	State     SecretState
	AccessKey string
	MintedAt  time.Time
	// ExpiresAt is when a retiring pair ends; nil for the active one, whose spec says it.
	ExpiresAt *time.Time
}

func (s KeySecret) holdsPair() bool { return s.State == SecretIntact || s.State == SecretUnsealed }

// KeySpec is what an APIKey declares about time.
type KeySpec struct {
	// CreatedAt is the creation of the APIKey object.
	CreatedAt time.Time
	ExpiresAt *time.Time
	// ExpiresIn counts from CreatedAt; zero means not set.
	ExpiresIn time.Duration
	// Every and Overlap of the rotation; zero Every means no rotation.
	Every, Overlap time.Duration
	// RotateAt asks for one rotation at that time; zero means not set.
	RotateAt time.Time
}

// KeyBearer tells one bearer from its successors: the principal's id, and for the owner,
// whose id stays when ownership is handed over, the e-mail as well.
type KeyBearer struct {
	ID         string
	OwnerEmail string
}

// KeyFacts is everything that decides what to do with an API key.
type KeyFacts struct {
	Spec KeySpec
	// Bearer is who the spec's bearer is now; nil when there is nobody.
	Bearer *KeyBearer
	// Bound is who the key was minted for; nil when none was minted yet.
	Bound *KeyBearer
	// Active and Retiring are the Secrets found.
	Active, Retiring KeySecret
}

// KeyDecision is what to do now, and when to look again.
type KeyDecision struct {
	Action KeyAction
	// ExpiresAt is when the active key stops working; nil means never.
	ExpiresAt *time.Time
	// RetireUntil is when the retiring pair will end; with KeyRetire.
	RetireUntil time.Time
	// NextRotationAt is when the next pair is due; nil means not by itself.
	NextRotationAt *time.Time
	// LookAgainAt is the next time at which the decision may change; nil means never by itself.
	LookAgainAt *time.Time
}

// DecideKey gives the next step. It is pure: the first check that has something to say decides.
func DecideKey(facts KeyFacts, now time.Time) KeyDecision {
	for _, check := range keyChecks {
		if action, decided := check(facts, now); decided {
			return describeKey(facts, action, now)
		}
	}
	return describeKey(facts, KeyKeep, now)
}

type keyCheck func(facts KeyFacts, now time.Time) (KeyAction, bool)

// keyChecks in order: what ends a key comes before what makes one, so that nothing is
// ever minted for a bearer that is gone or past the expiry, and a retiring pair ends in
// time whatever became of the active one.
var keyChecks = []keyCheck{
	bearerGone, retiringOver, secretForeign, secretLost, secretAltered,
	rotationHalfDone, rotationDue, sealOutdated, keyExpired,
}

func bearerGone(facts KeyFacts, _ time.Time) (KeyAction, bool) {
	gone := facts.Bearer == nil || (facts.Bound != nil && *facts.Bound != *facts.Bearer)
	return KeyEnd, gone
}

func retiringOver(facts KeyFacts, now time.Time) (KeyAction, bool) {
	switch facts.Retiring.State {
	case SecretAltered:
		return KeyDropRetiring, true
	case SecretIntact, SecretUnsealed:
		return KeyDropRetiring, facts.Retiring.ExpiresAt == nil || !now.Before(*facts.Retiring.ExpiresAt)
	}
	return "", false
}

func secretForeign(facts KeyFacts, _ time.Time) (KeyAction, bool) {
	return KeyConflict, facts.Active.State == SecretForeign || facts.Active.State == SecretTerminating
}

// secretLost covers the first minting as well as a Secret that was deleted in order to rotate.
func secretLost(facts KeyFacts, now time.Time) (KeyAction, bool) {
	if facts.Active.State != SecretAbsent {
		return "", false
	}
	if fixedExpiryPassed(facts.Spec, now) {
		return KeyExpire, true
	}
	return KeyMint, true
}

func secretAltered(facts KeyFacts, now time.Time) (KeyAction, bool) {
	if facts.Active.State != SecretAltered {
		return "", false
	}
	if fixedExpiryPassed(facts.Spec, now) {
		return KeyExpire, true
	}
	return KeyReplace, true
}

// rotationHalfDone finds the state between the two writes of a rotation: the pair was
// copied, and its place not yet taken.
func rotationHalfDone(facts KeyFacts, _ time.Time) (KeyAction, bool) {
	return KeyReplace, facts.Retiring.holdsPair() && facts.Retiring.AccessKey == facts.Active.AccessKey
}

func rotationDue(facts KeyFacts, now time.Time) (KeyAction, bool) {
	if fixedExpiryPassed(facts.Spec, now) {
		return "", false
	}
	at := nextRotation(facts)
	if at == nil || now.Before(*at) {
		return "", false
	}
	switch {
	case facts.Spec.Overlap <= 0 || !now.Before(retireUntil(facts, now)):
		return KeyReplace, true
	case facts.Retiring.State == SecretForeign || facts.Retiring.State == SecretTerminating:
		return KeyConflict, true
	}
	return KeyRetire, true
}

func sealOutdated(facts KeyFacts, _ time.Time) (KeyAction, bool) {
	return KeyReseal, facts.Active.State == SecretUnsealed || facts.Retiring.State == SecretUnsealed
}

func keyExpired(facts KeyFacts, now time.Time) (KeyAction, bool) {
	return KeyExpire, fixedExpiryPassed(facts.Spec, now)
}

// describeKey adds the times that belong to an action.
func describeKey(facts KeyFacts, action KeyAction, now time.Time) KeyDecision {
	decision := KeyDecision{Action: action, ExpiresAt: activeExpiry(facts)}
	if action == KeyRetire {
		decision.RetireUntil = retireUntil(facts, now)
	}
	if action != KeyExpire && action != KeyEnd {
		decision.NextRotationAt = nextRotation(facts)
	}
	times := []*time.Time{decision.ExpiresAt, decision.NextRotationAt}
	if facts.Retiring.holdsPair() {
		times = append(times, facts.Retiring.ExpiresAt)
	}
	for _, at := range times {
		if at != nil && now.Before(*at) && (decision.LookAgainAt == nil || at.Before(*decision.LookAgainAt)) {
			decision.LookAgainAt = at
		}
	}
	return decision
}

// activeExpiry is expiresAt, or creation + expiresIn, or minting + every + overlap; nil for none.
func activeExpiry(facts KeyFacts) *time.Time {
	if at := fixedExpiry(facts.Spec); at != nil {
		return at
	}
	if facts.Spec.Every > 0 && facts.Active.holdsPair() {
		at := facts.Active.MintedAt.Add(facts.Spec.Every + facts.Spec.Overlap)
		return &at
	}
	return nil
}

func fixedExpiry(spec KeySpec) *time.Time {
	switch {
	case spec.ExpiresAt != nil:
		return spec.ExpiresAt
	case spec.ExpiresIn > 0:
		at := spec.CreatedAt.Add(spec.ExpiresIn)
		return &at
	}
	return nil
}

func fixedExpiryPassed(spec KeySpec, now time.Time) bool {
	at := fixedExpiry(spec)
	return at != nil && !now.Before(*at)
}

// nextRotation is the earlier of the regular rotation and the one asked for. What was
// asked for before the active pair was minted has been honoured.
func nextRotation(facts KeyFacts) *time.Time {
	if !facts.Active.holdsPair() {
		return nil
	}
	var next *time.Time
	if facts.Spec.Every > 0 {
		at := facts.Active.MintedAt.Add(facts.Spec.Every)
		next = &at
	}
	asked := facts.Spec.RotateAt
	if asked.After(facts.Active.MintedAt) && (next == nil || asked.Before(*next)) {
		next = &asked
	}
	return next
}

// retireUntil is the end of the pair that a rotation puts in the second place: the
// overlap from now, but never beyond what its own expiry was.
func retireUntil(facts KeyFacts, now time.Time) time.Time {
	until := now.Add(facts.Spec.Overlap)
	if expiry := activeExpiry(facts); expiry != nil && expiry.Before(until) {
		return *expiry
	}
	return until
}
