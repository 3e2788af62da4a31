// SPDX-License-Identifier: Apache-2.0

package iam

import "time"

// MemberEventKind is the kind of something that happens to a Member's credentials.
type MemberEventKind string

// The kinds of events. Those up to MFASet come through the door that log-in uses
// (store.Store.Tell); the others come from what is declared, and from the clock.
const (
	LoginSucceeded  MemberEventKind = "LoginSucceeded"
	LoginFailed     MemberEventKind = "LoginFailed"
	PasswordChanged MemberEventKind = "PasswordChanged" // by the Member
	MFASet          MemberEventKind = "MFASet"

	PasswordGiven   MemberEventKind = "PasswordGiven" // by an administrator
	PasswordRemoved MemberEventKind = "PasswordRemoved"
	MFAReset        MemberEventKind = "MFAReset"
	Unlocked        MemberEventKind = "Unlocked"
	SettingsChanged MemberEventKind = "SettingsChanged"
	Tick            MemberEventKind = "Tick"
)

// throughTheDoor says whether such an event is told by log-in, and so may be heard of long
// after it happened.
func (k MemberEventKind) throughTheDoor() bool {
	return k == LoginSucceeded || k == LoginFailed || k == PasswordChanged || k == MFASet
}

// MemberEvent is something that happens to a Member's credentials at a time.
type MemberEvent struct {
	Kind MemberEventKind
	At   time.Time
	// MemberID and Sequence are set on what came through the door: whom it is about, and
	// its place in the order in which it was told.
	MemberID string
	Sequence int64
}

// MemberSettings are the rules of an Organization that the life of a Member's credentials follows.
type MemberSettings struct {
	// MFARequired asks every Member for a second factor.
	MFARequired bool
	// RenewPassword asks every Member who has a password to replace the one that was given.
	RenewPassword bool
	// GracePeriod is the time to do either.
	GracePeriod time.Duration
	// AttemptsBeforeLock is the number of failed log-ins in a row that lock; below 1 it counts as 1.
	AttemptsBeforeLock int
}

// GracePeriod is a time within which a Member must meet a requirement.
type GracePeriod struct {
	StartedAt time.Time `json:"startedAt"`
	// ExpiresAt is when the Member is locked; that moment is no longer within.
	ExpiresAt time.Time `json:"expiresAt"`
}

// LockReason says why a Member is locked.
type LockReason string

// The reasons of a lock, in the words of the API.
const (
	LockDeclared           LockReason = "Declared"
	LockGracePeriodExpired LockReason = "GracePeriodExpired"
	LockTooManyAttempts    LockReason = "TooManyAttempts"
)

// MemberLock says since when, and why, a Member is locked.
type MemberLock struct {
	Since  time.Time  `json:"since"`
	Reason LockReason `json:"reason"`
}

// MemberLife is where a Member's credentials stand. Its JSON form is kept in a Secret.
//
// These are its rules, which Apply keeps:
//
//   - A grace period runs for each requirement that a Member does not meet: a second factor
//     where it is required, and a password of the Member's own where renewal is asked for. It
//     opens at the first log-in, or once the requirement comes up for somebody who has
//     logged in before. Who never logged in has none.
//   - It ends without consequence when the requirement is met or no longer asked for. While
//     it runs, its end stays, whatever becomes of the settings.
//   - At its end the Member is locked. That is judged before whatever happens then or later.
//   - Failed log-ins in a row lock. A success starts the count anew; a lower limit counts
//     from the next failure on.
//   - A lock closes all grace periods. While it holds, log-ins, failed or not, change nothing:
//     they have to be refused.
//   - An unlock ends a lock that began at its time or before, starts the count anew, and so
//     opens new grace periods. The same or an older one has no further effect.
//   - What is told late does no harm: a failure from before the last unlock, a password
//     changed before the last one was given, and a second factor set before the last reset
//     change nothing, and nothing of the past but the first log-in opens a grace period. A
//     requirement that came up only since would otherwise lapse before anybody heard of it.
type MemberLife struct {
	FirstLoginAt *time.Time `json:"firstLoginAt,omitempty"`
	// PasswordChangedAt is when the password last changed, by whomever; nil without one.
	PasswordChangedAt *time.Time `json:"passwordChangedAt,omitempty"`
	// PasswordRenewed: the Member itself has changed the password since it was given.
	PasswordRenewed bool `json:"passwordRenewed,omitempty"`
	HasPassword     bool `json:"hasPassword,omitempty"`
	// MFA: a second factor is set.
	MFA bool `json:"mfa,omitempty"`
	// MFAResetAt is the last reset of the second factor that was honoured.
	MFAResetAt *time.Time `json:"mfaResetAt,omitempty"`
	// SetMFA and UpdatePassword are the grace periods that run.
	SetMFA         *GracePeriod `json:"setMFA,omitempty"`
	UpdatePassword *GracePeriod `json:"updatePassword,omitempty"`
	// Lock is the one that arose at run time; a declared one is no part of this.
	Lock *MemberLock `json:"lock,omitempty"`
	// UnlockedAt is the last unlock that was honoured.
	UnlockedAt *time.Time `json:"unlockedAt,omitempty"`
	// FailedAttempts since the last success. They are not kept in the Secret, but counted
	// again from what the door told.
	FailedAttempts int `json:"-"`
}

