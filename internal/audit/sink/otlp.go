// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// otlpEvent is the name of all of our events, as OpenTelemetry has it.
const otlpEvent = "iam_operator.audit"

// OTLP sends events as log records of OpenTelemetry, by OTLP over HTTP. It uses the exporter
// of the SDK without its batch processor, which would take the events and lose them where the
// receiver fails for long.
type OTLP struct {
	exporter *otlploghttp.Exporter
	provider *sdklog.LoggerProvider
	logger   log.Logger
	records  *collector
}

// NewOTLP gives a sink that sends to a URL, to whose path v1/logs is not added. Where it is
// empty, the URL is that of the environment variables of OpenTelemetry's specification, which
// say the rest in any case: headers, compression, timeout, certificates, resource attributes.
// Close ends it. It fails where these can't be used.
func NewOTLP(ctx context.Context, endpoint, version string) (*OTLP, error) {
	// The Follower tries again, as long as it takes.
	options := []otlploghttp.Option{otlploghttp.WithRetry(otlploghttp.RetryConfig{})}
	if endpoint != "" {
		options = append(options, otlploghttp.WithEndpointURL(endpoint))
	}
	exporter, err := otlploghttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("set up OpenTelemetry's exporter of logs: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "iam-operator"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OpenTelemetry's resource attributes: %w", err)
	}
	records := &collector{}
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(records))
	return &OTLP{
		exporter: exporter, provider: provider, records: records,
		logger: provider.Logger("github.com/iam-operator/iam-operator/internal/audit", log.WithInstrumentationVersion(version)),
	}, nil
}

// Deliver sends the events in one request.
func (o *OTLP) Deliver(ctx context.Context, events []iam.Event) error {
	o.records.taken = o.records.taken[:0]
	for _, event := range events {
		record, err := recordOf(event)
		if err != nil {
			return err
		}
		o.logger.Emit(ctx, record)
	}
	if err := o.exporter.Export(ctx, o.records.taken); err != nil && !onlyWarns(err) {
		return fmt.Errorf("send audit events by OTLP: %w", err)
	}
	return nil
}

// onlyWarns says whether the receiver has taken everything, and said something besides: by the
// protocol that is a partial success of which nothing was rejected, and the exporter gives it
// as an error whose type it does not export. Where something was rejected, the cursor waits as
// for any failure: the sink can't decide to leave an event out.
func onlyWarns(err error) bool { return strings.HasSuffix(err.Error(), " (0 logs rejected)") }

// Close ends the exporter.
func (o *OTLP) Close(ctx context.Context) error {
	return errors.Join(o.provider.Shutdown(ctx), o.exporter.Shutdown(ctx))
}

// recordOf gives an event as a log record. Its body is the JSON form that all sinks have; the
// attributes are there to search by, under the names of OpenTelemetry's conventions where
// they have one.
func recordOf(event iam.Event) (log.Record, error) {
	body, err := encode(event)
	if err != nil {
		return log.Record{}, err
	}
	var record log.Record
	record.SetEventName(otlpEvent)
	record.SetTimestamp(event.RecordedAt)
	record.SetObservedTimestamp(event.RecordedAt)
	record.SetSeverity(log.SeverityInfo)
	record.SetSeverityText("INFO")
	if event.StatusCode >= http.StatusBadRequest {
		record.SetSeverity(log.SeverityWarn)
		record.SetSeverityText("WARN")
	}
	record.SetBody(attribute.StringValue(string(body)))
	record.AddAttributes(
		attribute.String("log.record.uid", event.ID),
		attribute.Int64("iam_operator.sequence", event.Sequence),
		attribute.String("iam_operator.revision", event.Revision),
		attribute.String("iam_operator.seal", event.Seal.Hash.String()),
		attribute.String("iam_operator.method", event.Method),
		attribute.String("iam_operator.product", event.Product),
		attribute.String("iam_operator.service", event.Service),
		attribute.String("iam_operator.action", string(event.Action)),
		attribute.Int("http.response.status_code", event.StatusCode),
		attribute.String("k8s.namespace.name", event.Namespace),
	)
	record.AddAttributes(known(
		attribute.String("iam_operator.organization.id", event.Organization.ID),
		attribute.String("iam_operator.organization.name", event.Organization.Name),
		attribute.String("iam_operator.project.id", event.ProjectID),
		attribute.String("iam_operator.principal.kind", string(event.Principal.Kind)),
		attribute.String("iam_operator.principal.id", event.Principal.ID),
		attribute.String("iam_operator.principal.name", event.Principal.Name),
		attribute.String("iam_operator.kubernetes_user", event.KubernetesUser),
		attribute.String("iam_operator.request.id", event.RequestID),
		attribute.String("iam_operator.reason", event.Reason),
		attribute.String("client.address", event.SourceIP),
		attribute.String("user_agent.original", event.UserAgent),
	)...)
	record.AddAttributes(resourcesOf(event)...)
	if origin := event.Origin; origin != nil {
		record.AddAttributes(attribute.String("iam_operator.origin.event_id", origin.EventID))
		record.AddAttributes(known(attribute.String("client.address", origin.SourceIP), attribute.String("user_agent.original", origin.UserAgent))...)
	}
	return record, nil
}

func resourcesOf(event iam.Event) []attribute.KeyValue {
	if len(event.Resources) == 0 {
		return nil
	}
	var kinds, ids, names []string
	for _, r := range event.Resources {
		kinds, ids, names = append(kinds, string(r.Kind)), append(ids, r.ID), append(names, r.Name)
	}
	return []attribute.KeyValue{
		attribute.StringSlice("iam_operator.resource.kinds", kinds),
		attribute.StringSlice("iam_operator.resource.ids", ids),
		attribute.StringSlice("iam_operator.resource.names", names),
	}
}

// known leaves out what is empty, or says that nobody knows.
func known(attributes ...attribute.KeyValue) []attribute.KeyValue {
	return slices.DeleteFunc(attributes, func(a attribute.KeyValue) bool {
		return a.Value.AsString() == "" || a.Value.AsString() == iam.Unknown
	})
}

// collector takes the records that the SDK has made, with what it adds to each, until they are
// exported.
type collector struct{ taken []sdklog.Record }

// Enabled is always true.
func (*collector) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

// OnEmit takes a record.
func (c *collector) OnEmit(_ context.Context, record *sdklog.Record) error {
	c.taken = append(c.taken, record.Clone())
	return nil
}

// Shutdown does nothing: what is taken is exported at once.
func (*collector) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing, for the same reason.
func (*collector) ForceFlush(context.Context) error { return nil }
