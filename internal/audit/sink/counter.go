// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"net/http"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// Counter counts events for alerts. Its Follower has no name: what was recorded before the
// operator started was counted then, and a counter that began with all that is kept would tell
// of it again. In metrics it is CounterName, since alerts that nothing counts for never fire.
type Counter struct{ Metrics *Metrics }

// CounterName is how a Counter's Follower is named in metrics.
const CounterName = "counter"

// Deliver counts; it never fails.
func (c Counter) Deliver(_ context.Context, events []iam.Event) error {
	for _, event := range events {
		if event.Origin == nil {
			c.Metrics.events.WithLabelValues(event.Namespace, event.Method, result(event.StatusCode)).Inc()
		}
	}
	return nil
}

// The values of the label result.
const (
	resultDone      = "done"
	resultForbidden = "forbidden"
	resultRefused   = "refused"
)

func result(code int) string {
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return resultForbidden
	case code >= http.StatusBadRequest:
		return resultRefused
	}
	return resultDone
}