// Apply gives the life after an event, under the settings of now. The life that it is called
// on stays as it is and shares nothing with the result. Events through the door come in the
// order in which they were told; a Tick of now after them makes the rules hold as of now.
func (l MemberLife) Apply(event MemberEvent, settings MemberSettings) MemberLife {
	at := event.At.Round(0).UTC() // as it will be read back
	next := l.clone()
	next.lapse(at)
	opens := next.take(event.Kind, at, settings)
	next.hold(&next.SetMFA, settings.MFARequired && !next.MFA, opens, at, settings)
	next.hold(&next.UpdatePassword, settings.RenewPassword && next.HasPassword && !next.PasswordRenewed, opens, at, settings)
	return next
}

// NextLapse is when the first of the running grace periods ends; nil when none runs.
func (l MemberLife) NextLapse() *time.Time {
	var first *time.Time
	for _, grace := range []*GracePeriod{l.SetMFA, l.UpdatePassword} {
		if grace != nil && (first == nil || grace.ExpiresAt.Before(*first)) {
			first = copied(&grace.ExpiresAt)
		}
	}
	return first
}

// EffectiveLock is why a Member is locked, all things considered; empty when it is not. A
// declared lock always wins.
func EffectiveLock(declaredLocked bool, life MemberLife) LockReason {
	switch {
	case declaredLocked:
		return LockDeclared
	case life.Lock != nil:
		return life.Lock.Reason
	}
	return ""
}

// lapse locks where a grace period is over, since its end and not since somebody looked.
func (l *MemberLife) lapse(at time.Time) {
	if end := l.NextLapse(); end != nil && !at.Before(*end) {
		l.lock(*end, LockGracePeriodExpired)
	}
}

func (l *MemberLife) lock(since time.Time, reason LockReason) {
	l.Lock = &MemberLock{Since: since, Reason: reason}
	l.SetMFA, l.UpdatePassword = nil, nil
}

// take is what the event itself does. It says whether the event may open grace periods.
func (l *MemberLife) take(kind MemberEventKind, at time.Time, settings MemberSettings) (opens bool) {
	switch kind {
	case LoginSucceeded:
		return l.succeed(at)
	case LoginFailed:
		l.fail(at, settings.AttemptsBeforeLock)
	case PasswordChanged, PasswordGiven, PasswordRemoved:
		l.changePassword(kind, at)
	case MFASet:
		l.MFA = l.MFA || after(at, l.MFAResetAt)
	case MFAReset:
		if after(at, l.MFAResetAt) {
			l.MFAResetAt, l.MFA = &at, false
		}
	case Unlocked:
		l.unlock(at)
	}
	return !kind.throughTheDoor()
}

func (l *MemberLife) changePassword(kind MemberEventKind, at time.Time) {
	stale := l.PasswordChangedAt != nil && at.Before(*l.PasswordChangedAt)
	switch {
	case kind == PasswordRemoved:
		l.PasswordChangedAt, l.HasPassword, l.PasswordRenewed = nil, false, false
	case kind == PasswordGiven:
		if !stale {
			l.PasswordChangedAt = &at
		}
		l.HasPassword, l.PasswordRenewed = true, false
	case !stale:
		l.PasswordChangedAt, l.HasPassword, l.PasswordRenewed = &at, true, true
	}
}

// succeed says whether this was the first log-in.
func (l *MemberLife) succeed(at time.Time) bool {
	if l.Lock != nil {
		return false
	}
	l.FailedAttempts = 0
	if l.FirstLoginAt != nil {
		return false
	}
	l.FirstLoginAt = &at
	return true
}

func (l *MemberLife) fail(at time.Time, limit int) {
	if l.Lock != nil || !after(at, l.UnlockedAt) {
		return
	}
	l.FailedAttempts++
	if l.FailedAttempts >= limit {
		l.lock(at, LockTooManyAttempts)
	}
}

func (l *MemberLife) unlock(at time.Time) {
	if !after(at, l.UnlockedAt) {
		return
	}
	l.UnlockedAt = &at
	if l.Lock == nil || !at.Before(l.Lock.Since) {
		l.Lock, l.FailedAttempts = nil, 0
	}
}

// hold makes a grace period run where a requirement is not met, and end where it is.
func (l *MemberLife) hold(grace **GracePeriod, unmet, opens bool, at time.Time, settings MemberSettings) {
	switch {
	case !unmet || l.Lock != nil || l.FirstLoginAt == nil:
		*grace = nil
	case *grace == nil && opens:
		*grace = &GracePeriod{StartedAt: at, ExpiresAt: at.Add(settings.GracePeriod)}
	}
}

func (l MemberLife) clone() MemberLife {
	l.FirstLoginAt, l.PasswordChangedAt = copied(l.FirstLoginAt), copied(l.PasswordChangedAt)
	l.MFAResetAt, l.UnlockedAt = copied(l.MFAResetAt), copied(l.UnlockedAt)
	l.SetMFA, l.UpdatePassword, l.Lock = copied(l.SetMFA), copied(l.UpdatePassword), copied(l.Lock)
	return l
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// after is true where there is nothing to be after.
func after(at time.Time, mark *time.Time) bool { return mark == nil || at.After(*mark) }
