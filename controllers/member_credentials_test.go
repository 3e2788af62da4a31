// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/credentials"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// lookFor gives a look at the credentials of a Member, at a time.
func lookFor(t *testing.T, m *v1alpha1.Member, now time.Time) *memberCredentials {
	t.Helper()
	ring, err := credentials.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &memberCredentials{
		Environment: &Environment{Keyring: ring}, memory: newMemberMemory(), member: m, organization: &v1alpha1.Organization{}, now: now,
		security: iam.Security{MFARequired: true, GracePeriod: time.Hour, LoginAttemptsBeforeLock: 3},
		state:    iam.SecretIntact,
	}
}

func annotatedMember(annotation string, at time.Time) *v1alpha1.Member {
	m := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "maya", UID: "11111111-2222-4333-8444-555555555555"}}
	if annotation != "" {
		m.Annotations = map[string]string{annotation: at.Format(time.RFC3339)}
	}
	return m
}

// What is written into the Secret is read back as it was.
func TestMemberRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) *time.Time {
			if !rapid.Bool().Draw(t, label+" is set") {
				return nil
			}
			return ptr.To(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, label), rapid.Int64Range(0, 999999999).Draw(t, label+" ns")).UTC())
		}
		text := rapid.StringMatching(`[a-z0-9$=./-]{0,20}`)
		record := memberRecord{
			password: text.Draw(t, "password"),
			revision: rapid.Int64Min(0).Draw(t, "revision"),
			heard:    doorMark{Incarnation: text.Draw(t, "incarnation"), Sequence: rapid.Int64().Draw(t, "sequence")},
			source: passwordSource{
				passwordLook: passwordLook{Secret: text.Draw(t, "secret"), ResourceVersion: text.Draw(t, "version"), Key: text.Draw(t, "key")},
				Digest:       text.Draw(t, "digest"), Generated: text.Draw(t, "generated"),
			},
			life: iam.MemberLife{FirstLoginAt: at("first"), PasswordChangedAt: at("changed"), MFA: rapid.Bool().Draw(t, "mfa"), UnlockedAt: at("unlocked")},
		}
		if since := at("since"); since != nil {
			record.life.Lock = &iam.MemberLock{Since: *since, Reason: iam.LockTooManyAttempts}
		}
		data, err := record.data()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseMemberRecord(data)
		if err != nil || !reflect.DeepEqual(got, record) {
			t.Fatalf("wrote %+v, read %+v, %v", record, got, err)
		}
	})
}

