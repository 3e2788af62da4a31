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

// MemberEvent is something that happens to a Member's credentials at a time.
type MemberEvent struct {
	Kind MemberEventKind
	At   time.Time
	// MemberID and Sequence are set on what came through the door: whom it is about, and
	// its place in the order in which it was told.
	MemberID string
	Sequence int64
}
