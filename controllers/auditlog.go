// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;create;update

const (
	// AuditKeySecret is the Secret, in the operator's namespace, that holds the key by which audit checkpoints are
	// signed. The operator creates it, and from then on only reads it, when it starts. When it is deleted a new key is
	// drawn at the next start, and the public keys of before are taken over from AuditCheckpointConfigMap.
	AuditKeySecret = "iam-operator-audit-key"
	// AuditCheckpointConfigMap is the ConfigMap, in the operator's namespace, with the newest audit checkpoint and the
	// public keys: what the store is verified against. Who deletes it accepts the store as it is.
	AuditCheckpointConfigMap = "iam-operator-audit-checkpoint"

	// AuditCheckpointField has the newest checkpoint, in JSON.
	AuditCheckpointField = "checkpoint.json"
	// AuditFormerField has the last checkpoint of the store that was there before this one, in JSON.
	AuditFormerField = "former-checkpoint.json"
	// AuditPublicKeysField has the public keys, PKIX in PEM.
	AuditPublicKeysField = "public-keys.pem"

	// retentionEvery is how often it is looked for events that are older than they are kept.
	retentionEvery = time.Minute
	// retentionPause is what other writers have between two batches.
	retentionPause = 20 * time.Millisecond
)

// auditLog vouches for the audit events, and removes those that are older than they are kept.
type auditLog struct {
	*Environment
	namespace    string
	log          logr.Logger
	checkpointer *chain.Checkpointer
	retention    *chain.Retention
	checkpoints  *prometheus.CounterVec
	forked       prometheus.Gauge

	mu sync.Mutex // over published; the checkpointer publishes while retention may have it read
	// published is the ConfigMap as it was last read or written; nil where there is none.
	published *corev1.ConfigMap
}

func newAuditLog(ctx context.Context, environment *Environment, namespace string, logger logr.Logger) (*auditLog, error) {
	a := &auditLog{
		Environment: environment, namespace: namespace, log: logger,
		checkpoints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "iam_operator_audit_checkpoints_total", Help: "Audit checkpoints that were signed (result=made), and attempts to sign or publish one that failed (result=failed).",
		}, []string{"result"}),
		forked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "iam_operator_audit_forked", Help: "1 while the audit log is not the one that was last vouched for: it was rewritten, or an older copy of the database was put back.",
		}),
	}
	var err error
	if a.checkpoints, err = registered(a.checkpoints); err != nil {
		return nil, err
	}
	if a.forked, err = registered(a.forked); err != nil {
		return nil, err
	}
	a.checkpoints.WithLabelValues("made")
	a.checkpoints.WithLabelValues("failed")
	keys, err := a.loadKeys(ctx)
	if err != nil {
		return nil, err
	}
	a.checkpointer = &chain.Checkpointer{
		Store: a.Store, Keys: keys, Now: a.Clock.Now, After: time.After, Load: a.load, Publish: a.publish, Made: a.made, Forked: a.tellFork,
		Restarted: a.tellRestart,
	}
	a.retention = &chain.Retention{
		Store: a.Store, Checkpointer: a.checkpointer, Recorder: a.Recorder, Now: a.Clock.Now,
		Pause: func(ctx context.Context) error { return pause(ctx, retentionPause) },
	}
	return a, nil
}

// registered puts a metric into the registry that the manager serves; a process that sets up several operators, as tests
// do, has it once.
func registered[T prometheus.Collector](collector T) (T, error) {
	err := metrics.Registry.Register(collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(T); ok {
			return existing, nil
		}
	}
	if err != nil {
		return collector, fmt.Errorf("register a metric of the audit log: %w", err)
	}
	return collector, nil
}

func (a *auditLog) register(mgr ctrl.Manager) error {
	return errors.Join(mgr.Add(manager.RunnableFunc(a.checkpointer.Run)), mgr.Add(manager.RunnableFunc(a.retain)))
}

// retain removes what is due, now and then. What fails is tried again the next time.
func (a *auditLog) retain(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.retention.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error(err, "Audit events that are older than they are kept could not be removed")
		}
		if pause(ctx, retentionEvery) != nil {
			break
		}
	}
	return nil
}

// pause waits, and fails when the context ends first.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *auditLog) made(err error) {
	if err == nil {
		a.checkpoints.WithLabelValues("made").Inc()
		return
	}
	a.checkpoints.WithLabelValues("failed").Inc()
	a.log.Error(err, "No audit checkpoint was made or published; it is tried again")
}

func (a *auditLog) tellFork(fork *chain.ForkedError) {
	if fork == nil {
		a.forked.Set(0)
		a.log.Info("The audit log is vouched for again: its state was accepted")
		return
	}
	a.forked.Set(1)
	a.log.Error(fork, "The audit log is not the one that was vouched for")
	about := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: AuditCheckpointConfigMap}}
	a.mu.Lock()
	if a.published != nil {
		about = a.published
	}
	a.mu.Unlock()
	a.Events.Eventf(about, nil, corev1.EventTypeWarning, "AuditLogForked", "Verify", "%s", cut(fork.Error(), maxMessage))
}

