// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

const (
	// servedBar is how many single evaluations a second are answered at least, at full load.
	servedBar = 20_000
	// latencyBar is the most that one may take, at p99, at latencyLoad of what full load reached.
	latencyBar  = 5 * time.Millisecond
	latencyLoad = 0.7
	// policiesBar is the operator's resident memory at most, with the policies that are held.
	policiesBar = 150 << 20

	// decisionConnections are kept open to the decision engine.
	decisionConnections = 32
	// batch is how many questions a request of several has.
	batch = 20
	// askedAbout is how many principals are asked about, in turn.
	askedAbout = 500
)

// servedSizes say how much is asked.
type servedSizes struct {
	// policies are held.
	policies int
	// load is how long each load lasts.
	load time.Duration
}

type servedReport struct {
	policies int
	memory   int64
	single   load
	batch    load
	paced    load
}

// load is what wrk says of a load.
type load struct {
	// rate is how many requests a second were answered.
	rate              float64
	p50, p99, longest time.Duration
}

// measureServed makes many policies, and asks about their principals as fast as can be, and then at a part of that speed.
func (d *decider) measureServed(ctx context.Context, b *bench, sizes servedSizes) (report, error) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return nil, errors.New("the load is made by wrk (https://github.com/wg/wrk; package wrk of most distributions), which is not there")
	}
	bodies, err := b.grantMany(ctx, sizes.policies)
	if err != nil {
		return nil, err
	}
	if _, err := d.await(ctx, bodies[0], true); err != nil {
		return nil, err
	}
	found := &servedReport{policies: sizes.policies}
	if found.memory, err = memory(b.operator.PID, "VmRSS"); err != nil {
		return nil, err
	}
	say("Asking one question a request")
	if found.single, err = d.load(ctx, wrk, b.dir, d.url, bodies, sizes.load, 0); err != nil {
		return nil, err
	}
	say("Asking %d questions a request", batch)
	if found.batch, err = d.load(ctx, wrk, b.dir, d.url+"s", batches(bodies), sizes.load, 0); err != nil {
		return nil, err
	}
	rate := found.single.rate * latencyLoad
	say("Asking %.0f questions a second", rate)
	// The time between two requests of a connection, so that all of them together come to the rate. A short try tells how much longer
	// it is than the pause.
	apart := func(rate float64) time.Duration {
		return time.Duration(decisionConnections / rate * float64(time.Second))
	}
	tried, err := d.load(ctx, wrk, b.dir, d.url, bodies, max(sizes.load/5, time.Second), apart(rate))
	if err != nil {
		return nil, err
	}
	longer := apart(tried.rate) - apart(rate)
	found.paced, err = d.load(ctx, wrk, b.dir, d.url, bodies, sizes.load, max(apart(rate)-longer, time.Microsecond))
	return found, err
}

// grantMany makes policies, each for an application of its own of which the first few are asked about; the rest share them.
func (b *bench) grantMany(ctx context.Context, policies int) ([][]byte, error) {
	principals := min(askedAbout, policies)
	say("Creating %d applications and %d policies", principals, policies)
	who := make([]*v1alpha1.Application, principals)
	err := parallel(ctx, principals, func(ctx context.Context, i int) error {
		who[i] = application(fmt.Sprintf("app-%d", i))
		return b.create(ctx, who[i])
	})
	if err != nil {
		return nil, err
	}
	sets := []string{askedSet, "InstancesReadOnly", "FunctionsFullAccess", "VPCReadOnly", "LoadBalancersFullAccess"}
	err = parallel(ctx, policies, func(ctx context.Context, i int) error {
		p := policy(fmt.Sprintf("policy-%d", i), v1alpha1.PrincipalApplication, who[i%principals].Name, sets[i/principals%len(sets)])
		if i%3 == 0 && i >= principals {
			p.Spec.Rules[0].Condition = fmt.Sprintf("inIpRange(request.ip, \"10.%d.0.0/16\")", i%256)
		}
		return b.client.Create(ctx, p)
	})
	if err != nil {
		return nil, err
	}
	var bodies [][]byte
	for _, application := range who {
		bodies = append(bodies, evaluation("application", application.Status.ID))
	}
	return bodies, b.await(ctx, "all policies are applied", time.Second, func(ctx context.Context) (bool, string, error) {
		var list v1alpha1.PolicyList
		err := b.client.List(ctx, &list)
		applied := 0
		for i := range list.Items {
			if readyReason(&list.Items[i]) == v1alpha1.ReasonApplied {
				applied++
			}
		}
		return applied > policies, fmt.Sprintf("%d of %d", applied, policies+1), err // With that of who asks.
	})
}

