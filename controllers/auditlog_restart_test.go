// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/events"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Whoever looks at the events of the cluster is told that the audit log is that of a new store.
func TestTellRestart(t *testing.T) {
	recorder := events.NewFakeRecorder(1)
	a := &auditLog{Environment: &Environment{Events: recorder}, namespace: "iam-system", log: logr.Discard()}
	a.tellRestart(iam.Checkpoint{Incarnation: "lost", Sequence: 9})
	if told := <-recorder.Events; !strings.HasPrefix(told, "Warning AuditLogRestarted The audit log is that of a new store: of the one before, lost, all up to event 9") {
		t.Errorf("told: %s", told)
	}
}
