// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// The data of the operator's own Secret of a Member. The seal vouches for all of it.
const (
	passwordField = "password" // the hash of the password in force, as a PHC string
	lifeField     = "life"     // iam.MemberLife
	sourceField   = "source"   // where the password came from
	heardField    = "heard"    // what log-in told and is part of the life
	revisionField = "revision" // grows with each change, so that an older copy is known as such
)

// memberAnnotation names the Member, for people who look at the Secret.
const memberAnnotation = "iam-operator.dev/member"

// memberSecretName is the name of the operator's own Secret of a Member. It has the uid,
// so that nobody can take the name before the Member exists, and no successor gets it.
func memberSecretName(m *v1alpha1.Member) string { return "iam-member-" + string(m.UID) }

// memberRecord is what the operator's own Secret of a Member holds.
type memberRecord struct {
	password string
	life     iam.MemberLife
	source   passwordSource
	heard    doorMark
	revision int64
}

// worthKeeping says whether there is anything to make a Secret for. An unlock or a reset
// of what nobody has needs none.
func (r memberRecord) worthKeeping() bool {
	life := r.life
	life.UnlockedAt, life.MFAResetAt, life.FailedAttempts = nil, nil, 0
	return r.password != "" || r.source != (passwordSource{}) || life != (iam.MemberLife{})
}

// data gives the record as the data of a Secret.
func (r memberRecord) data() (map[string][]byte, error) {
	data := map[string][]byte{passwordField: []byte(r.password), revisionField: strconv.AppendInt(nil, r.revision, 10)}
	for name, value := range map[string]any{lifeField: r.life, sourceField: r.source, heardField: r.heard} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode the %s of a Member's credentials: %w", name, err)
		}
		data[name] = text
	}
	return data, nil
}

// parseMemberRecord is the inverse of data.
func parseMemberRecord(data map[string][]byte) (memberRecord, error) {
	r := memberRecord{password: string(data[passwordField])}
	var err error
	if r.revision, err = strconv.ParseInt(string(data[revisionField]), 10, 64); err != nil {
		return memberRecord{}, fmt.Errorf("read the %s: %w", revisionField, err)
	}
	for name, into := range map[string]any{lifeField: &r.life, sourceField: &r.source, heardField: &r.heard} {
		if err := json.Unmarshal(data[name], into); err != nil {
			return memberRecord{}, fmt.Errorf("read the %s: %w", name, err)
		}
	}
	return r, nil
}

// keepable says whether the operator's own Secret can be written.
func (c *memberCredentials) keepable() bool {
	return c.state != iam.SecretForeign && c.state != iam.SecretTerminating
}

// observe finds the operator's own Secret, and what of it is to be believed. Its content
// is read only when it is not in memory. An absence is confirmed by a live read wherever
// there is any reason to expect the Secret: a lost label is no deletion.
func (c *memberCredentials) observe(ctx context.Context) error {
	metadata := secretMetadata()
	key := types.NamespacedName{Namespace: c.member.Namespace, Name: memberSecretName(c.member)}
	err := c.Client.Get(ctx, key, metadata)
	entry, remembered := c.memory.of(c.member.UID)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("look for Secret %s: %w", key.Name, err)
	case err == nil && entry.resourceVersion == metadata.ResourceVersion && metadata.DeletionTimestamp.IsZero():
		c.state, c.metadata, c.former = iam.SecretIntact, metadata.ObjectMeta, entry.record
	case err != nil && c.member.Status.Credentials == nil && c.member.Spec.Password == nil && !remembered:
		c.state = iam.SecretAbsent
	default:
		if err := c.read(ctx, key); err != nil {
			return err
		}
	}
	c.believe()
	return nil
}

func (c *memberCredentials) read(ctx context.Context, key types.NamespacedName) error {
	secret := &corev1.Secret{}
	err := c.APIReader.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		c.state = iam.SecretAbsent
	case err != nil:
		return fmt.Errorf("read Secret %s: %w", key.Name, err)
	default:
		c.examine(secret)
	}
	return nil
}

// examine judges the operator's own Secret by its content.
func (c *memberCredentials) examine(secret *corev1.Secret) {
	c.metadata = secret.ObjectMeta
	switch {
	case !metav1.IsControlledBy(secret, c.member):
		c.state = iam.SecretForeign
		return
	case !secret.DeletionTimestamp.IsZero():
		c.state = iam.SecretTerminating
		return
	}
	c.state = c.verify(secret)
	record, err := parseMemberRecord(secret.Data)
	// An older copy is vouched for as well, but the status knows of a later state.
	stale := c.member.Status.Credentials != nil && record.revision < c.member.Status.Credentials.Revision
	if c.state == iam.SecretAltered || err != nil || stale {
		c.state = iam.SecretAltered
		return
	}
	c.former = record
	if c.state == iam.SecretIntact {
		c.remember()
	}
}

func (c *memberCredentials) verify(secret *corev1.Secret) iam.SecretState {
	seal := secret.Annotations[sealAnnotation]
	keyID, _ := credentials.SealKeyID(seal)
	switch c.Keyring.Verify(seal, c.sealed(secret)...) {
	case credentials.SealIntact:
		if keyID == c.Keyring.Current.ID {
			return iam.SecretIntact
		}
		return iam.SecretUnsealed
	case credentials.SealUnknownKey:
		// The digest key was lost. What the status recorded under that key is believed.
		recorded := c.member.Status.Credentials
		if recorded != nil && recorded.DigestKeyID == keyID && recorded.SecretResourceVersion == secret.ResourceVersion {
			return iam.SecretUnsealed
		}
	}
	return iam.SecretAltered
}

