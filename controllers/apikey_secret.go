// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// The Secret's annotations. Together they are the record of what was minted, for whom and
// when, which the seal vouches for.
const (
	mintedAtAnnotation   = "iam-operator.dev/minted-at"
	bearerIDAnnotation   = "iam-operator.dev/bearer-id"
	ownerEmailAnnotation = "iam-operator.dev/owner-email"
	expiresAtAnnotation  = "iam-operator.dev/expires-at"
	sealAnnotation       = "iam-operator.dev/seal"
	// contentAnnotation is a hash of what the Secret says besides the pair, so that the
	// metadata tells whether that is up to date.
	contentAnnotation = "iam-operator.dev/content"
	// templateAnnotation lists what came from spec.secretTemplate, so that it can be taken back.
	templateAnnotation = "iam-operator.dev/template"
)

// The Secret's data, named so that scw, the SDKs, Terraform and the AWS tools find it.
const (
	accessKeyField, secretKeyField       = "SCW_ACCESS_KEY", "SCW_SECRET_KEY"
	awsAccessKeyField, awsSecretKeyField = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
	organizationField, projectField      = "SCW_DEFAULT_ORGANIZATION_ID", "SCW_DEFAULT_PROJECT_ID"
	apiURLField                          = "SCW_API_URL"
)

// foundSecret is a Secret as it was found.
type foundSecret struct {
	iam.KeySecret
	// object is the Secret; nil when its metadata told that it is as recorded.
	object   *corev1.Secret
	metadata metav1.ObjectMeta
	// bound is whom the pair was minted for.
	bound *iam.KeyBearer
	// digest of the secret key, under the current digest key.
	digest string
}

func (f foundSecret) holds() bool {
	return f.State == iam.SecretIntact || f.State == iam.SecretUnsealed
}

func (f foundSecret) minted(state v1alpha1.KeyState, expires *time.Time) v1alpha1.MintedKey {
	keyID, _ := credentials.SealKeyID(f.metadata.Annotations[sealAnnotation])
	return v1alpha1.MintedKey{
		AccessKey: f.AccessKey, State: state, CreatedAt: metav1.NewTime(f.MintedAt).Rfc3339Copy(), ExpiresAt: timeOf(expires),
		DigestKeyID: keyID, SecretResourceVersion: f.metadata.ResourceVersion,
	}
}

// observe looks at both Secrets.
func (l *keyLife) observe(ctx context.Context) error {
	var err error
	if l.active, err = l.look(ctx, secretName(l.key), v1alpha1.KeyActive); err != nil {
		return err
	}
	l.retiring, err = l.look(ctx, secretName(l.key)+retiringSuffix, v1alpha1.KeyRetiring)
	return err
}

