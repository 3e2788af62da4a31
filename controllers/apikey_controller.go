// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=apikeys,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=apikeys/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

const (
	retiringSuffix = "-retiring"
	// maxKeySteps is more than any chain of actions takes; it guards against a loop.
	maxKeySteps = 8
)

type apiKeys struct{ *Environment }

func (c apiKeys) sync(ctx context.Context, k *v1alpha1.APIKey) (outcome, error) {
	tenant, err := c.tenantOf(ctx, k)
	if err != nil {
		return outcome{}, err
	}
	if err := invalid(declared.ValidateAPIKey(k)); err != nil {
		return outcome{}, err
	}
	if err := c.judgeSecretName(ctx, k); err != nil {
		return outcome{}, err
	}
	life := &keyLife{Environment: c.Environment, tenant: tenant, key: k}
	if err := life.resolve(ctx); err != nil {
		return outcome{}, err
	}
	return life.live(ctx)
}

func (c apiKeys) judgeSecretName(ctx context.Context, k *v1alpha1.APIKey) error {
	for _, name := range secretNames(k) {
		err := judge(ctx, c.Environment, k, &v1alpha1.APIKeyList{}, contest[*v1alpha1.APIKey]{
			claim: secretClaim(k.Namespace, name),
			what:  fmt.Sprintf("Secret %q", name),
			holds: func(other *v1alpha1.APIKey) bool {
				return other.Status.SecretName == name || other.Status.SecretName+retiringSuffix == name
			},
			// A key whose bearer is gone never needs its Secret again.
			counts: func(other *v1alpha1.APIKey) (bool, error) {
				return other.Status.Bearer == nil || other.Status.Bearer.GoneAt == nil, nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the Secrets at once, rather than leave that to the garbage collector.
func (c apiKeys) remove(ctx context.Context, k *v1alpha1.APIKey) error {
	return c.deleteKeySecrets(ctx, k)
}

func (apiKeys) references(k *v1alpha1.APIKey) []reference {
	others := []reference{bearerReference(k)}
	if k.Spec.DefaultProjectRef != nil {
		others = append(others, projectReference(k, *k.Spec.DefaultProjectRef))
	}
	return membershipReferences(k, others...)
}

func (apiKeys) claims(k *v1alpha1.APIKey) []string {
	var claims []string
	for _, name := range secretNames(k) {
		claims = append(claims, secretClaim(k.Namespace, name))
	}
	return claims
}

func secretClaim(namespace, name string) string { return "secret/" + namespace + "/" + name }

// bearerReference names the bearer; the owner is found through the Organization.
func bearerReference(k *v1alpha1.APIKey) reference {
	if k.Spec.Bearer.Kind == v1alpha1.BearerOwner {
		return organizationOf(k)
	}
	return reference{iam.Kind(k.Spec.Bearer.Kind), k.Namespace, string(k.Spec.Bearer.Name)}
}

func secretName(k *v1alpha1.APIKey) string {
	if k.Spec.SecretName != "" {
		return k.Spec.SecretName
	}
	return k.Name
}

// secretNames lists the Secrets that an APIKey may need.
func secretNames(k *v1alpha1.APIKey) []string {
	return []string{secretName(k), secretName(k) + retiringSuffix}
}

// watch wakes an APIKey when a Secret of a name that it wants comes, changes or goes. Of
// Secrets only the metadata of the operator's own are watched.
func (c apiKeys) watch(wake func(context.Context, string) []reconcile.Request) func(*builder.Builder) {
	return func(b *builder.Builder) {
		b.WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
			return wake(ctx, secretClaim(obj.GetNamespace(), obj.GetName()))
		}))
	}
}

// keyLife is one look at an APIKey and its Secrets.
type keyLife struct {
	*Environment
	tenant *tenant
	key    *v1alpha1.APIKey

	bearer    *iam.KeyBearer
	projectID string // empty when the preferred Project is not found
	absent    missing

	active, retiring foundSecret
	// minted is the access key that this look has minted, if any; dropped says that it has
	// deleted the retiring Secret. The cache may be behind with both.
	minted  string
	dropped bool
	// refused says why no pair is minted although one is due; nil while nothing is against it.
	refused error
}

// resolve finds the bearer and the preferred Project. A key that was never minted waits
// for both; one that was keeps working without its preferred Project.
func (l *keyLife) resolve(ctx context.Context) error {
	k := l.key
	if k.Spec.Bearer.Kind == v1alpha1.BearerOwner {
		l.bearer = &iam.KeyBearer{ID: iam.OwnerID(l.tenant.id), OwnerEmail: strings.ToLower(string(l.tenant.organization.Spec.Owner.Email))}
	} else if err := l.resolvePrincipal(ctx); err != nil {
		return err
	}
	ref := v1alpha1.ProjectRef{Name: v1alpha1.DefaultProjectName}
	if k.Spec.DefaultProjectRef != nil {
		ref = *k.Spec.DefaultProjectRef
	}
	id, found, err := l.tenant.projectID(ctx, k, ref)
	if err != nil {
		return err
	}
	if found {
		l.projectID = id
	} else {
		l.absent.add(projectReference(k, ref))
	}
	return nil
}

func (l *keyLife) resolvePrincipal(ctx context.Context) error {
	ref := bearerReference(l.key)
	principal := newPrincipal(ref.kind)
	found, err := l.tenant.findOwn(ctx, ref, principal)
	if err != nil || !found {
		return err
	}
	if m, ok := principal.(*v1alpha1.Member); ok && m.Spec.Type == v1alpha1.TypeGuest {
		return stalled(v1alpha1.ReasonInvalidSpec, "Member %s is a Guest, who has no credentials here; make the key for a Member or an Application", m.Name)
	}
	l.bearer = &iam.KeyBearer{ID: idOf(principal)}
	return nil
}

// live carries out what has to be done, step by step, until nothing has.
func (l *keyLife) live(ctx context.Context) (outcome, error) {
	for range maxKeySteps {
		if err := l.observe(ctx); err != nil {
			return outcome{}, err
		}
		facts := l.facts()
		if facts.Bound == nil && !l.active.holds() {
			if failure := l.awaitReferences(); failure != nil {
				return outcome{}, failure
			}
		}
		decision := iam.DecideKey(facts, l.Clock.Now())
		l.judgeLifetime(decision.Action)
		done, err := l.carryOut(ctx, decision)
		if err != nil {
			// The end of a key does not wait for its Secrets to go.
			return outcome{known: decision.Action == iam.KeyEnd && !apierrors.IsConflict(err)}, err
		}
		if done {
			return l.conclude(ctx, decision)
		}
	}
	return outcome{}, fmt.Errorf("the API key did not settle in %d steps", maxKeySteps)
}

func (l *keyLife) awaitReferences() error {
	absent := l.absent
	if l.bearer == nil {
		absent.add(bearerReference(l.key))
	}
	return absent.failure()
}

func (l *keyLife) facts() iam.KeyFacts {
	facts := iam.KeyFacts{Spec: keySpecOf(l.key), Bearer: l.bearer, Active: l.active.KeySecret, Retiring: l.retiring.KeySecret}
	switch bound := l.key.Status.Bearer; {
	case bound != nil:
		facts.Bound = &iam.KeyBearer{ID: bound.ID, OwnerEmail: bound.OwnerEmail}
		if bound.GoneAt != nil {
			facts.Bearer = nil
		}
	case l.active.holds():
		// Only a Secret that is vouched for is believed.
		facts.Bound = l.active.bound
	}
	return facts
}

func keySpecOf(k *v1alpha1.APIKey) iam.KeySpec {
	spec := iam.KeySpec{CreatedAt: k.CreationTimestamp.UTC(), ExpiresIn: durationOf(k.Spec.ExpiresIn)}
	if k.Spec.ExpiresAt != nil {
		at := k.Spec.ExpiresAt.UTC()
		spec.ExpiresAt = &at
	}
	if k.Spec.Rotation != nil {
		spec.Every, spec.Overlap = durationOf(k.Spec.Rotation.Every), durationOf(k.Spec.Rotation.Overlap)
	}
	if at, asked, err := declared.RotateAt(k); asked && err == nil {
		spec.RotateAt = at
	}
	return spec
}

// durationOf reads a duration that the validator has passed; zero when absent.
func durationOf(d v1alpha1.Duration) time.Duration {
	parsed, err := d.Parse()
	if err != nil {
		return 0
	}
	return parsed
}

// judgeLifetime holds to the Organization's maximum lifetime what is minted from now on,
// and nothing that is in force: a maximum binds only what is new.
func (l *keyLife) judgeLifetime(action iam.KeyAction) {
	switch action {
	case iam.KeyMint, iam.KeyReplace, iam.KeyRetire:
		most := l.tenant.security.MaxAPIKeyLifetime
		l.refused = invalid(declared.LifetimeErrors(l.key, most, l.key.CreationTimestamp.Time))
	default:
		l.refused = nil
	}
}

// carryOut does one action. It says true when there is nothing left to do.
func (l *keyLife) carryOut(ctx context.Context, decision iam.KeyDecision) (bool, error) {
	if l.refused != nil {
		return l.refuse(ctx)
	}
	switch decision.Action {
	case iam.KeyMint:
		return false, l.mint(ctx)
	case iam.KeyReplace:
		return false, l.replace(ctx)
	case iam.KeyRetire:
		return false, l.retire(ctx, decision.RetireUntil)
	case iam.KeyDropRetiring:
		l.dropped = true
		return false, l.deleteSecret(ctx, l.key, secretName(l.key)+retiringSuffix)
	case iam.KeyReseal:
		return false, l.reseal(ctx)
	case iam.KeyEnd:
		if err := l.confirmGone(ctx); err != nil {
			return false, err
		}
		return true, l.deleteKeySecrets(ctx, l.key)
	}
	return true, nil
}

// refuse leaves what is in force as it is. A rotation that was half done when the maximum
// was lowered is taken back, since two rows cannot be of one pair.
func (l *keyLife) refuse(ctx context.Context) (bool, error) {
	if !l.retiring.holds() || l.retiring.AccessKey != l.active.AccessKey {
		return true, nil
	}
	l.dropped = true
	return false, l.deleteSecret(ctx, l.key, secretName(l.key)+retiringSuffix)
}

// confirmGone asks the API server itself before a key ends for good: the cache may not
// have a bearer that is there.
func (l *keyLife) confirmGone(ctx context.Context) error {
	bound := l.facts().Bound
	if bound == nil || l.key.Spec.Bearer.Kind == v1alpha1.BearerOwner || l.key.Status.Bearer != nil && l.key.Status.Bearer.GoneAt != nil {
		return nil
	}
	ref := bearerReference(l.key)
	live := newPrincipal(ref.kind)
	err := l.APIReader.Get(ctx, client.ObjectKey{Namespace: ref.namespace, Name: ref.name}, live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the bearer before ending its key: %w", err)
	}
	if live.GetDeletionTimestamp().IsZero() && hasSettledID(live) && idOf(live) == bound.ID {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("apikeys").GroupResource(), l.key.Name, errors.New("its bearer is there"))
	}
	return nil
}

// conclude turns the settled state into rows and status.
func (l *keyLife) conclude(ctx context.Context, decision iam.KeyDecision) (outcome, error) {
	status := &l.key.Status
	if decision.Action == iam.KeyEnd {
		status.AccessKey, status.SecretName, status.Keys = "", "", nil
		status.ExpiresAt, status.NextRotationAt = nil, nil
		if status.Bearer == nil && l.active.bound != nil {
			status.Bearer = &v1alpha1.BoundBearer{ID: l.active.bound.ID, OwnerEmail: l.active.bound.OwnerEmail}
		}
		if status.Bearer != nil && status.Bearer.GoneAt == nil {
			now := l.Clock.Now()
			status.Bearer.GoneAt = timeOf(&now)
		}
		return outcome{}, stalled(v1alpha1.ReasonBearerDeleted, "%s", l.bearerGone())
	}
	if err := l.syncContent(ctx); err != nil {
		return outcome{}, err
	}
	result := outcome{lookAgainAt: decision.LookAgainAt}
	status.Keys, status.AccessKey = nil, ""
	if l.active.holds() {
		result.entities = append(result.entities, l.row(l.active, decision.ExpiresAt, false))
		status.Keys = append(status.Keys, l.active.minted(v1alpha1.KeyActive, decision.ExpiresAt))
		status.AccessKey = l.active.AccessKey
		status.SecretName = secretName(l.key)
		status.Bearer = &v1alpha1.BoundBearer{ID: l.bearer.ID, OwnerEmail: l.bearer.OwnerEmail}
	}
	if l.retiring.holds() {
		result.entities = append(result.entities, l.row(l.retiring, l.retiring.ExpiresAt, true))
		status.Keys = append(status.Keys, l.retiring.minted(v1alpha1.KeyRetiring, l.retiring.ExpiresAt))
	}
	status.ExpiresAt, status.NextRotationAt = timeOf(decision.ExpiresAt), timeOf(decision.NextRotationAt)
	if l.refused != nil {
		status.NextRotationAt = nil
		return result, l.refused
	}
	switch decision.Action {
	case iam.KeyConflict:
		conflict := waiting(v1alpha1.ReasonSecretConflict, "%s", l.conflict())
		result.lookAgainAt = l.pollConflict(conflict)
		return result, conflict
	case iam.KeyExpire:
		return result, stalled(v1alpha1.ReasonExpired, "The key expired at %s; move spec.expiresAt, or delete the object", decision.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return result, l.absent.failure()
}

func (l *keyLife) bearerGone() string {
	if l.key.Spec.Bearer.Kind == v1alpha1.BearerOwner {
		return "The Organization was handed over, which ended the former owner's keys; delete this object, and create another for a new key"
	}
	return fmt.Sprintf("%s %s, which the key was minted for, is gone, and the key with it; delete this object, and create another for a new key",
		l.key.Spec.Bearer.Kind, l.key.Spec.Bearer.Name)
}

func (l *keyLife) conflict() string {
	name := secretName(l.key)
	if l.active.State == iam.SecretTerminating {
		return fmt.Sprintf("Secret %s is being deleted and held by somebody's finalizer; its key counts no more, and a new one is made when it is gone", name)
	}
	if l.active.State != iam.SecretForeign {
		name += retiringSuffix
	}
	return fmt.Sprintf("Secret %s exists and is not the operator's for this APIKey; it is left alone. Delete it, or choose another name", name)
}

// row is the store's row of a pair.
func (l *keyLife) row(found foundSecret, expires *time.Time, retiring bool) *iam.APIKey {
	head := declared.Head(l.key, iam.KindAPIKey, l.tenant.id)
	head.ID = found.AccessKey
	head.CreatedAt = found.MintedAt.UTC()
	return &iam.APIKey{
		Head:             head,
		Description:      l.key.Spec.Description,
		BearerKind:       iam.PrincipalKind(l.key.Spec.Bearer.Kind),
		BearerID:         l.bearer.ID,
		OwnerEmail:       l.bearer.OwnerEmail,
		DefaultProjectID: l.projectID,
		ExpiresAt:        expires,
		Retiring:         retiring,
		Digest:           found.digest,
		DigestKeyID:      l.Keyring.Current.ID,
	}
}

func timeOf(at *time.Time) *metav1.Time {
	if at == nil {
		return nil
	}
	t := metav1.NewTime(*at).Rfc3339Copy()
	return &t
}
