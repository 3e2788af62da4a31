// SPDX-License-Identifier: Apache-2.0

// Package credentials mints API keys and vouches for them. It keeps no secret of its own:
// what it needs comes in, and what it gives belongs in a Secret.
package credentials

import (
	"encoding/hex"
	"fmt"
	"io"
)

const (
	accessKeyPrefix   = "SCW"
	accessKeyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	accessKeyRandom   = 17
)

// Pair is an access key, which is public, and its secret key.
type Pair struct {
	// AccessKey is SCW and 17 characters of [A-Z0-9]: the shape that the model's clients check.
	AccessKey string
	// SecretKey has the shape of a UUID; all its 128 bits are random.
	SecretKey string
}

// Mint draws a pair from a source of randomness, which must be cryptographic.
func Mint(random io.Reader) (Pair, error) {
	access, err := drawAccessKey(random)
	if err != nil {
		return Pair{}, fmt.Errorf("draw an access key: %w", err)
	}
	var bits [16]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return Pair{}, fmt.Errorf("draw a secret key: %w", err)
	}
	h := hex.EncodeToString(bits[:])
	secret := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	return Pair{AccessKey: access, SecretKey: secret}, nil
}

// drawAccessKey rejects the bytes that would favour some letters over others.
func drawAccessKey(random io.Reader) (string, error) {
	limit := byte(256 / len(accessKeyAlphabet) * len(accessKeyAlphabet))
	key := make([]byte, 0, accessKeyRandom)
	buffer := make([]byte, accessKeyRandom)
	for len(key) < accessKeyRandom {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", err
		}
		for _, b := range buffer {
			if b < limit && len(key) < accessKeyRandom {
				key = append(key, accessKeyAlphabet[int(b)%len(accessKeyAlphabet)])
			}
		}
	}
	return accessKeyPrefix + string(key), nil
}