// look finds a Secret. Its content is read only when the metadata in the cache is not what
// the status records, or the store has no row of it; an absence is always confirmed by a
// live read, so that a lost label is not taken for a deletion.
func (l *keyLife) look(ctx context.Context, name string, state v1alpha1.KeyState) (foundSecret, error) {
	if state == v1alpha1.KeyActive || !l.dropped {
		if found, known, err := l.lookAtMetadata(ctx, name, state); known || err != nil {
			return found, err
		}
	}
	if state == v1alpha1.KeyRetiring && (l.dropped || !l.mayRetire(ctx, name)) {
		return foundSecret{KeySecret: iam.KeySecret{State: iam.SecretAbsent}}, nil
	}
	secret := &corev1.Secret{}
	err := l.APIReader.Get(ctx, types.NamespacedName{Namespace: l.key.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return foundSecret{KeySecret: iam.KeySecret{State: iam.SecretAbsent}}, nil
	}
	if err != nil {
		return foundSecret{}, fmt.Errorf("read Secret %s: %w", name, err)
	}
	found := l.examine(secret)
	if found.holds() && !l.current(found, state) {
		found.State = iam.SecretAltered
	}
	return found, nil
}

// current says whether a pair is one that the status records, or newer. A Secret that was
// ended and is put back from a copy is vouched for, but its pair stays ended.
func (l *keyLife) current(found foundSecret, state v1alpha1.KeyState) bool {
	recorded := l.key.Status.Keys
	if len(recorded) == 0 || found.AccessKey == l.minted {
		return true
	}
	for _, minted := range recorded {
		// The pair that is retired was the active one when the status was written.
		if minted.AccessKey == found.AccessKey && (minted.State == state || state == v1alpha1.KeyRetiring) {
			return true
		}
		if minted.State == v1alpha1.KeyActive && state == v1alpha1.KeyActive {
			// The status keeps whole seconds.
			return found.MintedAt.Truncate(time.Second).After(minted.CreatedAt.Time)
		}
	}
	return false
}

// mayRetire says whether there can be a retiring Secret at all, so that the keys that do
// not rotate cost no read for it.
func (l *keyLife) mayRetire(ctx context.Context, name string) bool {
	if l.key.Spec.Rotation != nil || l.key.Annotations[v1alpha1.RotateAtAnnotation] != "" {
		return true
	}
	for _, minted := range l.key.Status.Keys {
		if minted.State == v1alpha1.KeyRetiring {
			return true
		}
	}
	return l.Client.Get(ctx, types.NamespacedName{Namespace: l.key.Namespace, Name: name}, secretMetadata()) == nil
}

func secretMetadata() *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return metadata
}

// lookAtMetadata judges a Secret that was read before and has not changed since.
func (l *keyLife) lookAtMetadata(ctx context.Context, name string, state v1alpha1.KeyState) (foundSecret, bool, error) {
	metadata := secretMetadata()
	err := l.Client.Get(ctx, types.NamespacedName{Namespace: l.key.Namespace, Name: name}, metadata)
	if err != nil {
		return foundSecret{}, false, client.IgnoreNotFound(err)
	}
	i := slices.IndexFunc(l.key.Status.Keys, func(minted v1alpha1.MintedKey) bool {
		return minted.State == state && minted.SecretResourceVersion == metadata.ResourceVersion && minted.DigestKeyID == l.Keyring.Current.ID
	})
	if i < 0 || !metav1.IsControlledBy(metadata, l.key) || !metadata.DeletionTimestamp.IsZero() {
		return foundSecret{}, false, nil
	}
	row, err := l.Store.Get(ctx, iam.KindAPIKey, l.key.Status.Keys[i].AccessKey)
	if errors.Is(err, store.ErrNotFound) {
		return foundSecret{}, false, nil
	}
	if err != nil {
		return foundSecret{}, false, fmt.Errorf("read the key's row: %w", err)
	}
	held, ok := row.Entity.(*iam.APIKey)
	if !ok || held.Object.UID != string(l.key.UID) || held.DigestKeyID != l.Keyring.Current.ID {
		return foundSecret{}, false, nil
	}
	found := describeSecret(metadata.ObjectMeta, held.ID)
	found.State, found.digest = iam.SecretIntact, held.Digest
	return found, true, nil
}

// examine judges a Secret by its content.
func (l *keyLife) examine(secret *corev1.Secret) foundSecret {
	found := describeSecret(secret.ObjectMeta, string(secret.Data[accessKeyField]))
	found.object = secret
	if !metav1.IsControlledBy(secret, l.key) {
		found.State = iam.SecretForeign
		return found
	}
	if !secret.DeletionTimestamp.IsZero() {
		found.State = iam.SecretTerminating
		return found
	}
	seal := secret.Annotations[sealAnnotation]
	keyID, _ := credentials.SealKeyID(seal)
	switch l.Keyring.Verify(seal, l.sealed(secret)...) {
	case credentials.SealIntact:
		found.State = iam.SecretIntact
		if keyID != l.Keyring.Current.ID {
			found.State = iam.SecretUnsealed
		}
	case credentials.SealUnknownKey:
		// The digest key was lost. What the status recorded under that key is believed.
		found.State = iam.SecretAltered
		if slices.ContainsFunc(l.key.Status.Keys, func(minted v1alpha1.MintedKey) bool {
			return minted.AccessKey == found.AccessKey && minted.DigestKeyID == keyID
		}) {
			found.State = iam.SecretUnsealed
		}
	default:
		found.State = iam.SecretAltered
	}
	found.digest = l.Keyring.Current.Digest(string(secret.Data[secretKeyField]))
	return found
}

