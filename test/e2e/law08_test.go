// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// places gives the text of each place where no secret may be.
func places(t *testing.T, o *operator, namespaces ...string) map[string]string {
	t.Helper()
	text := map[string]string{"logs": o.Logs.String()}
	for _, namespace := range namespaces {
		for _, list := range []client.ObjectList{
			&v1alpha1.OrganizationList{}, &v1alpha1.ProjectList{}, &v1alpha1.MemberList{}, &v1alpha1.GroupList{},
			&v1alpha1.ApplicationList{}, &v1alpha1.APIKeyList{}, &v1alpha1.PolicyList{}, &v1alpha1.SSHKeyList{},
		} {
			text["status"] += listed(t, list, namespace)
		}
		text["events"] += listed(t, &eventsv1.EventList{}, namespace)
	}
	events, err := o.Store.Events(t.Context(), store.EventQuery{Limit: store.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	entities, _, err := o.Store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text["audit"] = marshal(t, events) + marshal(t, entities)
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatal(err)
		}
	}
	text["metrics"] = out.String()
	return text
}

func listed(t *testing.T, list client.ObjectList, namespace string) string {
	t.Helper()
	if err := admin.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return marshal(t, list)
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// finds lists the places that hold a secret, as it is or in base64.
func finds(text map[string]string, secret string) []string {
	var found []string
	for place, content := range text {
		if strings.Contains(content, secret) || strings.Contains(content, base64.StdEncoding.EncodeToString([]byte(secret))) {
			found = append(found, place)
		}
	}
	return found
}

// Law 8: a whole run, with rotations, edits, losses and failures, leaves none of the
// secrets that were minted in a status, an event, the log, an audit row or a metric. The
// same scan first finds a secret that was planted in each of the five.
func TestLaw08NoLeak(t *testing.T) {
	o := startOperator(t)
	minted := watchMintedSecrets(t)
	w := newWorld(t, 4)
	plant(t, o, w)

	for i, key := range w.keys {
		secret := &corev1.Secret{ObjectMeta: objectMeta(key.Namespace, key.Name)}
		before := key.Status.AccessKey
		switch i % 3 {
		case 0:
			o.Clock.SetTime(o.Clock.Now().Add(time.Hour))
			change(t, key, func(k *v1alpha1.APIKey) {
				k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: o.Clock.Now().Format(time.RFC3339)}
			})
		case 1:
			remove(t, secret)
		case 2:
			change(t, secret, func(s *corev1.Secret) { s.Data["SCW_ACCESS_KEY"] = s.Data["SCW_SECRET_KEY"] })
		}
		eventually(t, "another key", func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(key), key)
			return err == nil && key.Status.AccessKey != before && key.Status.AccessKey != "", fmt.Sprintf("%v %+v", err, key.Status)
		})
	}
	awaitQuiet(t, o)
	secrets := minted()
	if len(secrets) < 2*len(w.keys) {
		t.Fatalf("only %d minted secrets were seen", len(secrets))
	}
	text := places(t, o, w.home, w.guest)
	for secret := range secrets {
		if found := finds(text, secret); len(found) > 0 {
			t.Errorf("a minted secret is in: %v", found)
		}
	}
	files := databaseFiles(t, o)
	for secret := range secrets {
		if found := finds(files, secret); len(found) > 0 {
			t.Errorf("a minted secret is in %v", found)
		}
	}
}

// watchMintedSecrets collects the secret keys of all Secrets from now on.
func watchMintedSecrets(t *testing.T) func() map[string]bool {
	t.Helper()
	watcher, err := admin.Watch(t.Context(), &corev1.SecretList{})
	if err != nil {
		t.Fatal(err)
	}
	seen, done := map[string]bool{}, make(chan struct{})
	go func() {
		defer close(done)
		for event := range watcher.ResultChan() {
			secret, ok := event.Object.(*corev1.Secret)
			if !ok {
				continue
			}
			if value := string(secret.Data["SCW_SECRET_KEY"]); value != "" {
				seen[value] = true
			}
		}
	}()
	return func() map[string]bool {
		watcher.Stop()
		<-done
		return seen
	}
}

// plant puts a secret of its own into each of the five places, and finds it there.
func plant(t *testing.T, o *operator, w *world) {
	t.Helper()
	const planted = "0badc0de-0bad-c0de-0bad-c0de0badc0de"
	if found := finds(places(t, o, w.home, w.guest), planted); len(found) != 0 {
		t.Fatalf("the scan finds what is not there: %v", found)
	}
	ns := newNamespace(t, nil)
	leaky := organization(ns, "leaky")
	create(t, leaky)
	awaitReady(t, leaky)
	leaky.Status.Conditions = append(leaky.Status.Conditions, metav1.Condition{
		Type: "Leaks", Status: metav1.ConditionTrue, Reason: "Planted", Message: planted, LastTransitionTime: metav1.Now(),
	})
	if err := admin.Status().Update(t.Context(), leaky); err != nil {
		t.Fatal(err)
	}
	create(t, &eventsv1.Event{
		ObjectMeta: objectMeta(ns, "planted"), EventTime: metav1.NowMicro(), ReportingController: "test", ReportingInstance: "test",
		Action: "Plant", Reason: "Planted", Type: "Normal", Note: planted, Regarding: corev1.ObjectReference{Namespace: ns},
	})
	if _, err := o.Logs.Write([]byte(planted)); err != nil {
		t.Fatal(err)
	}
	_, err := o.Store.Write(t.Context(), func(tx store.Tx) error {
		return tx.Append(t.Context(), iam.Event{ID: "planted", Method: planted, Action: iam.ActionCreated})
	})
	if err != nil {
		t.Fatal(err)
	}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "planted", ConstLabels: prometheus.Labels{"secret": planted}})
	metrics.Registry.MustRegister(gauge)
	t.Cleanup(func() { metrics.Registry.Unregister(gauge) })
	if found := finds(places(t, o, ns), planted); len(found) != 5 {
		t.Fatalf("the scan finds a planted secret in %v only", found)
	}
}

// databaseFiles gives the store's files as they are on the disk.
func databaseFiles(t *testing.T, o *operator) map[string]string {
	t.Helper()
	files, err := filepath.Glob(o.Database + "*")
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text[file] = string(content)
	}
	return text
}
