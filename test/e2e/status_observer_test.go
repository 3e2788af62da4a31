// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// observer keeps every status that a watcher of the nine kinds gets to see, as the API
// server tells it: what Argo CD and Flux judge by.
type observer struct {
	watchers []watch.Interface
	done     sync.WaitGroup

	mu   sync.Mutex
	seen map[string]bool
	// sightings are in the order in which a kind's objects were seen.
	sightings map[string][]*unstructured.Unstructured
	ending    bool
	failure   string
}

// observe watches all kinds in the whole cluster from now on. What was there before is not
// looked at until it changes.
func observe(t *testing.T) *observer {
	t.Helper()
	o := &observer{seen: map[string]bool{}, sightings: map[string][]*unstructured.Unstructured{}}
	for _, kind := range statusKinds(t) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err := admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		watcher, err := admin.Watch(t.Context(), list, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		if err != nil {
			t.Fatal(err)
		}
		o.watchers = append(o.watchers, watcher)
		o.done.Go(func() {
			for event := range watcher.ResultChan() {
				o.see(kind, event)
			}
		})
	}
	t.Cleanup(o.end)
	return o
}

func (o *observer) see(kind string, event watch.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return
	}
	u, ok := event.Object.(*unstructured.Unstructured)
	if !ok || event.Type == watch.Error {
		o.failure = kind + ": " + describe(event.Object)
		return
	}
	key := describe([]any{u.GetUID(), u.GetGeneration(), u.Object["status"], u.GetDeletionTimestamp()})
	if !o.seen[key] {
		o.seen[key] = true
		o.sightings[kind] = append(o.sightings[kind], u)
	}
}

// end stops the watches. What they say from then on, as that they were stopped, is no news.
func (o *observer) end() {
	o.mu.Lock()
	o.ending = true
	o.mu.Unlock()
	for _, watcher := range o.watchers {
		watcher.Stop()
	}
	o.done.Wait()
}

// stop ends the watches, and gives what was seen in some namespaces and outside of any.
func (o *observer) stop(t *testing.T, namespaces ...string) map[string][]*unstructured.Unstructured {
	t.Helper()
	o.end()
	if o.failure != "" {
		t.Fatalf("a watch broke, so that something may have gone unseen: %s", o.failure)
	}
	ours := map[string][]*unstructured.Unstructured{}
	for kind, sightings := range o.sightings {
		for _, u := range sightings {
			if u.GetNamespace() == "" || slices.Contains(namespaces, u.GetNamespace()) {
				ours[kind] = append(ours[kind], u)
			}
		}
	}
	return ours
}

// statusKinds are those of the API, so that a kind that is added is not forgotten here.
func statusKinds(t *testing.T) []string {
	t.Helper()
	var kinds []string
	for kind := range admin.Scheme().KnownTypes(v1alpha1.GroupVersion) {
		if admin.Scheme().Recognizes(v1alpha1.GroupVersion.WithKind(kind + "List")) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

func describe(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