// Anything that is not the very Secret that was sealed is known as such.
func TestMemberSecretSeal(t *testing.T) {
	m := annotatedMember("", noon)
	look := lookFor(t, m, noon)
	look.record = memberRecord{password: "hash", revision: 7}
	sealed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: memberSecretName(m), ResourceVersion: "5", OwnerReferences: []metav1.OwnerReference{
		{UID: m.UID, Controller: ptr.To(true)},
	}}}
	if err := look.fill(sealed); err != nil {
		t.Fatal(err)
	}
	unknown, err := credentials.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	recorded := func(revision int64, version, keyID string) func(*memberCredentials) {
		return func(c *memberCredentials) {
			c.member.Status.Credentials = &v1alpha1.MemberCredentials{Revision: revision, SecretResourceVersion: version, DigestKeyID: keyID}
		}
	}
	tests := map[string]struct {
		edit   func(*corev1.Secret)
		within func(*memberCredentials)
		want   iam.SecretState
	}{
		"as it was written":     {want: iam.SecretIntact},
		"another hash":          {edit: func(s *corev1.Secret) { s.Data[passwordField] = []byte("other") }, want: iam.SecretAltered},
		"another life":          {edit: func(s *corev1.Secret) { s.Data[lifeField] = []byte(`{"mfa":true}`) }, want: iam.SecretAltered},
		"another revision":      {edit: func(s *corev1.Secret) { s.Data[revisionField] = []byte("8") }, want: iam.SecretAltered},
		"more data":             {edit: func(s *corev1.Secret) { s.Data["more"] = nil }, want: iam.SecretAltered},
		"no data":               {edit: func(s *corev1.Secret) { s.Data = nil }, want: iam.SecretAltered},
		"no seal":               {edit: func(s *corev1.Secret) { s.Annotations = nil }, want: iam.SecretAltered},
		"under another name":    {edit: func(s *corev1.Secret) { s.Name = "other" }, want: iam.SecretAltered},
		"with other labels":     {edit: func(s *corev1.Secret) { s.Labels = nil }, want: iam.SecretIntact},
		"of nobody":             {edit: func(s *corev1.Secret) { s.OwnerReferences = nil }, want: iam.SecretForeign},
		"of another Member":     {edit: func(s *corev1.Secret) { s.OwnerReferences[0].UID = "other" }, want: iam.SecretForeign},
		"being deleted":         {edit: func(s *corev1.Secret) { s.DeletionTimestamp = &metav1.Time{Time: noon} }, want: iam.SecretTerminating},
		"older than the status": {within: recorded(8, "5", ""), want: iam.SecretAltered},
		"newer than the status": {within: recorded(6, "4", ""), want: iam.SecretIntact},
		"by the former digest key": {within: func(c *memberCredentials) {
			former := c.Keyring.Current
			c.Keyring = credentials.Keyring{Current: unknown.Current, Previous: &former}
		}, want: iam.SecretUnsealed},
		"by a lost digest key":          {within: func(c *memberCredentials) { c.Keyring = unknown }, want: iam.SecretAltered},
		"by a lost key, and recorded":   {within: func(c *memberCredentials) { recorded(7, "5", c.Keyring.Current.ID)(c); c.Keyring = unknown }, want: iam.SecretUnsealed},
		"by a lost key, and edited":     {within: func(c *memberCredentials) { recorded(7, "4", c.Keyring.Current.ID)(c); c.Keyring = unknown }, want: iam.SecretAltered},
		"by a lost key, recorded other": {within: func(c *memberCredentials) { recorded(7, "5", "other")(c); c.Keyring = unknown }, want: iam.SecretAltered},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := lookFor(t, m.DeepCopy(), noon)
			c.Keyring = look.Keyring
			secret := sealed.DeepCopy()
			if tt.edit != nil {
				tt.edit(secret)
			}
			if tt.within != nil {
				tt.within(c)
			}
			c.examine(secret)
			if c.state != tt.want {
				t.Errorf("the Secret is %s instead of %s", c.state, tt.want)
			}
			if believed := c.former.password == "hash"; believed != (tt.want == iam.SecretIntact || tt.want == iam.SecretUnsealed) {
				t.Errorf("that it is %s and believed is %v", c.state, believed)
			}
		})
	}
}

// What was lost is recalled from the status: locks and deadlines, and no password.
func TestMemberRecall(t *testing.T) {
	m := annotatedMember(v1alpha1.ResetMFAAtAnnotation, noon.Add(-time.Hour))
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(d)) }
	m.Status = v1alpha1.MemberStatus{
		MFA: v1alpha1.MFAEnabled, PasswordUpdatedAt: ptr.To(at(-3 * time.Hour)),
		GracePeriods: []v1alpha1.GracePeriod{{Type: v1alpha1.GracePeriodUpdatePassword, StartedAt: at(-time.Minute), ExpiresAt: at(time.Minute)}},
		Credentials:  &v1alpha1.MemberCredentials{Revision: 4, FirstLoginAt: ptr.To(at(-2 * time.Hour))},
	}
	c := lookFor(t, m, noon)
	c.state, c.former = iam.SecretAltered, memberRecord{password: "forged", life: iam.MemberLife{MFA: false}}
	c.security.MFARequired, c.security.RenewPasswordAtLogin = true, true
	c.believe()
	c.passTime()
	life := c.record.life
	if c.record.password != "" || c.record.revision != 4 || !life.MFA || life.FirstLoginAt == nil || life.Lock != nil {
		t.Errorf("recalled %+v", c.record)
	}
	if life.UpdatePassword == nil || !life.UpdatePassword.ExpiresAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("the deadline moved: %+v", life.UpdatePassword)
	}
	c.now = noon.Add(time.Minute)
	c.passTime()
	if lock := c.record.life.Lock; lock == nil || lock.Reason != iam.LockGracePeriodExpired || !lock.Since.Equal(noon.Add(time.Minute)) {
		t.Errorf("the lock is %+v", lock)
	}
}

