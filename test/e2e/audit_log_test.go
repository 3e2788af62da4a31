// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// publishedCheckpoint reads what vouches for the audit log.
func publishedCheckpoint(ctx context.Context) (chain.Published, error) {
	configMap := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: controllers.AuditCheckpointConfigMap}
	if err := admin.Get(ctx, key, configMap); err != nil {
		return chain.Published{}, err
	}
	return controllers.ReadAuditCheckpoint(configMap)
}

// awaitVouched waits until all events are vouched for outside of the store.
func awaitVouched(t *testing.T, o *operator) {
	t.Helper()
	eventually(t, "the audit log is vouched for", func(ctx context.Context) (bool, string) {
		there, err := o.Store.EventRange(ctx, store.EventScope{})
		if err != nil {
			return false, err.Error()
		}
		published, err := publishedCheckpoint(ctx)
		if err != nil || published.Newest == nil {
			return false, fmt.Sprintf("%+v, %v", published, err)
		}
		return published.Newest.Sequence >= there.Newest, fmt.Sprintf("up to %d of %d", published.Newest.Sequence, there.Newest)
	})
}

// verifyAuditLog verifies the database, whether an operator is writing it or not.
func verifyAuditLog(t *testing.T, o *operator) chain.Result {
	t.Helper()
	published, err := publishedCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view, err := sqlite.OpenView(t.Context(), o.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	result, err := chain.VerifyStore(t.Context(), view, chain.Trust{Keys: published.Keys, Newest: published.Newest}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Finding != nil {
		t.Fatalf("the audit log is intact, and verification says: %v", result.Finding)
	}
	return result
}

// What is recorded is vouched for by something that whoever can write the database can't write: a signature
// by a key that is in a Secret, and a ConfigMap with the newest.
func TestAuditLogIsVouchedFor(t *testing.T) {
	o := startOperator(t)
	ns := newNamespace(t, nil)
	create(t, organization(ns, "acme"))
	awaitReady(t, organization(ns, "acme"))
	awaitVouched(t, o)
	if result := verifyAuditLog(t, o); result.Checkpoints == 0 || result.Events == 0 || len(result.Notes) > 0 {
		t.Errorf("verified %+v", result)
	}
	secret, configMap := &corev1.Secret{}, &corev1.ConfigMap{}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: controllers.AuditKeySecret}, secret); err != nil {
		t.Fatal(err)
	}
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: controllers.AuditCheckpointConfigMap}, configMap); err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(configMap.Data); !strings.Contains(text, "PUBLIC KEY") || strings.Contains(text, "PRIVATE") {
		t.Errorf("the ConfigMap has %s", text)
	}
	if strings.Contains(o.Logs.String(), string(secret.Data[chain.SigningKeyField])) {
		t.Error("the signing key is in the log")
	}
}

// An Organization says how long its events are kept. What is removed is counted in an event, and what is left is intact.
func TestAuditRetention(t *testing.T) {
	o := startOperator(t)
	ns := newNamespace(t, nil)
	acme := organization(ns, "acme")
	acme.Spec.AuditLog = &v1alpha1.AuditLog{Retention: "24h"}
	create(t, acme)
	awaitReady(t, acme)
	awaitVouched(t, o)
	o.halt(t)
	o.Clock.SetTime(time.Now().Add(26 * time.Hour))
	o.start(t)
	eventually(t, "the removal is told", func(ctx context.Context) (bool, string) {
		told, err := o.Store.Events(ctx, store.EventQuery{
			EventScope: store.EventScope{OrganizationID: string(acme.UID)}, EventFilter: store.EventFilter{Method: store.MethodDropAuditEvents},
		})
		return len(told) == 1 && told[0].Namespace == ns, fmt.Sprintf("%+v, %v", told, err)
	})
	older, err := o.Store.Events(t.Context(), store.EventQuery{EventScope: store.EventScope{OrganizationID: string(acme.UID)}, Until: o.Clock.Now().Add(-24 * time.Hour)})
	if err != nil || len(older) > 0 {
		t.Errorf("still there: %+v, %v", older, err)
	}
	awaitVouched(t, o)
	verifyAuditLog(t, o)
}

// An older copy of the database that is put back is noticed, and nothing vouches for it until an administrator accepts it.
func TestAuditLogThatWasPutBack(t *testing.T) {
	o := startOperator(t)
	ns := newNamespace(t, nil)
	acme := organization(ns, "acme")
	create(t, acme)
	awaitReady(t, acme)
	awaitVouched(t, o)
	o.halt(t)
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(o.Database + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(o.Database, catalogueDatabase, 0o600); err != nil {
		t.Fatal(err)
	}
	o.start(t)
	eventually(t, "it is noticed", func(ctx context.Context) (bool, string) {
		var told eventsv1.EventList
		err := admin.List(ctx, &told, client.InNamespace(operatorNamespace))
		for _, event := range told.Items {
			if event.Reason == "AuditLogForked" && event.Regarding.Name == controllers.AuditCheckpointConfigMap && strings.Contains(event.Note, "an older copy of the database was put back") {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d events, %v", len(told.Items), err)
	})
	if !strings.Contains(o.Logs.String(), "The audit log is not the one that was vouched for") {
		t.Error("the log does not say so")
	}
	awaitReady(t, acme) // People go on to work meanwhile.
	awaitQuiet(t, o)
	there, err := o.Store.EventRange(t.Context(), store.EventScope{})
	if err != nil {
		t.Fatal(err)
	}
	if last, err := o.Store.LastCheckpoint(t.Context()); err == nil && last.Sequence >= there.Newest {
		t.Errorf("checkpoint %d covers event %d all the same", last.Number, there.Newest)
	}
	acceptAuditLog(t)
	awaitVouched(t, o)
	verifyAuditLog(t, o)
}
