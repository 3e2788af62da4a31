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
	"sync"
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
	policies      int
	memory        int64
	single, batch float64
	rate          float64
	latency       measurement
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
	if found.single, err = d.load(ctx, wrk, b.dir, d.url, bodies, sizes.load); err != nil {
		return nil, err
	}
	say("Asking %d questions a request", batch)
	if found.batch, err = d.load(ctx, wrk, b.dir, d.url+"s", batches(bodies), sizes.load); err != nil {
		return nil, err
	}
	found.batch *= batch
	found.rate = found.single * latencyLoad
	say("Asking %.0f questions a second", found.rate)
	found.latency, err = d.paced(ctx, bodies, found.rate, sizes.load)
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

// perSecond is what wrk says.
var perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// load has wrk ask as fast as it can, and gives how many requests a second were answered. All must be answered well.
func (d *decider) load(ctx context.Context, wrk, dir, url string, bodies [][]byte, lasts time.Duration) (float64, error) {
	script := filepath.Join(dir, "load.lua")
	if err := os.WriteFile(script, d.script(bodies), 0o600); err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, wrk, "-t1", fmt.Sprintf("-c%d", decisionConnections), fmt.Sprintf("-d%ds", int(lasts.Seconds())), "-s", script, url)
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if regexp.MustCompile(`Non-2xx|Socket errors`).Match(out) {
		return 0, fmt.Errorf("not all were answered:\n%s", out)
	}
	rate := perSecond.FindSubmatch(out)
	if rate == nil {
		return 0, fmt.Errorf("wrk does not say how many it made:\n%s", out)
	}
	return strconv.ParseFloat(string(rate[1]), 64)
}

// script is what wrk sends: the bodies in turn.
func (d *decider) script(bodies [][]byte) []byte {
	text := []byte("wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n")
	text = fmt.Appendf(text, "wrk.headers['Authorization'] = 'Bearer %s'\nlocal bodies = {\n", d.secret)
	for _, body := range bodies {
		text = fmt.Appendf(text, "[==[%s]==],\n", body)
	}
	return append(text, `}
local requests, at = {}, 0
init = function()
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
`...)
}

// paced asks at a rate, whether or not what was asked before has been answered, and takes each time from when it was due.
func (d *decider) paced(ctx context.Context, bodies [][]byte, rate float64, lasts time.Duration) (measurement, error) {
	total := int(rate * lasts.Seconds())
	took := make([]time.Duration, total)
	start := time.Now().Add(100 * time.Millisecond)
	var running sync.WaitGroup
	failed := make(chan error, decisionConnections)
	for connection := range decisionConnections {
		running.Go(func() {
			for i := connection; i < total; i += decisionConnections {
				due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
				time.Sleep(time.Until(due))
				if _, err := d.ask(ctx, bodies[i%len(bodies)]); err != nil {
					failed <- err
					return
				}
				took[i] = time.Since(due)
			}
		})
	}
	running.Wait()
	close(failed)
	return measurement{name: fmt.Sprintf("one evaluation, at %.0f a second", rate), samples: took, bar: latencyBar}, <-failed
}

func (r *servedReport) print(out io.Writer) {
	fmt.Fprintf(out, "with %d policies: the operator's resident memory %d MiB (bar: %d)\n", r.policies, r.memory>>20, policiesBar>>20)
	fmt.Fprintf(out, "single evaluations over loopback, decision log on, %d connections: %.0f a second (bar: %d)\n", decisionConnections, r.single, servedBar)
	fmt.Fprintf(out, "%d evaluations a request: %.0f evaluations a second\n\n", batch, r.batch)
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tsamples\tp50\tp99\tlongest\tbar\t")
	r.latency.printRow(table)
	_ = table.Flush()
}

func (r *servedReport) missed() error {
	var errs []error
	if r.memory > policiesBar {
		errs = append(errs, fmt.Errorf("the bar is missed: %d MiB are resident, and may be %d", r.memory>>20, policiesBar>>20))
	}
	if r.single < servedBar {
		errs = append(errs, fmt.Errorf("the bar is missed: %.0f evaluations a second, and should be %d", r.single, servedBar))
	}
	return errors.Join(append(errs, missedRows([]measurement{r.latency}))...)
}
