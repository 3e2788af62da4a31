// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/principals"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// DigestKeySecret is the Secret, in the operator's namespace, that holds the digest keys.
// The operator creates it, and from then on only reads it.
const DigestKeySecret = "iam-operator-digest-keys"

// Options say with what the controllers work.
type Options struct {
	// Store is the canonical store; OpenDatabase gives one.
	Store store.Store
	// Namespace is the operator's own. Its Secret of digest keys lives there, and events
	// about permission sets belong to it.
	Namespace string
	// APIURL is where the clients of an API key find the IAM API.
	APIURL string
	// Admission says that the webhooks are to judge what is declared: new generations that they
	// did not judge wait. False when admission is switched off.
	Admission bool
	// Judged says whether the webhooks judged a generation of an object with this digest without
	// having been able to record it; nil means that they record everything.
	Judged func(objectUID string, generation int64, digest string) bool
	// Clock and Random are the outside world's time and chance.
	Clock  clock.PassiveClock
	Random io.Reader
}

// NewScheme gives a scheme with the kinds that the controllers work on.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
}

// CacheOptions keep the manager's cache to what the controllers watch: of Secrets and
// ConfigMaps, only those labelled as the operator's; of webhook configurations, its own. Which
// fields somebody wrote, which is half of an object, nobody here asks; who wrote the objects of
// our kinds, and when, is asked where admission does not say it.
func CacheOptions() cache.Options {
	watched := labels.SelectorFromSet(labels.Set{v1alpha1.WatchLabel: "true"})
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}:    {Label: watched},
		&corev1.ConfigMap{}: {Label: watched},
		&admissionv1.ValidatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", AdmissionConfiguration)},
	}}
	for _, prototype := range []client.Object{
		&v1alpha1.Organization{}, &v1alpha1.Project{}, &v1alpha1.Member{}, &v1alpha1.Group{}, &v1alpha1.Application{},
		&v1alpha1.APIKey{}, &v1alpha1.Policy{}, &v1alpha1.PermissionSet{}, &v1alpha1.SSHKey{},
	} {
		options.ByObject[prototype] = cache.ByObject{Transform: withoutFields}
	}
	return options
}

// withoutFields drops the fields of managedFields. An object that it has gone through can be patched, and not updated: whoever
// wrote what is there would no longer own it.
func withoutFields(object any) (any, error) {
	if metadata, err := meta.Accessor(object); err == nil {
		entries := slices.Clone(metadata.GetManagedFields())
		for i := range entries {
			entries[i].FieldsV1 = nil
		}
		metadata.SetManagedFields(entries)
	}
	return object, nil
}

// Database says which file holds the store.
type Database struct {
	// Path of the SQLite file, on a local file system.
	Path string
	// TrustFileSystem accepts a FUSE or 9p mount, of which nobody can tell whether it is a
	// network file system.
	TrustFileSystem bool
}

// OpenDatabase opens the SQLite store in a file, and creates it when it is not there. The
// caller closes it after the manager has ended.
func OpenDatabase(ctx context.Context, database Database) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: database.Path, TrustFileSystem: database.TrustFileSystem})
}

// Setup adds the controllers of all kinds to a manager whose cache has CacheOptions. It
// needs the API server, for the Secret of digest keys.
func Setup(ctx context.Context, mgr ctrl.Manager, options Options) error {
	environment, err := newEnvironment(ctx, mgr, options)
	if err != nil {
		return err
	}
	if err := principals.AddIndex(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	trail, err := newAuditLog(ctx, environment, options.Namespace, mgr.GetLogger().WithName("audit"))
	if err != nil {
		return err
	}
	sweep := &sweeper{Environment: environment, orphans: map[iam.Kind]chan event.GenericEvent{}}
	keys := apiKeys{environment}
	keyReconciler := newReconciler(environment, iam.KindAPIKey, keys, &v1alpha1.APIKey{}, &v1alpha1.APIKeyList{})
	wakeKeys := keys.watch(func(ctx context.Context, claim string) []reconcile.Request {
		return keyReconciler.requests(ctx, claimIndex, claim)
	})
	people := members{environment, newMemberMemory()}
	door := &memberDoor{Environment: environment, wake: make(chan event.GenericEvent)}
	memberReconciler := newReconciler(environment, iam.KindMember, people, &v1alpha1.Member{}, &v1alpha1.MemberList{})
	wakeMembers := people.watch(door, func(ctx context.Context, secret reference) []reconcile.Request {
		return memberReconciler.requests(ctx, referenceIndex, secret.String())
	})
	err = errors.Join(
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindOrganization, organizations{environment}, &v1alpha1.Organization{}, &v1alpha1.OrganizationList{}), organizations{environment}.watch),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindProject, projects{environment}, &v1alpha1.Project{}, &v1alpha1.ProjectList{}), projects{environment}.watch),
		add(ctx, mgr, sweep, memberReconciler, wakeMembers),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindGroup, groups{environment}, &v1alpha1.Group{}, &v1alpha1.GroupList{}), groups{environment}.watch),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindApplication, applications{environment}, &v1alpha1.Application{}, &v1alpha1.ApplicationList{}), applications{}.watch),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindPolicy, policies{environment}, &v1alpha1.Policy{}, &v1alpha1.PolicyList{}), nil),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindPermissionSet, permissionSets{environment}, &v1alpha1.PermissionSet{}, &v1alpha1.PermissionSetList{}), nil),
		add(ctx, mgr, sweep, newReconciler(environment, iam.KindSSHKey, sshKeys{environment}, &v1alpha1.SSHKey{}, &v1alpha1.SSHKeyList{}), nil),
		add(ctx, mgr, sweep, keyReconciler, wakeKeys),
		catalogue{environment}.register(mgr),
		mgr.Add(manager.RunnableFunc(door.run)),
		trail.register(mgr),
	)
	if err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(sweep.run))
}

