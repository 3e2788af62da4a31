// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nbutton23/zxcvbn-go/match"
	"github.com/nbutton23/zxcvbn-go/matching"
	"github.com/nbutton23/zxcvbn-go/scoring"
	"golang.org/x/text/unicode/norm"
)

const (
	// strongScore of zxcvbn: safe from guessing offline against a slow hash.
	strongScore = 3
	// maxContextWords bounds the dictionary of what is known of the Member, and with it the work.
	maxContextWords = 100
)

// The price of guessing, in bits.
var (
	digitBits     = math.Log2(10)
	yearBits      = math.Log2(200)           // 1900 to 2099
	dateBits      = math.Log2(200 * 12 * 31) // with a year of four digits
	shortDateBits = math.Log2(100 * 12 * 31)
	separatorBits = math.Log2(8) // few signs stand between words
)

var errUnjudged = errors.New("the password could not be judged")

// strongPassword asks zxcvbn, in a way that is at least as strict as its own.
//
// It is asked about the folded form: in lower case, accents dropped, other letters and signs
// stood for by a control character each. (The library counts bytes where it should count
// characters, so that it has to be given ASCII.) It is asked too about that form with signs
// read as the letters they look like, without the separators that may split words, and
// without repetitions; the weakest form decides. What is found in one reading counts in all,
// and so does what the library does not know: years and dates of this century, numbers, signs
// between words, and repetitions of what only looks alike, which are worth as much as what
// they repeat. So upper case, disguise and repetition are worth nothing.
//
// That is hard on the shortest passwords: of random ones of letters and digits, it refuses
// three in four of 8 characters, one in fifty of 12, one in ten thousand of 16, and of 20 none that was seen.
//
// A password that it judges has MaxPasswordBytes at most.
func strongPassword(password string, words []string) (strong bool, err error) {
	defer func() {
		// The library does not check its own indices. What was recovered may hold the password.
		if recover() != nil {
			strong, err = false, errUnjudged
		}
	}()
	f := newFolder(password)
	form := f.fold(password)
	known := f.context(words)
	for _, form := range distinctStrings(form, withoutSeparators(form), withoutRepetitions(form)) {
		found := guesses(form, known)
		for _, reading := range readings(form) {
			if scoring.MinimumEntropyMatchSequence(reading, found).Score < strongScore {
				return false, nil
			}
		}
	}
	return true, nil
}

// guesses are all the ways in which parts of a folded form can be guessed.
func guesses(form string, known []string) []match.Match {
	found := matching.Omnimatch(form, known, matching.FilterL33tMatcher)
	found = append(found, numbers(form)...)
	found = append(found, dates(form)...)
	found = append(found, separators(form)...)
	readings := readings(form)
	for _, reading := range readings[1:] {
		found = append(found, matching.Omnimatch(reading, known, matching.FilterL33tMatcher)...)
	}
	// A repetition is as good as its unit, whose own guesses must be known by then.
	for _, reading := range readings {
		for _, r := range repetitions(reading) {
			unit := scoring.MinimumEntropyMatchSequence(reading[r.start:r.start+r.unit], matchesIn(found, r.start, r.start+r.unit))
			found = append(found, guess(r.start, r.end, unit.Entropy))
		}
	}
	return found
}

// guess is a match of the bytes from start to before end.
func guess(start, end int, bits float64) match.Match {
	return match.Match{Pattern: "own", I: start, J: end - 1, Entropy: bits}
}

// matchesIn gives the matches inside a part, as matches of that part.
func matchesIn(found []match.Match, start, end int) []match.Match {
	var inside []match.Match
	for _, m := range found {
		if m.I >= start && m.J < end {
			m.I, m.J = m.I-start, m.J-start
			inside = append(inside, m)
		}
	}
	return inside
}

// lookalikes are the letters that signs and digits stand for, but those that stand for two.
// The library tries every combination, which takes seconds for a password made of such signs.
var lookalikes = []string{
	"@", "a", "4", "a", "8", "b", "(", "c", "{", "c", "[", "c", "<", "c", "3", "e", "6", "g", "9", "g",
	"0", "o", "$", "s", "5", "s", "+", "t", "%", "x", "2", "z",
}

