// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// PointAPIServices has the APIServices among some manifests call a port of this machine: their Services become names
// for localhost, since there is no network of Services here. With port zero both are left out.
func PointAPIServices(manifests string, port int) (string, error) {
	services := map[string]bool{}
	_, err := rewrite(manifests, func(obj unstructured.Unstructured) (bool, error) {
		name, _, err := unstructured.NestedString(obj.Object, "spec", "service", "name")
		if obj.GetKind() == "APIService" {
			services[name] = true
			return true, err
		}
		return true, nil
	})
	if err != nil {
		return "", err
	}
	return rewrite(manifests, func(obj unstructured.Unstructured) (bool, error) {
		switch kind := obj.GetKind(); {
		case kind == "APIService":
			return port != 0, unstructured.SetNestedField(obj.Object, int64(port), "spec", "service", "port")
		case kind == "Service" && services[obj.GetName()]:
			return port != 0, unstructured.SetNestedMap(obj.Object, map[string]any{"type": "ExternalName", "externalName": "localhost"}, "spec")
		}
		return true, nil
	})
}
