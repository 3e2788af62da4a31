// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// The data of a Secret with a generated password.
const (
	generatedPasswordField = "password"
	generatedUsernameField = "username"
)

// usernameAnnotation, on a Secret with a generated password, is the username in it, so
// that the metadata tells whether that is up to date.
const usernameAnnotation = "iam-operator.dev/username"

// passwordLook is the state of a Secret's key at which its content was read.
type passwordLook struct {
	Secret          string    `json:"secret,omitempty"`
	UID             types.UID `json:"uid,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
	Key             string    `json:"key,omitempty"`
}

// passwordSource says which content the password in force was made from.
type passwordSource struct {
	passwordLook
	// Digest of the content, under the digest key named DigestKeyID.
	Digest      string `json:"digest,omitempty"`
	DigestKeyID string `json:"digestKeyID,omitempty"`
	// Generated is the Secret that the operator made for the password; empty when it made none.
	Generated string `json:"generated,omitempty"`
}

// syncPassword puts the declared password in force, or says why it is not. What keeps it
// from being so leaves the former one in force.
func (c *memberCredentials) syncPassword(ctx context.Context) error {
	asked := c.member.Spec.Password
	switch {
	case asked == nil:
		return c.removePassword(ctx)
	case !c.keepable():
		c.await(waiting(v1alpha1.ReasonSecretConflict, "%s", c.conflict()))
		return nil
	}
	look, content, err := c.findPassword(ctx, asked)
	if _, explained := asFailure(err); explained {
		c.await(err)
		return nil
	}
	if err != nil {
		return err
	}
	entry, _ := c.memory.of(c.member.UID)
	accepted := entry.judged != look || entry.refusedUnder == ""
	if content != nil {
		if accepted, err = c.judgePassword(ctx, look, content); err != nil {
			return fmt.Errorf("hash the password: %w", err)
		}
	}
	if !accepted {
		// No more than that: who may read the status need not be one who may read the Secret.
		c.say(metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused, fmt.Sprintf("The password in Secret %s does not meet the policy", look.Secret))
		return nil
	}
	c.say(metav1.ConditionTrue, v1alpha1.ReasonApplied, "The declared password was put in force; since then the Member may have changed it")
	return c.keepGenerated(ctx, asked, look.Secret)
}

func (c *memberCredentials) say(status metav1.ConditionStatus, reason, message string) {
	c.valid = &metav1.Condition{Type: v1alpha1.ConditionCredentialsValid, Status: status, Reason: reason, Message: message}
}

// await has the Member wait for the Secret that its password comes from. No watch tells of
// all that may end this.
func (c *memberCredentials) await(failure error) {
	c.problem = failure
	c.lookAgain = append(c.lookAgain, c.now.Add(conflictPoll))
	if f, explained := asFailure(failure); explained {
		c.say(metav1.ConditionFalse, f.reason, f.message)
	}
}

// removePassword ends a password that is not declared any more.
func (c *memberCredentials) removePassword(ctx context.Context) error {
	if err := c.keepGenerated(ctx, nil, ""); err != nil {
		return err
	}
	if c.record.password != "" || c.record.life.HasPassword {
		c.apply(iam.PasswordRemoved, c.now)
	}
	c.record.password, c.record.source = "", passwordSource{}
	return nil
}

// keepGenerated records the Secret that the operator made, if the password is from such a
// one, and deletes one that is not needed any more.
func (c *memberCredentials) keepGenerated(ctx context.Context, asked *v1alpha1.MemberPassword, name string) error {
	if former := c.record.source.Generated; former != "" && former != name {
		if err := c.deleteSecret(ctx, c.member, former); err != nil {
			return err
		}
	}
	c.record.source.Generated = ""
	if asked != nil && asked.Generate != nil {
		c.record.source.Generated = name
	}
	return nil
}

// findPassword finds the content of the password's Secret; nil when it was read and judged
// before and cannot have changed since.
func (c *memberCredentials) findPassword(ctx context.Context, asked *v1alpha1.MemberPassword) (passwordLook, []byte, error) {
	if asked.Generate != nil {
		return c.findGenerated(ctx, string(asked.Generate.SecretName))
	}
	name, field := string(asked.SecretRef.Name), asked.SecretRef.Key
	if look, known, err := c.lookAtMetadata(ctx, name, field); known || err != nil {
		return look, nil, err
	}
	secret := &corev1.Secret{}
	err := c.APIReader.Get(ctx, types.NamespacedName{Namespace: c.member.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return passwordLook{}, nil, waiting(v1alpha1.ReasonReferenceNotFound, "Secret %s not found in namespace %s", name, c.member.Namespace)
	case err != nil:
		return passwordLook{}, nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	if err := optedIn(secret); err != nil {
		return passwordLook{}, nil, err
	}
	content, found := secret.Data[field]
	if !found {
		return passwordLook{}, nil, waiting(v1alpha1.ReasonReferenceNotFound, "Secret %s in namespace %s has no key %s", name, c.member.Namespace, field)
	}
	return lookOf(&secret.ObjectMeta, field), present(content), nil
}

// present tells a content that is empty from none.
func present(content []byte) []byte {
	if content == nil {
		return []byte{}
	}
	return content
}

func lookOf(metadata *metav1.ObjectMeta, field string) passwordLook {
	return passwordLook{Secret: metadata.Name, UID: metadata.UID, ResourceVersion: metadata.ResourceVersion, Key: field}
}

// optedIn says how a Secret opts in to holding a password: who may write a Member must not
// be able to have just any Secret of the namespace tried as a password.
func optedIn(secret *corev1.Secret) error {
	switch {
	case secret.Type != v1alpha1.PasswordSecretType:
		return waiting(v1alpha1.ReasonSecretNotOptedIn,
			"Secret %[1]s is not of type %[3]s, and the type of a Secret cannot change. Make it anew: kubectl -n %[2]s delete secret %[1]s; kubectl -n %[2]s create secret generic %[1]s --type=%[3]s --from-file=password=<file>; kubectl -n %[2]s label secret %[1]s %[4]s=true",
			secret.Name, secret.Namespace, v1alpha1.PasswordSecretType, v1alpha1.WatchLabel)
	case secret.Labels[v1alpha1.WatchLabel] != "true":
		return waiting(v1alpha1.ReasonSecretNotOptedIn, "Secret %s lacks the label by which it opts in: kubectl -n %s label --overwrite secret %s %s=true",
			secret.Name, secret.Namespace, secret.Name, v1alpha1.WatchLabel)
	}
	return nil
}

// lookAtMetadata says whether a key of a Secret is as it was when its content was read and
// judged last, by the rules that still hold.
func (c *memberCredentials) lookAtMetadata(ctx context.Context, name, field string) (passwordLook, bool, error) {
	metadata := secretMetadata()
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.member.Namespace, Name: name}, metadata)
	if err != nil {
		return passwordLook{}, false, client.IgnoreNotFound(err)
	}
	look := lookOf(&metadata.ObjectMeta, field)
	entry, _ := c.memory.of(c.member.UID)
	if entry.judged == look && entry.refusedUnder != "" {
		return look, entry.refusedUnder == c.rules(), nil
	}
	if c.record.password == "" || c.record.source.DigestKeyID != c.Keyring.Current.ID || c.outdated(entry) {
		return look, false, nil
	}
	source := c.record.source
	return look, source.passwordLook == look || entry.judged == look && entry.digest == source.Digest, nil
}

// rules tells one set of rules for passwords from another.
func (c *memberCredentials) rules() string {
	text, err := json.Marshal([]any{c.security.PasswordPolicy(), declared.PasswordWords(c.member, c.organization)})
	if err != nil {
		return "" // Numbers and words can be encoded; no rules are ever those of before.
	}
	return string(text)
}

// judgePassword puts a content in force, unless it is in force already; and says false when
// it breaks the rules.
func (c *memberCredentials) judgePassword(ctx context.Context, look passwordLook, content []byte) (bool, error) {
	source := passwordSource{
		passwordLook: look, Digest: c.digest(c.Keyring.Current, content), DigestKeyID: c.Keyring.Current.ID, Generated: c.record.source.Generated,
	}
	same, err := c.inForce(ctx, look, content)
	if err != nil {
		return false, err
	}
	refusedUnder := ""
	switch {
	case same:
		if source.DigestKeyID != c.record.source.DigestKeyID {
			c.record.source = source
		}
		err = c.rehash(ctx, content)
	case len(iam.JudgePassword(string(content), c.security.PasswordPolicy(), declared.PasswordWords(c.member, c.organization))) > 0:
		refusedUnder = c.rules()
	default:
		if c.record.password, err = c.Hasher.Hash(ctx, string(content)); err == nil {
			c.record.source = source
			c.apply(iam.PasswordGiven, c.now)
		}
	}
	if err != nil {
		return false, err
	}
	c.memory.edit(c.member.UID, func(entry *memberEntry) {
		entry.judged, entry.digest, entry.refusedUnder = look, source.Digest, refusedUnder
	})
	return refusedUnder == "", nil
}

// digest tells one content from another. It is of no use for another Member's.
func (c *memberCredentials) digest(key credentials.DigestKey, content []byte) string {
	return key.Digest("member-password/" + string(c.member.UID) + "/" + string(content))
}

// inForce says whether a content is the one that the password in force was made from.
// Whether the Member has changed the password since is no matter.
func (c *memberCredentials) inForce(ctx context.Context, look passwordLook, content []byte) (bool, error) {
	source := c.record.source
	if c.record.password == "" {
		return false, nil
	}
	if key, known := c.Keyring.Key(source.DigestKeyID); known {
		return hmac.Equal([]byte(source.Digest), []byte(c.digest(key, content))), nil
	}
	// The digest key was lost, and with it the means to tell.
	if source.passwordLook == look {
		return true, nil
	}
	same, _, err := c.Hasher.Verify(ctx, c.record.password, string(content))
	return same, err
}

// rehash makes the hash anew when its parameters are not those of today, as long as the
// password is still the one of the Secret. One that the Member has changed is made anew at
// a log-in, which alone knows it.
func (c *memberCredentials) rehash(ctx context.Context, content []byte) error {
	if entry, _ := c.memory.of(c.member.UID); !c.outdated(entry) {
		return nil
	}
	same, _, err := c.Hasher.Verify(ctx, c.record.password, string(content))
	if err != nil {
		return err
	}
	if !same {
		c.memory.edit(c.member.UID, func(entry *memberEntry) { entry.outdated = c.record.password })
		return nil
	}
	c.record.password, err = c.Hasher.Hash(ctx, string(content))
	return err
}

// outdated says whether the hash should be made anew, and may be, for all that is known.
func (c *memberCredentials) outdated(entry memberEntry) bool {
	return credentials.Outdated(c.record.password) && entry.outdated != c.record.password
}

// findGenerated finds the Secret that the operator makes for a password, and makes it
// where there is none.
func (c *memberCredentials) findGenerated(ctx context.Context, name string) (passwordLook, []byte, error) {
	metadata := secretMetadata()
	key := types.NamespacedName{Namespace: c.member.Namespace, Name: name}
	err := c.Client.Get(ctx, key, metadata)
	if client.IgnoreNotFound(err) != nil {
		return passwordLook{}, nil, fmt.Errorf("look for Secret %s: %w", name, err)
	}
	ours := err == nil && metav1.IsControlledBy(metadata, c.member) && metadata.DeletionTimestamp.IsZero()
	if ours && metadata.Annotations[usernameAnnotation] == c.member.Spec.Username {
		if look, known, err := c.lookAtMetadata(ctx, name, generatedPasswordField); known || err != nil {
			return look, nil, err
		}
	}
	secret := &corev1.Secret{}
	err = c.APIReader.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: name}, Type: v1alpha1.PasswordSecretType}
		err = c.createGenerated(ctx, secret)
	case err == nil:
		err = c.updateGenerated(ctx, secret)
	default:
		err = fmt.Errorf("read Secret %s: %w", name, err)
	}
	return lookOf(&secret.ObjectMeta, generatedPasswordField), secret.Data[generatedPasswordField], err
}

func (c *memberCredentials) createGenerated(ctx context.Context, secret *corev1.Secret) error {
	if err := c.confirmLiving(ctx); err != nil {
		return err
	}
	if err := c.fillGenerated(secret); err != nil {
		return err
	}
	if err := own(c.member, secret, c.Client.Scheme()); err != nil {
		return fmt.Errorf("own Secret %s: %w", secret.Name, err)
	}
	if err := c.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("create Secret %s: %w", secret.Name, err)
	}
	return nil
}

// updateGenerated puts back what the Secret has besides the password: the label, lost or
// not, is no reason to make another.
func (c *memberCredentials) updateGenerated(ctx context.Context, secret *corev1.Secret) error {
	switch {
	case !metav1.IsControlledBy(secret, c.member):
		return waiting(v1alpha1.ReasonSecretConflict,
			"Secret %s exists and is not the operator's for this Member; it is left alone. Delete it, or choose another name", secret.Name)
	case !secret.DeletionTimestamp.IsZero():
		return waiting(v1alpha1.ReasonSecretConflict,
			"Secret %s is being deleted and held by somebody's finalizer; another password is made when it is gone", secret.Name)
	}
	before := secret.DeepCopy()
	if err := c.fillGenerated(secret); err != nil {
		return err
	}
	same := maps.EqualFunc(before.Data, secret.Data, func(a, b []byte) bool { return string(a) == string(b) })
	if same && maps.Equal(before.Labels, secret.Labels) && maps.Equal(before.Annotations, secret.Annotations) {
		return nil
	}
	if err := c.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s: %w", secret.Name, err)
	}
	return nil
}

// fillGenerated makes a password where there is none, and writes the username beside it.
func (c *memberCredentials) fillGenerated(secret *corev1.Secret) error {
	password := secret.Data[generatedPasswordField]
	if len(password) == 0 {
		generated, err := credentials.GeneratePassword(c.Random, c.security.PasswordPolicy().MinLength)
		if err != nil {
			return err
		}
		password = []byte(generated)
	}
	secret.Data = map[string][]byte{generatedPasswordField: password, generatedUsernameField: []byte(c.member.Spec.Username)}
	markWatched(secret)
	annotations := maps.Clone(secret.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[usernameAnnotation] = c.member.Spec.Username
	secret.Annotations = annotations
	return nil
}
