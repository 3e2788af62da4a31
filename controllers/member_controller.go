// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// +kubebuilder:rbac:groups=iam-operator.dev,resources=members,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=iam-operator.dev,resources=members/status,verbs=patch

// invitationLifetime is how long a Guest has to accept.
const invitationLifetime = 7 * 24 * time.Hour

type members struct{ *Environment }

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
	result := outcome{entities: []iam.Entity{declared.Member(m, tenant.id, groups)}}
	if invitation := m.Status.Invitation; invitation != nil && invitation.State == v1alpha1.InvitationPending {
		result.lookAgainAt = &invitation.ExpiresAt.Time
	}
	return result, absent.failure()
}

// describe fills what the status says whether or not the Member counts.
func (c members) describe(m *v1alpha1.Member) {
	now := c.Clock.Now()
	setNotEnforced(&m.Status.ObjectStatus, m.Spec.Password != nil, "spec.password", m.Generation, now)
	if m.Spec.Type == v1alpha1.TypeGuest {
		m.Status.Invitation = invitationOf(m, now)
		return
	}
	m.Status.MFA = v1alpha1.MFADisabled
	locked := metav1.Condition{Type: v1alpha1.ConditionLocked, Status: metav1.ConditionFalse, Reason: string(v1alpha1.StateActive), Message: "The Member is not locked"}
	if m.Spec.State != v1alpha1.StateLocked {
		m.Status.Locked = nil
	} else {
		locked.Status, locked.Reason, locked.Message = metav1.ConditionTrue, v1alpha1.ReasonDeclared, "spec.state is Locked: no log-in, and the API keys do not count"
		if m.Status.Locked == nil {
			m.Status.Locked = &v1alpha1.MemberLock{Since: metav1.NewTime(now).Rfc3339Copy(), Reason: v1alpha1.LockDeclared}
		}
	}
	setCondition(&m.Status.ObjectStatus, locked, m.Generation, now)
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

func (members) remove(context.Context, *v1alpha1.Member) error { return nil }

func (members) references(m *v1alpha1.Member) []reference {
	return membershipReferences(m, groupReferences(m, m.Spec.Groups)...)
}

func (members) claims(m *v1alpha1.Member) []string {
	if m.Spec.Username == "" {
		return nil
	}
	return []string{"username/" + organizationOf(m).String() + "/" + strings.ToLower(m.Spec.Username)}
}
