// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=members,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=members/status,verbs=patch

// invitationLifetime is how long a Guest has to accept.
const invitationLifetime = 7 * 24 * time.Hour

type members struct {
	*Environment
	memory *memberMemory
}

func (c members) sync(ctx context.Context, m *v1alpha1.Member) (outcome, error) {
	c.describe(m)
	tenant, err := c.tenantOf(ctx, m)
	if err == nil {
		err = invalid(declared.ValidateMember(m))
	}
	if err == nil {
		err = c.judgeUsername(ctx, tenant, m)
	}
	if err != nil {
		// Whoever does not count holds no name.
		m.Status.Username = ""
		return outcome{}, err
	}
	m.Status.Username = m.Spec.Username
	if invitation := m.Status.Invitation; invitation != nil && invitation.State == v1alpha1.InvitationExpired {
		return outcome{}, stalled(v1alpha1.ReasonExpired, "The invitation lapsed after 7 days; delete the object, and declare a Member or another Guest")
	}
	groups, absent, err := tenant.groupIDs(ctx, m, m.Spec.Groups)
	if err != nil {
		return outcome{}, err
	}
	row := declared.Member(m, tenant.id, groups)
	if m.Spec.Type == v1alpha1.TypeGuest {
		result := outcome{entities: []iam.Entity{row}}
		if invitation := m.Status.Invitation; invitation.State == v1alpha1.InvitationPending {
			result.lookAgainAt = &invitation.ExpiresAt.Time
		}
		return result, absent.failure()
	}
	return c.syncCredentials(ctx, tenant, m, row, absent)
}

// syncCredentials gives the Member's row what its credentials have come to.
func (c members) syncCredentials(ctx context.Context, tenant *tenant, m *v1alpha1.Member, row *iam.Member, absent missing) (outcome, error) {
	look := &memberCredentials{
		Environment: c.Environment, memory: c.memory, member: m, organization: tenant.organization,
		security: tenant.security, now: c.Clock.Now().UTC(),
	}
	if err := look.sync(ctx); err != nil {
		return c.meanwhile(ctx, row), err
	}
	life := look.record.life
	row.Locked = string(iam.EffectiveLock(m.Spec.State == v1alpha1.StateLocked, life))
	row.MFA, row.GracePeriods = life.MFA, gracePeriodsOf(life)
	if look.record.password != "" {
		row.PasswordUpdatedAt = life.PasswordChangedAt
	}
	look.describe(row)
	c.describe(m)
	result := outcome{entities: []iam.Entity{row}}
	for _, at := range look.lookAgain {
		if result.lookAgainAt == nil || at.Before(*result.lookAgainAt) {
			result.lookAgainAt = &at
		}
	}
	return result, firstError(look.problem, absent.failure())
}

// meanwhile is what a Member comes to while its credentials cannot be seen to: a declared
// lock, or a group that is left, does not wait for a Secret. What arose at run time stays as
// the store has it, and who is not there yet waits.
func (c members) meanwhile(ctx context.Context, row *iam.Member) outcome {
	held, err := c.Store.Get(ctx, iam.KindMember, row.ID)
	if err != nil {
		return outcome{}
	}
	former, ok := held.Entity.(*iam.Member)
	if !ok || former.Object.UID != row.Object.UID {
		return outcome{}
	}
	if row.Locked == "" {
		// Whether another lock is beneath a declared one is not known.
		row.Locked = former.Locked
	}
	row.MFA, row.PasswordUpdatedAt, row.GracePeriods = former.MFA, former.PasswordUpdatedAt, former.GracePeriods
	return outcome{known: true, entities: []iam.Entity{row}}
}

func gracePeriodsOf(life iam.MemberLife) []iam.MemberGracePeriod {
	var periods []iam.MemberGracePeriod
	for _, grace := range []struct {
		kind   v1alpha1.GracePeriodType
		period *iam.GracePeriod
	}{{v1alpha1.GracePeriodSetMFA, life.SetMFA}, {v1alpha1.GracePeriodUpdatePassword, life.UpdatePassword}} {
		if grace.period != nil {
			periods = append(periods, iam.MemberGracePeriod{Type: string(grace.kind), StartedAt: grace.period.StartedAt, ExpiresAt: grace.period.ExpiresAt})
		}
	}
	return periods
}

