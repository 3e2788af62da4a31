// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// The bars of the audit log.
const (
	// visibleBar is the most that may pass, at p99, from the return of an apply until its event can be read.
	visibleBar = 500 * time.Millisecond
	// queryBar is the most that a page may take at p99 with a million events held.
	queryBar = 50 * time.Millisecond
	// stallBar is the longest that a writer may wait while retention removes events.
	stallBar = 50 * time.Millisecond
	// scaleway is within what Scaleway's Audit Trail says that its events are visible.
	scaleway = 2 * time.Second
)

// auditNamespace has the filled store's events, and the Projects whose changes are waited for.
const auditNamespace = "audited"

// auditSizes say how much is measured.
type auditSizes struct {
	// events are held, and expired of them are beyond their time.
	events, expired int
	// changes are made at each of the rates, which are in changes a second.
	changes int
	rates   []int
	// samples of each query are taken; writes are timed for a commit with an event.
	samples, writes int
}

func (s *auditSizes) parseRates(text string) error {
	s.rates = nil
	for rate := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(rate)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of changes a second", rate)
		}
		s.rates = append(s.rates, n)
	}
	return nil
}

// auditReport is what was measured of the audit log.
type auditReport struct {
	held          int
	bytesPerEvent int64
	idle, peak    int64
	store         []measurement
	queries       []measurement
	visible       []measurement
}

// auditBench measures the audit log: first the store alone, and then the operator with it.
type auditBench struct {
	auditSizes
	found auditReport
	// api reads and watches audit events.
	api client.WithWatch
}

// prepare fills the store before the operator opens it, and measures what can be measured without an operator.
func (a *auditBench) prepare(ctx context.Context, b *bench) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: auditNamespace}}
	if err := b.client.Create(ctx, namespace); err != nil {
		return err
	}
	path := b.options.Database()
	now := time.Now()
	say("Filling the store with %d audit events, and %d that are beyond their time", a.events, a.expired)
	expired := filler{organization: iam.EventOrganization{ID: uuid.NewString(), Name: "expired"}, namespace: "expired", namespaceUID: uuid.NewString(), first: now.Add(-50 * 24 * time.Hour), step: time.Millisecond}
	held := filler{organization: iam.EventOrganization{ID: uuid.NewString(), Name: "held"}, namespace: auditNamespace, namespaceUID: string(namespace.UID), first: now.Add(-fillSpan), step: fillSpan / time.Duration(a.events)}
	fill := func(s store.Store) error {
		return errors.Join(expired.fill(ctx, s, a.expired), held.fill(ctx, s, a.events))
	}
	// Opened twice: what was filled at once is in the file, and no longer in the log, when something is measured.
	for _, work := range []func(store.Store) error{fill, func(s store.Store) error { return a.measureStore(ctx, s, &held) }} {
		if err := withStore(ctx, path, work); err != nil {
			return err
		}
	}
	file, err := os.Stat(path)
	if err != nil {
		return err
	}
	// Retention leaves free pages in the file, which later events fill: they count for those that were removed.
	a.found.held, a.found.bytesPerEvent = a.events, file.Size()/int64(a.events+a.expired)
	return nil
}

// withStore opens the store in a file, works on it, and closes it.
func withStore(ctx context.Context, path string, work func(store.Store) error) error {
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, Clock: time.Now})
	if err != nil {
		return err
	}
	return errors.Join(work(s), s.Close())
}

// measure measures the operator on the filled store, through the API server as a user would.
func (a *auditBench) measure(ctx context.Context, b *bench) (report, error) {
	scheme, err := controllers.NewScheme()
	if err == nil {
		err = auditv1alpha1.AddToScheme(scheme)
	}
	if err != nil {
		return nil, err
	}
	config := b.cluster.Config()
	config.QPS = -1
	if a.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if a.found.idle, err = memory(b.operator.PID, "VmRSS"); err != nil {
		return nil, err
	}
	if err := errors.Join(b.awaitAuditAPI(ctx, a.api), b.awaitCatalogue(ctx)); err != nil {
		return nil, err
	}
	if err := a.measureQueries(ctx); err != nil {
		return nil, err
	}
	if err := a.measureVisible(ctx, b); err != nil {
		return nil, err
	}
	a.found.peak, err = memory(b.operator.PID, "VmHWM")
	return &a.found, err
}

// awaitAuditAPI waits until the API server passes questions on to the operator.
func (b *bench) awaitAuditAPI(ctx context.Context, api client.Client) error {
	return b.await(ctx, "audit events can be read", 100*time.Millisecond, func(ctx context.Context) (bool, string, error) {
		err := api.List(ctx, &auditv1alpha1.AuditEventList{}, client.InNamespace(auditNamespace), client.Limit(1))
		return err == nil, fmt.Sprint(err), nil
	})
}

func (r *auditReport) print(out io.Writer) {
	fmt.Fprintf(out, "audit log with %d events held: %d bytes on disk an event; the operator's resident memory %d MiB at first, %d MiB at most\n",
		r.held, r.bytesPerEvent, r.idle>>20, r.peak>>20)
	for _, part := range []struct {
		title string
		rows  []measurement
	}{
		{"the store alone", r.store},
		{"a page of 100 events through the API server", r.queries},
		{fmt.Sprintf("from the return of an apply until its event is there (Scaleway says: within %s)", scaleway), r.visible},
	} {
		fmt.Fprintf(out, "\n%s:\n", part.title)
		table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "\tsamples\tp50\tp99\tlongest\tbar\t")
		for i := range part.rows {
			part.rows[i].printRow(table)
		}
		_ = table.Flush()
	}
}

func (r *auditReport) missed() error { return missedRows(slices.Concat(r.store, r.queries, r.visible)) }