// tellRestart says that the store is another than the one that was vouched for before.
func (a *auditLog) tellRestart(former iam.Checkpoint) {
	message := fmt.Sprintf("The audit log is that of a new store: of the one before, %s, all up to event %d was vouched for on %s. If nobody lost or replaced the database, somebody has removed its audit log.",
		former.Incarnation, former.Sequence, former.At.UTC().Format(time.RFC3339))
	a.log.Info(message, "formerIncarnation", former.Incarnation, "formerCheckpoint", former.Number)
	about := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: AuditCheckpointConfigMap}}
	a.Events.Eventf(about, nil, corev1.EventTypeWarning, "AuditLogRestarted", "Verify", "%s", cut(message, maxMessage))
}

// loadKeys reads the signing key, or draws it at the very first start. The Secret is only ever created, as that of
// the digest keys is.
func (a *auditLog) loadKeys(ctx context.Context) (chain.Keys, error) {
	key := client.ObjectKey{Namespace: a.namespace, Name: AuditKeySecret}
	secret := &corev1.Secret{}
	err := a.APIReader.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		secret, err = a.drawKeys(ctx, key)
	}
	if err != nil {
		return chain.Keys{}, fmt.Errorf("load the key that signs audit checkpoints from Secret %s: %w", key, err)
	}
	keys, err := chain.ParseKeys(secret.Data)
	if err != nil {
		return chain.Keys{}, fmt.Errorf("secret %s does not hold the key that signs audit checkpoints (%w); restore it, or delete it to have a new one made", key, err)
	}
	return keys, nil
}

func (a *auditLog) drawKeys(ctx context.Context, key client.ObjectKey) (*corev1.Secret, error) {
	before, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := chain.NewKeys(a.Random, before.Keys)
	if err != nil {
		return nil, err
	}
	data, err := keys.Data()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: data}
	err = a.Client.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		err = a.APIReader.Get(ctx, key, secret)
	}
	return secret, err
}

// load reads what was published last. It asks the API server itself: the cache has no such ConfigMap.
func (a *auditLog) load(ctx context.Context) (chain.Published, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := client.ObjectKey{Namespace: a.namespace, Name: AuditCheckpointConfigMap}
	published := &corev1.ConfigMap{}
	err := a.APIReader.Get(ctx, key, published)
	if apierrors.IsNotFound(err) {
		a.published = nil
		return chain.Published{}, nil
	}
	if err != nil {
		return chain.Published{}, fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	a.published = published
	read, err := ReadAuditCheckpoint(published)
	if err != nil {
		return chain.Published{}, fmt.Errorf("ConfigMap %s: %w; restore it, or delete it to accept the audit log as it is", key, err)
	}
	return read, nil
}

// ReadAuditCheckpoint reads what AuditCheckpointConfigMap says.
func ReadAuditCheckpoint(configMap *corev1.ConfigMap) (chain.Published, error) {
	var read chain.Published
	var err error
	if read.Newest, err = checkpointIn(configMap, AuditCheckpointField); err != nil {
		return chain.Published{}, err
	}
	if read.Former, err = checkpointIn(configMap, AuditFormerField); err != nil {
		return chain.Published{}, err
	}
	if read.Keys, err = chain.ParsePublicKeys([]byte(configMap.Data[AuditPublicKeysField])); err != nil {
		return chain.Published{}, fmt.Errorf("%s: %w", AuditPublicKeysField, err)
	}
	return read, nil
}

func checkpointIn(configMap *corev1.ConfigMap, field string) (*iam.Checkpoint, error) {
	text := configMap.Data[field]
	if text == "" {
		return nil, nil
	}
	checkpoint := &iam.Checkpoint{}
	if err := json.Unmarshal([]byte(text), checkpoint); err != nil {
		return nil, fmt.Errorf("%s does not hold an audit checkpoint: %w", field, err)
	}
	return checkpoint, nil
}

// publish replaces what was published. It fails with chain.ErrMoved if somebody else wrote it meanwhile.
func (a *auditLog) publish(ctx context.Context, published chain.Published) error {
	data := map[string]string{}
	for field, checkpoint := range map[string]*iam.Checkpoint{AuditCheckpointField: published.Newest, AuditFormerField: published.Former} {
		if checkpoint == nil {
			continue
		}
		text, err := json.Marshal(checkpoint)
		if err != nil {
			return fmt.Errorf("encode checkpoint %d: %w", checkpoint.Number, err)
		}
		data[field] = string(text)
	}
	keys, err := published.Keys.PEM()
	if err != nil {
		return err
	}
	data[AuditPublicKeysField] = string(keys)
	a.mu.Lock()
	defer a.mu.Unlock()
	next := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: AuditCheckpointConfigMap}, Data: data}
	if a.published == nil {
		err = a.Client.Create(ctx, next)
	} else {
		next.ObjectMeta = *a.published.ObjectMeta.DeepCopy() // Its labels and annotations are others', and its version says whether it is still the same.
		err = a.Client.Update(ctx, next)
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errors.Join(chain.ErrMoved, err)
	}
	if err != nil {
		return err
	}
	a.published = next
	return nil
}
