// SPDX-License-Identifier: Apache-2.0

// Command performance measures the operator, as a process of its own with the rights and webhooks that it ships with,
// on a real control plane on this machine's loopback:
//
//	performance admission   what the webhooks add to a create, with many objects present
//	performance passwords   the operator's memory while many Members get a password at once
//	performance audit       how soon audit events can be read, and how fast, with a million held
//
// It prints what it measured beside the bar, and exits with 1 where a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// patience bounds a whole run, which takes some minutes.
const patience = time.Hour

// sizes say how much is measured. The bars are meant for those that the flags have by default.
type sizes struct {
	objects, samples, members, trials int
	served                            servedSizes
	audit                             auditSizes
}

// report is what a measurement found.
type report interface {
	print(out io.Writer)
	// missed gives an error that names each bar that was missed.
	missed() error
}

func main() {
	var s sizes
	flag.IntVar(&s.objects, "objects", 10_000, "admission: how many objects are present")
	flag.IntVar(&s.samples, "samples", 1000, "admission: how many creates are timed, with the webhooks and as many without, in each of two rounds")
	flag.IntVar(&s.members, "members", 1000, "passwords: how many Members get a password at once")
	flag.IntVar(&s.trials, "trials", 200, "revoke: how often it is revoked in each way")
	flag.IntVar(&s.served.policies, "policies", 10_000, "served: how many policies are held")
	flag.DurationVar(&s.served.load, "load", 15*time.Second, "served: how long each load lasts")
	s.audit.rates = []int{1, 10, 100}
	flag.Func("rates", "audit: how many changes a second are made, one rate after another (default 1,10,100)", s.audit.parseRates)
	flag.IntVar(&s.audit.events, "events", 1_000_000, "audit: how many events are held")
	flag.IntVar(&s.audit.expired, "expired", 100_000, "audit: how many events besides are beyond their time, and are removed")
	flag.IntVar(&s.audit.changes, "changes", 500, "audit: how many changes are made at each rate")
	flag.IntVar(&s.audit.samples, "pages", 200, "audit: how many times each page is read")
	flag.IntVar(&s.audit.writes, "commits", 1000, "audit: how many commits are timed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := run(ctx, strings.Join(flag.Args(), " "), s); err != nil {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, what string, s sizes) (err error) {
	var prepare func(context.Context, *bench) error
	var measure func(*bench) (report, error)
	switch what {
	case "admission":
		measure = func(b *bench) (report, error) { return measureAdmission(ctx, b, s.objects, s.samples) }
	case "passwords":
		measure = func(b *bench) (report, error) { return measurePasswords(ctx, b, s.members) }
	case "audit":
		a := &auditBench{auditSizes: s.audit}
		prepare = a.prepare
		measure = func(b *bench) (report, error) { return a.measure(ctx, b) }
	case "revoke":
		measure = deciding(ctx, func(b *bench, d *decider) (report, error) { return d.measureRevoke(ctx, b, s.trials) })
	case "served":
		measure = deciding(ctx, func(b *bench, d *decider) (report, error) { return d.measureServed(ctx, b, s.served) })
	default:
		return fmt.Errorf("%q can't be measured; say admission, passwords, audit, revoke or served, after the flags", what)
	}
	b, err := startBench(ctx, ".", prepare)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	found, err := measure(b)
	if err != nil {
		return b.operator.Explain(err)
	}
	found.print(os.Stdout)
	return found.missed()
}

// deciding measures with somebody who may ask the decision engine.
func deciding(ctx context.Context, measure func(*bench, *decider) (report, error)) func(*bench) (report, error) {
	return func(b *bench) (report, error) {
		d, err := newDecider(ctx, b)
		if err != nil {
			return nil, err
		}
		return measure(b, d)
	}
}
