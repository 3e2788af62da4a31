// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

const digestKeySize = 32

// DigestKey makes keyed digests (HMAC-SHA-256, RFC 2104), so that a copy of the store is
// of no use to somebody who has not the key as well.
type DigestKey struct {
	// ID names the key in whatever was made with it.
	ID     string
	secret []byte
}

// Keyring holds the digest keys: what is new is made with the current one, and the
// previous one still vouches for what was made before a rotation.
type Keyring struct {
	Current  DigestKey
	Previous *DigestKey
}

// NewKeyring draws a keyring with one key.
func NewKeyring(random io.Reader) (Keyring, error) {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return Keyring{}, fmt.Errorf("draw a digest key's id: %w", err)
	}
	secret := make([]byte, digestKeySize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return Keyring{}, fmt.Errorf("draw a digest key: %w", err)
	}
	return Keyring{Current: DigestKey{ID: id.String(), secret: secret}}, nil
}

// Key gives the digest key of an id.
func (r Keyring) Key(id string) (DigestKey, bool) {
	if id == r.Current.ID {
		return r.Current, true
	}
	if r.Previous != nil && id == r.Previous.ID {
		return *r.Previous, true
	}
	return DigestKey{}, false
}

// The data keys of the Secret that holds a keyring.
const (
	currentIDField, currentKeyField   = "current-id", "current-key"
	previousIDField, previousKeyField = "previous-id", "previous-key"
)

// Data gives the keyring as the data of a Secret.
func (r Keyring) Data() map[string][]byte {
	data := map[string][]byte{currentIDField: []byte(r.Current.ID), currentKeyField: r.Current.secret}
	if r.Previous != nil {
		data[previousIDField] = []byte(r.Previous.ID)
		data[previousKeyField] = r.Previous.secret
	}
	return data
}

// ParseKeyring is the inverse of Data.
func ParseKeyring(data map[string][]byte) (Keyring, error) {
	current, err := parseDigestKey(data, currentIDField, currentKeyField)
	if err != nil {
		return Keyring{}, err
	}
	ring := Keyring{Current: current}
	if len(data[previousIDField]) > 0 {
		previous, err := parseDigestKey(data, previousIDField, previousKeyField)
		if err != nil {
			return Keyring{}, err
		}
		ring.Previous = &previous
	}
	return ring, nil
}

func parseDigestKey(data map[string][]byte, idField, keyField string) (DigestKey, error) {
	id, err := uuid.Parse(string(data[idField]))
	if err != nil {
		return DigestKey{}, fmt.Errorf("%s must be a UUID", idField)
	}
	if len(data[keyField]) != digestKeySize {
		return DigestKey{}, fmt.Errorf("%s must have %d bytes, and has %d", keyField, digestKeySize, len(data[keyField]))
	}
	return DigestKey{ID: id.String(), secret: data[keyField]}, nil
}

// Digest gives the keyed digest of a secret key: what the store keeps in its place.
func (k DigestKey) Digest(secretKey string) string { return k.mac("digest", secretKey) }

// Digests gives the digests of a secret key under each key of the ring, the current one first: one of them is what the store
// has in place of the secret key.
func (r Keyring) Digests(secretKey string) []string {
	digests := []string{r.Current.Digest(secretKey)}
	if r.Previous != nil {
		digests = append(digests, r.Previous.Digest(secretKey))
	}
	return digests
}

// Seal vouches for the fields of a Secret, the key pair among them, so that an edit by
// hand is seen even when the store is lost. It has the form <key id>.<mac>.
func (k DigestKey) Seal(fields ...string) string { return k.ID + "." + k.mac("seal", fields...) }

// Verification is what became of a seal.
type Verification int

// The outcomes of Verify.
const (
	// SealBroken: the fields are not those that were sealed.
	SealBroken Verification = iota
	// SealIntact: they are.
	SealIntact
	// SealUnknownKey: the seal was made with a key that the keyring has not.
	SealUnknownKey
)

// ErrMalformedSeal: a seal without the form <key id>.<mac>.
var ErrMalformedSeal = errors.New("the seal has not the form <key id>.<mac>")

// SealKeyID gives the id of the key that a seal names.
func SealKeyID(seal string) (string, error) {
	id, mac, found := strings.Cut(seal, ".")
	if !found || id == "" || mac == "" {
		return "", ErrMalformedSeal
	}
	return id, nil
}

// Verify judges a seal, in constant time.
func (r Keyring) Verify(seal string, fields ...string) Verification {
	id, err := SealKeyID(seal)
	if err != nil {
		return SealBroken
	}
	key, known := r.Key(id)
	if !known {
		return SealUnknownKey
	}
	if hmac.Equal([]byte(seal), []byte(key.Seal(fields...))) {
		return SealIntact
	}
	return SealBroken
}

// mac writes each part with its length, so that no two lists of parts look alike.
func (k DigestKey) mac(purpose string, parts ...string) string {
	h := hmac.New(sha256.New, k.secret)
	for _, part := range append([]string{purpose}, parts...) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
