// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/principals"
	"github.com/iam-operator/iam-operator/internal/store"
)

// What is recorded must never keep an answer waiting: the API server gives a judgement ten
// seconds, and a deletion one.
const (
	recordWithin         = 500 * time.Millisecond
	recordDeletionWithin = 800 * time.Millisecond
)

// history is what the webhooks leave behind.
type history struct {
	store    store.Store
	recorder *audit.Recorder
	// principals finds who of an Organization was refused something.
	principals principals.Finder
	// gaps are the attributions that could not be recorded.
	gaps *audit.Gaps
	now  func() time.Time
	// refusals bounds how many each user has written.
	refusals *refusalBounds
	lost     losses
	log      logr.Logger
}

// losses count what could not be recorded.
type losses struct{ attributions, refusals prometheus.Counter }

// countLosses gives the counters, which all operators of a process share, as they share the registry.
func countLosses() (losses, error) {
	attributions, err := counter("iam_operator_attribution_failures_total",
		"Admitted requests of which it could not be recorded who asked; their audit events say AdmissionAbsent.")
	if err != nil {
		return losses{}, err
	}
	refusals, err := counter("iam_operator_refusal_events_lost_total",
		"Refused requests of which no audit event could be written.")
	return losses{attributions, refusals}, err
}

func counter(name, help string) (prometheus.Counter, error) {
	fresh := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	err := metrics.Registry.Register(fresh)
	var known prometheus.AlreadyRegisteredError
	if errors.As(err, &known) {
		if counter, ok := known.ExistingCollector.(prometheus.Counter); ok {
			return counter, nil
		}
	}
	return fresh, err
}

// attribute records who asked for what is about to be stored. Where that fails the request
// is admitted all the same: the event will say that nobody knows.
func (h *history) attribute(ctx context.Context, a *attempt) {
	if a.dryRun() || !a.changed() {
		return
	}
	err := h.record(ctx, recordWithin, iam.Attribution{
		ObjectUID:  string(a.Object.GetUID()),
		Generation: a.Object.GetGeneration(),
		Digest:     declared.Digest(a.Object),
		Requester:  requesterOf(a.User),
		RequestID:  string(a.request.UID),
		At:         h.now().UTC(),
	})
	if err != nil {
		h.log.Error(err, "It could not be recorded who asked", "kind", a.kind, "namespace", a.Object.GetNamespace(), "name", a.Object.GetName(), "user", a.User.Username)
	}
}

// judged says whether what is stored of an object was ever judged: the operator has let it
// through, or there is a record, or a gap where one should be. What is not known counts as new.
func (h *history) judged(ctx context.Context, obj declared.Object) bool {
	if declared.WasLetThrough(obj) {
		return true
	}
	uid, generation, digest := string(obj.GetUID()), obj.GetGeneration(), declared.Digest(obj)
	if h.gaps.Has(uid, generation, digest) {
		return true
	}
	records, err := h.store.Attributions(ctx, uid)
	if err != nil {
		h.log.Error(err, "Whether an object was ever judged could not be found out; it is judged as a whole", "namespace", obj.GetNamespace(), "name", obj.GetName())
	}
	return iam.Admitted(records, generation, digest)
}

// security gives an Organization's rules for credentials that are in force: those of its row,
// where nobody judged what it declares. Where there is no row either, the loop applies nothing
// of the Organization, and so what it declares will do.
func (h *history) security(ctx context.Context, tenant *v1alpha1.Organization) (iam.Security, error) {
	if h.judged(ctx, tenant) {
		return declared.Organization(tenant, "").Security, nil
	}
	row, err := h.store.Get(ctx, iam.KindOrganization, tenant.Status.ID)
	if errors.Is(err, store.ErrNotFound) {
		return declared.Organization(tenant, "").Security, nil
	}
	if err != nil {
		return iam.Security{}, fmt.Errorf("find what is in force of Organization %s: %w", tenant.Name, err)
	}
	entity, ok := row.Entity.(*iam.Organization)
	if !ok {
		return iam.Security{}, fmt.Errorf("the row of Organization %s is a %T", tenant.Name, row.Entity)
	}
	return entity.Security, nil
}

// recordDeletion answers POST /deletion. It always admits.
func (h *history) recordDeletion(ctx context.Context, request admission.Request) admission.Response {
	if request.SubResource != "" || request.DryRun != nil && *request.DryRun {
		return admission.Allowed("")
	}
	var old metav1.PartialObjectMetadata
	err := json.Unmarshal(request.OldObject.Raw, &old)
	switch {
	case err != nil:
		h.lost.attributions.Inc()
	case !old.DeletionTimestamp.IsZero():
		return admission.Allowed("") // Who asks again has not deleted it.
	default:
		err = h.record(ctx, recordDeletionWithin, iam.Attribution{
			ObjectUID: string(old.UID),
			Deletion:  true,
			Requester: requesterOf(request.UserInfo),
			RequestID: string(request.UID),
			At:        h.now().UTC(),
		})
	}
	if err != nil {
		h.log.Error(err, "It could not be recorded who deletes", "kind", request.Kind.Kind, "namespace", request.Namespace, "name", old.Name, "user", request.UserInfo.Username)
	}
	return admission.Allowed("")
}

func (h *history) record(ctx context.Context, within time.Duration, record iam.Attribution) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := h.store.Attribute(ctx, record); err != nil {
		h.gaps.Add(record)
		h.lost.attributions.Inc()
		return fmt.Errorf("record the requester: %w", err)
	}
	return nil
}

func requesterOf(user authenticationv1.UserInfo) iam.Requester {
	requester := iam.Requester{Name: user.Username, UID: user.UID, Groups: user.Groups}
	for key, values := range user.Extra {
		if requester.Extra == nil {
			requester.Extra = map[string][]string{}
		}
		requester.Extra[key] = values
	}
	return requester
}

// changed says whether an attempt declares anything that is not declared already. What was
// never judged counts as new.
func (a *attempt) changed() bool {
	if a.Former == nil {
		return true
	}
	return a.Object.GetGeneration() != a.Former.GetGeneration() || declared.Digest(a.Object) != declared.Digest(a.Former)
}
