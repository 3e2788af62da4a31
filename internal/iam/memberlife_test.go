// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// lenient asks for nothing; strict asks for everything.
var (
	lenient = iam.MemberSettings{GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 3}
	strict  = iam.MemberSettings{GracePeriod: 72 * time.Hour, AttemptsBeforeLock: 3, MFARequired: true, RenewPassword: true}
)

func settings(base iam.MemberSettings, change func(*iam.MemberSettings)) iam.MemberSettings {
	change(&base)
	return base
}

// step is an event some hours after birth, under the settings in force from then on; nil leaves them.
type step struct {
	kind  iam.MemberEventKind
	hours int
	under *iam.MemberSettings
}

func grace(start, end int) *iam.GracePeriod {
	return &iam.GracePeriod{StartedAt: *hour(start), ExpiresAt: *hour(end)}
}

func hour(n int) *time.Time { return after(time.Duration(n) * time.Hour) }

func lock(since int, reason iam.LockReason) *iam.MemberLock {
	return &iam.MemberLock{Since: *hour(since), Reason: reason}
}

func live(steps []step, under iam.MemberSettings) iam.MemberLife {
	var life iam.MemberLife
	for _, s := range steps {
		if s.under != nil {
			under = *s.under
		}
		life = life.Apply(iam.MemberEvent{Kind: s.kind, At: *hour(s.hours)}, under)
	}
	return life
}

func text(life iam.MemberLife) string {
	body, err := json.Marshal(life)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s and %d failed attempts", body, life.FailedAttempts)
}