var lookalikeReaders = []*strings.Replacer{
	strings.NewReplacer(append([]string{"1", "i", "!", "i", "|", "i", "7", "t"}, lookalikes...)...),
	strings.NewReplacer(append([]string{"1", "l", "!", "i", "|", "l", "7", "t"}, lookalikes...)...),
	strings.NewReplacer(append([]string{"1", "i", "!", "i", "|", "i", "7", "l"}, lookalikes...)...),
	strings.NewReplacer(append([]string{"1", "l", "!", "i", "|", "l", "7", "l"}, lookalikes...)...),
}

// readings gives the form and, where they differ, the forms of the same length in which signs are read as letters.
func readings(form string) []string {
	all := []string{form}
	for _, reader := range lookalikeReaders {
		all = append(all, reader.Replace(form))
	}
	return distinctStrings(all...)
}

// numbers are digits beside digits: each is one of ten, whatever else the password is made of.
func numbers(form string) []match.Match {
	var found []match.Match
	for i := range len(form) {
		if isDigit(form[i]) && ((i > 0 && isDigit(form[i-1])) || (i+1 < len(form) && isDigit(form[i+1]))) {
			found = append(found, guess(i, i+1, digitBits))
		}
	}
	return found
}

const (
	dayForm, monthForm, yearForm, shortYearForm = `(?:0?[1-9]|[12]\d|3[01])`, `(?:0?[1-9]|1[0-2])`, `(?:19|20)\d\d`, `\d\d`
	dateSign                                    = `[ ./_-]?`
)

var dateForms = []struct {
	form *regexp.Regexp
	bits float64
}{
	{regexp.MustCompile(`^` + yearForm), yearBits},
	{regexp.MustCompile(`^` + yearForm + dateSign + monthForm + dateSign + dayForm), dateBits},
	{regexp.MustCompile(`^` + dayForm + dateSign + monthForm + dateSign + yearForm), dateBits},
	{regexp.MustCompile(`^` + monthForm + dateSign + dayForm + dateSign + yearForm), dateBits},
	{regexp.MustCompile(`^` + shortYearForm + dateSign + monthForm + dateSign + dayForm), shortDateBits},
	{regexp.MustCompile(`^` + dayForm + dateSign + monthForm + dateSign + shortYearForm), shortDateBits},
	{regexp.MustCompile(`^` + monthForm + dateSign + dayForm + dateSign + shortYearForm), shortDateBits},
}

// dates are years and dates; the library knows them up to 2019 only, and not at the end.
func dates(form string) []match.Match {
	var found []match.Match
	for i := range len(form) {
		if !isDigit(form[i]) {
			continue
		}
		for _, date := range dateForms {
			if span := date.form.FindStringIndex(form[i:]); span != nil {
				found = append(found, guess(i, i+span[1], date.bits))
			}
		}
	}
	return found
}

// separators are signs, single or repeated, that stand between letters or digits, or between them and an end.
func separators(form string) []match.Match {
	var found []match.Match
	for i := 0; i < len(form); {
		end := i + 1
		for end < len(form) && form[end] == form[i] {
			end++
		}
		if isSign(form[i]) && (i == 0 || !isSign(form[i-1])) && (end == len(form) || !isSign(form[end])) {
			found = append(found, guess(i, end, separatorBits))
		}
		i = end
	}
	return found
}

// withoutSeparators moves the signs that separate to the end, each different one once: whoever
// guesses which they are has guessed them all.
func withoutSeparators(form string) string {
	kept, signs, from := strings.Builder{}, []string{}, 0
	for _, s := range separators(form) {
		kept.WriteString(form[from:s.I])
		signs, from = append(signs, form[s.I:s.I+1]), s.J+1
	}
	kept.WriteString(form[from:])
	return kept.String() + strings.Join(distinctStrings(signs...), "")
}

// repetition is a unit, from start, that is repeated up to before end.
type repetition struct{ start, unit, end int }