// sealed lists what the seal vouches for: whose Secret it is, and all that is in it.
func (c *memberCredentials) sealed(secret *corev1.Secret) []string {
	fields := []string{string(c.member.UID), secret.Name}
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		fields = append(fields, name, string(secret.Data[name]))
	}
	return fields
}

func (c *memberCredentials) remember() {
	c.memory.edit(c.member.UID, func(entry *memberEntry) {
		entry.resourceVersion, entry.record = c.metadata.ResourceVersion, c.former
	})
}

// changed says whether the Secret has to be written. That log-in told something which
// changed nothing is no reason.
func (c *memberCredentials) changed() (bool, error) {
	if c.state == iam.SecretAbsent && !c.record.worthKeeping() {
		return false, nil
	}
	if c.state != iam.SecretIntact || c.metadata.Labels[v1alpha1.WatchLabel] != "true" {
		return true, nil
	}
	before, err := c.former.data()
	if err != nil {
		return false, err
	}
	after, err := c.record.data()
	return !maps.EqualFunc(before, after, bytes.Equal), err
}

// save writes the record into the operator's own Secret, if it differs.
func (c *memberCredentials) save(ctx context.Context) error {
	changed, err := c.changed()
	if err != nil || !changed {
		return err
	}
	if !c.keepable() {
		if c.record.worthKeeping() {
			c.problem = firstError(c.problem, waiting(v1alpha1.ReasonSecretConflict, "%s", c.conflict()))
			c.lookAgain = append(c.lookAgain, c.now.Add(conflictPoll))
		}
		return nil
	}
	c.record.revision++
	if c.heardNow.Sequence > 0 {
		c.record.heard = c.heardNow
	}
	if c.state == iam.SecretAbsent {
		err = c.create(ctx)
	} else {
		err = c.update(ctx)
	}
	if err != nil {
		return err
	}
	if (c.lost() || c.state == iam.SecretAltered) && c.Events != nil {
		c.Events.Eventf(c.member, nil, corev1.EventTypeWarning, "SecretAltered", "Restore",
			"Secret %s was edited, deleted or put back from an older copy, so nothing in it was believed: lock and grace periods are as the status had them, and the password is taken anew from its source", c.metadata.Name)
	}
	c.state, c.former = iam.SecretIntact, c.record
	c.remember()
	return nil
}

func (c *memberCredentials) conflict() string {
	if c.state == iam.SecretTerminating {
		return fmt.Sprintf("Secret %s, which holds this Member's credentials, is being deleted and held by somebody's finalizer; a new one is made when it is gone", c.metadata.Name)
	}
	return fmt.Sprintf("Secret %s exists and is not the operator's for this Member, whose credentials it is to hold; it is left alone. Delete it", c.metadata.Name)
}

func (c *memberCredentials) create(ctx context.Context) error {
	if err := c.confirmLiving(ctx); err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.member.Namespace, Name: memberSecretName(c.member)},
		Type:       v1alpha1.MemberCredentialsSecretType,
	}
	if err := c.fill(secret); err != nil {
		return err
	}
	if err := own(c.member, secret, c.Client.Scheme()); err != nil {
		return fmt.Errorf("own Secret %s: %w", secret.Name, err)
	}
	err := c.Client.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		// It lacks the label, or came since. The next look reads it.
		c.memory.edit(c.member.UID, func(*memberEntry) {})
		return apierrors.NewConflict(corev1.Resource("secrets"), secret.Name, errors.New("it is there already"))
	}
	if err != nil {
		return fmt.Errorf("create Secret %s: %w", secret.Name, err)
	}
	c.metadata = secret.ObjectMeta
	return nil
}

// confirmLiving asks the API server itself before a Secret is made: neither a terminating
// Member nor one that the cache only believes to exist gets one.
func (c *memberCredentials) confirmLiving(ctx context.Context) error {
	live := &v1alpha1.Member{}
	if err := c.APIReader.Get(ctx, client.ObjectKeyFromObject(c.member), live); err != nil {
		return fmt.Errorf("read the Member before making a Secret for it: %w", err)
	}
	if live.UID != c.member.UID || !live.DeletionTimestamp.IsZero() {
		return errors.New("the Member is being deleted; no Secret is made for it")
	}
	return nil
}

func (c *memberCredentials) update(ctx context.Context) error {
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: c.metadata.Namespace, Name: c.metadata.Name}
	if err := c.APIReader.Get(ctx, key, secret); err != nil {
		return fmt.Errorf("read Secret %s: %w", key.Name, err)
	}
	if secret.ResourceVersion != c.metadata.ResourceVersion {
		return apierrors.NewConflict(corev1.Resource("secrets"), secret.Name, errors.New("it changed since it was seen"))
	}
	if err := c.fill(secret); err != nil {
		return err
	}
	if err := c.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s: %w", secret.Name, err)
	}
	c.metadata = secret.ObjectMeta
	return nil
}

// fill puts the record into the Secret and vouches for it.
func (c *memberCredentials) fill(secret *corev1.Secret) error {
	data, err := c.record.data()
	if err != nil {
		return err
	}
	secret.Data = data
	markWatched(secret)
	annotations := maps.Clone(secret.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[memberAnnotation] = c.member.Name
	secret.Annotations = annotations
	secret.Annotations[sealAnnotation] = c.Keyring.Current.Seal(c.sealed(secret)...)
	return nil
}
