// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// longest is more than anybody keeps events, and far from what a duration can't hold.
const longest = 100 * 366 * 24 * time.Hour

// parseTime reads a time (RFC 3339), or a duration back from now.
func parseTime(value string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
		at = at.UTC()
		if at.Year() < 1 || at.Year() > 9999 { // the offset led out of what RFC 3339 can say
			return time.Time{}, fmt.Errorf("%q is out of range", value)
		}
		return at, nil
	}
	back, ok := parseDuration(value)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-29T19:56:39Z (RFC 3339) nor a duration back from now such as 90m, 24h or 7d", value)
	}
	return now.Add(-back).UTC(), nil
}

// parseDuration also takes days and weeks, which time.ParseDuration does not.
func parseDuration(value string) (time.Duration, bool) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if count, ok := strings.CutSuffix(value, suffix); ok {
			n, err := strconv.ParseUint(count, 10, 16)
			back := time.Duration(n) * unit
			return back, err == nil && back <= longest
		}
	}
	back, err := time.ParseDuration(value)
	return back, err == nil && back >= 0 && back <= longest
}
