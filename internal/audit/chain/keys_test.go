// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
)

// What a Secret holds is read back, and a rotation keeps what signed before.
func TestKeysRoundTrip(t *testing.T) {
	var former chain.PublicKeys
	for range 3 {
		keys, err := chain.NewKeys(rand.Reader, former)
		if err != nil {
			t.Fatal(err)
		}
		data, err := keys.Data()
		if err != nil {
			t.Fatal(err)
		}
		read, err := chain.ParseKeys(data)
		if err != nil || read.ID != keys.ID || len(read.Public) != len(former)+1 {
			t.Fatalf("read %v %v, %v", read.ID, read.Public, err)
		}
		text, err := read.Public.PEM()
		if err != nil || strings.Contains(string(text), "PRIVATE") {
			t.Fatalf("%s, %v", text, err)
		}
		if former, err = chain.ParsePublicKeys(text); err != nil || len(former) != len(read.Public) {
			t.Fatalf("read %v, %v", former, err)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	keys, err := chain.NewKeys(rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	good, err := keys.Data()
	if err != nil {
		t.Fatal(err)
	}
	private := good[chain.SigningKeyField]
	public, err := keys.Public.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data map[string][]byte
		says string
	}{
		"nothing":           {nil, "signing-key.pem is not one private key in PEM"},
		"a public key":      {map[string][]byte{chain.SigningKeyField: public}, "signing-key.pem is not one private key in PEM"},
		"two":               {map[string][]byte{chain.SigningKeyField: append(append([]byte{}, private...), private...)}, "signing-key.pem is not one private key in PEM"},
		"former ones spoil": {map[string][]byte{chain.SigningKeyField: private, chain.FormerKeysField: []byte("x")}, "former-public-keys.pem: this is not a list of public keys"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := chain.ParseKeys(test.data); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("answered by %v, want %q", err, test.says)
			}
		})
	}
	if _, err := chain.NewKeys(strings.NewReader("short"), nil); err == nil {
		t.Error("a key was drawn from too little chance")
	}
}

// Whatever is read as keys, nothing panics.
func TestParsePublicKeysOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if rapid.Bool().Draw(t, "framed") {
			text = append(append([]byte("-----BEGIN PUBLIC KEY-----\n"), text...), "\n-----END PUBLIC KEY-----\n"...)
		}
		_, _ = chain.ParsePublicKeys(text)
	})
}
