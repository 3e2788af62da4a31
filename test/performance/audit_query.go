// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

const (
	// pageSize is how many events a page has.
	pageSize = 100
	// farPage is the page that must cost no more than the first.
	farPage = 100
)

// auditFilters are the filters of which the first page is timed, a selector each.
func auditFilters() []struct{ name, selector string } {
	day := time.Now().Add(-10 * 24 * time.Hour).UTC()
	return []struct{ name, selector string }{
		{"no filter", ""},
		{"by principal", "principal=person-7"},
		{"by method", "method=CreateAPIKey"},
		{"by action", "action=deleted"},
		{"by resource", "resource=policy-42"},
		{"by resource's id", "resourceID=" + fillID(42)},
		{"by status", "statusCode=403"},
		{"by time range", fmt.Sprintf("since=%s,until=%s", day.Format(time.RFC3339), day.Add(24*time.Hour).Format(time.RFC3339))},
		{"by principal and method", "principal=person-7,method=CreateAPIKey"},
		{"by principal in a time range", fmt.Sprintf("principal=person-7,since=%s,until=%s", day.Format(time.RFC3339), day.Add(24*time.Hour).Format(time.RFC3339))},
		{"without an action", "action!=updated"},
	}
}

// measureQueries times the first page of each filter, and a page far back.
func (a *auditBench) measureQueries(ctx context.Context) error {
	say("Reading %d pages of each filter", a.samples)
	for _, filter := range auditFilters() {
		m := measurement{name: filter.name, bar: queryBar}
		for i := range a.samples + 1 {
			took, _, err := a.page(ctx, filter.selector, "")
			if err != nil {
				return err
			}
			if i > 0 { // The first one pays for what is read from the disk once.
				m.samples = append(m.samples, took)
			}
		}
		a.found.queries = append(a.found.queries, m)
	}
	far := measurement{name: fmt.Sprintf("page %d by method", farPage), bar: queryBar}
	next, err := a.walk(ctx, "method=CreateAPIKey", farPage-1)
	if err != nil {
		return err
	}
	for range a.samples {
		took, _, err := a.page(ctx, "method=CreateAPIKey", next)
		if err != nil {
			return err
		}
		far.samples = append(far.samples, took)
	}
	a.found.queries = append(a.found.queries, far)
	return nil
}

// walk reads pages, and gives the token of the one after; it stops at the last that has one.
func (a *auditBench) walk(ctx context.Context, selector string, pages int) (string, error) {
	token := ""
	for range pages {
		_, list, err := a.page(ctx, selector, token)
		if err != nil {
			return "", err
		}
		if list.Continue == "" {
			break
		}
		token = list.Continue
	}
	return token, nil
}

func (a *auditBench) page(ctx context.Context, selector, token string) (time.Duration, *auditv1alpha1.AuditEventList, error) {
	list := &auditv1alpha1.AuditEventList{}
	start := time.Now()
	err := a.api.List(ctx, list, client.InNamespace(auditNamespace), &client.ListOptions{
		Raw: &metav1.ListOptions{FieldSelector: selector}, Limit: pageSize, Continue: token,
	})
	return time.Since(start), list, err
}

// droppedCount is how many events the event of retention says that it removed.
func droppedCount(event iam.Event) (int, error) {
	var told struct {
		AuditEvents int `json:"auditEvents"`
	}
	if err := json.Unmarshal(event.Change.Before, &told); err != nil {
		return 0, fmt.Errorf("read what retention removed: %w", err)
	}
	return told.AuditEvents, nil
}
