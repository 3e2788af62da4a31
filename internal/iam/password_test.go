// SPDX-License-Identifier: Apache-2.0

package iam_test

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nbutton23/zxcvbn-go"
	"github.com/nbutton23/zxcvbn-go/matching"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// aboutMaya is what is known of the Member whose passwords the tests judge.
var aboutMaya = []string{"maya.diaz42", "Maya", "Díaz-Ng", "maya@acme.example", "acme", "Acme Corp", "Зоя"}

const (
	notText    = "a password is text in UTF-8, and this is not; check how it was encoded"
	tooLong    = "a password has at most 72 bytes, and this one has more; letters beyond a to z take 2 to 4 bytes each"
	tooShort   = "a password has at least 15 characters here, and this one has fewer; a phrase of several words is long and easy to keep in mind"
	tooWeak    = "the password is easy to guess: it is made of common passwords, names, dates, keyboard patterns, repetitions, or of what is known of the Member; five unrelated words or random characters would pass"
	longPhrase = "correct horse battery staple lamp"
)

func judge(password string) []string {
	return iam.JudgePassword(password, iam.PasswordPolicy{MinLength: 15}, aboutMaya)
}

func TestJudgePassword(t *testing.T) {
	for name, c := range map[string]struct {
		password string
		want     []string
	}{
		// How it is written.
		"not UTF-8":                             {longPhrase + "\xff", []string{notText}},
		"half of a character":                   {longPhrase + "\xc3", []string{notText}},
		"72 bytes":                              {("gravel otter mint flute canyon velvet rhubarb " + longPhrase)[:72], nil},
		"73 bytes":                              {("gravel otter mint flute canyon velvet rhubarb " + longPhrase)[:73], []string{tooLong}},
		"72 bytes of 24 characters":             {"龍雀湖蘭銅霧鯨鍵梨塔星硯壺弓鷹霜麦舟笛嶺苔鐘榊雷", nil},
		"73 bytes of 25 characters":             {"龍雀湖蘭銅霧鯨鍵梨塔星硯壺弓鷹霜麦舟笛嶺苔鐘榊雷a", []string{tooLong}},
		"empty":                                 {"", []string{tooShort, tooWeak}},
		"14 characters":                         {"kqzvwxjhbgtrfp", []string{tooShort}},
		"15 characters":                         {"kqzvwxjhbgtrfpm", nil},
		"15 code points, 14 in the normal form": {"kqzvwxjhbgtrfe\u0301", []string{tooShort}},
		"16 code points, 15 in the normal form": {"kqzvwxjhbgtrfme\u0301", nil},
		"15 emoji":                              {"🦀🍋🚂🧵🌵🎻🐙🪁🧊🍄🛶🦔🔭🥁🪴", nil},
		"no letters":                            {`)&]"{~;/?^'=*_#:-\`, nil},
		"blanks and control characters":         {"kq zv\twx\njh\x00bg\x1btr", nil},
		"one kind of letters":                   {"kqzvwxjhbgtrfpmd", nil},

		// Those that the rules name.
		"common, and a sequence":            {"Password12345678", []string{tooWeak}},
		"a walk over the keyboard":          {"qwertyuiopasdfgh", []string{tooWeak}},
		"the Organization, again and again": {"acmeacmeacme2026", []string{tooWeak}},
		"all names":                         {"Maya.Diaz.Acme.26", []string{tooWeak}},

		// Context.
		"names in capitals":               {"MAYADIAZACME2026", []string{tooWeak}},
		"names with the accent":           {"MayaDíazMayaDíaz", []string{tooWeak}},
		"names with the accent apart":     {"MayaDi\u0301azMayaDi\u0301az", []string{tooWeak}},
		"names disguised":                 {"M4y@.D!az.@cme.2026", []string{tooWeak}},
		"names apart by many signs":       {"Maya--Diaz##Acme!!26", []string{tooWeak}},
		"a name apart letter by letter":   {"m.a.y.a.d.i.a.z.2026", []string{tooWeak}},
		"a name of another script":        {"ЗояЗОЯзоя2026-зоя", []string{tooWeak}},
		"the e-mail":                      {"maya@acme.example", []string{tooWeak}},
		"the domain, and a date of birth": {"example 1990-02-17", []string{tooWeak}},
		"the username without its signs":  {"mayadiaz42mayadiaz", []string{tooWeak}},
		"the username as letters":         {"maya.diaza2.mayadiaz", []string{tooWeak}},
		"full-width letters":              {"ｐａｓｓｗｏｒｄ１２３４５６７８"[:24] + "12345678", []string{tooWeak}},
		"a ligature":                      {"ﬁreﬁreﬁre20262026", []string{tooWeak}},
		"words, and a name among them":    {"gravel otter maya flute canyon", nil},

		// Common, disguised.
		"leet":                                {"P4$$w0rd12345678!", []string{tooWeak}},
		"leet of one":                         {"we1c0me-we1c0me-2026", []string{tooWeak}},
		"leet of one for l":                   {"l3tme1nl3tme1n2026", []string{tooWeak}},
		"leet of seven":                       {"le7mein.le7mein.2026", []string{tooWeak}},
		"one character":                       {"aaaaaaaaaaaaaaaaaaaa", []string{tooWeak}},
		"one sign":                            {"....................", []string{tooWeak}},
		"a unit of another script, repeated":  {"李明李明李明李明李明李明李明李明", []string{tooWeak}},
		"runs":                                {"ppaasssswwwoorrdd11", []string{tooWeak}},
		"a repetition within a repetition":    {"ababcababcababcababc", []string{tooWeak}},
		"a season":                            {"Summer2026!Summer2026!", []string{tooWeak}},
		"dates":                               {"20260101-20261231", []string{tooWeak}},
		"a date at the end":                   {"Maya Diaz 01.02.90", []string{tooWeak}},
		"split by dots":                       {"p.a.s.s.w.o.r.d.2026", []string{tooWeak}},
		"every sign that stands for a letter": {strings.Repeat("1|7!(4$5@8", 7), []string{tooWeak}},

		// What should pass.
		"diceware":                    {longPhrase, nil},
		"diceware with hyphens":       {"correct-horse-battery-staple-lamp", nil},
		"diceware without separators": {"correcthorsebatterystaplelamp", nil},
		"diceware in capitals":        {"CORRECT HORSE BATTERY STAPLE LAMP", nil},
		"random of 94 characters":     {`x9#K!vQ2}zL$7wRm@4Yt`, nil},
		"random of 62 characters":     {"q7VtYx2LmZk9Rw4HsP8b", nil},
		"a uuid":                      {"5f0c7d1e-9b3a-4e68-8d27-c41fa6b0923e", nil},
		"words of another script":     {"гравий выдра мята флейта каньон", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(c.password); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMinLength(t *testing.T) {
	for name, c := range map[string]struct {
		password string
		least    int
		accepted bool
	}{
		"none, and still not empty": {"", 0, false},
		"8 of 8":                    {"kq#zv7wX", 8, true},
		"7 of 8":                    {"kq#zv7w", 8, false},
		"72 of 72":                  {"kqzvwxjhbxnvzrtwqkjhgpbmfdlsyceaiouvxzwqkrtpnmbgjhfdxvzqwkrtnpbmghjfxzvq", 72, true},
		"33 of 34, however strong":  {longPhrase, 34, false},
		"33 of 33":                  {longPhrase, 33, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := iam.JudgePassword(c.password, iam.PasswordPolicy{MinLength: c.least}, nil); (len(got) == 0) != c.accepted {
				t.Errorf("got %q", got)
			}
		})
	}
}

// drawn gives passwords of n characters of an alphabet; the seed is fixed, since one in some
// ten thousand random passwords of 16 letters and digits looks like words enough to be refused.
func drawn(t *testing.T, alphabet []rune, least, draws int) {
	t.Helper()
	random := rand.New(rand.NewPCG(16, uint64(len(alphabet))))
	for range draws {
		var password strings.Builder
		for n := least + random.IntN(16); n > 0; n-- {
			r := alphabet[random.IntN(len(alphabet))]
			if password.Len()+utf8.RuneLen(r) > iam.MaxPasswordBytes {
				break
			}
			password.WriteRune(r)
		}
		if got := judge(password.String()); got != nil {
			t.Errorf("%q: %q", password.String(), got)
		}
	}
}

func span(first, last rune) (all []rune) {
	for r := first; r <= last; r++ {
		all = append(all, r)
	}
	return all
}

func TestRandomPasswordsAreAccepted(t *testing.T) {
	letters := append(append(span('a', 'z'), span('A', 'Z')...), span('0', '9')...)
	for name, c := range map[string]struct {
		alphabet []rune
		least    int
	}{
		"letters and digits":       {letters, 16},
		"all of ASCII":             {span(' ', '~'), 16},
		"signs":                    {[]rune("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "), 20},
		"small letters":            {span('a', 'z'), 16},
		"hexadecimal":              {[]rune("0123456789abcdef"), 32},
		"control characters":       {span(0, 0x1f), 20},
		"Cyrillic":                 {span('а', 'я'), 16},
		"Greek with its accents":   {span('Ά', 'ώ'), 16},
		"Han":                      {span('一', '龥'), 15},
		"Hangul":                   {span('가', '힣'), 15},
		"emoji":                    {span('🌀', '🗿'), 15},
		"Latin beyond ASCII":       {span('À', 'ſ'), 16},
		"of every part of Unicode": {append(append(span('!', 0x2fff), span('一', '龥')...), span('🌀', '🗿')...), 15},
	} {
		t.Run(name, func(t *testing.T) { drawn(t, c.alphabet, c.least, 150) })
	}
}

func TestPhrasesAreAccepted(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	list := strings.Fields(phraseWords)
	if len(list) < 200 {
		t.Fatalf("the list has %d words", len(list))
	}
	for _, separator := range []string{" ", "-", ".", ""} {
		for range 200 {
			var words []string
			for range 5 {
				words = append(words, list[random.IntN(len(list))])
			}
			password := strings.Join(words, separator)
			if got := judge(password); got != nil {
				t.Errorf("%q: %q", password, got)
			}
		}
	}
}

var (
	fragments = []string{
		"password", "letmein", "dragon", "monkey", "iloveyou", "qwerty", "asdfgh", "zxcvbn", "1qaz2wsx", "welcome", "maya", "diaz", "acme", "corp",
		"summer", "january", "2026", "1999", "01021990", "12345678", "abc", "aaa", "x", "7", "!", ".", "-", " ", "@", "$", "velvet", "canyon", "kq", "Zv", "otter",
	}
	disguise = strings.NewReplacer("a", "@", "e", "3", "i", "1", "o", "0", "s", "$", "t", "7")
	undo     = strings.NewReplacer("@", "a", "3", "e", "1", "i", "0", "o", "$", "s", "5", "s", "7", "t")
	undoToL  = strings.NewReplacer("@", "a", "3", "e", "1", "l", "0", "o", "$", "s", "5", "s", "7", "t")
)

// guessable draws passwords that are made of what people make them of.
func guessable(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom(fragments), 1, 7).Draw(t, "parts")
	for i, part := range parts {
		switch rapid.IntRange(0, 4).Draw(t, "manner") {
		case 0:
			parts[i] = strings.ToUpper(part[:1]) + part[1:]
		case 1:
			parts[i] = disguise.Replace(part)
		case 2:
			parts[i] = part + part
		}
	}
	password := strings.Join(parts, "")
	return password[:min(len(password), iam.MaxPasswordBytes)]
}

// No form of an accepted password is one that zxcvbn itself finds weak.
func TestNoFormOfAnAcceptedPasswordIsWeak(t *testing.T) {
	words := []string{"maya", "diaz", "acme", "corp"}
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		password := guessable(t)
		if iam.JudgePassword(password, iam.PasswordPolicy{}, words) != nil {
			return
		}
		accepted++
		folded := strings.ToLower(password)
		for name, form := range map[string]string{
			"as it is": password, "folded": folded, "de-leeted": undo.Replace(folded), "de-leeted with 1 for l": undoToL.Replace(folded),
			"de-repeated": collapsed(folded), "de-repeated and de-leeted": undo.Replace(collapsed(folded)),
		} {
			if score := zxcvbn.PasswordStrength(form, words, matching.FilterL33tMatcher).Score; score < 3 {
				t.Errorf("%q was accepted, and has score %d %s: %q", password, score, name, form)
			}
		}
	})
	if accepted == 0 {
		t.Error("no password was accepted, so that nothing was checked")
	}
}

