// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/store"
)

// auditSinks are what --audit-sink names.
type auditSinks struct{ targets []sinkTarget }

// sinkTarget is one sink: its kind, and which file or URL.
type sinkTarget struct{ kind, where string }

// The kinds of --audit-sink.
const (
	sinkStdout = "stdout"
	sinkFile   = "file"
	sinkOTLP   = "otlp"
)

// name is that of its cursor and of its metrics.
func (s sinkTarget) name() string { return strings.TrimSuffix("sink/"+s.kind+"="+s.where, "=") }

func (a *auditSinks) bind(flags *flag.FlagSet) {
	flags.Func("audit-sink", "hand every audit event on, at least once: to stdout, to file=/path as JSON lines, or to otlp=http(s)://host:port as OpenTelemetry logs (otlp alone: the URL of the OTEL_EXPORTER_OTLP_… variables); may be given several times", func(value string) error {
		target, err := parseSink(value)
		if err != nil {
			return err
		}
		if slices.Contains(a.targets, target) {
			return fmt.Errorf("%s is given twice", value)
		}
		a.targets = append(a.targets, target)
		return nil
	})
}

func parseSink(value string) (sinkTarget, error) {
	kind, where, given := strings.Cut(value, "=")
	target := sinkTarget{kind, where}
	switch {
	case kind == sinkStdout && !given, kind == sinkOTLP && !given:
		return target, nil
	case kind == sinkFile && filepath.IsAbs(where):
		target.where = filepath.Clean(where)
		return target, nil
	case kind == sinkFile:
		return target, errors.New("a file is given as file= and an absolute path")
	case kind == sinkOTLP:
		var err error
		target.where, err = otlpURL(where)
		return target, err
	}
	return target, fmt.Errorf("%q is no sink; known are stdout, file=/path and otlp=http(s)://host:port", value)
}

// otlpURL completes a URL as OTEL_EXPORTER_OTLP_ENDPOINT is completed: where it has no path,
// logs go to /v1/logs.
func otlpURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("what follows otlp= is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("OpenTelemetry's receiver is given as otlp=http://host:port or otlp=https://host:port")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("the URL of OpenTelemetry's receiver has neither a user nor a query; headers, for a token, go into OTEL_EXPORTER_OTLP_HEADERS")
	case strings.Trim(u.Path, "/") == "":
		u.Path = "/v1/logs"
	}
	return u.String(), nil
}

// setup adds a follower for each sink to the manager, and the one that counts events.
func (a *auditSinks) setup(ctx context.Context, mgr ctrl.Manager, database store.Store) error {
	counted, err := sink.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("register the metrics of the audit log: %w", err)
	}
	log := mgr.GetLogger().WithName("audit-sink")
	follow := func(name string, to sink.Sink) *sink.Follower {
		return &sink.Follower{Store: database, Sink: to, Name: name, Metrics: counted, Clock: clock.RealClock{}, Log: log}
	}
	counter := follow("", sink.Counter{Metrics: counted})
	counter.MeasuredAs = sink.CounterName
	// Before anything of this run is recorded, so that all of it is counted.
	if err := counter.Begin(ctx); err != nil {
		return fmt.Errorf("count audit events: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(counter.Run)); err != nil {
		return err
	}
	for _, target := range a.targets {
		to, end, err := target.open(ctx)
		if err != nil {
			return fmt.Errorf("--audit-sink=%s: %w", strings.TrimPrefix(target.name(), "sink/"), err)
		}
		follower := follow(target.name(), to)
		err = mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
			return errors.Join(follower.Run(ctx), end())
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// open gives the sink, and what ends it.
func (s sinkTarget) open(ctx context.Context) (sink.Sink, func() error, error) {
	switch s.kind {
	case sinkFile:
		file := sink.NewFile(s.where)
		return file, file.Close, nil
	case sinkOTLP:
		receiver, err := sink.NewOTLP(ctx, s.where, version)
		if err != nil {
			return nil, nil, err
		}
		return receiver, func() error { return receiver.Close(context.WithoutCancel(ctx)) }, nil
	}
	return sink.NewLines(os.Stdout), func() error { return nil }, nil
}
