// SPDX-License-Identifier: Apache-2.0

package declared

import "github.com/iam-operator/iam-operator/api/v1alpha1"

// PasswordWords are what others know of a Member, and would try first: names, e-mail, and the Organization's names.
func PasswordWords(m *v1alpha1.Member, o *v1alpha1.Organization) []string {
	var words []string
	for _, word := range []string{
		m.Name, m.Spec.Username, string(m.Spec.Email), m.Spec.FirstName, m.Spec.LastName, m.Spec.PhoneNumber,
		o.Name, string(o.Spec.DisplayName), o.Spec.Alias, string(o.Spec.Owner.Email),
	} {
		if word != "" {
			words = append(words, word)
		}
	}
	return words
}
