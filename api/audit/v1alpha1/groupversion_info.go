// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "audit.iam-operator.dev", Version: "v1alpha1"}

// Resource is the name by which audit events are asked for.
const Resource = "auditevents"

// AddToScheme registers the kinds of this package with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &AuditEvent{}, &AuditEventList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