// collapsed keeps one of what is repeated: first halves of halves, then ever smaller parts.
func collapsed(text string) string {
	for size := len(text) / 2; size > 0; size-- {
		for at := 0; at+size < len(text); at++ {
			for unit := text[at:min(at+size, len(text))]; strings.HasPrefix(text[at+len(unit):], unit); {
				text = text[:at] + text[at+len(unit):]
			}
		}
	}
	return text
}

func TestTheCaseOfWordsMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password, words := guessable(t), rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(fragments), rapid.StringN(0, 12, -1)), 0, 8).Draw(t, "words")
		var upper, lower []string
		for _, word := range words {
			upper, lower = append(upper, strings.ToUpper(word)), append(lower, strings.ToLower(word))
		}
		policy := iam.PasswordPolicy{}
		want := iam.JudgePassword(password, policy, words)
		for _, other := range [][]string{upper, lower} {
			if got := iam.JudgePassword(password, policy, other); !reflect.DeepEqual(got, want) {
				t.Errorf("%q: got %q with the words %q, and %q with %q", password, got, other, want, words)
			}
		}
	})
}

// Upper case, accents and the form of composition are worth nothing.
func TestOneSpellingIsAsGoodAsAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.OneOf(rapid.Custom(guessable), rapid.StringOfN(rapid.RuneFrom([]rune("aeÉñçΩяkqzv .!7🦀龍")), 0, 24, 60)).Draw(t, "password")
		policy := iam.PasswordPolicy{}
		want := iam.JudgePassword(password, policy, aboutMaya)
		for _, other := range []string{strings.ToUpper(password), norm.NFD.String(password), norm.NFC.String(password)} {
			if len(other) > iam.MaxPasswordBytes {
				continue
			}
			if got := iam.JudgePassword(other, policy, aboutMaya); !reflect.DeepEqual(got, want) {
				t.Errorf("got %q for %q, and %q for %q", got, other, want, password)
			}
		}
	})
}