// describeSecret reads the record in the annotations. What is malformed stays zero; the
// seal, which covers the text, decides whether to believe it.
func describeSecret(metadata metav1.ObjectMeta, accessKey string) foundSecret {
	found := foundSecret{metadata: metadata, KeySecret: iam.KeySecret{AccessKey: accessKey}}
	if at, err := time.Parse(time.RFC3339Nano, metadata.Annotations[mintedAtAnnotation]); err == nil {
		found.MintedAt = at
	}
	if at, err := time.Parse(time.RFC3339Nano, metadata.Annotations[expiresAtAnnotation]); err == nil {
		found.ExpiresAt = &at
	}
	if id := metadata.Annotations[bearerIDAnnotation]; id != "" {
		found.bound = &iam.KeyBearer{ID: id, OwnerEmail: metadata.Annotations[ownerEmailAnnotation]}
	}
	return found
}

// sealed lists what the seal vouches for: the pair, whose it is, and its times.
func (l *keyLife) sealed(secret *corev1.Secret) []string {
	return []string{
		string(l.key.UID), secret.Name,
		string(secret.Data[accessKeyField]), string(secret.Data[secretKeyField]),
		secret.Annotations[mintedAtAnnotation], secret.Annotations[expiresAtAnnotation],
		secret.Annotations[bearerIDAnnotation], secret.Annotations[ownerEmailAnnotation],
	}
}

// mint makes a pair into a new Secret. Neither a terminating APIKey nor one that the
// cache only believes to exist gets one.
func (l *keyLife) mint(ctx context.Context) error {
	live := &v1alpha1.APIKey{}
	if err := l.APIReader.Get(ctx, client.ObjectKeyFromObject(l.key), live); err != nil {
		return fmt.Errorf("read the APIKey before minting: %w", err)
	}
	if live.UID != l.key.UID || !live.DeletionTimestamp.IsZero() {
		return errors.New("the APIKey is being deleted; nothing is minted for it")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.key.Namespace, Name: secretName(l.key)}}
	if err := l.fill(secret); err != nil {
		return err
	}
	return client.IgnoreAlreadyExists(l.Client.Create(ctx, secret))
}

// replace puts a new pair in the place of the one in the active Secret.
func (l *keyLife) replace(ctx context.Context) error {
	secret, err := l.content(ctx, l.active)
	if err != nil {
		return err
	}
	if err := l.fill(secret); err != nil {
		return err
	}
	if err := l.Client.Update(ctx, secret); err != nil {
		return err
	}
	if l.active.State == iam.SecretAltered && l.Events != nil {
		l.Events.Eventf(l.key, nil, corev1.EventTypeWarning, "SecretAltered", "Mint", "Secret %s was edited by hand, so its key was ended and a new one minted", secret.Name)
	}
	return nil
}

