// SPDX-License-Identifier: Apache-2.0

package credentials

// Outdated says whether a hash was made with less than the present parameters, without the
// password: for whoever has to decide whether it is worth looking for that. What is no hash
// is not outdated; Verify says what is wrong with it.
func Outdated(hashed string) bool {
	stored, err := parsePHC(hashed)
	return err == nil && !stored.parameters.atLeast(current)
}
