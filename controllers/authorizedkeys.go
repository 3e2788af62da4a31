// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	authorizedKeysSuffix = "-authorized-keys"
	authorizedKeysKey    = "authorized_keys"
	// maxAuthorizedKeys leaves room for the rest of the object below the API server's limit of 1 MiB.
	maxAuthorizedKeys = 1<<20 - 1<<14
)

// watchAuthorizedKeys wakes the holder of a Project's SSH keys when one of them changes,
// and when somebody changes the ConfigMap.
func (e *Environment) watchAuthorizedKeys(b *builder.Builder, holds func(reference) bool) {
	wake := func(obj client.Object) []reconcile.Request {
		key := obj.(*v1alpha1.SSHKey)
		ref := projectReference(key, key.Spec.ProjectRef)
		if !holds(ref) {
			return nil
		}
		return requestFor(ref)
	}
	watchFromBelow(b, e.Client, &v1alpha1.SSHKey{}, &v1alpha1.SSHKeyList{}, wake)
	b.Owns(&corev1.ConfigMap{})
}

// syncAuthorizedKeys keeps the ConfigMap of a Project's enabled SSH keys. It is made when
// the Project has its first key, and then stays, so that what mounts it keeps working.
// It gives the ConfigMap's name, empty while there is none, and the number of keys.
func (t *tenant) syncAuthorizedKeys(ctx context.Context, owner Object, project reference, name string) (string, int, error) {
	lines, err := t.authorizedKeys(ctx, owner, project)
	if err != nil {
		return "", 0, err
	}
	content := strings.Join(lines, "")
	if len(content) > maxAuthorizedKeys {
		return "", len(lines), stalled(v1alpha1.ReasonInvalidSpec, "The %d enabled SSH keys take %d bytes, and a ConfigMap has room for %d; disable or delete some", len(lines), len(content), maxAuthorizedKeys)
	}
	there, err := t.writeAuthorizedKeys(ctx, owner, name, content)
	if err != nil || !there {
		return "", len(lines), err
	}
	return name, len(lines), nil
}

// withdrawAuthorizedKeys empties the ConfigMap of a Project that does not count: nobody
// gets in by a key of a Project that is being deleted or is not admitted.
func (e *Environment) withdrawAuthorizedKeys(ctx context.Context, owner client.Object, name string) error {
	_, err := e.writeAuthorizedKeys(ctx, owner, name, "")
	if _, foreign := asFailure(err); foreign {
		return nil // It is not ours, so there is nothing of ours in it.
	}
	return err
}

func (c organizations) keepKeys(ctx context.Context, o *v1alpha1.Organization, counts bool) error {
	if !counts {
		return c.withdrawAuthorizedKeys(ctx, o, defaultAuthorizedKeys)
	}
	tenant := c.newTenant(o)
	if err := tenant.sealOff(ctx); err != nil {
		return err
	}
	_, _, err := tenant.syncAuthorizedKeys(ctx, o, c.self(o), defaultAuthorizedKeys)
	return err
}

func (c projects) keepKeys(ctx context.Context, p *v1alpha1.Project, counts bool) error {
	name := p.Name + authorizedKeysSuffix
	if !counts {
		return c.withdrawAuthorizedKeys(ctx, p, name)
	}
	tenant, err := c.tenantOf(ctx, p)
	if err == nil {
		_, _, err = tenant.syncAuthorizedKeys(ctx, p, c.self(p), name)
	}
	return err
}

// writeAuthorizedKeys puts content into the ConfigMap, and says whether there is one: for
// no content none is made.
func (e *Environment) writeAuthorizedKeys(ctx context.Context, owner client.Object, name, content string) (bool, error) {
	found, err := e.readOwned(ctx, owner, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: owner.GetNamespace(), Name: name}})
	if err != nil || (found == nil && content == "") {
		return false, err
	}
	if found == nil {
		return true, e.createAuthorizedKeys(ctx, owner, name, content)
	}
	wanted := found.DeepCopy()
	markWatched(wanted)
	wanted.Data = map[string]string{authorizedKeysKey: content}
	wanted.BinaryData = nil
	if maps.Equal(wanted.Data, found.Data) && len(found.BinaryData) == 0 && maps.Equal(wanted.Labels, found.Labels) {
		return true, nil
	}
	return true, e.Client.Update(ctx, wanted)
}

func (e *Environment) createAuthorizedKeys(ctx context.Context, owner client.Object, name, content string) error {
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: owner.GetNamespace(), Name: name},
		Data:       map[string]string{authorizedKeysKey: content},
	}
	markWatched(configMap)
	if err := own(owner, configMap, e.Client.Scheme()); err != nil {
		return fmt.Errorf("own the ConfigMap: %w", err)
	}
	return e.Client.Create(ctx, configMap)
}

// readOwned reads a ConfigMap of the operator's. The cache holds only labelled ones, so
// that an absence is confirmed by a live read: a lost label is no deletion.
func (e *Environment) readOwned(ctx context.Context, owner client.Object, configMap *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	key := client.ObjectKeyFromObject(configMap)
	err := e.Client.Get(ctx, key, configMap)
	if apierrors.IsNotFound(err) {
		err = e.APIReader.Get(ctx, key, configMap)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	if !metav1.IsControlledBy(configMap, owner) {
		return nil, waiting(v1alpha1.ReasonSecretConflict, "ConfigMap %s exists and is not the operator's; rename or delete it", configMap.Name)
	}
	return configMap, nil
}

func markWatched(obj client.Object) {
	labels := maps.Clone(obj.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.WatchLabel] = "true"
	obj.SetLabels(labels)
}

// authorizedKeys gives a line for each enabled key of a Project, in the order of their names.
func (t *tenant) authorizedKeys(ctx context.Context, owner Object, project reference) ([]string, error) {
	keys, err := listByIndex[*v1alpha1.SSHKey](ctx, t.Client, &v1alpha1.SSHKeyList{}, referenceIndex, project.String())
	if err != nil {
		return nil, fmt.Errorf("list the SSH keys of %s: %w", project, err)
	}
	var lines []string
	for _, key := range keys {
		belongs, err := t.has(ctx, key)
		if err != nil {
			return nil, err
		}
		if !belongs || !key.DeletionTimestamp.IsZero() || projectReference(key, key.Spec.ProjectRef) != project {
			continue
		}
		entity, err := t.sshKey(ctx, key, idOf(owner))
		if err != nil {
			return nil, err
		}
		if entity != nil && !entity.Disabled && entity.ProjectID == idOf(owner) {
			lines = append(lines, fmt.Sprintf("%s %s/%s\n", entity.PublicKey, key.Namespace, key.Name))
		}
	}
	return lines, nil
}

// sshKey gives what counts of an SSH key that is declared in a Project: nil where it is not
// valid, which its own status says. Of one that nobody judged, what counted before still does.
func (t *tenant) sshKey(ctx context.Context, key *v1alpha1.SSHKey, projectID string) (*iam.SSHKey, error) {
	err := t.awaitAdmission(ctx, key)
	if !settled(err) {
		return nil, err
	}
	if err == nil {
		entity, err := declared.SSHKey(key, t.id, projectID)
		if err != nil || len(declared.ValidateSSHKey(key)) > 0 {
			return nil, nil
		}
		return entity, nil
	}
	row, err := t.Store.Get(ctx, iam.KindSSHKey, idOf(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	entity, _ := row.Entity.(*iam.SSHKey)
	return entity, err
}
