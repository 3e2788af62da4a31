// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// argonParameters are those of argon2id (RFC 9106).
type argonParameters struct {
	memory      uint32 // KiB
	time        uint32 // passes over the memory
	parallelism uint8
	salt, hash  int // bytes
}

// current is how new passwords are hashed: the second configuration of OWASP's Password
// Storage Cheat Sheet for argon2id, with the lengths of salt and tag that RFC 9106, section 4,
// recommends. Raise it here; what was hashed before is then outdated.
var current = argonParameters{memory: 19456, time: 2, parallelism: 1, salt: 16, hash: 32}

// bounds of what is verified. A hash comes from a Secret that somebody may have written, and
// must not be able to take all memory or hours; within them a verification takes at most
// 64 times the work of a current one.
var (
	leastArgon = argonParameters{memory: 8, time: 1, parallelism: 1, salt: 8, hash: 16}
	mostArgon  = argonParameters{memory: 4 * 19456, time: 32, parallelism: 4, salt: 64, hash: 64}
)

// maxSlots bounds how many hashes are made at a time, since each takes the memory that its parameters say.
const maxSlots = 4

// maxPHC is longer than any hash within the bounds.
const maxPHC = 300

// ErrMalformedHash: what should be the hash of a password is not one that this program verifies.
var ErrMalformedHash = errors.New("the stored hash is not argon2id in PHC string form with parameters in bounds; set the password anew")

// Hasher hashes passwords with argon2id, a few at a time: as many as there are processors,
// and at most four. Before that a password is brought to the Unicode normal form NFC, so that
// it does not matter how a keyboard composes its letters; nothing else is done to it.
type Hasher struct {
	random io.Reader
	slots  chan struct{}
	derive func(password, salt []byte, parameters argonParameters) []byte
}

// NewHasher gives a Hasher that takes its salts from random.
func NewHasher(random io.Reader) *Hasher {
	return &Hasher{
		random: random,
		slots:  make(chan struct{}, min(runtime.GOMAXPROCS(0), maxSlots)),
		derive: func(password, salt []byte, p argonParameters) []byte {
			return argon2.IDKey(password, salt, p.time, p.memory, p.parallelism, uint32(p.hash)) // #nosec G115 -- at most 64
		},
	}
}

// Hash gives the hash of a password, in PHC string form. It waits for its turn until the
// context ends.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, current.salt)
	if _, err := io.ReadFull(h.random, salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	hash, err := h.run(ctx, password, salt, current)
	if err != nil {
		return "", err
	}
	return phc{parameters: current, salt: salt, hash: hash}.String(), nil
}

// Verify says whether the hash is that of the password, in a time that does not depend on
// where they differ; and whether it was made with less than the present parameters, so that
// the password should be hashed again. It waits for its turn until the context ends.
// ErrMalformedHash is for what is no hash, or one whose parameters are out of bounds.
func (h *Hasher) Verify(ctx context.Context, hashed, password string) (ok, outdated bool, err error) {
	stored, err := parsePHC(hashed)
	if err != nil {
		return false, false, err
	}
	hash, err := h.run(ctx, password, stored.salt, stored.parameters)
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(hash, stored.hash) == 1, !stored.parameters.atLeast(current), nil
}

func (h *Hasher) run(ctx context.Context, password string, salt []byte, parameters argonParameters) ([]byte, error) {
	// A context that has ended must not depend on the chance of select.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	return h.derive(norm.NFC.Bytes([]byte(password)), salt, parameters), nil
}

func (p argonParameters) atLeast(other argonParameters) bool {
	return p.memory >= other.memory && p.time >= other.time && p.parallelism >= other.parallelism && p.salt >= other.salt && p.hash >= other.hash
}

// phc is a hash with what it was made of, in the form of the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>, in base64 without padding.
type phc struct {
	parameters argonParameters
	salt, hash []byte
}

var (
	phcForm   = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)
	phcBase64 = base64.RawStdEncoding.Strict()
)

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.parameters.memory, p.parameters.time, p.parameters.parallelism,
		phcBase64.EncodeToString(p.salt), phcBase64.EncodeToString(p.hash))
}

func parsePHC(s string) (phc, error) {
	if len(s) > maxPHC {
		return phc{}, ErrMalformedHash
	}
	parts := phcForm.FindStringSubmatch(s)
	if parts == nil {
		return phc{}, ErrMalformedHash
	}
	memory, errMemory := strconv.ParseUint(parts[1], 10, 32)
	time, errTime := strconv.ParseUint(parts[2], 10, 32)
	parallelism, errParallelism := strconv.ParseUint(parts[3], 10, 8)
	salt, errSalt := phcBase64.DecodeString(parts[4])
	hash, errHash := phcBase64.DecodeString(parts[5])
	if errors.Join(errMemory, errTime, errParallelism, errSalt, errHash) != nil {
		return phc{}, ErrMalformedHash
	}
	p := argonParameters{memory: uint32(memory), time: uint32(time), parallelism: uint8(parallelism), salt: len(salt), hash: len(hash)}
	// RFC 9106, section 3.1: 8 KiB of memory for each lane.
	if !p.atLeast(leastArgon) || !mostArgon.atLeast(p) || p.memory < 8*uint32(p.parallelism) {
		return phc{}, ErrMalformedHash
	}
	return phc{p, salt, hash}, nil
}

const (
	// passwordAlphabet has no letters that look alike, and no vowels, so that no word arises.
	passwordAlphabet = "bcdfghjkmnpqrstvwxyz23456789"
	// passwordLength makes 28 random characters of it, which is 134 bits, in 7 groups.
	passwordLength = 34
	passwordGroup  = 4
)

// GeneratePassword draws a password of at least 128 random bits and at least minLength
// characters, written in groups: pk7t-3hxm-…. It gives an error where minLength is beyond
// what a password may have.
func GeneratePassword(random io.Reader, minLength int) (string, error) {
	length := max(passwordLength, minLength)
	if length > iam.MaxPasswordBytes {
		return "", fmt.Errorf("a password has at most %d characters, and %d were asked for", iam.MaxPasswordBytes, minLength)
	}
	password := make([]byte, length)
	for i := range password {
		if i%(passwordGroup+1) == passwordGroup && i != length-1 {
			password[i] = '-'
			continue
		}
		letter, err := drawLetter(random)
		if err != nil {
			return "", fmt.Errorf("draw a password: %w", err)
		}
		password[i] = letter
	}
	return string(password), nil
}

// drawLetter rejects the bytes that would favour some letters over others.
func drawLetter(random io.Reader) (byte, error) {
	const letters = len(passwordAlphabet)
	for {
		var b [1]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, err
		}
		if i := int(b[0]); i < 256/letters*letters {
			return passwordAlphabet[i%letters], nil
		}
	}
}
