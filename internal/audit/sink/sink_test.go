// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// TestMain is also the child process that TestKilledSinkLosesNothing starts.
func TestMain(m *testing.M) {
	if folder := os.Getenv(childFolder); folder != "" {
		os.Exit(beChild(folder))
	}
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// patience is how long a test waits for what should take a moment.
const patience = 30 * time.Second

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newStore gives a store that is closed when the test ends.
func newStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "iam.db"))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func eventOf(organization string, n int, edits ...func(*iam.Event)) iam.Event {
	e := iam.Event{
		ID: fmt.Sprintf("%s-%d", organization, n), RecordedAt: noon.Add(time.Duration(n) * time.Second),
		Organization: iam.EventOrganization{ID: organization, Name: strings.ToUpper(organization)}, Namespace: "home-of-" + organization,
		Principal: iam.Actor{Kind: iam.ActorMember, ID: "member-maya", Name: "maya"}, KubernetesUser: "maya@corp.example",
		SourceIP: iam.Unknown, UserAgent: iam.Unknown, Product: "iam", Service: "scaleway.iam.v1alpha1.Api",
		Method: "CreateAPIKey", Action: iam.ActionCreated, RequestID: fmt.Sprintf("request-%d", n), StatusCode: 200,
		Resources: []iam.EventResource{{Kind: iam.KindAPIKey, Type: "iam_api_key", ID: "SCW", Name: "<key> & \u2028 more", Action: iam.ActionCreated}},
	}
	for _, edit := range edits {
		edit(&e)
	}
	return e
}

func submit(t *testing.T, s store.Store, events ...iam.Event) {
	t.Helper()
	if err := s.Submit(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func several(organization string, from, to int) []iam.Event {
	var events []iam.Event
	for n := from; n <= to; n++ {
		events = append(events, eventOf(organization, n))
	}
	return events
}

// drop has retention remove the oldest events of an Organization, and all that an earlier second had.
func drop(t *testing.T, s store.Store, organization string, before int) {
	t.Helper()
	_, err := s.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.DropEvents(t.Context(), organization, noon.Add(time.Duration(before)*time.Second), 1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a follower until the function that it gives is called.
func start(t *testing.T, f *sink.Follower) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	if f.Clock == nil {
		f.Clock = clock.RealClock{}
	}
	f.Log = logr.Discard()
	go func() { ended <- f.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the follower ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-ticker.C:
		}
	}
}

func awaitCursor(t *testing.T, s store.Store, name string, at int64) {
	t.Helper()
	await(t, fmt.Sprintf("cursor %s at %d", name, at), func() bool {
		cursor, err := s.Cursor(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return cursor == at
	})
}

// entry is a line of a sink.
type entry struct {
	Sequence int64     `json:"sequence"`
	Revision string    `json:"revision"`
	Seal     iam.Seal  `json:"seal"`
	Body     iam.Event `json:"body"`
}

// read reads the lines of a sink, each of which must be an event whose seal is right.
func read(t *testing.T, text string) []iam.Event {
	t.Helper()
	var events []iam.Event
	for _, text := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if text == "" {
			continue
		}
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("the line %q is no event: %v", text, err)
		}
		event := e.Body
		event.Sequence, event.Revision, event.Seal = e.Sequence, e.Revision, e.Seal
		content, err := event.ContentHash()
		if err != nil {
			t.Fatal(err)
		}
		if iam.SealAfter(event.Seal.Previous, content) != event.Seal {
			t.Errorf("what the sink got of event %d does not fit its seal", event.Sequence)
		}
		events = append(events, event)
	}
	return events
}

// sequences gives the numbers of events; runs of the same one after another count once.
func sequences(events []iam.Event) []int64 {
	var all []int64
	for _, event := range events {
		if len(all) == 0 || all[len(all)-1] != event.Sequence {
			all = append(all, event.Sequence)
		}
	}
	return all
}

func upTo(n int64) []int64 {
	var all []int64
	for i := int64(1); i <= n; i++ {
		all = append(all, i)
	}
	return all
}

// value gives what a metric is, the labels of which have these values; -1 where there is none.
func value(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && hasLabels(metric, labels) {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func hasLabels(metric *dto.Metric, values []string) bool {
	for _, value := range values {
		found := false
		for _, label := range metric.GetLabel() {
			found = found || label.GetValue() == value
		}
		if !found {
			return false
		}
	}
	return true
}

func newMetrics(t *testing.T) (*sink.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	m, err := sink.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}
