// SPDX-License-Identifier: Apache-2.0

package store

import "fmt"

// BadEventError says why an audit event is not taken. Nothing of it was written, and a
// transaction can go on after it.
type BadEventError struct {
	// ID is that of the event; empty where it has none.
	ID     string
	Reason string
	// Known: what the event tells is there already, as when it is sent a second time.
	Known bool
}

// Error names the event, and what is wrong with it.
func (e *BadEventError) Error() string {
	if e.ID == "" {
		return "the audit event is not taken: " + e.Reason
	}
	return fmt.Sprintf("audit event %s is not taken: %s", e.ID, e.Reason)
}

// UnreadableEventError says that what the store holds as an audit event cannot be read: somebody
// has altered the store by other means than this program.
type UnreadableEventError struct {
	Sequence int64
	Err      error
}

// Error names the event by its sequence.
func (e *UnreadableEventError) Error() string {
	return fmt.Sprintf("audit event %d cannot be read: %v", e.Sequence, e.Err)
}

// Unwrap gives what was found.
func (e *UnreadableEventError) Unwrap() error { return e.Err }

// StrayEventError says that the store holds an event that is not of its chain, as the list of chains has it, and that
// queries show all the same: somebody has put it there by other means than this program.
type StrayEventError struct {
	Sequence       int64
	OrganizationID string
	// Reason says why it is not of the chain.
	Reason string
}

// Error names the event by its sequence.
func (e *StrayEventError) Error() string {
	return fmt.Sprintf("audit event %d is not of its chain: %s", e.Sequence, e.Reason)
}
