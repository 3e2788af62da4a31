// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Keys that ssh-keygen made; the fingerprints below are what ssh-keygen -E md5 -lf says of them, with the key type as
// the model writes it.
const (
	ed25519Key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWEeZ7q4QrXXaZXB54B6LB9o57ii4G/qdVCCi3msznO"
	ecdsa256Key = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEO58XDXohOA3MZL2dValMjOlQK0FLgDmrqLlq+Tow+FYhZY5Rjv4I7Cc/DHlk5BADP7cWPcIAYEK6SMs6mVib0="
	ecdsa384Key = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBCl+a953gujN175EFrSWWSZrSIE2MEoRRGUr8NPu7toMnV+E0GtPSGJ534SE4HCNQSazZmOemCtaZcXvbdGuB35LcKLjvMHKKx2dASg+DCwsCSTtnhoS0/JnVubsDZ/aYw=="
	ecdsa521Key = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAA4GNU+6dBUH5T3+oCAlI6VsSQ4w9Jsgjz/10AzH+X8yYp25Q1BhFk1FDF5spYfES97HuHiSEsa0IQXu0fnjE0FpgBbzd/v36FK+W3FVWJzD8vHvX5iBJhdSr/R05lw4RQpTsFg5boigVdaW6XdehN6sCMmVfIfvYYDND5pOHCfO/xxYQ=="
	rsa2048Key  = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCy/LgS7hgMNJ5oyoNJbLT+zJf6LBVwpKFjegWJlzuzBfCLtRgV0wnhQcl+ZFruauC8JfyaSHsIT1brS6qlC2jQy6ykpaB+cgKwCjudPoN/DQNUXRKDg/De1oRxg+1NDras7PXcS3xYIwqVSATgC9BI/qMPy7yq1ETcKEBCKjVrzyCzWhElxZ5sy6T0/t8IlRPDTxh7TYecQoaqj+pTzP6g8TEfDQSY80NRsSq17ro9UqppqPerJ06w1tJ8TMcwhkzsnpB//VV7c6XTaPnWTiBqyrFo9P6JZ7QeiznJupZUbiP189slsPMuKomNMdqbdZf+7LV5rOrzW3Ab6SSQBtcX"
	rsa1024Key  = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDC+Kx0QHTB3pxfEZSLDnbdfFJdFi0b4W8xYJdio16LXBamS8Ra255Hvp+n4J3aAh2+AWkFS+l2TdxnEU1yEzcKQ7j3e0F8pL3x4kXqnppqd3yfMIwJ7Qnzdown/9QaIUK8+kP6MIUKsJVaZZ/EAbpkIVnw8UPamnudPoXjaBbo2w=="
)

// wire makes a line of a key type that ssh-keygen makes with hardware only, or no longer.
func wire(keyType string, rest any) string {
	blob := append(ssh.Marshal(struct{ Type string }{keyType}), ssh.Marshal(rest)...)
	return keyType + " " + base64.StdEncoding.EncodeToString(blob)
}

var (
	skEd25519Key = wire("sk-ssh-ed25519@openssh.com", struct {
		Key         []byte
		Application string
	}{make([]byte, 32), "ssh:"})
	dsaKey = wire("ssh-dss", struct{ P, Q, G, Y *big.Int }{
		new(big.Int).SetBit(big.NewInt(1), 1023, 1), new(big.Int).SetBit(big.NewInt(1), 159, 1), big.NewInt(2), big.NewInt(3),
	})
	negativeRSAKey = wire("ssh-rsa", struct{ E, N *big.Int }{
		big.NewInt(65537), new(big.Int).Neg(new(big.Int).SetBit(big.NewInt(1), 2047, 1)),
	})
)

func TestSSHKey(t *testing.T) {
	got, err := declared.SSHKey(sshKey(), organizationID, projectID)
	if err != nil {
		t.Fatal(err)
	}
	wanted := &iam.SSHKey{
		Head: head(iam.KindSSHKey, "ada"), Name: "Ada's key", ProjectID: projectID, PublicKey: ed25519Key,
		Fingerprint: "256 MD5:0f:73:22:ba:13:07:a0:7f:d6:ea:ce:e7:ff:56:c8:1f (ssh-ed25519)", Disabled: true,
	}
	same(t, got, wanted)

	bare := sshKey()
	bare.Spec.DisplayName, bare.Spec.State, bare.Spec.PublicKey = "", "", "\t"+strings.Replace(ed25519Key, " ", " \t", 1)+"\t a long comment\t\n"
	wanted.Name, wanted.Disabled = "ada", false
	if got, err = declared.SSHKey(bare, organizationID, projectID); err != nil {
		t.Fatal(err)
	}
	same(t, got, wanted)

	bare.Spec.PublicKey = "ssh-ed25519"
	if _, err = declared.SSHKey(bare, organizationID, projectID); err == nil || !strings.HasPrefix(err.Error(), "spec.publicKey: ") {
		t.Errorf("got %v", err)
	}
}

