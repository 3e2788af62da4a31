// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the audit event, as the operator's own API server serves it. Its
// objects are rows of the operator's store; etcd has none of them, and nobody can write one.
//
// +kubebuilder:object:generate=true
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.iam-operator.audit.v1alpha1
// +groupName=audit.iam-operator.dev
package v1alpha1
