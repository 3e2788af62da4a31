// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxPasswordBytes is the longest a password may be, in bytes of UTF-8 (the model's limit).
const MaxPasswordBytes = 72

// PasswordPolicy binds new passwords. There are no rules about which characters they are
// made of, as NIST SP 800-63B rev. 4, section 3.1.1.2, wants it.
type PasswordPolicy struct {
	// MinLength in Unicode code points of the normal form NFC.
	MinLength int
}

// JudgePassword says, in sentences, which rules a new password breaks and what would pass;
// nothing for one that is accepted. The sentences hold no part of the password and say
// nothing of its length. The words are what others know of the Member: names, e-mail,
// Organization; their case and the signs within them make no difference.
func JudgePassword(password string, policy PasswordPolicy, words []string) []string {
	if !utf8.ValidString(password) {
		return []string{"a password is text in UTF-8, and this is not; check how it was encoded"}
	}
	if len(password) > MaxPasswordBytes {
		return []string{fmt.Sprintf("a password has at most %d bytes, and this one has more; letters beyond a to z take 2 to 4 bytes each", MaxPasswordBytes)}
	}
	var faults []string
	if utf8.RuneCountInString(norm.NFC.String(password)) < policy.MinLength {
		faults = append(faults, fmt.Sprintf("a password has at least %d characters here, and this one has fewer; a phrase of several words is long and easy to keep in mind",
			policy.MinLength))
	}
	strong, err := strongPassword(password, words)
	switch {
	case err != nil:
		faults = append(faults, "the password could not be judged, and so is refused; choose another")
	case !strong:
		faults = append(faults, "the password is easy to guess: it is made of common passwords, names, dates, keyboard patterns, repetitions, or of what is known of the Member; "+
			"five unrelated words or random characters would pass")
	}
	return faults
}
