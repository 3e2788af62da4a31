// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// receiver is an OTLP receiver, by the protocol's own messages.
type receiver struct {
	mu       sync.Mutex
	got      []*logs.ResourceLogs
	asked    int
	answer   func(http.ResponseWriter) bool
	requests []*http.Request
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	r.requests = append(r.requests, request)
	if r.answer != nil && !r.answer(w) {
		return
	}
	body, err := io.ReadAll(request.Body)
	var message collector.ExportLogsServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.got = append(r.got, message.GetResourceLogs()...)
}

func (r *receiver) set(answer func(http.ResponseWriter) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *receiver) records() []*logs.LogRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*logs.LogRecord
	for _, about := range r.got {
		for _, scope := range about.GetScopeLogs() {
			all = append(all, scope.GetLogRecords()...)
		}
	}
	return all
}

func (r *receiver) sequences(t *testing.T) []int64 {
	var lines []string
	for _, record := range r.records() {
		lines = append(lines, record.GetBody().GetStringValue())
	}
	return sequences(read(t, strings.Join(lines, "\n")))
}

func newOTLP(t *testing.T, endpoint string) *sink.OTLP {
	t.Helper()
	o, err := sink.NewOTLP(t.Context(), endpoint, "v1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// serve gives the URL of a receiver, which keeps no connection when the test ends.
func serve(t *testing.T, handler http.Handler, with func(*httptest.Server)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.SetKeepAlivesEnabled(false)
	with(server)
	t.Cleanup(server.Close)
	return server.URL + "/v1/logs"
}

func attributesOf(record *logs.LogRecord) map[string]*common.AnyValue {
	all := map[string]*common.AnyValue{}
	for _, attribute := range record.GetAttributes() {
		all[attribute.GetKey()] = attribute.GetValue()
	}
	return all
}

func TestOTLPSaysWhatTheEventSays(t *testing.T) {
	to := &receiver{}
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=north")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer of-the-environment")
	o := newOTLP(t, serve(t, to, (*httptest.Server).Start))
	events := sealed(1, 2)
	events[1].StatusCode, events[1].Reason = 403, "needs the verb issue"
	mustDeliver(t, o, events)
	records := to.records()
	if len(records) != 2 || to.tries() != 1 {
		t.Fatalf("%d records in %d requests", len(records), to.tries())
	}
	if got := to.requests[0].Header.Get("Authorization"); got != "Bearer of-the-environment" {
		t.Errorf("the header of the environment is %q", got)
	}
	first, second := records[0], records[1]
	if first.GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_INFO || second.GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_WARN {
		t.Errorf("severities %v, %v", first.GetSeverityNumber(), second.GetSeverityNumber())
	}
	if first.GetEventName() != "iam_operator.audit" || int64(first.GetTimeUnixNano()) != events[0].RecordedAt.UnixNano() {
		t.Errorf("event %q at %d", first.GetEventName(), first.GetTimeUnixNano())
	}
	all := attributesOf(second)
	for name, want := range map[string]string{
		"log.record.uid": "acme-2", "iam_operator.method": "CreateAPIKey", "iam_operator.organization.id": "acme",
		"iam_operator.principal.name": "maya", "iam_operator.kubernetes_user": "maya@corp.example", "iam_operator.reason": "needs the verb issue",
		"k8s.namespace.name": "home-of-acme", "iam_operator.seal": events[1].Seal.Hash.String(),
	} {
		if got := all[name].GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if all["http.response.status_code"].GetIntValue() != 403 || all["iam_operator.sequence"].GetIntValue() != 2 {
		t.Errorf("numbers: %v", all)
	}
	if _, there := all["client.address"]; there {
		t.Error("what nobody knows has an attribute")
	}
	about := map[string]string{}
	for _, attribute := range to.got[0].GetResource().GetAttributes() {
		about[attribute.GetKey()] = attribute.GetValue().GetStringValue()
	}
	if about["service.name"] != "iam-operator" || about["service.version"] != "v1" || about["k8s.cluster.name"] != "north" {
		t.Errorf("resource %v", about)
	}
}

// An origin can be searched for as the source of any request.
func TestOTLPOrigin(t *testing.T) {
	to := &receiver{}
	o := newOTLP(t, serve(t, to, (*httptest.Server).Start))
	mustDeliver(t, o, []iam.Event{eventOf("acme", 2, func(e *iam.Event) {
		e.Origin = &iam.EventOrigin{EventID: "acme-1", EventSequence: 1, SourceIP: "192.0.2.7", UserAgent: "kubectl"}
	})})
	all := attributesOf(to.records()[0])
	for name, want := range map[string]string{"client.address": "192.0.2.7", "user_agent.original": "kubectl", "iam_operator.origin.event_id": "acme-1"} {
		if got := all[name].GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// While the receiver refuses, events wait; when it accepts, it gets all of them, in order.
func TestOutageIsCaughtUp(t *testing.T) {
	rejected, err := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: 3, ErrorMessage: "the disk is full"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, refuse := range map[string]func(http.ResponseWriter) bool{
		"unavailable": func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusServiceUnavailable); return false },
		"told to wait": func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return false
		},
		"a refusal for good": func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusUnauthorized); return false },
		"a partial rejection": func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write(rejected)
			return false
		},
		"no answer": func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s, to, watch := newStore(t), &receiver{answer: refuse}, clocktesting.NewFakeClock(noon)
			submit(t, s, several("acme", 1, 30)...)
			o := newOTLP(t, serve(t, to, (*httptest.Server).Start))
			stop := start(t, &sink.Follower{Store: s, Sink: o, Name: "sink/otlp", Clock: watch})
			for to.tries() < 4 {
				await(t, "it waits", watch.HasWaiters)
				watch.Step(patience * 2)
			}
			submit(t, s, several("acme", 31, 40)...)
			await(t, "it waits", watch.HasWaiters)
			if cursor, err := s.Cursor(t.Context(), "sink/otlp"); err != nil || cursor != 0 {
				t.Fatalf("the cursor went to %d: %v", cursor, err)
			}
			to.set(nil)
			watch.Step(patience * 2)
			awaitCursor(t, s, "sink/otlp", 40)
			stop()
			if got := to.sequences(t); !slices.Equal(got, upTo(40)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A receiver that warns has taken everything.
func TestOTLPWarning(t *testing.T) {
	warning, err := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{ErrorMessage: "the disk is nearly full"}})
	if err != nil {
		t.Fatal(err)
	}
	to := &receiver{answer: func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(warning)
		return false
	}}
	mustDeliver(t, newOTLP(t, serve(t, to, (*httptest.Server).Start)), sealed(1, 2))
}

// By https only who has a certificate that is trusted gets events.
func TestOTLPByTLS(t *testing.T) {
	to := &receiver{}
	var server *httptest.Server
	url := serve(t, to, func(s *httptest.Server) { s.StartTLS(); server = s })
	stranger := newOTLP(t, url)
	if err := stranger.Deliver(t.Context(), sealed(1, 2)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a receiver whom nobody trusts: %v", err)
	}
	if to.tries() != 0 {
		t.Error("it got events")
	}
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file)
	mustDeliver(t, newOTLP(t, url), sealed(1, 2))
	if got := to.sequences(t); !slices.Equal(got, upTo(2)) {
		t.Errorf("got %v", got)
	}
}
