// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// addFinalizer answers POST /default: it adds at creation the finalizer that the operator
// would add otherwise, and would need a write for.
func addFinalizer(_ context.Context, request admission.Request) admission.Response {
	if request.Operation != admissionv1.Create || request.SubResource != "" {
		return admission.Allowed("")
	}
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal(request.Object.Raw, &obj.Object); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("read the %s: %w", request.Kind.Kind, err))
	}
	finalizers := obj.GetFinalizers()
	if slices.Contains(finalizers, v1alpha1.Finalizer) || isBuiltIn(request.Kind.Kind, obj.GetName()) {
		return admission.Allowed("")
	}
	obj.SetFinalizers(append(finalizers, v1alpha1.Finalizer))
	body, err := json.Marshal(obj.Object)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("write the %s: %w", request.Kind.Kind, err))
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, body)
}

// isBuiltIn says whether an object has the name of a built-in permission set. The operator
// puts these back whenever they are deleted, so that nothing has to wait.
func isBuiltIn(kind, name string) bool {
	return kind == string(iam.KindPermissionSet) && builtInNames()[name]
}

var builtInNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, set := range iam.Catalogue() {
		names[strings.ToLower(set.Name)] = true
	}
	return names
})
