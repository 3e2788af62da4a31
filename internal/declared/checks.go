// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

const (
	maxName      = 64
	maxEmail     = 254 // RFC 5321, section 4.5.3.1.3, less the angle brackets
	maxEmailUser = 64  // RFC 5321, section 4.5.3.1.1
	maxTags      = 10
)

var (
	durationForm = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)
	tagForm      = regexp.MustCompile(`^[a-zA-Z0-9._\-/=+@ ]{1,70}$`)
)

// validateObject checks what all kinds have in common. An id that is not one is refused while it could still count:
// ignored, the object would get another id for good.
func validateObject(obj Object) field.ErrorList {
	if HasID(obj) {
		return nil
	}
	written := obj.GetAnnotations()[v1alpha1.IDAnnotation]
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(v1alpha1.IDAnnotation), written,
		"the id to restore is a UUID in lower case, such as 11111111-2222-4333-8444-555555555555; remove the annotation for a new id")}
}

// validateName holds metadata.name to the limit of names where it stands in for the display name.
func validateName(obj Object, displayName string) field.ErrorList {
	if displayName != "" || len(obj.GetName()) <= maxName {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), obj.GetName(),
		fmt.Sprintf("the name has %d characters and may have %d where it stands in for spec.displayName; set that, or shorten the name",
			len(obj.GetName()), maxName))}
}

func validateEmail(path *field.Path, email v1alpha1.Email) field.ErrorList {
	if email == "" {
		return field.ErrorList{field.Required(path, "write an e-mail address such as maya@acme.example")}
	}
	if problem := emailProblem(string(email)); problem != "" {
		return field.ErrorList{field.Invalid(path, email, problem+"; write an address such as maya@acme.example")}
	}
	return nil
}

// emailProblem is what is wrong with an address. It is narrower than RFC 5322, which also knows display names, comments,
// quoted names and numeric hosts: none of them is how a person logs in.
func emailProblem(email string) string {
	if len(email) > maxEmail {
		return fmt.Sprintf("an e-mail address has at most %d bytes, and this one has %d", maxEmail, len(email))
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || !utf8.ValidString(email) {
		return "this is not an e-mail address"
	}
	if parsed.Address != email {
		return "this is more than an e-mail address; leave out names, quotes, brackets and comments"
	}
	at := strings.LastIndexByte(email, '@')
	user, domain := email[:at], email[at+1:]
	if len(user) > maxEmailUser {
		return fmt.Sprintf("the part before the @ has at most %d bytes, and this one has %d", maxEmailUser, len(user))
	}
	if strings.ContainsFunc(user, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return "the part before the @ has characters that cannot be seen"
	}
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return "the part after the @ is no complete domain"
	}
	for _, label := range labels {
		if !isDomainLabel(label) {
			return "the part after the @ is no domain"
		}
	}
	return ""
}

// isDomainLabel takes letters of any script, since internationalized domains are written in them.
func isDomainLabel(label string) bool {
	return label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' &&
		!strings.ContainsFunc(label, func(r rune) bool {
			return r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
}

func validateTags(path *field.Path, tags []v1alpha1.Tag) field.ErrorList {
	var errs field.ErrorList
	if len(tags) > maxTags {
		errs = append(errs, field.TooMany(path, len(tags), maxTags))
	}
	seen := map[v1alpha1.Tag]bool{}
	for i, tag := range tags {
		switch {
		case seen[tag]:
			errs = append(errs, field.Duplicate(path.Index(i), tag))
		case !tagForm.MatchString(string(tag)):
			errs = append(errs, field.Invalid(path.Index(i), tag, "a tag has 1 to 70 letters, digits, blanks and . _ - / = + @"))
		}
		seen[tag] = true
	}
	return errs
}

// bounds of a duration: the least and the most that pass, what counts when it is absent, and what counts for a value that
// cannot be read, which is the one that favours security.
type bounds struct{ least, most, absent, strict time.Duration }

// value is what a declared duration amounts to.
func (b bounds) value(declared v1alpha1.Duration) time.Duration {
	if declared == "" {
		return b.absent
	}
	d, err := parseDuration(declared)
	if err != nil {
		return b.strict
	}
	return min(max(d, b.least), b.most)
}

func (b bounds) validate(path *field.Path, declared v1alpha1.Duration) field.ErrorList {
	if declared == "" {
		return nil
	}
	d, err := parseDuration(declared)
	if err != nil {
		return field.ErrorList{field.Invalid(path, declared, err.Error())}
	}
	if d < b.least || d > b.most {
		return field.ErrorList{field.Invalid(path, declared, fmt.Sprintf("must be between %s and %s", short(b.least), short(b.most)))}
	}
	return nil
}

// parseDuration reads a duration of the Gateway API's form (GEP-2257); an absent one is 0. Go's own form allows more:
// signs, fractions, and units below a millisecond.
func parseDuration(declared v1alpha1.Duration) (time.Duration, error) {
	if declared == "" {
		return 0, nil
	}
	if !durationForm.MatchString(string(declared)) {
		return 0, errors.New("a duration is up to four numbers, each with one of the units h, m, s and ms, such as 72h or 1h30m")
	}
	return declared.Parse()
}

// short writes whole hours or minutes as the schema does: 24h rather than 24h0m0s.
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
