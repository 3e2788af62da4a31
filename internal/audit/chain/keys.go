// SPDX-License-Identifier: Apache-2.0

// Package chain vouches for the audit events: it signs how far their hash chains have come,
// verifies a store or an export against what was signed, and removes what retention lets go.
package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// The data keys of the Secret that holds the signing key.
const (
	// SigningKeyField has the private key, PKCS #8 in PEM.
	SigningKeyField = "signing-key.pem"
	// FormerKeysField has the public keys that signed before it, PKIX in PEM.
	FormerKeysField = "former-public-keys.pem"
)

const (
	privateBlock = "PRIVATE KEY"
	publicBlock  = "PUBLIC KEY"
)

// PublicKeys are keys that checkpoints may be signed with, by their id.
type PublicKeys map[string]ed25519.PublicKey

// Keys sign checkpoints, and know what signed before.
type Keys struct {
	// ID names the key that signs.
	ID string
	// Public has the public key of the one that signs, and of those that did before.
	Public PublicKeys

	private ed25519.PrivateKey
}

// NewKeys draws a key that signs from now on, after others.
func NewKeys(random io.Reader, former PublicKeys) (Keys, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Keys{}, fmt.Errorf("draw the key that signs audit checkpoints: %w", err)
	}
	return newKeys(ed25519.NewKeyFromSeed(seed), former)
}

func newKeys(private ed25519.PrivateKey, former PublicKeys) (Keys, error) {
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		return Keys{}, errors.New("the key that signs audit checkpoints has no public key of Ed25519")
	}
	id, err := keyID(public)
	if err != nil {
		return Keys{}, err
	}
	k := Keys{ID: id, Public: PublicKeys{}, private: private}
	maps.Copy(k.Public, former)
	k.Public[id] = public
	return k, nil
}

// keyID is the beginning of the hash of a public key, so that anybody can name a key alike.
func keyID(key ed25519.PublicKey) (string, error) {
	text, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a public key: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// Data gives the keys as the data of a Secret.
func (k Keys) Data() (map[string][]byte, error) {
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode the key that signs audit checkpoints: %w", err)
	}
	data := map[string][]byte{SigningKeyField: pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: private})}
	former := maps.Clone(k.Public)
	delete(former, k.ID)
	if len(former) == 0 {
		return data, nil
	}
	data[FormerKeysField], err = former.PEM()
	return data, err
}

// ParseKeys is the inverse of Data.
func ParseKeys(data map[string][]byte) (Keys, error) {
	block, rest := pem.Decode(data[SigningKeyField])
	if block == nil || block.Type != privateBlock || len(bytes.TrimSpace(rest)) > 0 {
		return Keys{}, fmt.Errorf("%s is not one private key in PEM", SigningKeyField)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return Keys{}, fmt.Errorf("%s is not a private key of Ed25519 in PKCS #8", SigningKeyField)
	}
	former, err := ParsePublicKeys(data[FormerKeysField])
	if err != nil {
		return Keys{}, fmt.Errorf("%s: %w", FormerKeysField, err)
	}
	return newKeys(private, former)
}

// PEM gives the keys in the order of their ids.
func (k PublicKeys) PEM() ([]byte, error) {
	var out bytes.Buffer
	for _, id := range slices.Sorted(maps.Keys(k)) {
		text, err := x509.MarshalPKIXPublicKey(k[id])
		if err != nil {
			return nil, fmt.Errorf("encode public key %s: %w", id, err)
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: text}))
	}
	return out.Bytes(), nil
}

// ParsePublicKeys is the inverse of PEM. There may be none.
func ParsePublicKeys(text []byte) (PublicKeys, error) {
	keys := PublicKeys{}
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != publicBlock {
			return nil, errors.New("this is not a list of public keys in PEM, as a ConfigMap of the operator has it under public-keys.pem")
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		public, ok := parsed.(ed25519.PublicKey)
		if err != nil || !ok {
			return nil, errors.New("one of the public keys is not of Ed25519")
		}
		id, err := keyID(public)
		if err != nil {
			return nil, err
		}
		keys[id] = public
	}
	return keys, nil
}

// sign completes a checkpoint.
func (k Keys) sign(c iam.Checkpoint) (iam.Checkpoint, error) {
	var err error
	if c.HeadsHash, err = iam.HashHeads(c.Heads); err != nil {
		return iam.Checkpoint{}, err
	}
	c.KeyID = k.ID
	text, err := c.Signed()
	if err != nil {
		return iam.Checkpoint{}, err
	}
	c.Signature = ed25519.Sign(k.private, text)
	return c, nil
}

// verify says what is wrong with the signature of a checkpoint; empty if nothing is.
func (k PublicKeys) verify(c iam.Checkpoint) (string, error) {
	key, known := k[c.KeyID]
	if !known {
		return fmt.Sprintf("it is signed with the key %q, which is not one of those that are known", c.KeyID), nil
	}
	text, err := c.Signed()
	if err != nil {
		return "", err
	}
	if !ed25519.Verify(key, text, c.Signature) {
		return fmt.Sprintf("its signature is not by the key %s", c.KeyID), nil
	}
	return "", nil
}

// verifyStored says what is wrong with a checkpoint that has its heads, too.
func (k PublicKeys) verifyStored(c iam.Checkpoint) (string, error) {
	if bad, err := k.verify(c); err != nil || bad != "" {
		return bad, err
	}
	return badHeads(c)
}

// badHeads says what is wrong with the heads of a checkpoint, for which their hash is signed.
func badHeads(c iam.Checkpoint) (string, error) {
	hash, err := iam.HashHeads(c.Heads)
	if err != nil || hash == c.HeadsHash {
		return "", err
	}
	return "the heads of the chains that it names are not those that were signed", nil
}
