// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/credentials"
)

var (
	accessKeyShape = regexp.MustCompile(`^SCW[A-Z0-9]{17}$`)
	secretKeyShape = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

func TestMintGivesTheShapesThatClientsCheck(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 2000 {
		pair, err := credentials.Mint(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !accessKeyShape.MatchString(pair.AccessKey) || !secretKeyShape.MatchString(pair.SecretKey) {
			t.Fatalf("minted %q and a secret key of %d characters, which have not the shapes", pair.AccessKey, len(pair.SecretKey))
		}
		if seen[pair.AccessKey] || seen[pair.SecretKey] {
			t.Fatal("minted a key twice")
		}
		seen[pair.AccessKey], seen[pair.SecretKey] = true, true
		for _, r := range pair.AccessKey[3:] {
			letters[r]++
		}
	}
	if len(letters) != 36 {
		t.Errorf("access keys use %d of 36 letters and digits", len(letters))
	}
}

func TestMintUsesAll128Bits(t *testing.T) {
	// The access key takes its bytes first; 0xAB stands for a byte that a version or
	// variant field of a UUID would overwrite.
	random := io.MultiReader(bytes.NewReader(make([]byte, 17)), bytes.NewReader(bytes.Repeat([]byte{0xAB}, 16)))
	pair, err := credentials.Mint(random)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(pair.SecretKey, "-", ""); got != strings.Repeat("ab", 16) {
		t.Errorf("secret key %s does not carry the 16 bytes that were drawn", got)
	}
}

func TestMintFailsWithoutRandomness(t *testing.T) {
	for _, size := range []int{0, 10, 17, 20} {
		if _, err := credentials.Mint(bytes.NewReader(make([]byte, size))); err == nil {
			t.Errorf("minted a key from %d bytes of randomness", size)
		}
	}
}

func newKeyring(t testing.TB) credentials.Keyring {
	t.Helper()
	ring, err := credentials.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestKeyringSurvivesItsSecret(t *testing.T) {
	ring, former := newKeyring(t), newKeyring(t)
	ring.Previous = &former.Current
	parsed, err := credentials.ParseKeyring(ring.Data())
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Current.Digest("x") != ring.Current.Digest("x") || parsed.Previous.Digest("x") != former.Current.Digest("x") {
		t.Error("the parsed keyring makes other digests")
	}
}

func TestParseKeyringRefuses(t *testing.T) {
	good := newKeyring(t).Data()
	for name, change := range map[string]func(map[string][]byte){
		"nothing":            func(d map[string][]byte) { clear(d) },
		"no id":              func(d map[string][]byte) { delete(d, "current-id") },
		"an id of no form":   func(d map[string][]byte) { d["current-id"] = []byte("one") },
		"a short key":        func(d map[string][]byte) { d["current-key"] = []byte("short") },
		"a previous id only": func(d map[string][]byte) { d["previous-id"] = d["current-id"] },
	} {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for k, v := range good {
				data[k] = v
			}
			change(data)
			if _, err := credentials.ParseKeyring(data); err == nil {
				t.Error("was accepted")
			}
		})
	}
}

func TestVerify(t *testing.T) {
	ring, former, stranger := newKeyring(t), newKeyring(t), newKeyring(t)
	ring.Previous = &former.Current
	fields := []string{"uid", "SCW", "secret"}
	for name, tc := range map[string]struct {
		seal string
		want credentials.Verification
	}{
		"made with the current key":  {ring.Current.Seal(fields...), credentials.SealIntact},
		"made with the previous key": {former.Current.Seal(fields...), credentials.SealIntact},
		"made with a lost key":       {stranger.Current.Seal(fields...), credentials.SealUnknownKey},
		"of other fields":            {ring.Current.Seal("uid", "SCW", "other"), credentials.SealBroken},
		"cut short":                  {ring.Current.Seal(fields...)[:40], credentials.SealBroken},
		"empty":                      {"", credentials.SealBroken},
		"without a mac":              {ring.Current.ID + ".", credentials.SealBroken},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ring.Verify(tc.seal, fields...); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	if _, err := credentials.SealKeyID("nothing"); !errors.Is(err, credentials.ErrMalformedSeal) {
		t.Errorf("a malformed seal gave %v", err)
	}
}

// A digest must not depend on where one field ends and the next begins.
func TestSealKeepsFieldsApart(t *testing.T) {
	ring := newKeyring(t)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.String()).Draw(t, "a")
		b := rapid.SliceOf(rapid.String()).Draw(t, "b")
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = a[i] == b[i]
		}
		if (ring.Current.Seal(a...) == ring.Current.Seal(b...)) != same {
			t.Fatalf("seals of %q and %q do not tell them apart", a, b)
		}
	})
}