func TestMemberLife(t *testing.T) {
	mfaOnly := settings(lenient, func(s *iam.MemberSettings) { s.MFARequired = true })
	renewalOnly := settings(lenient, func(s *iam.MemberSettings) { s.RenewPassword = true })
	longer := settings(strict, func(s *iam.MemberSettings) { s.GracePeriod = 100 * time.Hour })
	shorter := settings(strict, func(s *iam.MemberSettings) { s.GracePeriod = time.Hour })
	once := settings(lenient, func(s *iam.MemberSettings) { s.AttemptsBeforeLock = 1 })
	never := settings(lenient, func(s *iam.MemberSettings) { s.AttemptsBeforeLock = 0 })

	for name, c := range map[string]struct {
		under iam.MemberSettings
		steps []step
		want  iam.MemberLife
	}{
		"nothing has happened": {strict, nil, iam.MemberLife{}},

		// §6 #10: the password that was given must be changed.
		"renewal: who never logged in has no grace period": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0)}},
		"renewal: opens at the first log-in": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 5}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(5), UpdatePassword: grace(5, 77)}},
		"renewal: not for who has no password": {renewalOnly, []step{{kind: iam.LoginSucceeded}},
			iam.MemberLife{FirstLoginAt: hour(0)}},
		"renewal: done in time": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 5}, {kind: iam.PasswordChanged, hours: 6}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{HasPassword: true, PasswordRenewed: true, PasswordChangedAt: hour(6), FirstLoginAt: hour(5)}},
		"renewal: given anew, asked anew": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.PasswordChanged, hours: 2}, {kind: iam.PasswordGiven, hours: 3}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(3), FirstLoginAt: hour(1), UpdatePassword: grace(3, 75)}},
		"renewal: given anew within a grace period, which stays": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.PasswordGiven, hours: 3}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(3), FirstLoginAt: hour(1), UpdatePassword: grace(1, 73)}},
		"renewal: the password is removed": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.PasswordRemoved, hours: 2}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{FirstLoginAt: hour(1)}},
		"renewal: no longer asked for": {renewalOnly, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.SettingsChanged, hours: 2, under: &lenient}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(1)}},
		"renewal: asked for after the first log-in, opens at enforcement": {lenient,
			[]step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.SettingsChanged, hours: 500, under: &renewalOnly}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(1), UpdatePassword: grace(500, 572)}},
		"renewal: a password set by the Member itself needs none": {lenient,
			[]step{{kind: iam.LoginSucceeded, hours: 1}, {kind: iam.PasswordChanged, hours: 2}, {kind: iam.SettingsChanged, hours: 500, under: &renewalOnly}},
			iam.MemberLife{HasPassword: true, PasswordRenewed: true, PasswordChangedAt: hour(2), FirstLoginAt: hour(1)}},

		// §6 #11: a second factor for everybody.
		"mfa: who never logged in has no grace period": {mfaOnly, []step{{kind: iam.SettingsChanged}, {kind: iam.Tick, hours: 1000}}, iam.MemberLife{}},
		"mfa: opens at the first log-in":               {mfaOnly, []step{{kind: iam.LoginSucceeded, hours: 5}}, iam.MemberLife{FirstLoginAt: hour(5), SetMFA: grace(5, 77)}},
		"mfa: the second log-in changes nothing":       {mfaOnly, []step{{kind: iam.LoginSucceeded, hours: 5}, {kind: iam.LoginSucceeded, hours: 9}}, iam.MemberLife{FirstLoginAt: hour(5), SetMFA: grace(5, 77)}},
		"mfa: required after the first log-in, opens at enforcement": {lenient, []step{{kind: iam.LoginSucceeded}, {kind: iam.SettingsChanged, hours: 500, under: &mfaOnly}},
			iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(500, 572)}},
		"mfa: enforcement is noticed by a tick as well": {lenient, []step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 500, under: &mfaOnly}},
			iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(500, 572)}},
		"mfa: set in time": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.MFASet, hours: 71}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{FirstLoginAt: hour(0), MFA: true}},
		"mfa: ended by an administrator": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.SettingsChanged, hours: 1, under: &lenient}, {kind: iam.Tick, hours: 1000}},
			iam.MemberLife{FirstLoginAt: hour(0)}},
		"mfa: reset opens a grace period": {mfaOnly, []step{{kind: iam.MFASet}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.MFAReset, hours: 9}},
			iam.MemberLife{FirstLoginAt: hour(1), MFAResetAt: hour(9), SetMFA: grace(9, 81)}},
		"mfa: set again after a reset": {mfaOnly, []step{{kind: iam.MFASet}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.MFAReset, hours: 9}, {kind: iam.MFASet, hours: 10}},
			iam.MemberLife{FirstLoginAt: hour(1), MFAResetAt: hour(9), MFA: true}},
		"mfa: the same reset again changes nothing": {mfaOnly, []step{{kind: iam.MFAReset, hours: 9}, {kind: iam.MFASet, hours: 10}, {kind: iam.MFAReset, hours: 9}},
			iam.MemberLife{MFAResetAt: hour(9), MFA: true}},
		"both requirements, one met": {strict, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.MFASet, hours: 2}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(1), MFA: true, UpdatePassword: grace(1, 73)}},

		// §6 #12: past the grace period the Member is locked.
		"lapse: a moment before the end":           {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 71}}, iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(0, 72)}},
		"lapse: at the end":                        {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 72}}, iam.MemberLife{FirstLoginAt: hour(0), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"lapse: noticed late, counts from the end": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 500}}, iam.MemberLife{FirstLoginAt: hour(0), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"lapse: the first of two, and the other is closed": {lenient,
			[]step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, under: &mfaOnly}, {kind: iam.SettingsChanged, hours: 10, under: &strict}, {kind: iam.Tick, hours: 500}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(0), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"lapse: the requirement is met too late": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.MFASet, hours: 72}},
			iam.MemberLife{FirstLoginAt: hour(0), MFA: true, Lock: lock(72, iam.LockGracePeriodExpired)}},
		"lapse: the requirement is dropped too late": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.SettingsChanged, hours: 80, under: &lenient}},
			iam.MemberLife{FirstLoginAt: hour(0), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"lapse: a log-in after it is none": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.LoginFailed, hours: 1}, {kind: iam.LoginSucceeded, hours: 80}},
			iam.MemberLife{FirstLoginAt: hour(0), FailedAttempts: 1, Lock: lock(72, iam.LockGracePeriodExpired)}},
		"a longer grace period leaves the one that runs": {strict, []step{{kind: iam.LoginSucceeded}, {kind: iam.SettingsChanged, hours: 1, under: &longer}},
			iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(0, 72)}},
		"a shorter grace period leaves the one that runs": {strict, []step{{kind: iam.LoginSucceeded}, {kind: iam.SettingsChanged, hours: 1, under: &shorter}, {kind: iam.Tick, hours: 71}},
			iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(0, 72)}},

		// §6 #13: an unlock opens a new grace period.
		"unlock: opens new grace periods": {strict, []step{{kind: iam.PasswordGiven}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.Tick, hours: 100}, {kind: iam.Unlocked, hours: 101}},
			iam.MemberLife{HasPassword: true, PasswordChangedAt: hour(0), FirstLoginAt: hour(1), UnlockedAt: hour(101), SetMFA: grace(101, 173), UpdatePassword: grace(101, 173)}},
		"unlock: at the moment of the lapse": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Unlocked, hours: 72}},
			iam.MemberLife{FirstLoginAt: hour(0), UnlockedAt: hour(72), SetMFA: grace(72, 144)}},
		"unlock: and the new grace period lapses too": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Unlocked, hours: 80}, {kind: iam.Tick, hours: 500}},
			iam.MemberLife{FirstLoginAt: hour(0), UnlockedAt: hour(80), Lock: lock(152, iam.LockGracePeriodExpired)}},
		"unlock: the same again changes nothing": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Unlocked, hours: 80}, {kind: iam.Tick, hours: 500}, {kind: iam.Unlocked, hours: 80}},
			iam.MemberLife{FirstLoginAt: hour(0), UnlockedAt: hour(80), Lock: lock(152, iam.LockGracePeriodExpired)}},
		"unlock: one from before the lock does not end it": {mfaOnly, []step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 80}, {kind: iam.Unlocked, hours: 71}},
			iam.MemberLife{FirstLoginAt: hour(0), UnlockedAt: hour(71), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"unlock: of who is not locked starts the count anew and leaves the grace period": {mfaOnly,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.LoginFailed, hours: 1}, {kind: iam.Unlocked, hours: 2}},
			iam.MemberLife{FirstLoginAt: hour(0), UnlockedAt: hour(2), SetMFA: grace(0, 72)}},
		"unlock: of who never logged in opens none": {mfaOnly,
			[]step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.Unlocked, hours: 1}},
			iam.MemberLife{UnlockedAt: hour(1)}},

		// §6 #14: failed log-ins lock.
		"attempts: one fewer than the limit": {lenient, []step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}}, iam.MemberLife{FailedAttempts: 2}},
		"attempts: the limit":                {lenient, []step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed, hours: 2}}, iam.MemberLife{FailedAttempts: 3, Lock: lock(2, iam.LockTooManyAttempts)}},
		"attempts: not in a row": {lenient, []step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginSucceeded}, {kind: iam.LoginFailed}},
			iam.MemberLife{FirstLoginAt: hour(0), FailedAttempts: 1}},
		"attempts: a lower limit locks at the next failure only": {lenient, []step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.SettingsChanged, hours: 1, under: &once}},
			iam.MemberLife{FailedAttempts: 2}},
		"attempts: and at that one": {lenient, []step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.SettingsChanged, hours: 1, under: &once}, {kind: iam.LoginFailed, hours: 2}},
			iam.MemberLife{FailedAttempts: 3, Lock: lock(2, iam.LockTooManyAttempts)}},
		"attempts: a limit of none is a limit of one": {never, []step{{kind: iam.LoginFailed}}, iam.MemberLife{FailedAttempts: 1, Lock: lock(0, iam.LockTooManyAttempts)}},
		"attempts: the lock closes grace periods":     {strict, []step{{kind: iam.LoginSucceeded}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed, hours: 2}, {kind: iam.Tick, hours: 500}}, iam.MemberLife{FirstLoginAt: hour(0), FailedAttempts: 3, Lock: lock(2, iam.LockTooManyAttempts)}},
		"attempts: an unlock starts the count anew": {once, []step{{kind: iam.LoginFailed}, {kind: iam.Unlocked, hours: 1}, {kind: iam.SettingsChanged, hours: 2, under: &lenient}, {kind: iam.LoginFailed, hours: 3}},
			iam.MemberLife{UnlockedAt: hour(1), FailedAttempts: 1}},
		"attempts: those from before the last unlock do not count when they are told again": {once,
			[]step{{kind: iam.LoginFailed}, {kind: iam.Unlocked, hours: 1}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed, hours: 1}},
			iam.MemberLife{UnlockedAt: hour(1)}},

		// §6 #15: who is locked cannot log in; only an administrator unlocks.
		"locked: log-ins change nothing": {lenient,
			[]step{{kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginFailed}, {kind: iam.LoginSucceeded, hours: 1}, {kind: iam.LoginFailed, hours: 2}, {kind: iam.Tick, hours: 500}},
			iam.MemberLife{FailedAttempts: 3, Lock: lock(0, iam.LockTooManyAttempts)}},
		"locked: a requirement that is met now does not unlock": {mfaOnly,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.Tick, hours: 80}, {kind: iam.MFASet, hours: 81}, {kind: iam.PasswordChanged, hours: 81}, {kind: iam.SettingsChanged, hours: 82, under: &lenient}},
			iam.MemberLife{FirstLoginAt: hour(0), MFA: true, HasPassword: true, PasswordRenewed: true, PasswordChangedAt: hour(81), Lock: lock(72, iam.LockGracePeriodExpired)}},
		"locked: a requirement that comes up opens no grace period": {once, []step{{kind: iam.LoginSucceeded}, {kind: iam.LoginFailed}, {kind: iam.SettingsChanged, hours: 1, under: &strict}},
			iam.MemberLife{FirstLoginAt: hour(0), FailedAttempts: 1, Lock: lock(0, iam.LockTooManyAttempts)}},

		// What is told late.
		"late: a failure from before enforcement opens no grace period": {lenient,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.LoginFailed, hours: 5, under: &mfaOnly}, {kind: iam.Tick, hours: 500}},
			iam.MemberLife{FirstLoginAt: hour(0), FailedAttempts: 1, SetMFA: grace(500, 572)}},
		"late: a log-in from before enforcement opens none either": {lenient,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.LoginSucceeded, hours: 5, under: &mfaOnly}, {kind: iam.Tick, hours: 500}},
			iam.MemberLife{FirstLoginAt: hour(0), SetMFA: grace(500, 572)}},
		"late: a first log-in does": {mfaOnly, []step{{kind: iam.Tick, hours: 500}, {kind: iam.LoginSucceeded, hours: 490}},
			iam.MemberLife{FirstLoginAt: hour(490), SetMFA: grace(490, 562)}},
		"late: a password that the Member changed before it was given another": {renewalOnly,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.PasswordGiven, hours: 10}, {kind: iam.PasswordChanged, hours: 9}},
			iam.MemberLife{FirstLoginAt: hour(0), HasPassword: true, PasswordChangedAt: hour(10), UpdatePassword: grace(10, 82)}},
		"late: a password given before the Member changed it is to be renewed all the same": {renewalOnly,
			[]step{{kind: iam.LoginSucceeded}, {kind: iam.PasswordChanged, hours: 10}, {kind: iam.PasswordGiven, hours: 9}},
			iam.MemberLife{FirstLoginAt: hour(0), HasPassword: true, PasswordChangedAt: hour(10), UpdatePassword: grace(9, 81)}},
		"late: a second factor that was set before the reset": {mfaOnly, []step{{kind: iam.MFAReset, hours: 9}, {kind: iam.MFASet, hours: 9}, {kind: iam.MFASet, hours: 8}},
			iam.MemberLife{MFAResetAt: hour(9)}},
		"an event of no kind": {strict, []step{{kind: "Danced"}}, iam.MemberLife{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := live(c.steps, c.under); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", text(got), text(c.want))
			}
		})
	}
}

