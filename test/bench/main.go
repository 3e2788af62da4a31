// SPDX-License-Identifier: Apache-2.0

// Bench compares the decision engine with other policy engines: the same generated world and the same questions for each.
// See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
)

// options are the flags.
type options struct {
	sizes    []int
	engines  []contestant
	seed     uint64
	requests int
	// child is the engine that this process is to measure, for the one that has started it.
	child string
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if o.child != "" {
		o.measureOne()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	held, err := o.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if !held {
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	sizes := flags.String("sizes", "100,1000,10000,100000", "numbers of `policies`")
	engines := flags.String("engines", "", "`names` of the engines, "+names(contestants())+"; all if empty")
	flags.Uint64Var(&o.seed, "seed", 1, "what world and questions follow from")
	flags.IntVar(&o.requests, "requests", 10_000, "how many different questions")
	flags.StringVar(&o.child, "measure", "", "for the program itself: measure one `engine`, and print figures as JSON")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for _, text := range strings.Split(*sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return nil, fmt.Errorf("-sizes: %q is not a number of policies", text)
		}
		o.sizes = append(o.sizes, size)
	}
	if o.requests < 1 {
		return nil, errors.New("-requests: there must be some")
	}
	o.engines = contestants()
	if *engines != "" {
		o.engines = nil
		for _, name := range strings.Split(*engines, ",") {
			c := find(name)
			if c == nil {
				return nil, fmt.Errorf("-engines: there is no %q, only %s", name, names(contestants()))
			}
			o.engines = append(o.engines, *c)
		}
	}
	return o, nil
}

func names(all []contestant) string {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// find gives the engine of a name, or nil.
func find(name string) *contestant {
	all := contestants()
	i := slices.IndexFunc(all, func(c contestant) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// measureOne measures an engine and prints its figures.
func (o *options) measureOne() {
	c := find(o.child)
	if c == nil {
		fmt.Fprintf(os.Stderr, "bench: there is no engine %q\n", o.child)
		os.Exit(2)
	}
	report := func(f figures) {
		if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(2)
		}
	}
	limits := newWatch(func(why string) {
		report(figures{Engine: c.name, Size: o.sizes[0], Questions: o.requests, Failed: why, OverLimit: true})
		os.Exit(0)
	})
	report(measure(c, newWorld(o.seed, o.sizes[0], o.requests), limits))
}

// run measures all engines with all sizes, each in a process of its own: so that none has another's garbage to collect,
// and one that takes too much can be stopped. It says whether all bars held.
func (o *options) run(ctx context.Context) (bool, error) {
	program, err := os.Executable()
	if err != nil {
		return false, err
	}
	printVersions(os.Stdout, o.engines)
	var all []figures
	for _, size := range o.sizes {
		var ofSize []figures
		for _, c := range o.engines {
			fmt.Fprintf(os.Stderr, "bench: %d policies, %s\n", size, c.title)
			f, err := o.inChild(ctx, program, c.name, size)
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if err != nil { // The others are still worth measuring; the bars tell.
				f = figures{Engine: c.name, Size: size, Failed: err.Error()}
			}
			ofSize = append(ofSize, f)
		}
		printTable(os.Stdout, size, ofSize)
		all = append(all, ofSize...)
	}
	return printBars(os.Stdout, bars(o.sizes, all)), nil
}

func (o *options) inChild(ctx context.Context, program, engine string, size int) (figures, error) {
	child := exec.CommandContext(ctx, program, "-measure", engine, "-sizes", strconv.Itoa(size),
		"-seed", strconv.FormatUint(o.seed, 10), "-requests", strconv.Itoa(o.requests))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return figures{}, err
	}
	var f figures
	return f, json.Unmarshal(out, &f)
}