// describe fills what the status says of the credentials.
func (c *memberCredentials) describe(row *iam.Member) {
	status, life := &c.member.Status, c.record.life
	status.MFA = v1alpha1.MFADisabled
	if row.MFA {
		status.MFA = v1alpha1.MFAEnabled
	}
	status.PasswordUpdatedAt = timeOf(row.PasswordUpdatedAt)
	status.GracePeriods = nil
	for _, period := range row.GracePeriods {
		status.GracePeriods = append(status.GracePeriods, v1alpha1.GracePeriod{
			Type: v1alpha1.GracePeriodType(period.Type), StartedAt: *timeOf(&period.StartedAt), ExpiresAt: *timeOf(&period.ExpiresAt),
		})
	}
	status.Credentials = nil
	if c.record.worthKeeping() {
		// A Secret that cannot be written leaves the status as the only record.
		record := &v1alpha1.MemberCredentials{Revision: max(c.record.revision, 1), FirstLoginAt: timeOf(life.FirstLoginAt)}
		if c.state == iam.SecretIntact {
			record.DigestKeyID, record.SecretResourceVersion = c.Keyring.Current.ID, c.metadata.ResourceVersion
		}
		if life.Lock != nil {
			record.Lock = &v1alpha1.MemberLock{Since: *timeOf(&life.Lock.Since), Reason: v1alpha1.LockReason(life.Lock.Reason)}
		}
		status.Credentials = record
	}
	if c.valid == nil {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionCredentialsValid)
		return
	}
	setCondition(&status.ObjectStatus, *c.valid, c.member.Generation, c.now)
}

// describe fills what the status says whether or not the Member counts.
func (c members) describe(m *v1alpha1.Member) {
	now := c.Clock.Now()
	if m.Spec.Type == v1alpha1.TypeGuest {
		m.Status.Invitation = invitationOf(m, now)
		return
	}
	if m.Status.MFA == "" {
		m.Status.MFA = v1alpha1.MFADisabled
	}
	switch {
	case m.Spec.State != v1alpha1.StateLocked:
		m.Status.Locked = nil
		if record := m.Status.Credentials; record != nil {
			m.Status.Locked = record.Lock
		}
	case m.Status.Locked == nil || m.Status.Locked.Reason != v1alpha1.LockDeclared:
		m.Status.Locked = &v1alpha1.MemberLock{Since: metav1.NewTime(now).Rfc3339Copy(), Reason: v1alpha1.LockDeclared}
	}
	setCondition(&m.Status.ObjectStatus, lockedCondition(m), m.Generation, now)
}

// lockedCondition says whether the Member is locked, and what lifts the lock.
func lockedCondition(m *v1alpha1.Member) metav1.Condition {
	lock := m.Status.Locked
	if lock == nil {
		return metav1.Condition{Type: v1alpha1.ConditionLocked, Status: metav1.ConditionFalse, Reason: string(v1alpha1.StateActive), Message: "The Member is not locked"}
	}
	locked := metav1.Condition{Type: v1alpha1.ConditionLocked, Status: metav1.ConditionTrue, Reason: string(lock.Reason)}
	unlock := fmt.Sprintf("no log-in, and the API keys do not count. To unlock: kubectl -n %s annotate --overwrite iammbr %s %s=$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)",
		m.Namespace, m.Name, v1alpha1.UnlockAtAnnotation)
	switch lock.Reason {
	case v1alpha1.LockDeclared:
		locked.Message = "spec.state is Locked: no log-in, and the API keys do not count"
	case v1alpha1.LockGracePeriodExpired:
		locked.Message = fmt.Sprintf("A grace period ended at %s before the Member did what it was for: %s; a new grace period begins then", lock.Since.UTC().Format(time.RFC3339), unlock)
	default:
		locked.Message = fmt.Sprintf("Too many log-ins failed in a row, the last at %s: %s", lock.Since.UTC().Format(time.RFC3339), unlock)
	}
	return locked
}