func TestNextLapse(t *testing.T) {
	for name, c := range map[string]struct {
		life iam.MemberLife
		want *time.Time
	}{
		"none":                    {iam.MemberLife{}, nil},
		"one":                     {iam.MemberLife{SetMFA: grace(0, 5)}, hour(5)},
		"the other":               {iam.MemberLife{UpdatePassword: grace(0, 5)}, hour(5)},
		"both, one is earlier":    {iam.MemberLife{SetMFA: grace(0, 5), UpdatePassword: grace(0, 6)}, hour(5)},
		"both, the other earlier": {iam.MemberLife{SetMFA: grace(0, 7), UpdatePassword: grace(0, 6)}, hour(6)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.life.NextLapse(); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestEffectiveLock(t *testing.T) {
	attempts := iam.MemberLife{Lock: lock(0, iam.LockTooManyAttempts)}
	for name, c := range map[string]struct {
		declared bool
		life     iam.MemberLife
		want     iam.LockReason
	}{
		"none":                   {false, iam.MemberLife{}, ""},
		"declared":               {true, iam.MemberLife{}, iam.LockDeclared},
		"at run time":            {false, attempts, iam.LockTooManyAttempts},
		"both: declared wins":    {true, attempts, iam.LockDeclared},
		"a grace period is none": {false, iam.MemberLife{SetMFA: grace(0, 5)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := iam.EffectiveLock(c.declared, c.life); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// happening is an event with the settings under which it happened.
type happening struct {
	event iam.MemberEvent
	under iam.MemberSettings
}

// history answers every question by looking at all that happened, in the order of time; each
// answer is about the moment just after the first n of it.
type history struct {
	all   []happening
	locks map[int]*iam.MemberLock
}

func (h history) kind(i int) iam.MemberEventKind { return h.all[i].event.Kind }

func (h history) at(i int) time.Time { return h.all[i].event.At }

// lock after n: the lock before, or a deadline that has passed since, unless n was an unlock;
// else too many failures.
func (h history) lock(n int) *iam.MemberLock {
	if n == 0 {
		return nil
	}
	if known, found := h.locks[n]; found {
		return known
	}
	found := h.lockedOnArrival(n)
	switch {
	case h.kind(n-1) == iam.Unlocked:
		found = nil
	case found == nil && h.kind(n-1) == iam.LoginFailed && h.failures(n) >= h.all[n-1].under.AttemptsBeforeLock:
		found = &iam.MemberLock{Since: h.at(n - 1), Reason: iam.LockTooManyAttempts}
	}
	h.locks[n] = found
	return found
}

// lockedOnArrival is the lock that the n-th event finds.
func (h history) lockedOnArrival(n int) *iam.MemberLock {
	found := h.lock(n - 1)
	for _, r := range requirements {
		if w := h.window(n-1, r); w != nil && !h.at(n-1).Before(w.ExpiresAt) && (found == nil || w.ExpiresAt.Before(found.Since)) {
			found = &iam.MemberLock{Since: w.ExpiresAt, Reason: iam.LockGracePeriodExpired}
		}
	}
	return found
}

func (h history) failures(n int) (count int) {
	for i := n; i > 0 && h.kind(i-1) != iam.Unlocked; i-- {
		if h.lockedOnArrival(i) != nil {
			continue
		}
		switch h.kind(i - 1) {
		case iam.LoginSucceeded:
			return count
		case iam.LoginFailed:
			count++
		}
	}
	return count
}

// firstLogin is the number of the first log-in that counted, if it is among the first n; else 0.
func (h history) firstLogin(n int) int {
	for i := 1; i <= n; i++ {
		if h.kind(i-1) == iam.LoginSucceeded && h.lockedOnArrival(i) == nil {
			return i
		}
	}
	return 0
}

// last is the number of the last event of these kinds, of the first n; else 0.
func (h history) last(n int, kinds ...iam.MemberEventKind) int {
	for ; n > 0; n-- {
		for _, kind := range kinds {
			if h.kind(n-1) == kind {
				return n
			}
		}
	}
	return 0
}

func (h history) lastIs(n int, want iam.MemberEventKind, kinds ...iam.MemberEventKind) bool {
	i := h.last(n, append(kinds, want)...)
	return i > 0 && h.kind(i-1) == want
}

func (h history) mfa(n int) bool { return h.lastIs(n, iam.MFASet, iam.MFAReset) }

func (h history) renewed(n int) bool {
	return h.lastIs(n, iam.PasswordChanged, iam.PasswordGiven, iam.PasswordRemoved)
}

func (h history) given(n int) bool {
	return h.lastIs(n, iam.PasswordGiven, iam.PasswordChanged, iam.PasswordRemoved)
}

// A requirement says whether it is not met just after the first n events.
type requirement func(h history, n int) bool

func needsMFA(h history, n int) bool { return h.all[n-1].under.MFARequired && !h.mfa(n) }

func needsRenewal(h history, n int) bool { return h.all[n-1].under.RenewPassword && h.given(n) }

var requirements = []requirement{needsMFA, needsRenewal}

// window goes back to the beginning of the unbroken time in which the requirement has not
// been met, and from there to the first event that could open a grace period.
func (h history) window(n int, unmet requirement) *iam.GracePeriod {
	pending := func(i int) bool { return i > 0 && h.firstLogin(i) > 0 && h.lock(i) == nil && unmet(h, i) }
	begin := n
	for ; pending(begin) && (h.kind(begin-1) != iam.Unlocked || h.lockedOnArrival(begin) == nil); begin-- {
		if !pending(begin - 1) {
			break
		}
	}
	for i := begin; i > 0 && i <= n && pending(i); i++ {
		switch h.kind(i - 1) {
		case iam.LoginFailed, iam.PasswordChanged, iam.MFASet:
			continue
		case iam.LoginSucceeded:
			if h.firstLogin(n) != i {
				continue
			}
		}
		return &iam.GracePeriod{StartedAt: h.at(i - 1), ExpiresAt: h.at(i - 1).Add(h.all[i-1].under.GracePeriod)}
	}
	return nil
}

// when is the time of the i-th event; nil for 0.
func (h history) when(i int) *time.Time {
	if i == 0 {
		return nil
	}
	at := h.at(i - 1)
	return &at
}

func (h history) life(n int) iam.MemberLife {
	life := iam.MemberLife{
		FirstLoginAt: h.when(h.firstLogin(n)), PasswordRenewed: h.renewed(n), HasPassword: h.renewed(n) || h.given(n),
		MFA: h.mfa(n), MFAResetAt: h.when(h.last(n, iam.MFAReset)), UnlockedAt: h.when(h.last(n, iam.Unlocked)),
		SetMFA: h.window(n, needsMFA), UpdatePassword: h.window(n, needsRenewal), Lock: h.lock(n), FailedAttempts: h.failures(n),
	}
	if life.HasPassword {
		life.PasswordChangedAt = h.when(h.last(n, iam.PasswordChanged, iam.PasswordGiven))
	}
	return life
}

var memberEventKinds = []iam.MemberEventKind{
	iam.LoginSucceeded, iam.LoginFailed, iam.PasswordChanged, iam.MFASet, iam.PasswordGiven,
	iam.PasswordRemoved, iam.MFAReset, iam.Unlocked, iam.SettingsChanged, iam.Tick,
}

// happenings draws events of which each is between least and most minutes after the one before.
func happenings(t *rapid.T, least, most int) []happening {
	under, at := lenient, birth
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) happening {
		if rapid.IntRange(0, 3).Draw(t, "changes settings") == 0 {
			under = iam.MemberSettings{
				MFARequired: rapid.Bool().Draw(t, "mfa"), RenewPassword: rapid.Bool().Draw(t, "renewal"),
				GracePeriod:        time.Duration(rapid.IntRange(1, 600).Draw(t, "grace")) * time.Minute,
				AttemptsBeforeLock: rapid.IntRange(1, 4).Draw(t, "attempts"),
			}
		}
		at = at.Add(time.Duration(rapid.IntRange(least, most).Draw(t, "minutes")) * time.Minute)
		return happening{iam.MemberEvent{Kind: rapid.SampledFrom(memberEventKinds).Draw(t, "kind"), At: at}, under}
	}), 0, 30).Draw(t, "happenings")
}

func TestMemberLifeIsWhatItsHistorySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := history{happenings(t, 1, 200), map[int]*iam.MemberLock{}}
		var life iam.MemberLife
		for i, each := range h.all {
			life = life.Apply(each.event, each.under)
			if want := h.life(i + 1); !reflect.DeepEqual(life, want) {
				t.Fatalf("after %d events\n  %s\nbut the history says\n  %s", i+1, text(life), text(want))
			}
		}
	})
}

// However late, doubled or out of order things are told.
func TestMemberLifeWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var life iam.MemberLife
		for _, each := range happenings(t, -300, 200) {
			before := text(life)
			next := life.Apply(each.event, each.under)
			if text(life) != before {
				t.Fatalf("%s changed the life that it was applied to", each.event.Kind)
			}
			onlyAnUnlockUnlocks(t, life, next, each.event)
			settledByATick(t, next, each)
			isReadBack(t, next)
			if each.event.Kind == iam.Unlocked {
				if again := next.Apply(each.event, each.under); text(again) != text(next) {
					t.Fatalf("the same unlock again made\n  %s\nof\n  %s", text(again), text(next))
				}
			}
			life = next
		}
	})
}

