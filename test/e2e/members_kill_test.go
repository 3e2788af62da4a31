// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// killedWorld is a Member of an operator that is a process of its own, with what it has between two runs: its database.
type killedWorld struct {
	*memberWorld
	binary  string
	process *exec.Cmd
}

func newKilledWorld(t *testing.T) *killedWorld {
	t.Helper()
	w := &killedWorld{memberWorld: &memberWorld{operator: newOperator(t)}, binary: buildOperator(t)}
	ns := newNamespace(t, nil)
	w.organization = organization(ns, "acme")
	w.organization.Spec.Security = ptr.To(strict())
	w.member = member(w.organization, ns, "maya")
	create(t, w.organization, w.member)
	w.run(t)
	awaitReady(t, w.organization, w.member)
	return w
}

// run starts the operator on what the last one left.
func (w *killedWorld) run(t *testing.T) {
	t.Helper()
	w.process = startProcess(t, w.binary, w.Database)
}

// kill ends the operator as a lost machine would.
func (w *killedWorld) kill(t *testing.T) {
	t.Helper()
	if err := w.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.process.Wait()
}

// between opens the database while no operator runs.
func (w *killedWorld) between(t *testing.T, look func(ctx context.Context, s *sqlite.Store)) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: w.Database, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	look(t.Context(), s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// failLogin tells of failed log-ins while no operator runs.
func (w *killedWorld) failLogin(t *testing.T, times int) {
	t.Helper()
	w.between(t, func(ctx context.Context, s *sqlite.Store) {
		for range times {
			if err := s.Tell(ctx, iam.MemberEvent{Kind: iam.LoginFailed, At: time.Now(), MemberID: w.id()}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// expectLeft compares what is in the database, while no operator runs: whether the row knows of a password, and how many
// failed log-ins are counted.
func (w *killedWorld) expectLeft(t *testing.T, password bool, attempts int) {
	t.Helper()
	w.between(t, func(ctx context.Context, s *sqlite.Store) {
		row, err := s.Get(ctx, iam.KindMember, w.id())
		if err != nil {
			t.Fatal(err)
		}
		if known := row.Entity.(*iam.Member).PasswordUpdatedAt != nil; known != password {
			t.Errorf("that the row knows of a password is %t", known)
		}
		told, err := s.Told(ctx, w.id())
		if err != nil || len(told) != attempts {
			t.Errorf("%d failed log-ins are counted instead of %d: %v", len(told), attempts, err)
		}
	})
}

// block keeps everybody else from writing to the database, until the function that it gives is called.
func (w *killedWorld) block(t *testing.T) func() {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+w.Database+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	var transaction *sql.Tx
	eventually(t, "the database is blocked", func(ctx context.Context) (bool, string) {
		// Its end is ours to choose, not that of the context.
		transaction, err = pool.BeginTx(context.WithoutCancel(ctx), nil)
		return err == nil, fmt.Sprint(err)
	})
	return func() {
		if err := transaction.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// The operator is killed after it wrote the Secret with a Member's password, and before the rows: the next one takes the
// password up as it is, rather than make another, and still counts the log-ins that failed before.
func TestMemberKilledBetweenSecretAndRows(t *testing.T) {
	w := newKilledWorld(t)
	w.kill(t)
	w.failLogin(t, 2)
	w.run(t)
	witness := member(w.organization, w.member.Namespace, "witness")
	create(t, witness)
	awaitReady(t, witness) // so this operator has begun to work

	unblock := w.block(t)
	create(t, passwordSecret(w.member.Namespace, "maya-password", goodPassword))
	change(t, w.member, func(m *v1alpha1.Member) { m.Spec.Password = fromSecret("maya-password") })
	eventually(t, "the password is in the Secret", func(context.Context) (bool, string) { return w.isPassword(t, goodPassword), "there is none" })
	w.kill(t)
	unblock()
	hash, revision := w.hash(t), string(w.ownSecret(t).Data["revision"])
	w.expectLeft(t, false, 2)

	w.run(t)
	awaitReady(t, w.member)
	awaitCondition(t, w.member, v1alpha1.ConditionCredentialsValid, metav1.ConditionTrue, v1alpha1.ReasonApplied)
	awaitCondition(t, w.member, v1alpha1.ConditionLocked, metav1.ConditionFalse, "")
	w.kill(t)
	if w.hash(t) != hash || string(w.ownSecret(t).Data["revision"]) != revision || !w.isPassword(t, goodPassword) {
		t.Error("another credential was made")
	}
	w.expectOneCredential(t)
	w.expectLeft(t, true, 2)

	w.failLogin(t, 1)
	w.run(t)
	awaitCondition(t, w.member, v1alpha1.ConditionLocked, metav1.ConditionTrue, string(v1alpha1.LockTooManyAttempts))
}

// expectOneCredential counts the Secrets with credentials that the Member owns.
func (w *killedWorld) expectOneCredential(t *testing.T) {
	t.Helper()
	secrets := &corev1.SecretList{}
	if err := admin.List(t.Context(), secrets, client.InNamespace(w.member.Namespace)); err != nil {
		t.Fatal(err)
	}
	count := 0
	for i := range secrets.Items {
		if metav1.IsControlledBy(&secrets.Items[i], w.member) {
			count++
		}
	}
	if count != 1 {
		t.Errorf("the Member owns %d Secrets with credentials", count)
	}
}
