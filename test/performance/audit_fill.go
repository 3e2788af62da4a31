// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// fillBatch is how many events a commit has while the store is filled.
const fillBatch = 1000

// What the events of the filled store say. Some values are frequent and some are rare, as in a real log: a principal in a
// hundred events, a method in ten, an action in three, a resource in a thousand.
const (
	fillPrincipals = 100
	fillResources  = 1000
	fillSpan       = 29 * 24 * time.Hour
)

var fillMethods = []struct {
	name, resourceType string
	kind               iam.Kind
	action             iam.Action
}{
	{"CreatePolicy", "iam_policy", iam.KindPolicy, iam.ActionCreated},
	{"SetRules", "iam_policy", iam.KindPolicy, iam.ActionUpdated},
	{"UpdatePolicy", "iam_policy", iam.KindPolicy, iam.ActionUpdated},
	{"DeletePolicy", "iam_policy", iam.KindPolicy, iam.ActionDeleted},
	{"CreateAPIKey", "iam_api_key", iam.KindAPIKey, iam.ActionCreated},
	{"DeleteAPIKey", "iam_api_key", iam.KindAPIKey, iam.ActionDeleted},
	{"AddGroupMember", "iam_group", iam.KindGroup, iam.ActionUpdated},
	{"UpdateUser", "iam_user", iam.KindMember, iam.ActionUpdated},
	{"CreateApplication", "iam_application", iam.KindApplication, iam.ActionCreated},
	{"UpdateApplication", "iam_application", iam.KindApplication, iam.ActionUpdated},
}

// filler makes events of one chain.
type filler struct {
	organization            iam.EventOrganization
	namespace, namespaceUID string
	// first is when the first was recorded, and step how long after it the next.
	first time.Time
	step  time.Duration
}

// fill appends n events.
func (f *filler) fill(ctx context.Context, s store.Store, n int) error {
	for from := 0; from < n; from += fillBatch {
		_, err := s.Write(ctx, func(tx store.Tx) error {
			for i := from; i < min(from+fillBatch, n); i++ {
				event, err := f.event(i)
				if err != nil {
					return err
				}
				if err := tx.Append(ctx, event); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if done := from + fillBatch; done%100_000 == 0 {
			say("%d of %d events", done, n)
		}
	}
	return nil
}

// event gives the i-th. It is as large as one of a policy with two rules.
func (f *filler) event(i int) (iam.Event, error) {
	method := fillMethods[i%len(fillMethods)]
	principal, resource := i/7%fillPrincipals, i/3%fillResources
	id, err := uuid.NewV7()
	if err != nil {
		return iam.Event{}, err
	}
	after, err := json.Marshal(map[string]any{
		"name": fmt.Sprintf("policy-%d", resource), "description": fmt.Sprintf("What the team needs, as of change %d.", i),
		"principal": map[string]string{"kind": "Group", "id": uuid.NewSHA1(uuid.Nil, []byte{byte(principal)}).String()},
		"rules": []map[string]any{
			{"permissionSets": []string{"InstancesReadOnly", "ObjectStorageReadOnly"}, "scope": "Organization"},
			{"permissionSets": []string{"IAMReadOnly"}, "condition": `inIpRange(request.ip, "10.0.0.0/8")`},
		},
	})
	if err != nil {
		return iam.Event{}, err
	}
	user := fmt.Sprintf("person-%d@acme.example", principal)
	return iam.Event{
		ID: id.String(), RecordedAt: f.first.Add(time.Duration(i) * f.step), Organization: f.organization,
		Namespace: f.namespace, NamespaceUID: f.namespaceUID,
		Principal:      iam.Actor{Kind: iam.ActorMember, ID: uuid.NewSHA1(uuid.Nil, []byte(user)).String(), Name: fmt.Sprintf("person-%d", principal)},
		KubernetesUser: user, SourceIP: iam.Unknown, UserAgent: iam.Unknown,
		Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: method.name, Action: method.action,
		RequestID: uuid.NewString(), StatusCode: http.StatusOK, Authorship: &iam.Authorship{State: iam.AuthorshipAdmitted},
		Resources: []iam.EventResource{{
			Kind: method.kind, Type: method.resourceType, ID: fillID(resource), Name: fmt.Sprintf("policy-%d", resource), Action: method.action,
		}},
		Change: iam.EventChange{After: after},
	}, nil
}

// fillID is the id of a resource of the filled store.
func fillID(resource int) string {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "resource-%d", resource)).String()
}
