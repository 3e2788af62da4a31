// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"encoding/json"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// locality is where everything in IAM is.
const locality = "global"

// object gives an event as it is served. What it shares with the event is only read.
func object(e iam.Event) auditv1alpha1.AuditEvent {
	out := auditv1alpha1.AuditEvent{
		TypeMeta: metav1.TypeMeta{APIVersion: auditv1alpha1.GroupVersion.String(), Kind: "AuditEvent"},
		ObjectMeta: metav1.ObjectMeta{
			Name: e.ID, Namespace: e.Namespace, UID: types.UID(e.ID),
			ResourceVersion: version(e.Sequence), CreationTimestamp: metav1.NewTime(e.RecordedAt),
		},
		ID: e.ID, RecordedAt: e.RecordedAt.UTC().Format(time.RFC3339Nano), Locality: locality, Project: e.ProjectID,
		Principal:      auditv1alpha1.EventPrincipal{Kind: auditv1alpha1.EventPrincipalKind(e.Principal.Kind), ID: e.Principal.ID, Name: e.Principal.Name},
		KubernetesUser: e.KubernetesUser, Authorship: authorship(e.Authorship),
		SourceIP: known(e.SourceIP), UserAgent: known(e.UserAgent),
		Product: e.Product, Service: e.Service, Method: e.Method, Action: auditv1alpha1.Action(e.Action),
		RequestID: e.RequestID, StatusCode: int32(e.StatusCode), //nolint:gosec // of HTTP
		Reason: e.Reason, Change: change(e.Change), Revision: e.Revision,
		Seal: auditv1alpha1.Seal{Sequence: e.Sequence, Hash: e.Seal.Hash.String()},
	}
	if e.Organization.ID != "" {
		out.Organization = &auditv1alpha1.EventOrganization{ID: e.Organization.ID, Name: e.Organization.Name}
	}
	for _, r := range e.Resources {
		out.Resources = append(out.Resources, auditv1alpha1.AffectedResource{
			Kind: string(r.Kind), Type: r.Type, ID: r.ID, Name: r.Name, Action: auditv1alpha1.Action(r.Action),
		})
	}
	return out
}

func version(sequence int64) string { return strconv.FormatInt(sequence, 10) }

func known(value string) string {
	if value == "" {
		return iam.Unknown
	}
	return value
}

func authorship(a *iam.Authorship) *auditv1alpha1.Authorship {
	if a == nil {
		return nil
	}
	out := &auditv1alpha1.Authorship{State: string(a.State), FieldManager: a.FieldManager}
	for _, author := range a.Authors {
		at := ""
		if !author.At.IsZero() {
			at = author.At.UTC().Format(time.RFC3339Nano)
		}
		out.Authors = append(out.Authors, auditv1alpha1.Author{Generation: author.Generation, KubernetesUser: author.KubernetesUser, At: at})
	}
	return out
}

func change(c iam.EventChange) *auditv1alpha1.Change {
	before, after := raw(c.Before), raw(c.After)
	if before == nil && after == nil {
		return nil
	}
	return &auditv1alpha1.Change{Before: before, After: after}
}

func raw(state json.RawMessage) *runtime.RawExtension {
	if len(state) == 0 {
		return nil
	}
	return &runtime.RawExtension{Raw: state}
}