func TestMemberAnnotations(t *testing.T) {
	lock := func(since time.Time) iam.MemberLife {
		first := noon.Add(-24 * time.Hour)
		return iam.MemberLife{FirstLoginAt: &first, Lock: &iam.MemberLock{Since: since, Reason: iam.LockTooManyAttempts}}
	}
	withMFA := func() iam.MemberLife { life := lock(noon); life.Lock, life.MFA = nil, true; return life }
	tests := map[string]struct {
		annotation string
		at         time.Time
		written    string
		life       iam.MemberLife
		locked     bool
		mfa        bool
		grace      *time.Time // end of the grace period for a second factor
		again      bool       // whether the annotation's own time is looked at again
	}{
		"no annotation":            {life: lock(noon.Add(-time.Hour)), locked: true},
		"an unlock after the lock": {annotation: v1alpha1.UnlockAtAnnotation, at: noon.Add(-time.Minute), life: lock(noon.Add(-time.Hour)), grace: ptr.To(noon.Add(time.Hour))},
		"an unlock long ago, honoured late, begins a grace period now": {annotation: v1alpha1.UnlockAtAnnotation, at: noon.Add(-9 * time.Hour), life: lock(noon.Add(-10 * time.Hour)), grace: ptr.To(noon.Add(time.Hour))},
		"an unlock before the lock":                                    {annotation: v1alpha1.UnlockAtAnnotation, at: noon.Add(-2 * time.Hour), life: lock(noon.Add(-time.Hour)), locked: true},
		"an unlock in the lock's second":                               {annotation: v1alpha1.UnlockAtAnnotation, at: noon.Add(-time.Hour), life: lock(noon.Add(-time.Hour + 700*time.Millisecond)), grace: ptr.To(noon.Add(time.Hour))},
		"an unlock to come":                                            {annotation: v1alpha1.UnlockAtAnnotation, at: noon.Add(time.Minute), life: lock(noon.Add(-time.Hour)), locked: true, again: true},
		"an unlock now":                                                {annotation: v1alpha1.UnlockAtAnnotation, at: noon, life: lock(noon.Add(-time.Hour)), grace: ptr.To(noon.Add(time.Hour))},
		"no time at all":                                               {annotation: v1alpha1.UnlockAtAnnotation, written: "now", life: lock(noon.Add(-time.Hour)), locked: true},
		"a reset":                                                      {annotation: v1alpha1.ResetMFAAtAnnotation, at: noon.Add(-9 * time.Hour), life: withMFA(), grace: ptr.To(noon.Add(time.Hour))},
		"a reset to come":                                              {annotation: v1alpha1.ResetMFAAtAnnotation, at: noon.Add(time.Minute), life: withMFA(), mfa: true, again: true},
		"a reset that was honoured":                                    {annotation: v1alpha1.ResetMFAAtAnnotation, at: noon.Add(-time.Minute), life: func() iam.MemberLife { l := withMFA(); l.MFAResetAt = &noon; return l }(), mfa: true},
		"a reset unlocks nobody":                                       {annotation: v1alpha1.ResetMFAAtAnnotation, at: noon, life: lock(noon.Add(-time.Hour)), locked: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := annotatedMember(tt.annotation, tt.at)
			if tt.written != "" {
				m.Annotations[tt.annotation] = tt.written
			}
			c := lookFor(t, m, noon)
			c.record.life = tt.life
			for range 2 { // What was honoured is not honoured again.
				c.lookAgain = nil
				c.passTime()
			}
			life := c.record.life
			if (life.Lock != nil) != tt.locked || life.MFA != tt.mfa || (life.SetMFA != nil) != (tt.grace != nil) || tt.grace != nil && !life.SetMFA.ExpiresAt.Equal(*tt.grace) {
				t.Errorf("the life is %+v, lock %+v, grace %+v", life, life.Lock, life.SetMFA)
			}
			again := false
			for _, at := range c.lookAgain {
				again = again || at.Equal(tt.at)
			}
			if again != tt.again {
				t.Errorf("looks again at %v", c.lookAgain)
			}
		})
	}
}