// retire copies the active pair to the retiring Secret, where it ends at a time.
func (l *keyLife) retire(ctx context.Context, until time.Time) error {
	active, err := l.content(ctx, l.active)
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.key.Namespace, Name: active.Name + retiringSuffix}}
	if l.retiring.State != iam.SecretAbsent {
		if secret, err = l.content(ctx, l.retiring); err != nil {
			return err
		}
	}
	secret.Data = maps.Clone(active.Data)
	l.dress(secret)
	for _, name := range []string{mintedAtAnnotation, bearerIDAnnotation, ownerEmailAnnotation, contentAnnotation} {
		copyAnnotation(secret, name, active.Annotations[name])
	}
	copyAnnotation(secret, expiresAtAnnotation, until.UTC().Format(time.RFC3339Nano))
	secret.Annotations[sealAnnotation] = l.Keyring.Current.Seal(l.sealed(secret)...)
	if l.retiring.State != iam.SecretAbsent {
		return l.Client.Update(ctx, secret)
	}
	if err := own(l.key, secret, l.Client.Scheme()); err != nil {
		return fmt.Errorf("own the retiring Secret: %w", err)
	}
	return client.IgnoreAlreadyExists(l.Client.Create(ctx, secret))
}

func copyAnnotation(secret *corev1.Secret, name, value string) {
	if value == "" {
		delete(secret.Annotations, name)
		return
	}
	secret.Annotations[name] = value
}

// reseal vouches anew, with the current digest key, for what a former one vouched for.
func (l *keyLife) reseal(ctx context.Context) error {
	for _, found := range []foundSecret{l.active, l.retiring} {
		if found.State != iam.SecretUnsealed {
			continue
		}
		secret, err := l.content(ctx, found)
		if err != nil {
			return err
		}
		secret.Annotations[sealAnnotation] = l.Keyring.Current.Seal(l.sealed(secret)...)
		if err := l.Client.Update(ctx, secret); err != nil {
			return fmt.Errorf("seal Secret %s anew: %w", secret.Name, err)
		}
	}
	return nil
}

// content gives the Secret itself, to be changed, where so far the metadata was enough.
func (l *keyLife) content(ctx context.Context, found foundSecret) (*corev1.Secret, error) {
	if found.object != nil {
		return found.object.DeepCopy(), nil
	}
	secret := &corev1.Secret{}
	err := l.APIReader.Get(ctx, types.NamespacedName{Namespace: found.metadata.Namespace, Name: found.metadata.Name}, secret)
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", found.metadata.Name, err)
	}
	if secret.ResourceVersion != found.metadata.ResourceVersion {
		return nil, apierrors.NewConflict(corev1.Resource("secrets"), secret.Name, errors.New("it changed since the cache saw it"))
	}
	return secret, nil
}

// fill mints a pair into a Secret.
func (l *keyLife) fill(secret *corev1.Secret) error {
	pair, err := credentials.Mint(l.Random)
	if err != nil {
		return err
	}
	l.minted = pair.AccessKey
	secret.Data = l.derived()
	secret.Data[accessKeyField], secret.Data[secretKeyField] = []byte(pair.AccessKey), []byte(pair.SecretKey)
	secret.Data[awsAccessKeyField], secret.Data[awsSecretKeyField] = []byte(pair.AccessKey), []byte(pair.SecretKey)
	l.dress(secret)
	copyAnnotation(secret, mintedAtAnnotation, l.Clock.Now().UTC().Format(time.RFC3339Nano))
	copyAnnotation(secret, bearerIDAnnotation, l.bearer.ID)
	copyAnnotation(secret, ownerEmailAnnotation, l.bearer.OwnerEmail)
	copyAnnotation(secret, contentAnnotation, contentHash(l.derived()))
	delete(secret.Annotations, expiresAtAnnotation)
	secret.Annotations[sealAnnotation] = l.Keyring.Current.Seal(l.sealed(secret)...)
	if secret.ResourceVersion != "" {
		return nil
	}
	if err := own(l.key, secret, l.Client.Scheme()); err != nil {
		return fmt.Errorf("own the Secret: %w", err)
	}
	return nil
}

// derived is what the Secret says besides the pair.
func (l *keyLife) derived() map[string][]byte {
	return map[string][]byte{
		organizationField: []byte(l.tenant.id),
		projectField:      []byte(l.projectID),
		apiURLField:       []byte(l.APIURL),
	}
}

