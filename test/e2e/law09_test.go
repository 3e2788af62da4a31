// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/internal/store/storetest"
)

const quickstart = "config/samples/quickstart"

// readQuickstart gives the objects of the quickstart, in a copy of their own for each
// suffix: its namespaces, its alias and its namespace label end in it.
func readQuickstart(t *testing.T, suffix string) (namespaces, objects []*unstructured.Unstructured) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, quickstart, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no quickstart: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			obj := &unstructured.Unstructured{}
			if err := decoder.Decode(obj); err != nil {
				break
			}
			if obj.Object == nil {
				continue
			}
			rename(obj, suffix)
			if obj.GetKind() == "Namespace" {
				namespaces = append(namespaces, obj)
			} else {
				objects = append(objects, obj)
			}
		}
	}
	return namespaces, objects
}

func rename(obj *unstructured.Unstructured, suffix string) {
	const label = "iam.acme.example/organization"
	if obj.GetKind() == "Namespace" {
		obj.SetName(obj.GetName() + suffix)
		if obj.GetLabels() != nil {
			obj.SetLabels(map[string]string{label: "acme" + suffix})
		}
		return
	}
	obj.SetNamespace(obj.GetNamespace() + suffix)
	if obj.GetKind() == "Organization" {
		_ = unstructured.SetNestedField(obj.Object, "acme"+strings.ReplaceAll(suffix, "-", ""), "spec", "alias")
		_ = unstructured.SetNestedField(obj.Object, "acme"+suffix, "spec", "allowedNamespaces", "selector", "matchLabels", label)
	}
	renameReferences(obj.Object["spec"], suffix)
}

// renameReferences puts the suffix to every namespace that a spec names.
func renameReferences(value any, suffix string) {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			if text, ok := field.(string); ok && name == "namespace" {
				v[name] = text + suffix
			} else {
				renameReferences(field, suffix)
			}
		}
	case []any:
		for _, item := range v {
			renameReferences(item, suffix)
		}
	}
}

// orders is how many orders the test takes; ORDERS=200 for all.
func orders() int {
	if n := os.Getenv("ORDERS"); n != "" {
		var count int
		if _, err := fmt.Sscan(n, &count); err == nil && count > 0 {
			return count
		}
	}
	return 20
}

// Law 9: whatever the order in which the quickstart is applied, some of it deleted and
// made again in between, the content comes out the same, by name.
func TestLaw09AnyOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 9))
	o := startOperator(t)
	count := orders()
	var all []*unstructured.Unstructured
	for i := range count {
		suffix := fmt.Sprintf("-%d", i)
		namespaces, objects := readQuickstart(t, suffix)
		for _, namespace := range namespaces {
			create(t, namespace)
			t.Cleanup(func() { _ = admin.Delete(context.Background(), namespace) })
		}
		if i > 0 {
			random.Shuffle(len(objects), func(a, b int) { objects[a], objects[b] = objects[b], objects[a] })
		}
		applyRestlessly(t, random, objects, i > 0)
		all = append(all, objects...)
	}
	for _, obj := range all {
		awaitUnstructuredReady(t, obj)
	}
	awaitQuiet(t, o)
	text, err := storetest.ContentByName(t.Context(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	want := contentOfCopy(text, 0)
	if len(strings.Split(want, "\n")) < 15 {
		t.Fatalf("the content of the first order is too small to prove anything:\n%s", want)
	}
	for i := range count {
		if got := contentOfCopy(text, i); got != want {
			t.Errorf("order %d comes out differently:%s", i, difference(want, got))
		}
	}
}

// applyRestlessly creates the objects in their order; after some it deletes one that is
// there, waits until it is gone, and makes it again. Those that others are bound to for
// good (bearers of keys, principals of policies, what holds content) are left alone: a
// successor of theirs is meant to come out differently.
func applyRestlessly(t *testing.T, random *rand.Rand, objects []*unstructured.Unstructured, restless bool) {
	t.Helper()
	for i, obj := range objects {
		create(t, obj.DeepCopy())
		if !restless || random.IntN(4) > 0 {
			continue
		}
		victim := objects[random.IntN(i+1)]
		if !replaceable(victim) {
			continue
		}
		gone := victim.DeepCopy()
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(gone), gone); err != nil {
			t.Fatal(err)
		}
		remove(t, gone)
		create(t, victim.DeepCopy())
	}
}

func replaceable(obj *unstructured.Unstructured) bool {
	switch obj.GetKind() {
	case "APIKey", "Policy", "SSHKey":
		return true
	case "Member":
		return obj.GetName() != "maya"
	case "Project":
		return obj.GetName() != "web"
	}
	return false
}

func awaitUnstructuredReady(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s %s/%s is Ready", obj.GetKind(), obj.GetNamespace(), obj.GetName()), func(ctx context.Context) (bool, string) {
		held := obj.DeepCopy()
		if err := admin.Get(ctx, client.ObjectKeyFromObject(obj), held); err != nil {
			return false, err.Error()
		}
		conditions, _, _ := unstructured.NestedSlice(held.Object, "status", "conditions")
		for _, condition := range conditions {
			if c, ok := condition.(map[string]any); ok && c["type"] == "Ready" {
				return c["status"] == "True", fmt.Sprint(c["message"])
			}
		}
		return false, "no condition yet"
	})
}

// contentOfCopy gives the lines that speak of one copy of the quickstart, without its suffix.
func contentOfCopy(text string, i int) string {
	suffix := fmt.Sprintf("-%d", i)
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "/acme"+suffix+"/") && !strings.Contains(line, "/shop"+suffix+"/") {
			continue
		}
		for _, name := range []string{"acme", "shop"} {
			line = strings.ReplaceAll(line, name+suffix+"/", name+"/")
			line = strings.ReplaceAll(line, fmt.Sprintf("%q", name+suffix), fmt.Sprintf("%q", name))
			line = strings.ReplaceAll(line, fmt.Sprintf(`"alias":"%s%d"`, name, i), fmt.Sprintf(`"alias":%q`, name))
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}