func invitationOf(m *v1alpha1.Member, now time.Time) *v1alpha1.Invitation {
	if m.Status.Invitation != nil && m.Status.Invitation.State == v1alpha1.InvitationAccepted {
		return m.Status.Invitation
	}
	expires := metav1.NewTime(m.CreationTimestamp.Add(invitationLifetime)).Rfc3339Copy()
	state := v1alpha1.InvitationPending
	if !now.Before(expires.Time) {
		state = v1alpha1.InvitationExpired
	}
	return &v1alpha1.Invitation{State: state, ExpiresAt: expires}
}

// judgeUsername keeps a username to one Member of the Organization, without regard to
// case, and to nobody where it is the owner's e-mail.
func (c members) judgeUsername(ctx context.Context, tenant *tenant, m *v1alpha1.Member) error {
	if err := declared.ReservedUsername(m, tenant.organization.Spec.Owner.Email); err != nil {
		return stalled(v1alpha1.ReasonInvalidSpec, "%s", err)
	}
	for _, claim := range c.claims(m) {
		err := judge(ctx, c.Environment, m, &v1alpha1.MemberList{}, contest[*v1alpha1.Member]{
			claim:  claim,
			what:   fmt.Sprintf("spec.username %q", m.Spec.Username),
			holds:  func(other *v1alpha1.Member) bool { return strings.EqualFold(other.Status.Username, m.Spec.Username) },
			counts: func(other *v1alpha1.Member) (bool, error) { return tenant.has(ctx, other) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the Member's Secrets at once, rather than leave that to the garbage
// collector, and has the door forget what it was told.
func (c members) remove(ctx context.Context, m *v1alpha1.Member) error {
	c.memory.forget(m.UID)
	names := []string{memberSecretName(m)}
	if password := m.Spec.Password; password != nil && password.Generate != nil {
		names = append(names, string(password.Generate.SecretName))
	}
	for _, name := range names {
		if err := c.deleteSecret(ctx, m, name); err != nil {
			return err
		}
	}
	if !hasSettledID(m) {
		return nil
	}
	if err := c.Store.Settle(ctx, idOf(m), math.MaxInt64); err != nil {
		return fmt.Errorf("settle what log-in told: %w", err)
	}
	return nil
}

func (members) references(m *v1alpha1.Member) []reference {
	others := append(groupReferences(m, m.Spec.Groups), reference{kindSecret, m.Namespace, memberSecretName(m)})
	if password := m.Spec.Password; password != nil {
		others = append(others, reference{kindSecret, m.Namespace, passwordSecretName(password)})
	}
	return membershipReferences(m, others...)
}

// kindSecret stands for Secrets among the kinds of references.
const kindSecret iam.Kind = "Secret"

func passwordSecretName(password *v1alpha1.MemberPassword) string {
	switch {
	case password.SecretRef != nil:
		return string(password.SecretRef.Name)
	case password.Generate != nil:
		return string(password.Generate.SecretName)
	}
	return ""
}

// watch wakes a Member when a Secret of its comes, changes or goes, and when log-in has
// told something. Of Secrets only the metadata of labelled ones are watched.
func (members) watch(door *memberDoor, wake func(context.Context, reference) []reconcile.Request) func(*builder.Builder) {
	return func(b *builder.Builder) {
		b.WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
			return wake(ctx, reference{kindSecret, obj.GetNamespace(), obj.GetName()})
		}))
		b.WatchesRawSource(source.Channel(door.wake, &handler.EnqueueRequestForObject{}))
	}
}

func (members) claims(m *v1alpha1.Member) []string {
	if m.Spec.Username == "" {
		return nil
	}
	return []string{"username/" + organizationOf(m).String() + "/" + strings.ToLower(m.Spec.Username)}
}
