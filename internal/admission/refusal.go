// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/lru"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// refused writes the audit event of a refused attempt. The answer is the same where that
// fails, and what is lost is counted. organization is the attempt's, nil where there is none
// that it belongs to: then the event is the operator's, since an Organization's trail is not
// for strangers to write into.
func (h *history) refused(ctx context.Context, a *attempt, organization *v1alpha1.Organization, home string, code int, reason string) {
	if a.dryRun() {
		return
	}
	if !h.refusals.allow(a.User.Username, h.now()) {
		h.lost.refusals.Inc()
		return
	}
	refusal := audit.Refusal{
		Kind: a.kind, Name: a.Object.GetName(), Action: iam.ActionCreated, StatusCode: code, Reason: reason,
		Cause: audit.Cause{KubernetesUser: a.User.Username, RequestID: string(a.request.UID)},
	}
	if a.old != nil {
		// What is refused at its creation has an id that nobody will ever see again.
		refusal.ID, refusal.Action = declared.ID(a.old), iam.ActionUpdated
	}
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	if organization != nil {
		refusal.Cause.Home = declared.Organization(organization, home)
		refusal.OrganizationID = refusal.Cause.Home.ID
		actor, found, err := h.principals.Find(ctx, refusal.OrganizationID, a.User.Username)
		if err != nil {
			h.log.Error(err, "The event of a refused attempt names a Kubernetes user, who may be somebody of the Organization", "user", a.User.Username)
		}
		if found {
			refusal.Cause.Actor = actor
		}
	}
	_, err := h.store.Write(ctx, func(tx store.Tx) error { return h.recorder.Refuse(ctx, tx, refusal) })
	if err != nil {
		h.lost.refusals.Inc()
		h.log.Error(err, "No audit event tells of a refused attempt", "kind", a.kind, "namespace", a.Object.GetNamespace(), "name", a.Object.GetName(), "user", a.User.Username)
	}
}

// Who tries again and again must not fill the disk, nor keep others from writing.
const (
	refusalsAtOnce    = 100
	refusalsPerSecond = 10
	// boundedUsers is of how many users it is remembered, the latest.
	boundedUsers = 10_000
)

// refusalBounds bounds how many refusals of each user are written down.
type refusalBounds struct{ users *lru.Cache }

func newRefusalBounds() *refusalBounds { return &refusalBounds{lru.New(boundedUsers)} }

func (b *refusalBounds) allow(user string, now time.Time) bool {
	known, _ := b.users.Get(user)
	limiter, ok := known.(*rate.Limiter)
	if !ok {
		limiter = rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
		b.users.Add(user, limiter)
	}
	return limiter.AllowN(now, 1)
}

// rulesOf says which rules were broken, without the values that broke them: of some it is
// not known whether they are secret, and a log is for longer than an answer.
func rulesOf(errs field.ErrorList) string {
	rules := make([]string, len(errs))
	for i, err := range errs {
		rule := err.Detail
		if rule == "" {
			rule = strings.ToLower(err.Type.String())
		}
		rules[i] = fmt.Sprintf("%s: %s", err.Field, rule)
	}
	return strings.Join(rules, "; ")
}
