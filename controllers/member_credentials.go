// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// memberMemory keeps what was read of Secrets, so that a Member that has settled costs no
// further read. It is a cache: all that is in it can be read again.
type memberMemory struct {
	mu      sync.Mutex
	entries map[types.UID]memberEntry
}

// memberEntry is what was last seen of one Member's Secrets.
type memberEntry struct {
	// resourceVersion of the operator's own Secret when it held the record.
	resourceVersion string
	record          memberRecord
	// judged is the password's Secret as it was last read, and digest that of the content.
	judged passwordLook
	digest string
	// refusedUnder says by which rules the content was refused; empty when it was not.
	refusedUnder string
	// outdated is a hash that is to be made anew, and cannot be from that content.
	outdated string
}

func newMemberMemory() *memberMemory { return &memberMemory{entries: map[types.UID]memberEntry{}} }

func (m *memberMemory) of(uid types.UID) (memberEntry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry, found := m.entries[uid]
	return entry, found
}

func (m *memberMemory) edit(uid types.UID, edit func(*memberEntry)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := m.entries[uid]
	edit(&entry)
	m.entries[uid] = entry
}

func (m *memberMemory) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, uid)
}

// memberCredentials is one look at a Member's credentials.
type memberCredentials struct {
	*Environment
	memory       *memberMemory
	member       *v1alpha1.Member
	organization *v1alpha1.Organization
	security     iam.Security
	now          time.Time

	// state and metadata are of the operator's own Secret as it was found; former is what it
	// held, as far as that is believed.
	state    iam.SecretState
	metadata metav1.ObjectMeta
	former   memberRecord
	// record is what the Secret is to hold.
	record memberRecord
	// heardNow marks what log-in told and this look has taken in.
	heardNow doorMark
	// valid is what condition CredentialsValid says; nil when there is nothing to say.
	valid *metav1.Condition
	// problem is what keeps the declared password from being taken; nil for nothing.
	problem error
	// lookAgain are the times at which the outcome may change by itself.
	lookAgain []time.Time
}

// sync brings the operator's own Secret up to date: first with what log-in told, then with
// the password, the annotations and the time. It writes the Secret before anything else
// may know of it; only then is the door told what need not be told again.
func (c *memberCredentials) sync(ctx context.Context) error {
	if err := c.observe(ctx); err != nil {
		return err
	}
	if err := c.hear(ctx); err != nil {
		return err
	}
	if err := c.syncPassword(ctx); err != nil {
		return err
	}
	c.passTime()
	if err := c.save(ctx); err != nil {
		return err
	}
	if !c.keepable() && c.record.worthKeeping() || c.heardNow.Sequence == 0 {
		return nil
	}
	if err := c.Store.Settle(ctx, idOf(c.member), c.heardNow.Sequence); err != nil {
		return fmt.Errorf("settle what log-in told: %w", err)
	}
	return nil
}

// lost says that there was a Secret whose content is not to be had, or not to be believed.
func (c *memberCredentials) lost() bool {
	return c.state != iam.SecretIntact && c.state != iam.SecretUnsealed && c.member.Status.Credentials != nil
}

// believe decides what the record begins with. What was lost is recalled from the status,
// which people cannot write: a lock and the end of a grace period are not lifted by
// deleting a Secret. The password is lost then.
func (c *memberCredentials) believe() {
	// The failed log-ins are counted from what the door told, each time anew.
	c.former.life.FailedAttempts = 0
	if !c.lost() {
		c.record = c.former
		return
	}
	c.former = memberRecord{}
	status := c.member.Status
	life := iam.MemberLife{MFA: status.MFA == v1alpha1.MFAEnabled, HasPassword: status.PasswordUpdatedAt != nil}
	if at := status.Credentials.FirstLoginAt; at != nil {
		first := at.UTC()
		life.FirstLoginAt = &first
	}
	if lock := status.Credentials.Lock; lock != nil {
		life.Lock = &iam.MemberLock{Since: lock.Since.UTC(), Reason: iam.LockReason(lock.Reason)}
	}
	for _, period := range status.GracePeriods {
		grace := &iam.GracePeriod{StartedAt: period.StartedAt.UTC(), ExpiresAt: period.ExpiresAt.UTC()}
		switch period.Type {
		case v1alpha1.GracePeriodSetMFA:
			life.SetMFA = grace
		case v1alpha1.GracePeriodUpdatePassword:
			// It runs for a password, even if that is not to be had at the moment.
			life.UpdatePassword, life.HasPassword = grace, true
		}
	}
	if at, asked, err := declared.ResetMFAAt(c.member); asked && err == nil && !at.After(c.now) {
		// Whether it was honoured is forgotten. It must not be honoured twice.
		life.MFAResetAt = &at
	}
	c.record = memberRecord{life: life, revision: status.Credentials.Revision}
}

// passTime applies the annotations whose time has come, and what time and the settings do.
func (c *memberCredentials) passTime() {
	c.apply(iam.Tick, c.now)
	if at, due := c.annotated(declared.UnlockAt(c.member)); due && after(at, c.record.life.UnlockedAt) {
		lock := c.record.life.Lock
		// An annotation from before the lock was meant for another. It has whole seconds.
		if lock != nil && !at.Before(lock.Since.Truncate(time.Second)) {
			// The new grace period begins now, however late this is honoured.
			at = c.now
		}
		c.apply(iam.Unlocked, at)
	}
	if at, due := c.annotated(declared.ResetMFAAt(c.member)); due && after(at, c.record.life.MFAResetAt) {
		if c.record.life.MFA {
			at = c.now
		}
		c.apply(iam.MFAReset, at)
	}
	c.apply(iam.SettingsChanged, c.now)
	if lapse := c.record.life.NextLapse(); lapse != nil {
		c.lookAgain = append(c.lookAgain, *lapse)
	}
}

// annotated says whether the time in an annotation has come, and has another look when it
// does. What is malformed is refused at admission, and asks for nothing here.
func (c *memberCredentials) annotated(at time.Time, asked bool, err error) (time.Time, bool) {
	if !asked || err != nil {
		return time.Time{}, false
	}
	if at.After(c.now) {
		c.lookAgain = append(c.lookAgain, at)
		return time.Time{}, false
	}
	return at, true
}

func after(at time.Time, mark *time.Time) bool { return mark == nil || at.After(*mark) }

func (c *memberCredentials) apply(kind iam.MemberEventKind, at time.Time) {
	c.record.life = c.record.life.Apply(iam.MemberEvent{Kind: kind, At: at}, c.security.MemberSettings())
}