func contentHash(data map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(data)) {
		fmt.Fprintf(h, "%s=%q\n", name, data[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// syncContent puts back what the Secret says besides the pair: labels, annotations, ids
// and URL. Without a preferred Project it leaves the last word it had.
func (l *keyLife) syncContent(ctx context.Context) error {
	if !l.active.holds() || l.projectID == "" {
		return nil
	}
	if l.active.object == nil && l.dressed(l.active.metadata) {
		return nil
	}
	secret, err := l.content(ctx, l.active)
	if err != nil {
		return err
	}
	before := secret.DeepCopy()
	access, secretKey := secret.Data[accessKeyField], secret.Data[secretKeyField]
	secret.Data = l.derived()
	secret.Data[accessKeyField], secret.Data[secretKeyField] = access, secretKey
	secret.Data[awsAccessKeyField], secret.Data[awsSecretKeyField] = access, secretKey
	l.dress(secret)
	copyAnnotation(secret, contentAnnotation, contentHash(l.derived()))
	if maps.EqualFunc(before.Data, secret.Data, slices.Equal[[]byte]) && maps.Equal(before.Labels, secret.Labels) && maps.Equal(before.Annotations, secret.Annotations) {
		return nil
	}
	if err := l.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("update Secret %s: %w", secret.Name, err)
	}
	l.active.metadata = secret.ObjectMeta
	return nil
}

// dressed says whether metadata is as dress would make it, and the content as derived says.
func (l *keyLife) dressed(metadata metav1.ObjectMeta) bool {
	wanted := &corev1.Secret{ObjectMeta: *metadata.DeepCopy()}
	l.dress(wanted)
	copyAnnotation(wanted, contentAnnotation, contentHash(l.derived()))
	return maps.Equal(metadata.Labels, wanted.Labels) && maps.Equal(metadata.Annotations, wanted.Annotations)
}

// dress sets the labels and annotations that are the operator's or come from the
// template, takes back those that the template no longer has, and leaves those of others.
func (l *keyLife) dress(secret *corev1.Secret) {
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	for _, entry := range strings.Fields(secret.Annotations[templateAnnotation]) {
		if name, isLabel := strings.CutPrefix(entry, "label:"); isLabel {
			delete(secret.Labels, name)
		} else if name, isAnnotation := strings.CutPrefix(entry, "annotation:"); isAnnotation {
			delete(secret.Annotations, name)
		}
	}
	var entries []string
	if template := l.key.Spec.SecretTemplate; template != nil {
		for name, value := range template.Labels {
			secret.Labels[name] = value
			entries = append(entries, "label:"+name)
		}
		for name, value := range template.Annotations {
			secret.Annotations[name] = value
			entries = append(entries, "annotation:"+name)
		}
	}
	slices.Sort(entries)
	copyAnnotation(secret, templateAnnotation, strings.Join(entries, " "))
	secret.Labels[v1alpha1.WatchLabel] = "true"
	secret.Type = corev1.SecretTypeOpaque
}

// deleteKeySecrets deletes both Secrets of an APIKey, as far as they are its own.
func (e *Environment) deleteKeySecrets(ctx context.Context, k *v1alpha1.APIKey) error {
	for _, name := range secretNames(k) {
		if err := e.deleteSecret(ctx, k, name); err != nil {
			return err
		}
	}
	return nil
}

// deleteSecret deletes a Secret, if it is there and the owner's.
func (e *Environment) deleteSecret(ctx context.Context, owner client.Object, name string) error {
	secret := &corev1.Secret{}
	err := e.APIReader.Get(ctx, types.NamespacedName{Namespace: owner.GetNamespace(), Name: name}, secret)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(secret, owner) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Secret %s: %w", name, err)
	}
	// The precondition leaves alone what was put there since.
	err = e.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %s: %w", name, err)
	}
	return nil
}
