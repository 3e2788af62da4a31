// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printVersions says what is compared, and what each engine cannot express.
func printVersions(out io.Writer, engines []contestant) {
	version := versions()
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "engine\tversion\twhat it cannot express, and what was done about it")
	for _, c := range engines {
		of := version[c.module]
		if c.module == "" {
			of = "this tree, cel-go " + version["github.com/google/cel-go"]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.title, of, c.notes)
	}
	_ = t.Flush()
	fmt.Fprintln(out, "\nFor all but iam-operator keys that have expired are left out beforehand, and requests are in the engine's own form.")
}

// printTable prints the figures of one size.
func printTable(out io.Writer, size int, all []figures) {
	fmt.Fprintf(out, "\n%s policies\n\n", thousands(size))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "engine\tmedian\tmean\tp99\tB/op\tallocs/op\tbuild\theap/policy\tupdate\tanswers equal\t")
	for _, f := range all {
		title := find(f.Engine).title
		if f.Failed != "" {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t-\t-\t-\t%s\t\n", title, shortly(f))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.0f\t%.1f\t%s\t%s\t%s\t%s\t\n", title, nanoseconds(f.Median), nanoseconds(f.Mean), nanoseconds(f.P99),
			f.Bytes, f.Allocs, nanoseconds(float64(f.Build)), bytes(f.HeapPerPolicy), nanoseconds(f.Update), equal(f))
	}
	_ = t.Flush()
	for _, f := range all {
		if f.Engine == oursName && f.Failed == "" {
			printClasses(out, f)
		}
	}
}

// printClasses prints figures by class of question.
func printClasses(out io.Writer, f figures) {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, find(f.Engine).title+"\tmedian\tB/op\tallocs/op\t")
	for _, c := range classes() {
		if of, measured := f.Classes[c]; measured {
			fmt.Fprintf(t, "%s\t%s\t%.0f\t%.2f\t\n", c, nanoseconds(of.Median), of.Bytes, of.Allocs)
		}
	}
	_ = t.Flush()
}

// shortly says why there are no figures. What went wrong is said where bars are.
func shortly(f figures) string {
	if f.OverLimit {
		return f.Failed
	}
	return "FAILED"
}

// equal says how many answers were compared.
func equal(f figures) string {
	if f.Checked == f.Questions {
		return fmt.Sprintf("all %d", f.Checked)
	}
	return fmt.Sprintf("%d of %d", f.Checked, f.Questions)
}

// nanoseconds prints a time with three digits.
func nanoseconds(ns float64) string {
	switch {
	case ns == 0:
		return "-"
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	}
	return fmt.Sprintf("%.3g s", ns/float64(time.Second))
}

func bytes(count float64) string {
	if count < 10<<10 {
		return fmt.Sprintf("%.0f B", count)
	}
	return fmt.Sprintf("%.0f KiB", count/(1<<10))
}

// thousands prints a number as 100,000.
func thousands(n int) string {
	digits := fmt.Sprint(n)
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return strings.Join(append([]string{digits}, parts...), ",")
}