// More words can only make a password weaker.
func FuzzJudgePassword(f *testing.F) {
	for _, password := range append(fragments, longPhrase, "Maya.Diaz.Acme.26", "İİİİİİİİİİ", "\xff\x00", "e\u0301\u0301", "ﷺﷺ㏂⒛", "01/01/2019", "1|7!(4$5@8", strings.Repeat("ẞ", 24)) {
		f.Add(password, "Maya", "acme.example", 15)
	}
	sentences := map[string]bool{notText: true, tooLong: true, tooWeak: true}
	f.Fuzz(func(t *testing.T, password, word, other string, least int) {
		policy := iam.PasswordPolicy{MinLength: least}
		got := iam.JudgePassword(password, policy, []string{word, other})
		short := 0
		for _, fault := range got {
			if strings.HasPrefix(fault, "a password has at least ") {
				short++
			} else if !sentences[fault] {
				t.Errorf("%q got %q", password, fault)
			}
		}
		if short > 1 || (short == 1) != (utf8.ValidString(password) && len(password) <= iam.MaxPasswordBytes && utf8.RuneCountInString(norm.NFC.String(password)) < least) {
			t.Errorf("%q of at least %d got %q", password, least, got)
		}
		if len(got) == 0 && iam.JudgePassword(password, policy, nil) != nil {
			t.Errorf("%q is refused without words, and accepted with %q and %q", password, word, other)
		}
	})
}

