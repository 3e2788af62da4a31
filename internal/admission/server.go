// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/principals"
	"github.com/iam-operator/iam-operator/internal/store"
)

// What config/webhook calls things.
const (
	// Configuration is the name of the ValidatingWebhookConfiguration and of the
	// MutatingWebhookConfiguration by which the API server asks.
	Configuration = "iam-operator"
	// GuardWebhook is the webhook, of the first, that judges.
	GuardWebhook = "guard.iam-operator.dev"

	pathValidate = "/validate"
	pathDefault  = "/default"
	pathDeletion = "/deletion"
)

// Options say with what the webhooks work. All but Authorizer are needed.
type Options struct {
	// Store keeps who asked for what.
	Store store.Store
	// Gaps remembers what was judged and could not be recorded.
	Gaps *audit.Gaps
	// Namespace is the operator's own, where events are read that belong to no Organization.
	Namespace string
	// Authorizer answers what a requester may do; nil asks the API server (NewAuthorizer).
	Authorizer Authorizer
	// Clock is the outside world's time.
	Clock clock.PassiveClock
}

// Setup adds the webhooks to a manager's webhook server, and to its cache the indexes that
// they look things up by, but for the one of internal/principals, which controllers.Setup
// adds. It needs the API server.
func Setup(ctx context.Context, mgr ctrl.Manager, options Options) error {
	home := &corev1.Namespace{}
	if err := mgr.GetAPIReader().Get(ctx, client.ObjectKey{Name: options.Namespace}, home); err != nil {
		return fmt.Errorf("read the operator's namespace: %w", err)
	}
	counted, err := countLosses()
	if err != nil {
		return err
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	authorize := options.Authorizer
	if authorize == nil {
		authorize = NewAuthorizer(mgr.GetClient())
	}
	logger := mgr.GetLogger().WithName("admission")
	history := &history{
		store: options.Store, gaps: options.Gaps, refusals: newRefusalBounds(), now: options.Clock.Now, lost: counted, log: logger,
		principals: principals.Finder{Reader: mgr.GetClient(), Store: options.Store},
		recorder: &audit.Recorder{
			Now:       options.Clock.Now,
			NewID:     func() string { return uuid.Must(uuid.NewV7()).String() },
			Namespace: options.Namespace, NamespaceUID: string(home.UID),
		},
	}
	world := world{cache: mgr.GetClient(), live: mgr.GetAPIReader()}
	validator := &validator{
		world: world, history: history, now: options.Clock.Now, authorize: authorize,
		guard: &Guard{Reader: mgr.GetClient(), Authorize: authorize},
	}
	for path, handler := range map[string]admission.Handler{
		pathValidate: named(validator),
		pathDefault:  admission.HandlerFunc(addFinalizer),
		pathDeletion: named(admission.HandlerFunc(history.recordDeletion)),
	} {
		mgr.GetWebhookServer().Register(path, &webhook.Admission{Handler: handler})
	}
	return nil
}

// named tells the API server's own audit log by which id our events know a request, whatever
// is answered: that log knows where the request came from.
func named(handler admission.Handler) admission.Handler {
	return admission.HandlerFunc(func(ctx context.Context, request admission.Request) admission.Response {
		response := handler.Handle(ctx, request)
		response.AuditAnnotations = map[string]string{audit.RequestAnnotation: string(request.UID)}
		return response
	})
}

// addIndexes tells the cache by what objects are looked up here.
func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	var errs []error
	for kind, count := range quotaKinds() {
		if err := indexer.IndexField(ctx, count.prototype, organizationIndex, organizationKeys); err != nil {
			errs = append(errs, fmt.Errorf("index the Organizations of each %s: %w", kind, err))
		}
	}
	for _, index := range nameIndexes() {
		if err := indexer.IndexField(ctx, index.prototype, index.name, index.keys); err != nil {
			errs = append(errs, fmt.Errorf("index %s: %w", index.name, err))
		}
	}
	return errors.Join(errs...)
}