// repetitions finds what is repeated, shorter units first.
func repetitions(form string) []repetition {
	var found []repetition
	for unit := 1; unit <= len(form)/2; unit++ {
		for start := 0; start+2*unit <= len(form); start++ {
			end := start + unit
			for end+unit <= len(form) && form[end:end+unit] == form[start:start+unit] {
				end += unit
			}
			if end > start+unit && !isRepetition(form[start:start+unit]) {
				found = append(found, repetition{start, unit, end})
			}
		}
	}
	return found
}

// isRepetition: a text is a repetition of something shorter if it occurs in its double elsewhere than at the ends.
func isRepetition(text string) bool {
	return strings.Index((text + text)[1:], text) < len(text)-1
}

// withoutRepetitions keeps one of what is repeated, longer units first.
func withoutRepetitions(form string) string {
	for unit := len(form) / 2; unit > 0; unit-- {
		for start := 0; start+2*unit <= len(form); {
			if next := start + unit; form[start:next] == form[next:next+unit] {
				form = form[:start] + form[next:]
			} else {
				start++
			}
		}
	}
	return form
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// isSign: ASCII that is neither letter nor digit. What stands for another script's characters is none.
func isSign(b byte) bool {
	return ' ' <= b && b <= '~' && !isDigit(b) && (b < 'a' || b > 'z')
}

// folder writes text in ASCII and lower case. What ASCII cannot write gets a control
// character for each different character, the same in the password as in the words.
type folder struct{ stands map[rune]byte }

// standIns are the control characters that are no white space, which the library takes for a separator in dates.
var standIns = func() (all []byte) {
	for b := byte(0); b <= 0x7f; b++ {
		if unicode.IsControl(rune(b)) && !unicode.IsSpace(rune(b)) {
			all = append(all, b)
		}
	}
	return all
}()

// newFolder gives stand-ins to what the password has; should it have more different
// characters than there are, some share one, which takes nothing from one that varied.
func newFolder(password string) folder {
	f := folder{map[rune]byte{}}
	for _, r := range norm.NFC.String(password) {
		if _, found := f.stands[lowerCase(r)]; !found {
			f.stands[lowerCase(r)] = standIns[len(f.stands)%len(standIns)]
		}
	}
	return f
}

func (f folder) fold(text string) string {
	folded, _ := f.write(text)
	return folded
}

// write says too whether every character could be written: one that the password does not have cannot.
func (f folder) write(text string) (folded string, whole bool) {
	out, whole := []byte{}, true
	for _, r := range norm.NFC.String(text) {
		plain, isASCII := asciiOf(r)
		stand, found := f.stands[lowerCase(r)]
		switch {
		case isASCII && (plain != "" || (len(out) > 0 && !isSign(out[len(out)-1]))): // an accent goes with its letter
			out = append(out, plain...)
		case found:
			out = append(out, stand)
		default:
			whole = false
		}
	}
	return string(out), whole
}

// asciiOf writes a character in ASCII, if its compatibility decomposition less the accents is that: é, ﬁ, ａ, ².
func asciiOf(r rune) (string, bool) {
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return lowerCase(r)
	}, norm.NFKD.String(string(r)))
	isASCII := !strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' })
	return plain, isASCII
}

// lowerCase goes by way of upper case, so that the variants of a letter become one.
func lowerCase(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

// context gives the forms in which what is known of the Member may occur in the password: whole, in parts, without signs.
func (f folder) context(words []string) []string {
	var whole, parts []string
	for _, word := range words {
		pieces := strings.FieldsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
		whole = append(whole, word, strings.Join(pieces, ""))
		parts = append(parts, pieces...)
	}
	var known []string
	for _, word := range append(whole, parts...) {
		form, complete := f.write(word)
		if complete && utf8.RuneCountInString(word) > 1 {
			known = append(known, readings(form)...)
		}
	}
	known = distinctStrings(known...)
	return known[:min(len(known), maxContextWords)]
}

// distinctStrings keeps the order.
func distinctStrings(all ...string) []string {
	var kept []string
	for _, s := range all {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}
