// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/server/auditwebhook"
)

// The expressions of config/prometheus are held to the metrics that there are by what they
// name. A parser of PromQL is the whole of Prometheus, which is too much for that.
var (
	metricInRule  = regexp.MustCompile(`(iam_operator_[a-z_]+)(?:\{([^}]*)\})?`)
	matcherInRule = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	groupedInRule = regexp.MustCompile(`sum by \(([^)]*)\)`)
	labelInText   = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	metricInDesc  = regexp.MustCompile(`fqName: "([^"]*)".*variableLabels: \{([^}]*)\}`)
)

// described is a registry that keeps what is said of metrics, also of those that have no series yet.
type described struct {
	*prometheus.Registry
	labels map[string][]string
}

func (d *described) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 10)
	c.Describe(descriptions)
	close(descriptions)
	for description := range descriptions {
		if found := metricInDesc.FindStringSubmatch(description.String()); found != nil {
			d.labels[found[1]] = strings.FieldsFunc(found[2], func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	return d.Registry.Register(c)
}

func (d *described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

// knownMetrics gives the labels of each metric that alerts may be made of.
func knownMetrics(t *testing.T) map[string][]string {
	t.Helper()
	d := &described{prometheus.NewRegistry(), map[string][]string{
		// Those of the checkpoints are made by controllers.Setup, which needs a manager.
		"iam_operator_audit_checkpoints_total": {"result"},
		"iam_operator_audit_forked":            nil,
	}}
	source, err := os.ReadFile(filepath.Join("..", "controllers", "auditlog.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range d.labels {
		if !strings.Contains(string(source), `"`+name+`"`) {
			t.Errorf("controllers/auditlog.go has no metric %s", name)
		}
	}
	if _, err := sink.NewMetrics(d); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Without a certificate it does not listen; its metrics are there before.
	_, err = auditwebhook.New(auditwebhook.Options{Address: "127.0.0.1:0", TokenFile: token, CertificateDir: t.TempDir(), Registry: d, Clock: clock.RealClock{}, Log: logr.Discard()})
	if err == nil {
		t.Fatal("the receiver listens without a certificate")
	}
	return d.labels
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Spec struct {
			Groups []struct {
				Rules []rule `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, group := range file.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// The preconfigured alerts are there, by their names.
func TestAlertsAreThere(t *testing.T) {
	var names []string
	for _, r := range rules(t) {
		names = append(names, r.Alert)
	}
	for _, want := range []string{
		"ApiKeyCreated", "ApiKeyCreationUnauthorized", "ApiKeyDeleted", "ApiKeyDeletionUnauthorized", "HttpForbiddenErrorRateHigh",
		"AuditSinkFailing", "AuditSinkLost", "AuditCheckpointFailing", "AuditLogForked",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no alert %s", want)
		}
	}
}

// An alert on a metric, a label or a value that does not exist would never fire, and nobody would know.
func TestAlertsNameWhatThereIs(t *testing.T) {
	metrics := knownMetrics(t)
	values := map[string][]string{
		"iam_operator_audit_checkpoints_total/result":     {"made", "failed"},
		"iam_operator_audit_events_total/result":          {"done", "forbidden", "refused"},
		"iam_operator_apiserver_forbidden_total/verb":     {"create", "update", "patch", "delete", "deletecollection"},
		"iam_operator_apiserver_forbidden_total/resource": {"apikeys"},
	}
	for _, method := range audit.Methods() {
		values["iam_operator_audit_events_total/method"] = append(values["iam_operator_audit_events_total/method"], method.Name)
	}
	for _, r := range rules(t) {
		t.Run(r.Alert, func(t *testing.T) {
			if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("it is not whole: %+v", r)
			}
			found := metricInRule.FindAllStringSubmatch(r.Expr, -1)
			if len(found) == 0 {
				t.Error("it names no metric")
			}
			var labels []string
			for _, named := range found {
				known, there := metrics[named[1]]
				if !there {
					t.Errorf("there is no metric %s", named[1])
				}
				labels = append(labels, known...)
				for _, matcher := range matcherInRule.FindAllStringSubmatch(named[2], -1) {
					checkMatcher(t, named[1], known, matcher, values)
				}
			}
			for _, grouped := range groupedInRule.FindAllStringSubmatch(r.Expr, -1) {
				for _, label := range strings.Split(grouped[1], ", ") {
					if !slices.Contains(labels, label) {
						t.Errorf("it sums by %s, which none of its metrics has", label)
					}
				}
			}
			for _, text := range r.Annotations {
				for _, label := range labelInText.FindAllStringSubmatch(text, -1) {
					if !slices.Contains(labels, label[1]) {
						t.Errorf("it tells of label %s, which none of its metrics has", label[1])
					}
				}
			}
		})
	}
}

func checkMatcher(t *testing.T, metric string, labels, matcher []string, values map[string][]string) {
	t.Helper()
	if !slices.Contains(labels, matcher[1]) {
		t.Errorf("%s has no label %s", metric, matcher[1])
	}
	for _, value := range strings.Split(matcher[3], "|") {
		if !slices.Contains(values[metric+"/"+matcher[1]], value) {
			t.Errorf("label %s of %s is never %q", matcher[1], metric, value)
		}
	}
}
