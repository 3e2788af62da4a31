// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

const defaultLocale = "en_US"

var usernameForm = regexp.MustCompile(`^[a-zA-Z0-9@._-]{2,150}$`)

// Member is the entity of a Member or a Guest; groupIDs are the groups it joins from its own side, as far as they were
// found. It knows the declared lock only: one that arose at run time is not the object's to tell.
func Member(m *v1alpha1.Member, organizationID string, groupIDs []string) *iam.Member {
	member := &iam.Member{
		Head:            Head(m, iam.KindMember, organizationID),
		Type:            iam.TypeMember,
		Username:        m.Spec.Username,
		Email:           string(m.Spec.Email),
		FirstName:       m.Spec.FirstName,
		LastName:        m.Spec.LastName,
		PhoneNumber:     m.Spec.PhoneNumber,
		Locale:          m.Spec.Locale,
		Tags:            strs(m.Spec.Tags),
		Groups:          distinct(groupIDs),
		KubernetesUsers: strs(m.Spec.KubernetesUsers),
	}
	if member.Locale == "" {
		member.Locale = defaultLocale
	}
	if m.Spec.State == v1alpha1.StateLocked {
		member.Locked = string(v1alpha1.LockDeclared)
	}
	if m.Spec.Type == v1alpha1.TypeGuest {
		member.Type = iam.TypeGuest
		invitation := m.Status.Invitation
		member.Invited = invitation == nil || invitation.State != v1alpha1.InvitationAccepted
	}
	return member
}

// ValidateMember says what is wrong with a Member, as far as it alone tells. See ReservedUsername for what also needs
// its Organization.
func ValidateMember(m *v1alpha1.Member) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateObject(m)
	if m.Spec.Type == v1alpha1.TypeGuest {
		errs = append(errs, validateGuest(spec, &m.Spec)...)
	} else {
		errs = append(errs, validateUsername(spec.Child("username"), m.Spec.Username)...)
	}
	errs = append(errs, validateEmail(spec.Child("email"), m.Spec.Email)...)
	errs = append(errs, validateTags(spec.Child("tags"), m.Spec.Tags)...)
	if p := m.Spec.Password; p != nil && (p.SecretRef == nil) == (p.Generate == nil) {
		errs = append(errs, field.Invalid(spec.Child("password"), field.OmitValueType{}, "write exactly one of secretRef and generate"))
	}
	return errs
}

func validateGuest(spec *field.Path, guest *v1alpha1.MemberSpec) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"username", guest.Username != ""},
		{"firstName", guest.FirstName != ""},
		{"lastName", guest.LastName != ""},
		{"phoneNumber", guest.PhoneNumber != ""},
		{"locale", guest.Locale != ""},
		{"state", guest.State != ""},
		{"password", guest.Password != nil},
		{"kubernetesUsers", len(guest.KubernetesUsers) > 0},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(spec.Child(f.name),
				fmt.Sprintf("a Guest has an e-mail only; remove %s, or declare a Member instead", f.name)))
		}
	}
	return errs
}

func validateUsername(path *field.Path, username string) field.ErrorList {
	switch reserved := strings.ToLower(username); {
	case username == "":
		return field.ErrorList{field.Required(path, "a Member logs in by username: 2 to 150 letters, digits and @ . _ -")}
	case strings.HasPrefix(reserved, "system:"):
		return field.ErrorList{field.Invalid(path, username, "names that begin with system: are reserved for Kubernetes; choose another")}
	case reserved == "owner" || reserved == "root" || reserved == "scaleway":
		return field.ErrorList{field.Invalid(path, username, "owner, root and scaleway are reserved usernames; choose another")}
	case !usernameForm.MatchString(username):
		return field.ErrorList{field.Invalid(path, username, "a username has 2 to 150 letters, digits and @ . _ -")}
	}
	return nil
}

// ReservedUsername refuses the owner's e-mail as a Member's username, without regard to case: at log-in the owner goes
// by it. It is nil for any other username.
func ReservedUsername(member *v1alpha1.Member, owner v1alpha1.Email) *field.Error {
	if member.Spec.Username == "" || !strings.EqualFold(member.Spec.Username, string(owner)) {
		return nil
	}
	return field.Invalid(field.NewPath("spec", "username"), member.Spec.Username,
		"this is the e-mail of the Organization's owner, who logs in by it; choose another username (the e-mail may be the same)")
}
