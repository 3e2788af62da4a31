// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
)

// difference names the lines that one text has and the other has not.
func difference(want, got string) string {
	var out strings.Builder
	report := func(sign, from, without string) {
		held := map[string]int{}
		for line := range strings.Lines(without) {
			held[line]++
		}
		shown := 0
		for line := range strings.Lines(from) {
			if held[line]--; held[line] < 0 && shown < 10 {
				fmt.Fprintf(&out, "\n%s %s", sign, strings.TrimSpace(line))
				shown++
			}
		}
	}
	report("missing", want, got)
	report("too much", got, want)
	return out.String()
}