func TestSSHKeyTypes(t *testing.T) {
	for line, fingerprint := range map[string]string{
		ed25519Key:   "256 MD5:0f:73:22:ba:13:07:a0:7f:d6:ea:ce:e7:ff:56:c8:1f (ssh-ed25519)",
		ecdsa256Key:  "256 MD5:95:bb:6d:17:ca:3c:21:98:7b:5a:06:59:71:99:eb:c6 (ecdsa-sha2-nistp256)",
		ecdsa384Key:  "384 MD5:e5:42:42:23:b5:4d:e1:09:08:6a:eb:e2:26:58:4d:fc (ecdsa-sha2-nistp384)",
		ecdsa521Key:  "521 MD5:b8:fc:81:37:8b:fb:0c:98:0d:9b:ad:eb:3f:24:57:50 (ecdsa-sha2-nistp521)",
		rsa2048Key:   "2048 MD5:40:5d:ac:46:37:c4:ce:f6:de:ae:80:25:81:6e:7e:0a (ssh-rsa)",
		skEd25519Key: "256 MD5:7c:52:17:01:23:cf:51:6c:1d:d5:30:82:6e:de:93:0e (sk-ssh-ed25519@openssh.com)",
	} {
		t.Run(strings.Fields(line)[0], func(t *testing.T) {
			k := sshKey()
			k.Spec.PublicKey = line + " comment"
			check(t, declared.ValidateSSHKey(k))
			got, err := declared.SSHKey(k, organizationID, projectID)
			if err != nil {
				t.Fatal(err)
			}
			if got.PublicKey != line || got.Fingerprint != fingerprint {
				t.Errorf("got %s, %s; want %s", got.PublicKey, got.Fingerprint, fingerprint)
			}
		})
	}
}

func TestValidateSSHKey(t *testing.T) {
	blob := strings.Fields(ed25519Key)[1]
	const options = "options before the key, such as command= or from=, are not accepted; give only type and key"
	cases := map[string]invalid[*v1alpha1.SSHKey]{}
	for name, c := range map[string]struct{ line, words string }{
		"empty":                  {"", "the public key is empty; write a line such as"},
		"blank":                  {" \n\t", "the public key is empty"},
		"two lines":              {ed25519Key + "\n" + rsa2048Key, "a public key is one line; create an SSHKey for each"},
		"broken in two":          {"ssh-ed25519\n" + blob, "a public key is one line"},
		"a carriage return":      {ed25519Key + " a\rb", "a public key is one line"},
		"a private key":          {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n-----END OPENSSH PRIVATE KEY-----\n", "not a public key line; take the line of the .pub file"},
		"a command":              {`command="/bin/sh" ` + ed25519Key, options},
		"an option with a blank": {`command="echo a b",no-pty ` + ed25519Key, options},
		"a host restriction":     {`from="10.0.0.0/8" ` + rsa2048Key + " c", options},
		"a host name":            {"github.com " + ed25519Key, options},
		"a comment line":         {"# " + ed25519Key, options},
		"only the key":           {blob, "does not begin with a key type that is accepted; use ssh-ed25519"},
		"only the type":          {"ssh-ed25519", "the key itself is missing after ssh-ed25519"},
		"a type in capitals":     {"SSH-ED25519 " + blob, "does not begin with a key type that is accepted"},
		"a signature algorithm":  {"rsa-sha2-512 " + strings.Fields(rsa2048Key)[1], "does not begin with a key type that is accepted"},
		"another type's key":     {"ssh-rsa " + blob, "the line says ssh-rsa, but the key is of type ssh-ed25519"},
		"not base64":             {"ssh-ed25519 AAAA!", "the key after ssh-ed25519 is not base64"},
		"cut short":              {ed25519Key[:len(ed25519Key)-4], "the key after ssh-ed25519 cannot be read"},
		"something appended":     {"ssh-ed25519 " + blob + "AAAA", "the key after ssh-ed25519 cannot be read"},
		"DSA":                    {dsaKey, "keys of type ssh-dss are too weak and refused by OpenSSH; use ssh-ed25519"},
		"RSA of 1024 bits":       {rsa1024Key, "an RSA key has at least 2048 bits, and this one has 1024; make a new one, better of type ssh-ed25519"},
		"RSA of a negative size": {negativeRSAKey, "an RSA key has at least 2048 bits"},
		"a certificate":          {"ssh-ed25519-cert-v01@openssh.com " + blob, "this is a certificate, not a public key"},
		"too long":               {ed25519Key + " " + strings.Repeat("c", 65000), "characters and may have 65000"},
	} {
		cases[name] = invalid[*v1alpha1.SSHKey]{func(k *v1alpha1.SSHKey) { k.Spec.PublicKey = c.line }, []want{{"spec.publicKey", c.words}}}
	}
	refuses(t, sshKey, declared.ValidateSSHKey, cases)
}

// What gets through ends in an authorized_keys file: one line, no options, and OpenSSH's own reading of it is the same key.
func FuzzSSHKey(f *testing.F) {
	for _, seed := range append([]string{ecdsa256Key, ecdsa521Key, rsa2048Key, rsa1024Key, skEd25519Key, dsaKey, negativeRSAKey, ed25519Key + " ada@acme", `command="x" ` + ed25519Key}, texts...) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		k := sshKey()
		k.Spec.PublicKey = line
		refused := len(declared.ValidateSSHKey(k)) > 0
		key, err := declared.SSHKey(k, organizationID, projectID)
		if refused != (err != nil) {
			t.Fatalf("the validator refuses: %t; the conversion says %v", refused, err)
		}
		if err != nil {
			return
		}
		if strings.Count(key.PublicKey, " ") != 1 || strings.ContainsAny(key.PublicKey, "\n\r\t\"") {
			t.Errorf("not type and key alone: %q", key.PublicKey)
		}
		read, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(key.PublicKey))
		if err != nil || comment != "" || len(options) > 0 || len(rest) > 0 || ssh.FingerprintLegacyMD5(read) != strings.TrimPrefix(strings.Fields(key.Fingerprint)[1], "MD5:") {
			t.Errorf("%q is read as %v %q %q %q, %v", key.PublicKey, read, comment, options, rest, err)
		}
		k.Spec.PublicKey = key.PublicKey
		if again, err := declared.SSHKey(k, organizationID, projectID); err != nil || again.PublicKey != key.PublicKey {
			t.Errorf("the stored key does not pass again: %v", err)
		}
	})
}