// A hash by former parameters is made anew from the Secret's content, as long as that is
// still the password; one that the Member has set is left until a log-in, and not tried again.
func TestMemberRehash(t *testing.T) {
	const password = "gravel-Mantis-oboe-tundra-41"
	salt := []byte("0123456789abcdef")
	former := fmt.Sprintf("$argon2id$v=%d$m=4096,t=1,p=1$%s$%s", argon2.Version, base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 4096, 1, 32)))
	for content, anew := range map[string]bool{password: true, "velvet kiosk plume otter basin": false} {
		c := lookFor(t, annotatedMember("", noon), noon)
		c.Hasher = credentials.NewHasher(rand.Reader)
		c.record.password = former
		if err := c.rehash(t.Context(), []byte(content)); err != nil {
			t.Fatal(err)
		}
		if (c.record.password != former) != anew {
			t.Errorf("that the hash of %q is made anew is %v", content, !anew)
		}
		if entry, _ := c.memory.of(c.member.UID); c.outdated(entry) {
			t.Errorf("%q is to be tried again", content)
		}
		if ok, outdated, err := c.Hasher.Verify(t.Context(), c.record.password, password); !ok || outdated == anew || err != nil {
			t.Errorf("the hash verifies %v, is outdated %v, %v", ok, outdated, err)
		}
	}
}

// What the door told is part of the life once, even if the operator is killed between the
// Secret and the door; the failed log-ins since the last success stay to be counted.
func TestMemberHearsOnce(t *testing.T) {
	m := annotatedMember("", noon)
	s, err := OpenDatabase(t.Context(), Database{Path: filepath.Join(t.TempDir(), "iam.db"), TrustFileSystem: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	tell := func(kinds ...iam.MemberEventKind) {
		for i, kind := range kinds {
			if err := s.Tell(t.Context(), iam.MemberEvent{Kind: kind, At: noon.Add(time.Duration(i) * time.Second), MemberID: string(m.UID)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hear := func(record memberRecord) *memberCredentials {
		c := lookFor(t, m, noon)
		c.Store, c.record = s, record
		if err := c.hear(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := hear(memberRecord{}); c.heardNow != (doorMark{}) {
		t.Fatalf("heard %+v of silence", c.heardNow)
	}
	tell(iam.LoginSucceeded, iam.LoginFailed, iam.LoginFailed)
	first := hear(memberRecord{})
	told, err := s.Told(t.Context(), string(m.UID))
	if err != nil || first.heardNow.Sequence != told[0].Sequence || first.record.life.FailedAttempts != 2 || first.record.life.FirstLoginAt == nil {
		t.Fatalf("heard up to %+v of %+v: %+v, %v", first.heardNow, told, first.record.life, err)
	}
	tell(iam.LoginFailed)
	locked := hear(memberRecord{})
	if locked.record.life.Lock == nil || locked.heardNow.Sequence != told[2].Sequence+1 {
		t.Fatalf("heard up to %+v: %+v", locked.heardNow, locked.record.life)
	}
	// The Secret is written, the door not settled, and an administrator unlocks meanwhile: the
	// same failures lock nobody again.
	written := memberRecord{heard: locked.heardNow, life: iam.MemberLife{FirstLoginAt: &noon}}
	again := hear(written)
	if again.record.life.Lock != nil || again.record.life.FailedAttempts != 0 || again.heardNow != locked.heardNow {
		t.Errorf("heard twice: %+v, up to %+v", again.record.life, again.heardNow)
	}
	// Sequences of a store that was lost say nothing of this one's.
	written.heard.Incarnation = "another"
	if other := hear(written); other.record.life.Lock == nil {
		t.Error("what this store was told is taken for heard by another's sequences")
	}
}