// batches puts questions together.
func batches(bodies [][]byte) [][]byte {
	var all [][]byte
	for at := 0; at+batch <= len(bodies); at += batch {
		questions := make([]json.RawMessage, batch)
		for i := range questions {
			questions[i] = bodies[at+i]
		}
		body, _ := json.Marshal(map[string]any{"evaluations": questions}) // It is made of what was encoded before.
		all = append(all, body)
	}
	return all
}

// What wrk says.
var (
	perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	median    = regexp.MustCompile(`(?m)^\s+50%\s+(\S+)$`)
	highest   = regexp.MustCompile(`(?m)^\s+99%\s+(\S+)$`)
	maximum   = regexp.MustCompile(`(?m)^\s+Latency\s+\S+\s+\S+\s+(\S+)`)
	notWell   = regexp.MustCompile(`Non-2xx|Socket errors`)
)

// load has wrk ask, and gives what it says. All must be answered well. Each connection pauses
// before a request; it does not if pause is zero.
func (d *decider) load(ctx context.Context, wrk, dir, url string, bodies [][]byte, lasts, pause time.Duration) (load, error) {
	script := filepath.Join(dir, "load.lua")
	if err := os.WriteFile(script, d.script(bodies, pause), 0o600); err != nil {
		return load{}, err
	}
	command := exec.CommandContext(ctx, wrk, "-t1", fmt.Sprintf("-c%d", decisionConnections), fmt.Sprintf("-d%ds", int(lasts.Seconds())), "--latency", "-s", script, url)
	out, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if notWell.Match(out) {
		return load{}, fmt.Errorf("not all were answered:\n%s", out)
	}
	said := func(what *regexp.Regexp) string {
		if found := what.FindSubmatch(out); found != nil {
			return string(found[1])
		}
		return ""
	}
	var l load
	l.rate, err = strconv.ParseFloat(said(perSecond), 64)
	errs := []error{err}
	for what, to := range map[*regexp.Regexp]*time.Duration{median: &l.p50, highest: &l.p99, maximum: &l.longest} {
		*to, err = time.ParseDuration(said(what))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return load{}, fmt.Errorf("wrk does not say what it is asked for: %w\n%s", err, out)
	}
	return l, nil
}

// script is what wrk sends: the bodies in turn, each request after a pause.
func (d *decider) script(bodies [][]byte, pause time.Duration) []byte {
	text := []byte("wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n")
	text = fmt.Appendf(text, "wrk.headers['Authorization'] = 'Bearer %s'\nlocal bodies = {\n", d.secret)
	for _, body := range bodies {
		text = fmt.Appendf(text, "[==[%s]==],\n", body)
	}
	text = append(text, `}
local requests, at = {}, 0
init = function()
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
`...)
	if pause > 0 { // wrk pauses for whole milliseconds only: chance makes up for it.
		text = fmt.Appendf(text, "delay = function() return math.floor(%.3f + math.random()) end\n", float64(pause)/float64(time.Millisecond))
	}
	return text
}

func (r *servedReport) print(out io.Writer) {
	fmt.Fprintf(out, "with %d policies: the operator's resident memory %d MiB (bar: %d)\n\n", r.policies, r.memory>>20, policiesBar>>20)
	fmt.Fprintf(out, "evaluations over loopback, TLS, decision log on, %d connections:\n", decisionConnections)
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tevaluations a second\tp50\tp99\tlongest\tbar\t")
	row := func(name string, l load, each float64, bar string) {
		fmt.Fprintf(table, "%s\t%.0f\t%s\t%s\t%s\t%s\t\n", name, l.rate*each, fine(l.p50), fine(l.p99), fine(l.longest), bar)
	}
	row("one a request", r.single, 1, fmt.Sprintf("%d a second", servedBar))
	row(fmt.Sprintf("%d a request", batch), r.batch, batch, "-")
	row(fmt.Sprintf("one a request, at %.0f %% of that", r.paced.rate/r.single.rate*100), r.paced, 1, "p99 "+latencyBar.String())
	_ = table.Flush()
}

func (r *servedReport) missed() error {
	var errs []error
	if r.memory > policiesBar {
		errs = append(errs, fmt.Errorf("the bar is missed: %d MiB are resident, and may be %d", r.memory>>20, policiesBar>>20))
	}
	if r.single.rate < servedBar {
		errs = append(errs, fmt.Errorf("the bar is missed: %.0f evaluations a second, and should be %d", r.single.rate, servedBar))
	}
	if r.paced.p99 > latencyBar {
		errs = append(errs, fmt.Errorf("the bar is missed: p99 is %s at %.0f a second, and may be %s", fine(r.paced.p99), r.paced.rate, latencyBar))
	}
	return errors.Join(errs...)
}
