// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// measurement is a figure with its bar; zero where there is none.
type measurement struct {
	name    string
	samples []time.Duration
	bar     time.Duration
	// longest says that the bar is for the longest, and not for p99.
	longest bool
}

func (m *measurement) printRow(table io.Writer) {
	fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t\n", m.name, len(m.samples), fine(percentile(m.samples, 0.50)), fine(percentile(m.samples, 0.99)), fine(percentile(m.samples, 1)), m.barText())
}

func (m *measurement) barText() string {
	switch {
	case m.bar == 0:
		return "-"
	case m.longest:
		return fmt.Sprintf("longest %s", m.bar)
	}
	return fmt.Sprintf("p99 %s", m.bar)
}

// barred is what the bar is for.
func (m *measurement) barred() time.Duration {
	if m.longest {
		return percentile(m.samples, 1)
	}
	return percentile(m.samples, 0.99)
}

// missedRows gives an error that names each bar that was missed.
func missedRows(rows []measurement) error {
	var errs []error
	for _, m := range rows {
		if m.bar > 0 && m.barred() > m.bar {
			errs = append(errs, fmt.Errorf("the bar is missed: %s took %s, and may take %s", m.name, fine(m.barred()), m.bar))
		}
	}
	return errors.Join(errs...)
}

// fine shows also what takes microseconds.
func fine(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return shortened(d)
}