func onlyAnUnlockUnlocks(t *rapid.T, life, next iam.MemberLife, event iam.MemberEvent) {
	if life.Lock == nil {
		return
	}
	if event.Kind == iam.Unlocked && !event.At.Before(life.Lock.Since) {
		return
	}
	if !reflect.DeepEqual(life.Lock, next.Lock) {
		t.Fatalf("%s at %s made\n  %s\nof\n  %s", event.Kind, event.At, text(next), text(life))
	}
}

// settledByATick checks the invariant: exactly the requirements that are not met have a grace period.
func settledByATick(t *rapid.T, life iam.MemberLife, each happening) {
	ticked := life.Apply(iam.MemberEvent{Kind: iam.Tick, At: each.event.At}, each.under)
	free := ticked.FirstLoginAt != nil && ticked.Lock == nil
	if want := free && each.under.MFARequired && !ticked.MFA; (ticked.SetMFA != nil) != want {
		t.Fatalf("a grace period for the second factor: want %t in %s", want, text(ticked))
	}
	if want := free && each.under.RenewPassword && ticked.HasPassword && !ticked.PasswordRenewed; (ticked.UpdatePassword != nil) != want {
		t.Fatalf("a grace period for the password: want %t in %s", want, text(ticked))
	}
	if lapse := ticked.NextLapse(); lapse != nil && each.under.GracePeriod > 0 && !lapse.After(each.event.At) {
		t.Fatalf("a grace period is over and locks nobody: %s at %s", text(ticked), each.event.At)
	}
}

