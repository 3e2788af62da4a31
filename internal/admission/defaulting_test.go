// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/json"
	"net/http"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestFinalizerIsAdded(t *testing.T) {
	const other = "example.com/other"
	for name, test := range map[string]struct {
		obj  declared.Object
		edit func(*admission.Request)
		want string // the patches
	}{
		"to an object without any":    {obj: memberIn("shop", "maya"), want: `[{"op":"add","path":"/metadata/finalizers","value":["iam-operator.dev/finalizer"]}]`},
		"beside another":              {obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Finalizers = []string{other} }), want: `[{"op":"add","path":"/metadata/finalizers/1","value":"iam-operator.dev/finalizer"}]`},
		"to a permission set":         {obj: setOf("Shop", v1alpha1.ScopeTypeProjects), want: `[{"op":"add","path":"/metadata/finalizers","value":["iam-operator.dev/finalizer"]}]`},
		"not twice":                   {obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Finalizers = []string{other, v1alpha1.Finalizer} }), want: `null`},
		"not to a built-in set":       {obj: setOf("InstancesReadOnly", v1alpha1.ScopeTypeProjects), want: `null`},
		"to a Member of a set's name": {obj: memberIn("shop", "instancesreadonly"), want: `[{"op":"add","path":"/metadata/finalizers","value":["iam-operator.dev/finalizer"]}]`},
		"not at an update":            {obj: memberIn("shop", "maya"), edit: func(r *admission.Request) { r.Operation = admissionv1.Update }, want: `null`},
		"not to a subresource":        {obj: memberIn("shop", "maya"), edit: func(r *admission.Request) { r.SubResource = "status" }, want: `null`},
	} {
		t.Run(name, func(t *testing.T) {
			request := requestTo(t, test.obj, nil)
			if test.edit != nil {
				test.edit(&request)
			}
			answer := addFinalizer(t.Context(), request)
			mustAllow(t, answer)
			patches, err := json.Marshal(answer.Patches)
			if err != nil {
				t.Fatal(err)
			}
			if string(patches) != test.want && (test.want != "null" || len(answer.Patches) > 0) {
				t.Errorf("patched by %s, want %s", patches, test.want)
			}
		})
	}
	for _, kind := range iam.Kinds() {
		if answer := addFinalizer(t.Context(), requestTo(t, newObject(kind), nil)); !answer.Allowed || len(answer.Patches) != 1 {
			t.Errorf("a %s is answered by %+v", kind, answer)
		}
	}
	malformed := requestTo(t, memberIn("shop", "maya"), nil)
	malformed.Object.Raw = []byte("[]")
	if answer := addFinalizer(t.Context(), malformed); answer.Allowed || answer.Result.Code != http.StatusBadRequest {
		t.Errorf("what is no object is answered by %+v", answer)
	}
}
