// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// The parameters of OWASP's Password Storage Cheat Sheet, 16 bytes of salt and 32 of hash.
var currentHash = regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`)

func hash(t testing.TB, password string) string {
	t.Helper()
	hashed, err := credentials.NewHasher(rand.Reader).Hash(context.Background(), password)
	if err != nil {
		t.Fatal(err)
	}
	return hashed
}

func TestHash(t *testing.T) {
	for name, password := range map[string]string{
		"a phrase":       "correct horse battery staple lamp",
		"not in the end": strings.Repeat("x", 72) + "y",
		"blanks":         "  blanks at both ends ",
		"no text":        "\x00\xff",
		"empty":          "",
	} {
		t.Run(name, func(t *testing.T) {
			hashed := hash(t, password)
			if !currentHash.MatchString(hashed) {
				t.Errorf("got %s", hashed)
			}
			hasher := credentials.NewHasher(rand.Reader)
			if ok, outdated, err := hasher.Verify(t.Context(), hashed, password); !ok || outdated || err != nil {
				t.Errorf("ok %t, outdated %t, %v", ok, outdated, err)
			}
			for _, other := range []string{password + "x", strings.ToUpper(password) + "X", strings.TrimSpace(password) + " ", "x" + password} {
				if ok, _, err := hasher.Verify(t.Context(), hashed, other); ok || err != nil {
					t.Errorf("%q: ok %t, %v", other, ok, err)
				}
			}
		})
	}
	if first, second := hash(t, "the same"), hash(t, "the same"); first == second {
		t.Error("the same password has the same hash twice")
	}
}

func TestHashIsOfTheNormalForm(t *testing.T) {
	hasher := credentials.NewHasher(rand.Reader)
	for name, c := range map[string]struct {
		password, other string
		ok              bool
	}{
		"an accent apart":                {"café crème", "cafe\u0301 cre\u0300me", true},
		"a sign of another block":        {"47 Å wide", "47 \u212b wide", true},
		"a ligature is another letter":   {"ﬁne", "fine", false},
		"full width is another letter":   {"ａ", "a", false},
		"upper case is another letter":   {"Fine", "fine", false},
		"a blank at the end is one more": {"fine ", "fine", false},
		"a line's end is one more":       {"fine\n", "fine", false},
	} {
		t.Run(name, func(t *testing.T) {
			if ok, _, err := hasher.Verify(t.Context(), hash(t, c.password), c.other); ok != c.ok || err != nil {
				t.Errorf("ok %t, %v", ok, err)
			}
			if ok, _, err := hasher.Verify(t.Context(), hash(t, c.other), c.password); ok != c.ok || err != nil {
				t.Errorf("the other way: ok %t, %v", ok, err)
			}
		})
	}
}

func TestHashFailsWithoutRandomness(t *testing.T) {
	hasher := credentials.NewHasher(bytes.NewReader(make([]byte, 15)))
	if hashed, err := hasher.Hash(t.Context(), "x"); err == nil {
		t.Errorf("got %s with 15 bytes of salt", hashed)
	}
}

// The first three are vectors of the reference implementation of argon2.
func TestVerifyHash(t *testing.T) {
	const salt16, hash32 = "c29tZXNhbHRzb21lc2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, c := range map[string]struct {
		hashed       string
		ok, outdated bool
	}{
		"more memory, a short salt":   {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", true, true},
		"less memory":                 {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", true, true},
		"two lanes":                   {"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", true, true},
		"another password's":          {"$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + hash32, false, false},
		"as current":                  {made(19456, 2, 1, 16, 32), true, false},
		"a pass more":                 {made(19456, 3, 1, 16, 32), true, false},
		"a lane more":                 {made(19456, 2, 2, 16, 32), true, false},
		"a pass less":                 {made(19456, 1, 1, 16, 32), true, true},
		"a little memory less":        {made(19448, 2, 1, 16, 32), true, true},
		"more passes for less memory": {made(12288, 3, 1, 16, 32), true, true},
		"a byte of salt less":         {made(19456, 2, 1, 15, 32), true, true},
		"a byte of hash less":         {made(19456, 2, 1, 16, 31), true, true},
		"the least of all":            {made(8, 1, 1, 8, 16), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			ok, outdated, err := credentials.NewHasher(rand.Reader).Verify(t.Context(), c.hashed, "password")
			if ok != c.ok || outdated != c.outdated || err != nil {
				t.Errorf("ok %t, outdated %t, %v", ok, outdated, err)
			}
		})
	}
}

// made is the hash of "password", made with the library itself.
func made(memory, time uint32, lanes uint8, salt int, size uint32) string {
	s := bytes.Repeat([]byte{'s'}, salt)
	return phcString(memory, time, lanes, s, argon2.IDKey([]byte("password"), s, time, memory, lanes, size))
}

func phcString(memory, time uint32, lanes uint8, salt, sum []byte) string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, time, lanes, encode(salt), encode(sum))
}

func TestVerifyHashRefuses(t *testing.T) {
	const salt, sum = "c29tZXNhbHRzb21lc2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, hashed := range map[string]string{
		"empty":                     "",
		"the password itself":       "password",
		"bcrypt":                    "$2b$12$WApznUPhDubN0oeveSXHp.dF9/Zr4Fv6XgkSTzqhXe6y8VFHT1kVe",
		"argon2i":                   "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
		"an older version":          "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + sum,
		"no version":                "$argon2id$m=19456,t=2,p=1$" + salt + "$" + sum,
		"parameters in disorder":    "$argon2id$v=19$t=2,m=19456,p=1$" + salt + "$" + sum,
		"a parameter more":          "$argon2id$v=19$m=19456,t=2,p=1,keyid=x$" + salt + "$" + sum,
		"a leading zero":            "$argon2id$v=19$m=019456,t=2,p=1$" + salt + "$" + sum,
		"a sign":                    "$argon2id$v=19$m=+19456,t=2,p=1$" + salt + "$" + sum,
		"memory for a bomb":         "$argon2id$v=19$m=4194304,t=2,p=1$" + salt + "$" + sum,
		"memory beyond 32 bits":     "$argon2id$v=19$m=9999999999,t=2,p=1$" + salt + "$" + sum,
		"memory just out of bounds": "$argon2id$v=19$m=77825,t=2,p=1$" + salt + "$" + sum,
		"no memory":                 "$argon2id$v=19$m=0,t=2,p=1$" + salt + "$" + sum,
		"too little memory":         "$argon2id$v=19$m=7,t=2,p=1$" + salt + "$" + sum,
		"memory for one of two":     "$argon2id$v=19$m=15,t=2,p=2$" + salt + "$" + sum,
		"passes for years":          "$argon2id$v=19$m=19456,t=4294967295,p=1$" + salt + "$" + sum,
		"passes out of bounds":      "$argon2id$v=19$m=19456,t=33,p=1$" + salt + "$" + sum,
		"no passes":                 "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + sum,
		"lanes out of bounds":       "$argon2id$v=19$m=19456,t=2,p=5$" + salt + "$" + sum,
		"lanes beyond 8 bits":       "$argon2id$v=19$m=19456,t=2,p=257$" + salt + "$" + sum,
		"no lanes":                  "$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + sum,
		"no salt":                   "$argon2id$v=19$m=19456,t=2,p=1$$" + sum,
		"a short salt":              "$argon2id$v=19$m=19456,t=2,p=1$c29tZXM$" + sum,
		"a long salt":               "$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("AAAA", 22) + "$" + sum,
		"no hash":                   "$argon2id$v=19$m=19456,t=2,p=1$" + salt,
		"a short hash":              "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + "AAAAAAAAAAAAAAAAAAAA",
		"a long hash":               "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("AAAA", 22),
		"padding":                   "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "==$" + sum + "=",
		"base64 of URLs":            "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + "-" + sum[1:],
		"half a byte":               "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum[:42] + "B",
		"something before":          " $argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum,
		"something after":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + sum + "\n",
		"very long":                 "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("AAAA", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			ok, outdated, err := credentials.NewHasher(rand.Reader).Verify(t.Context(), hashed, "password")
			if ok || outdated || !errors.Is(err, credentials.ErrMalformedHash) {
				t.Errorf("ok %t, outdated %t, %v", ok, outdated, err)
			}
		})
	}
}

func TestGeneratePassword(t *testing.T) {
	words := []string{"maya", "Maya", "Diaz", "maya@acme.example", "acme", "Acme Corp"}
	shape := regexp.MustCompile(`^([b-df-hj-km-np-tv-z2-9]{4}-)+[b-df-hj-km-np-tv-z2-9]{1,5}$`)
	letters, seen := map[rune]int{}, map[string]bool{}
	for least := -1; least <= 72; least++ {
		password, err := credentials.GeneratePassword(rand.Reader, least)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(34, least); len(password) != want || !shape.MatchString(password) || seen[password] {
			t.Errorf("at least %d characters: got %d characters, want %d: %s", least, len(password), want, password)
		}
		if faults := iam.JudgePassword(password, iam.PasswordPolicy{MinLength: least}, words); len(faults) > 0 {
			t.Errorf("%s is refused: %q", password, faults)
		}
		seen[password] = true
		for _, r := range strings.ReplaceAll(password, "-", "") {
			letters[r]++
		}
	}
	if len(letters) != 28 {
		t.Errorf("%d letters and digits occur, want 28, so that 28 of them have 134 bits", len(letters))
	}
	if _, err := credentials.GeneratePassword(rand.Reader, 73); err == nil || !strings.Contains(err.Error(), "at most 72 characters, and 73 were asked for") {
		t.Errorf("73 characters: %v", err)
	}
	if _, err := credentials.GeneratePassword(bytes.NewReader(make([]byte, 27)), 15); err == nil {
		t.Error("made a password of 28 random characters from 27 bytes")
	}
}

// No byte is preferred: those beyond the last whole multiple of the alphabet are drawn again.
func TestGeneratePasswordIsFair(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	random, letters := bytes.NewReader(bytes.Repeat(all, 28)), map[rune]int{}
	for range 252 {
		password, err := credentials.GeneratePassword(random, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range strings.ReplaceAll(password, "-", "") {
			letters[r]++
		}
	}
	for r, n := range letters {
		if n != 252 {
			t.Errorf("%c occurs %d times of 252", r, n)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	hasher := credentials.NewHasher(rand.Reader)
	b.SetParallelism(16 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := hasher.Hash(context.Background(), "correct horse battery staple lamp"); err != nil {
				b.Error(err)
			}
		}
	})
}