func isReadBack(t *rapid.T, life iam.MemberLife) {
	body, err := json.Marshal(life)
	if err != nil {
		t.Fatal(err)
	}
	var read iam.MemberLife
	if err := json.Unmarshal(body, &read); err != nil {
		t.Fatal(err)
	}
	life.FailedAttempts = 0
	if !reflect.DeepEqual(read, life) {
		t.Fatalf("read back\n  %s\nwas\n  %s", text(read), text(life))
	}
}

// The life shares no memory with what came of it.
func TestMemberLifeHasItsOwnMemory(t *testing.T) {
	life := iam.MemberLife{FirstLoginAt: hour(0), HasPassword: true, PasswordChangedAt: hour(0), MFAResetAt: hour(0), UnlockedAt: hour(0),
		SetMFA: grace(1, 90), UpdatePassword: grace(1, 90)}
	next := life.Apply(iam.MemberEvent{Kind: iam.Tick, At: *hour(2)}, strict)
	want := text(life)
	for _, at := range []*time.Time{next.FirstLoginAt, next.PasswordChangedAt, next.MFAResetAt, next.UnlockedAt, &next.SetMFA.ExpiresAt, &next.UpdatePassword.ExpiresAt, next.NextLapse()} {
		*at = at.AddDate(1, 0, 0)
	}
	if text(life) != want {
		t.Errorf("%s\nwas\n%s", text(life), want)
	}
	locked := iam.MemberLife{Lock: lock(1, iam.LockTooManyAttempts)}
	locked.Apply(iam.MemberEvent{Kind: iam.Tick, At: *hour(2)}, strict).Lock.Reason = iam.LockDeclared
	if locked.Lock.Reason != iam.LockTooManyAttempts {
		t.Error("the lock is shared")
	}
}