func newReconciler[T Object](environment *Environment, name iam.Kind, k kind[T], prototype T, list client.ObjectList) *Reconciler[T] {
	return &Reconciler[T]{Environment: environment, name: name, kind: k, prototype: prototype, prototypeList: list}
}

func add[T Object](ctx context.Context, mgr ctrl.Manager, sweep *sweeper, r *Reconciler[T], extend func(*builder.Builder)) error {
	orphans, err := register(ctx, mgr, r, extend)
	sweep.orphans[r.name] = orphans
	return err
}

func newEnvironment(ctx context.Context, mgr ctrl.Manager, options Options) (*Environment, error) {
	keyring, err := LoadDigestKeys(ctx, mgr, options.Namespace, options.Random)
	if err != nil {
		return nil, err
	}
	home := &corev1.Namespace{}
	if err := mgr.GetAPIReader().Get(ctx, client.ObjectKey{Name: options.Namespace}, home); err != nil {
		return nil, fmt.Errorf("read the operator's namespace: %w", err)
	}
	return &Environment{
		Client:    client.WithFieldOwner(mgr.GetClient(), string(fieldOwner)),
		APIReader: mgr.GetAPIReader(),
		Store:     options.Store,
		Recorder: &audit.Recorder{
			Now:       options.Clock.Now,
			NewID:     func() string { return uuid.Must(uuid.NewV7()).String() },
			Namespace: options.Namespace, NamespaceUID: string(home.UID),
		},
		Events:    mgr.GetEventRecorder("iam-operator"),
		Keyring:   keyring,
		Hasher:    credentials.NewHasher(options.Random),
		Admission: options.Admission,
		Judged:    options.Judged,
		Clock:     options.Clock,
		Random:    options.Random,
		APIURL:    options.APIURL,
	}, nil
}

// LoadDigestKeys reads the digest keys from the operator's namespace, or draws them at the very first start. The Secret is only ever
// created: whoever loses a race reads what the winner wrote.
func LoadDigestKeys(ctx context.Context, mgr ctrl.Manager, namespace string, random io.Reader) (credentials.Keyring, error) {
	key := client.ObjectKey{Namespace: namespace, Name: DigestKeySecret}
	secret := &corev1.Secret{}
	err := mgr.GetAPIReader().Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		ring, drawErr := credentials.NewKeyring(random)
		if drawErr != nil {
			return credentials.Keyring{}, drawErr
		}
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: ring.Data()}
		err = mgr.GetClient().Create(ctx, secret)
		if apierrors.IsAlreadyExists(err) {
			err = mgr.GetAPIReader().Get(ctx, key, secret)
		}
	}
	if err != nil {
		return credentials.Keyring{}, fmt.Errorf("load the digest keys from Secret %s: %w", key, err)
	}
	ring, err := credentials.ParseKeyring(secret.Data)
	if err != nil {
		return credentials.Keyring{}, fmt.Errorf("secret %s does not hold digest keys (%w); restore it, or delete it to have new ones made", key, err)
	}
	return ring, nil
}

// invalid turns what a validator says into a stalled failure.
func invalid(errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return stalled(v1alpha1.ReasonInvalidSpec, "%s", errs.ToAggregate())
}
