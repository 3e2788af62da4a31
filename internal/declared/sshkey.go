// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

const (
	// maxPublicKey is the model's limit, in characters.
	maxPublicKey = 65000
	// minRSABits is what NIST SP 800-131A rev. 2 demands.
	minRSABits = 2048
)

// keyBits tells the size of the key types that are accepted; that of an RSA key is its own.
var keyBits = map[string]int{
	ssh.KeyAlgoED25519:    256,
	ssh.KeyAlgoECDSA256:   256,
	ssh.KeyAlgoECDSA384:   384,
	ssh.KeyAlgoECDSA521:   521,
	ssh.KeyAlgoSKED25519:  256,
	ssh.KeyAlgoSKECDSA256: 256,
	ssh.KeyAlgoRSA:        0,
}

// SSHKey is the entity of an SSHKey: type and key without the comment, and a fingerprint such as
// "256 MD5:94:db:… (ssh-ed25519)". A public key that ValidateSSHKey refuses is an error.
func SSHKey(k *v1alpha1.SSHKey, organizationID, projectID string) (*iam.SSHKey, error) {
	key, err := parsePublicKey(k.Spec.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("spec.publicKey: %w", err)
	}
	return &iam.SSHKey{
		Head:        Head(k, iam.KindSSHKey, organizationID),
		Name:        nameOf(k, k.Spec.DisplayName),
		ProjectID:   projectID,
		PublicKey:   key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal()),
		Fingerprint: fmt.Sprintf("%d MD5:%s (%s)", bitsOf(key), ssh.FingerprintLegacyMD5(key), key.Type()),
		Disabled:    k.Spec.State == v1alpha1.SSHKeyDisabled,
	}, nil
}

// ValidateSSHKey says what is wrong with an SSHKey, as far as it alone tells.
func ValidateSSHKey(k *v1alpha1.SSHKey) field.ErrorList {
	errs := validateObject(k)
	if _, err := parsePublicKey(k.Spec.PublicKey); err != nil {
		// The value is left out: who confuses the two halves pastes a private key.
		errs = append(errs, field.Invalid(field.NewPath("spec", "publicKey"), field.OmitValueType{}, err.Error()))
	}
	return errs
}

// parsePublicKey reads a line of an authorized_keys file (sshd(8), AUTHORIZED_KEYS FILE FORMAT) without options. Its
// errors never quote the line.
func parsePublicKey(text string) (ssh.PublicKey, error) {
	if len(text) > maxPublicKey {
		return nil, fmt.Errorf("the public key has %d characters and may have %d", len(text), maxPublicKey)
	}
	line := strings.TrimSpace(text)
	if strings.HasPrefix(line, "-----BEGIN") {
		return nil, errors.New("this is a PEM or OpenSSH key file, not a public key line; take the line of the .pub file, such as ssh-ed25519 AAAA…, and replace the key if this was its private half")
	}
	if strings.ContainsAny(line, "\n\r") {
		return nil, errors.New("a public key is one line; create an SSHKey for each")
	}
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return nil, errors.New("the public key is empty; write a line such as ssh-ed25519 AAAA…")
	}
	if err := checkKeyType(words); err != nil {
		return nil, err
	}
	if len(words) == 1 {
		return nil, fmt.Errorf("the key itself is missing after %s; write type and key, such as ssh-ed25519 AAAA…", words[0])
	}
	return decodeKey(words[0], words[1])
}

// checkKeyType looks at the first word, which is the type where there are no options.
func checkKeyType(words []string) error {
	keyType := words[0]
	if _, accepted := keyBits[keyType]; accepted {
		return nil
	}
	const instead = "use ssh-ed25519, ecdsa-sha2-nistp256, -384 or -521, their sk- variants, or ssh-rsa with at least 2048 bits"
	switch {
	case keyType == ssh.InsecureKeyAlgoDSA: //nolint:staticcheck // named only to refuse it
		return errors.New("keys of type ssh-dss are too weak and refused by OpenSSH; " + instead)
	case strings.Contains(keyType, "-cert-v01@openssh.com"):
		return errors.New("this is a certificate, not a public key; give the public key itself: " + instead)
	case slices.ContainsFunc(words[1:], isKeyType):
		return errors.New("options before the key, such as command= or from=, are not accepted; give only type and key, such as ssh-ed25519 AAAA…")
	}
	return errors.New("the line does not begin with a key type that is accepted; " + instead)
}

func isKeyType(word string) bool {
	_, accepted := keyBits[word]
	return accepted
}

func decodeKey(keyType, encoded string) (ssh.PublicKey, error) {
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the key after %s is not base64, perhaps cut short or broken in two; copy the whole line of the .pub file", keyType)
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("the key after %s cannot be read (%w); copy the whole line of the .pub file", keyType, err)
	}
	if key.Type() != keyType {
		return nil, fmt.Errorf("the line says %s, but the key is of type %s; copy the whole line of the .pub file", keyType, key.Type())
	}
	if bits := bitsOf(key); keyType == ssh.KeyAlgoRSA && bits < minRSABits {
		return nil, fmt.Errorf("an RSA key has at least %d bits, and this one has %d; make a new one, better of type ssh-ed25519", minRSABits, bits)
	}
	return key, nil
}

// bitsOf is the key's size in bits, as ssh-keygen -l shows it.
func bitsOf(key ssh.PublicKey) int {
	if wrapped, ok := key.(ssh.CryptoPublicKey); ok {
		if rsaKey, ok := wrapped.CryptoPublicKey().(*rsa.PublicKey); ok && rsaKey.N.Sign() > 0 {
			return rsaKey.N.BitLen()
		}
	}
	return keyBits[key.Type()]
}