// The dearest passwords that there are.
func BenchmarkJudgePassword(b *testing.B) {
	for name, password := range map[string]string{
		"phrase":      longPhrase,
		"72 letters":  "sphinxofblackquartzjudgemyvowpackmyboxwithfivedozenliquorjugsthequickfox",
		"72 signs":    strings.Repeat("1|7!(4$5@8", 8)[:72],
		"one letter":  strings.Repeat("a", 72),
		"abbreviated": strings.Repeat("㏂", 24),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				judge(password)
			}
		})
	}
}

const phraseWords = `
abacus acorn almond amber anchor antler apricot apron arrow attic badger bagel bamboo banjo barley basil beacon beaver beetle birch
bison blanket blossom bonfire bramble brisket bronze bucket buffalo burrow cabin cactus candle canoe canvas canyon carrot cashew cedar celery
cello cement cherry chimney cider cinder clover cobalt cobweb comet compass copper coral cottage coyote cradle crater cricket crystal cuckoo
curtain cypress daffodil dagger daisy dolphin donkey dragonfly drizzle dumpling eclipse elbow ember emerald falcon feather fennel ferret fiddle fjord
flannel flute foghorn fossil fountain foxglove freckle furnace galaxy gallop garlic gazelle ginger glacier goblet gopher gravel griddle guitar hammock
harbor harvest hazel hedgehog heron hickory honeycomb hornet iceberg igloo indigo island ivory jackal jasmine jigsaw juniper kayak kettle kiosk
kitten lagoon lantern lavender lemon lentil lichen lilac lizard lobster locket magnet mallet mango maple marble marsh meadow melon mitten
molasses mosaic muffin mustard napkin nectar needle nettle nickel nutmeg oasis oatmeal orchard otter oyster paddle parsnip pebble pelican pepper
pickle pigeon pillow plateau plum pocket pottery prairie pretzel pumpkin puzzle quarry quilt rabbit radish ravine rhubarb ribbon river rocket
saddle salmon sandal sapphire satchel scarf shovel sparrow spinach sponge squirrel stencil stirrup sunset swallow tadpole teapot thicket thimble thistle
timber trellis trumpet tulip tundra turnip turtle umbrella valley vanilla velvet violin walnut walrus whistle willow window wizard zebra zipper
`
