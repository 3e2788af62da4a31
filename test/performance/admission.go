// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// admissionBar is the most that the webhooks may add to the 99th percentile of a create.
const admissionBar = 5 * time.Millisecond

// The two sides. Projects are created in both; no SubjectAccessReview is made for one.
const (
	askedNamespace   = "asked"
	unaskedNamespace = "unasked"
)

// outcomes are what the operator makes of a Project: it holds what nobody judged.
var outcomes = map[string]string{askedNamespace: v1alpha1.ReasonApplied, auditNamespace: v1alpha1.ReasonApplied, unaskedNamespace: v1alpha1.ReasonAdmissionMissing}

// pace is how long after one create the next begins, in the round that the bar is for: 20 a second leave the machine time
// for what each of them brings about, so that it is the webhooks that are measured and not the line of those who wait.
const pace = 50 * time.Millisecond

// warmUp is how many creates on each side are not counted, so that connections stand and code is loaded.
const warmUp = 25

// round is what was measured in one way of creating.
type round struct {
	name string
	// barred says that the bar is for it.
	barred        bool
	with, without []time.Duration
	calls         []calls
}

// admissionReport is what the webhooks add to a create.
type admissionReport struct {
	present int
	rounds  []round
}

// measureAdmission creates Projects in a namespace for which the webhooks are asked, and in one for which they are not,
// while many objects are there: first at a pace that leaves time to deal with each, then one after another without a pause.
func measureAdmission(ctx context.Context, b *bench, present, samples int) (report, error) {
	for _, namespace := range []string{askedNamespace, unaskedNamespace} {
		if err := b.found(ctx, namespace); err != nil {
			return nil, err
		}
	}
	say("Creating %d Projects", present)
	err := parallel(ctx, present, func(ctx context.Context, i int) error {
		return b.client.Create(ctx, project(askedNamespace, fmt.Sprintf("present-%d", i)))
	})
	if err != nil {
		return nil, err
	}
	if err := b.awaitProjects(ctx, askedNamespace, present); err != nil {
		return nil, err
	}
	if err := b.exempt(ctx, unaskedNamespace); err != nil {
		return nil, err
	}
	found := &admissionReport{present: present}
	for _, r := range []struct {
		name string
		// every is the time between the beginnings of two creates; zero is none.
		every time.Duration
	}{{fmt.Sprintf("one every %s", pace), pace}, {"one after another without a pause", 0}} {
		say("Creating %d Projects with the webhooks and %d without, %s", samples, samples, r.name)
		next := &round{name: r.name, barred: r.every > 0}
		if err := b.measureRound(ctx, next, fmt.Sprintf("sample-%d", r.every.Milliseconds()), samples, r.every); err != nil {
			return nil, err
		}
		found.rounds = append(found.rounds, *next)
	}
	return found, nil
}

// measureRound creates on both sides, in an order that is drawn for each pair: whatever else the machine does then falls on both.
func (b *bench) measureRound(ctx context.Context, r *round, prefix string, samples int, every time.Duration) error {
	wait := func() {}
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		wait = func() { <-ticker.C }
	}
	if err := b.createPairs(ctx, &round{}, prefix+"-warm-up", warmUp, wait); err != nil {
		return err
	}
	before, err := b.calls(ctx)
	if err != nil {
		return err
	}
	if err := b.createPairs(ctx, r, prefix, samples, wait); err != nil {
		return err
	}
	after, err := b.calls(ctx)
	if err != nil {
		return err
	}
	for i := range after {
		made := after[i].since(before[i])
		if made.count != uint64(samples) {
			return fmt.Errorf("the API server called %s %d times, not for the %d creates that it should be asked about alone", made.webhook, made.count, samples)
		}
		r.calls = append(r.calls, made)
	}
	return nil
}

func (b *bench) createPairs(ctx context.Context, r *round, prefix string, pairs int, wait func()) error {
	for i := range pairs {
		sides := []string{askedNamespace, unaskedNamespace}
		if rand.IntN(2) == 1 {
			slices.Reverse(sides)
		}
		for _, namespace := range sides {
			start := time.Now()
			if err := b.client.Create(ctx, project(namespace, fmt.Sprintf("%s-%d", prefix, i))); err != nil {
				return err
			}
			took := time.Since(start)
			if namespace == askedNamespace {
				r.with = append(r.with, took)
			} else {
				r.without = append(r.without, took)
			}
			wait()
		}
	}
	return nil
}

func project(namespace, name string) *v1alpha1.Project {
	return &v1alpha1.Project{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ProjectSpec{OrganizationRef: v1alpha1.OrganizationRef{Name: acme}},
	}
}

// awaitProjects waits until the operator has caught up.
func (b *bench) awaitProjects(ctx context.Context, namespace string, wanted int) error {
	return b.await(ctx, "the operator has dealt with all Projects in namespace "+namespace, 2*time.Second, func(ctx context.Context) (bool, string, error) {
		var projects v1alpha1.ProjectList
		if err := b.client.List(ctx, &projects, client.InNamespace(namespace)); err != nil {
			return false, "", err
		}
		done := 0
		for i := range projects.Items {
			if readyReason(&projects.Items[i]) == outcomes[namespace] {
				done++
			}
		}
		return done == wanted, fmt.Sprintf("%d of %d", done, wanted), nil
	})
}

// added is what the webhooks add to a percentile.
func (r *round) added(share float64) time.Duration {
	return percentile(r.with, share) - percentile(r.without, share)
}

func (r *admissionReport) print(out io.Writer) {
	fmt.Fprintf(out, "create of a Project with %d objects present\n", r.present)
	for i := range r.rounds {
		r.rounds[i].print(out)
	}
	fmt.Fprintf(out, "\nbar: p99 added at most %s, one every %s\n", admissionBar, pace)
}

func (r *round) print(out io.Writer) {
	fmt.Fprintf(out, "\n%d with the webhooks and %d without, %s:\n", len(r.with), len(r.without), r.name)
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tp50\tp99\t")
	for _, row := range []struct {
		name string
		at   func(share float64) time.Duration
	}{
		{"with", func(share float64) time.Duration { return percentile(r.with, share) }},
		{"without", func(share float64) time.Duration { return percentile(r.without, share) }},
		{"added", r.added},
	} {
		fmt.Fprintf(table, "%s\t%s\t%s\t\n", row.name, shortened(row.at(0.50)), shortened(row.at(0.99)))
	}
	_ = table.Flush()
	for _, c := range r.calls {
		fmt.Fprintf(out, "by the API server's clock: %s\n", c)
	}
}

func (r *admissionReport) missed() error {
	var errs []error
	for i := range r.rounds {
		if added := r.rounds[i].added(0.99); r.rounds[i].barred && added > admissionBar {
			errs = append(errs, fmt.Errorf("the bar is missed: %s, the webhooks add %s to the 99th percentile of a create, and may add %s", r.rounds[i].name, shortened(added), admissionBar))
		}
	}
	return errors.Join(errs...)
}

// percentile gives the smallest sample that this share of them does not exceed.
func percentile(samples []time.Duration, share float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(samples))))
	return slices.Sorted(slices.Values(samples))[max(rank, 1)-1]
}

func shortened(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
