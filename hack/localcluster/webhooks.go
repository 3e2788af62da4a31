// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// PointWebhooks has the webhook configurations among some manifests call a base URL, such as https://localhost:9443, in
// the place of the Service that they name: there is no network of Services here. The path of each call stays.
func PointWebhooks(manifests, base string) (string, error) {
	return rewrite(manifests, func(obj unstructured.Unstructured) (bool, error) { return true, pointWebhooks(obj, base) })
}

// rewrite gives some manifests again, each as change leaves it; what change doesn't keep is left out.
func rewrite(manifests string, change func(unstructured.Unstructured) (keep bool, err error)) (string, error) {
	var out strings.Builder
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		var obj unstructured.Unstructured
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return "", fmt.Errorf("the manifests cannot be read: %w", err)
		}
		if obj.Object == nil {
			continue // a comment
		}
		keep, err := change(obj)
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
		if !keep {
			continue
		}
		text, err := yaml.Marshal(obj.Object)
		if err != nil {
			return "", fmt.Errorf("%s %s cannot be written: %w", obj.GetKind(), obj.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
}

func pointWebhooks(obj unstructured.Unstructured, base string) error {
	if kind := obj.GetKind(); kind != "ValidatingWebhookConfiguration" && kind != "MutatingWebhookConfiguration" {
		return nil
	}
	webhooks, _, err := unstructured.NestedSlice(obj.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, webhook := range webhooks {
		entry, ok := webhook.(map[string]any)
		if !ok {
			return fmt.Errorf("a webhook is a %T", webhook)
		}
		path, found, err := unstructured.NestedString(entry, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("webhook %v names no Service with a path", entry["name"])
		}
		entry["clientConfig"] = map[string]any{"url": base + path}
	}
	return unstructured.SetNestedSlice(obj.Object, webhooks, "webhooks")
}
