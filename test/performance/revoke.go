// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

const (
	// revokeBar is the most that may pass, at p99, from the return of what revokes until the first denial.
	revokeBar = 250 * time.Millisecond
	// askEvery is how often it is asked meanwhile.
	askEvery = time.Millisecond
)

// revocation is one way to take away what somebody may do.
type revocation struct {
	name string
	// grant makes all that is needed for the i-th trial, and gives what to ask. revoke takes it away, by one request.
	grant  func(ctx context.Context, b *bench, i int) ([]byte, error)
	revoke func(ctx context.Context, b *bench, i int) error
}

type revokeReport struct{ rows []measurement }

// measureRevoke revokes in each way, many times, and takes the time until the decision is a denial.
func (d *decider) measureRevoke(ctx context.Context, b *bench, trials int) (report, error) {
	found := &revokeReport{}
	for _, way := range revocations() {
		say("Revoking %d times: %s", trials, way.name)
		row := measurement{name: way.name, bar: revokeBar}
		for i := range trials {
			took, err := d.trial(ctx, b, way, i)
			if err != nil {
				return nil, fmt.Errorf("%s, trial %d: %w", way.name, i, err)
			}
			row.samples = append(row.samples, took)
		}
		found.rows = append(found.rows, row)
	}
	return found, nil
}

func (d *decider) trial(ctx context.Context, b *bench, way revocation, i int) (time.Duration, error) {
	body, err := way.grant(ctx, b, i)
	if err != nil {
		return 0, err
	}
	if _, err := d.await(ctx, body, true); err != nil {
		return 0, fmt.Errorf("wait until it is allowed: %w", err)
	}
	if err := way.revoke(ctx, b, i); err != nil {
		return 0, err
	}
	returned := time.Now()
	denied, err := d.await(ctx, body, false)
	if err != nil {
		return 0, fmt.Errorf("wait until it is denied: %w", err)
	}
	return denied.Sub(returned), nil
}

func revocations() []revocation {
	name := func(way string, i int) string { return fmt.Sprintf("%s-%d", way, i) }
	return []revocation{
		{
			name: "an API key is deleted",
			grant: func(ctx context.Context, b *bench, i int) ([]byte, error) {
				n := name("key", i)
				key := apiKey(n, n)
				err := b.createAll(ctx, application(n), policy(n, v1alpha1.PrincipalApplication, n, askedSet), key)
				return evaluation("api_key", key.Status.AccessKey), err
			},
			revoke: func(ctx context.Context, b *bench, i int) error {
				return b.client.Delete(ctx, &v1alpha1.APIKey{ObjectMeta: decided(name("key", i))})
			},
		},
		{
			name: "a policy is deleted",
			grant: func(ctx context.Context, b *bench, i int) ([]byte, error) {
				n := name("policy", i)
				who := application(n)
				err := b.createAll(ctx, who, policy(n, v1alpha1.PrincipalApplication, n, askedSet))
				return evaluation("application", who.Status.ID), err
			},
			revoke: func(ctx context.Context, b *bench, i int) error {
				return b.client.Delete(ctx, &v1alpha1.Policy{ObjectMeta: decided(name("policy", i))})
			},
		},
		{
			name: "a membership is removed",
			grant: func(ctx context.Context, b *bench, i int) ([]byte, error) {
				n := name("membership", i)
				who := member(n)
				err := b.createAll(ctx, who, group(n, n), policy(n, v1alpha1.PrincipalGroup, n, askedSet))
				return evaluation("user", who.Status.ID), err
			},
			revoke: func(ctx context.Context, b *bench, i int) error {
				return b.client.Patch(ctx, &v1alpha1.Group{ObjectMeta: decided(name("membership", i))}, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"members":null}}`)))
			},
		},
		{
			name: "a Member is locked",
			grant: func(ctx context.Context, b *bench, i int) ([]byte, error) {
				n := name("lock", i)
				who := member(n)
				err := b.createAll(ctx, who, policy(n, v1alpha1.PrincipalMember, n, askedSet))
				return evaluation("user", who.Status.ID), err
			},
			revoke: func(ctx context.Context, b *bench, i int) error {
				return b.client.Patch(ctx, &v1alpha1.Member{ObjectMeta: decided(name("lock", i))}, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"state":"Locked"}}`)))
			},
		},
	}
}

func (b *bench) createAll(ctx context.Context, objects ...controllers.Object) error {
	for _, object := range objects {
		if err := b.create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (r *revokeReport) print(out io.Writer) {
	fmt.Fprintln(out, "from the return of the request until the first denial:")
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tsamples\tp50\tp99\tlongest\tbar\t")
	for i := range r.rows {
		r.rows[i].printRow(table)
	}
	_ = table.Flush()
}

func (r *revokeReport) missed() error { return missedRows(r.rows) }
