// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Hash is a SHA-256 digest. Its text is lowercase hexadecimal.
type Hash [sha256.Size]byte

// String gives the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText gives the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the inverse of MarshalText; it takes nothing else.
func (h *Hash) UnmarshalText(text []byte) error {
	sum, err := hex.DecodeString(string(text))
	if err != nil || len(sum) != len(h) || !bytes.Equal(bytes.ToLower(text), text) {
		return fmt.Errorf("%q is not a SHA-256 digest in lowercase hexadecimal", text)
	}
	copy(h[:], sum)
	return nil
}

// Seal ties an event to all that were recorded before it in its chain. There is a chain for
// each Organization, and one for the events that belong to none.
type Seal struct {
	// Previous is the hash of the event before it in the chain, or the chain's GenesisHash.
	Previous Hash `json:"previous"`
	// Hash is that of Previous and of what the event says.
	Hash Hash `json:"hash"`
}

// The prefixes keep the hash of one thing from being taken for that of another.
const (
	genesisPrefix    = "iam-operator.dev/audit/v1/genesis\n"
	canonicalPrefix  = "iam-operator.dev/audit/v1/event\n"
	linkPrefix       = "iam-operator.dev/audit/v1/link\n"
	checkpointPrefix = "iam-operator.dev/audit/v1/checkpoint\n"
	headsPrefix      = "iam-operator.dev/audit/v1/heads\n"
)

// GenesisHash is what the first event of a chain has as its previous hash. It names the store,
// so that a chain that was begun anew in another store is told from the one before.
func GenesisHash(incarnation, organizationID string) Hash {
	return sha256.Sum256([]byte(genesisPrefix + incarnation + "\n" + organizationID))
}

// Canonical gives the bytes that a seal vouches for: all that the event says, with its
// sequence and its revision. They are the same for an event that was stored and read back.
func (e Event) Canonical() ([]byte, error) {
	e.RecordedAt = e.RecordedAt.UTC()
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode audit event %s: %w", e.ID, err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s%d\n%s\n", canonicalPrefix, e.Sequence, e.Revision)
	out.Write(body)
	return out.Bytes(), nil
}

// ContentHash is the hash of Canonical. Who has it and the previous hash can follow the
// chain without knowing what the event says.
func (e Event) ContentHash() (Hash, error) {
	text, err := e.Canonical()
	return sha256.Sum256(text), err
}

// SealAfter gives the seal of an event whose content has a hash, after the one before.
func SealAfter(previous, content Hash) Seal {
	link := append([]byte(linkPrefix), previous[:]...)
	return Seal{Previous: previous, Hash: sha256.Sum256(append(link, content[:]...))}
}

// ChainHead is how far a chain has come.
type ChainHead struct {
	// OrganizationID is empty for the chain of what belongs to no Organization.
	OrganizationID string `json:"organizationID"`
	// Sequence and Hash are those of its newest event.
	Sequence int64 `json:"sequence"`
	Hash     Hash  `json:"hash"`
	// DroppedSequence and DroppedHash are those of the newest event that retention removed:
	// the oldest that is kept follows it. Zero, and the GenesisHash, where none was removed.
	DroppedSequence int64 `json:"droppedSequence"`
	DroppedHash     Hash  `json:"droppedHash"`
}

// Checkpoint is a signed statement of how far the chains have come. Checkpoints form a chain
// of their own, so that none can be left out.
type Checkpoint struct {
	// Number counts the checkpoints of a store from 1, without a gap.
	Number int64 `json:"number"`
	// Incarnation is that of the store.
	Incarnation string `json:"incarnation"`
	// Previous is the Hash of the checkpoint before; zero for the first.
	Previous Hash `json:"previous"`
	// Sequence is that of the newest event that the checkpoint covers, over all chains.
	Sequence int64     `json:"sequence"`
	At       time.Time `json:"at"`
	// Heads are those of the chains that changed since the checkpoint before; of all chains where Full. They are not
	// published: there may be too many, and HeadsHash stands for them.
	Heads []ChainHead `json:"heads,omitempty"`
	// HeadsHash is the HashHeads of Heads.
	HeadsHash Hash `json:"headsHash"`
	// Full says that all chains are there, so that nothing before is needed to verify what follows.
	Full bool `json:"full"`
	// Oldest is the number of the oldest checkpoint that is kept, which is Full or the first.
	// What retention removed before it is not missing.
	Oldest int64 `json:"oldest"`
	// KeyID names the key of the Signature.
	KeyID string `json:"keyID"`
	// Signature is that of Signed, by Ed25519 (RFC 8032).
	Signature []byte `json:"signature,omitempty"`
}

// HashHeads is the hash that stands for the heads of chains in what is signed.
func HashHeads(heads []ChainHead) (Hash, error) {
	text, err := json.Marshal(append([]ChainHead{}, heads...)) // so that none is always the same
	if err != nil {
		return Hash{}, fmt.Errorf("encode the heads of the audit chains: %w", err)
	}
	return sha256.Sum256(append([]byte(headsPrefix), text...)), nil
}

// Signed gives the bytes that the signature vouches for: all but itself, and but the heads, for which HeadsHash stands.
// It is therefore the same for a checkpoint with its heads and for the published one without. A field that comes
// later must be omitempty, and come last but for those that are left out.
func (c Checkpoint) Signed() ([]byte, error) {
	c.Signature, c.Heads, c.At = nil, nil, c.At.UTC()
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode audit checkpoint %d: %w", c.Number, err)
	}
	return append([]byte(checkpointPrefix), text...), nil
}

// Hash is that of what was signed and of the signature.
func (c Checkpoint) Hash() (Hash, error) {
	text, err := c.Signed()
	return sha256.Sum256(append(text, c.Signature...)), err
}
