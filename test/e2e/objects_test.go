// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

const poll = 20 * time.Millisecond

// eventually waits for a condition; what it last said about itself is in the failure.
func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, string)) {
	t.Helper()
	eventuallyWithin(t, patience, what, condition)
}

func eventuallyWithin(t *testing.T, limit time.Duration, what string, condition func(ctx context.Context) (bool, string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), poll, limit, true, func(ctx context.Context) (bool, error) {
		ok, why := condition(ctx)
		last = why
		return ok, nil
	})
	if err != nil {
		t.Fatalf("%s: not within %s; last: %s", what, limit, last)
	}
}

// newNamespace makes a namespace of its own for a test, and removes it afterwards.
func newNamespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(fmt.Sprintf("t-%.30s-%s", t.Name(), rand.String(5)))), Labels: labels,
	}}
	create(t, namespace)
	t.Cleanup(func() {
		_ = client.IgnoreNotFound(admin.Delete(context.Background(), namespace))
	})
	return namespace.Name
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, obj := range objects {
		if err := admin.Create(t.Context(), obj, client.FieldOwner("somebody")); err != nil {
			t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
		}
	}
}

// change edits an object as a person would: on what is there now.
func change[T client.Object](t *testing.T, obj T, edit func(T)) {
	t.Helper()
	eventually(t, "edit "+obj.GetName(), func(ctx context.Context) (bool, string) {
		if err := admin.Get(ctx, keyOf(obj), obj); err != nil {
			return false, err.Error()
		}
		edit(obj)
		err := admin.Update(ctx, obj, client.FieldOwner("somebody"))
		if err != nil && !apierrors.IsConflict(err) {
			t.Fatalf("edit %T %s: %v", obj, obj.GetName(), err)
		}
		return err == nil, fmt.Sprint(err)
	})
}

// remove deletes an object, and waits until it is gone.
func remove(t *testing.T, obj client.Object) {
	t.Helper()
	if err := admin.Delete(t.Context(), obj); client.IgnoreNotFound(err) != nil {
		t.Fatalf("delete %T %s: %v", obj, obj.GetName(), err)
	}
	awaitGone(t, obj)
}

func awaitGone(t *testing.T, obj client.Object) {
	t.Helper()
	awaitGoneWithin(t, patience, obj)
}

func awaitGoneWithin(t *testing.T, limit time.Duration, obj client.Object) {
	t.Helper()
	uid := obj.GetUID()
	eventuallyWithin(t, limit, fmt.Sprintf("%T %s is gone", obj, obj.GetName()), func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(obj), obj)
		if err == nil && uid != "" && obj.GetUID() != uid {
			return true, ""
		}
		return apierrors.IsNotFound(err), fmt.Sprintf("%v, deletion %v, finalizers %v", err, obj.GetDeletionTimestamp(), obj.GetFinalizers())
	})
}

// awaitReady waits until the operator has seen each object's generation and says Ready.
func awaitReady(t *testing.T, objects ...controllers.Object) {
	t.Helper()
	for _, obj := range objects {
		awaitCondition(t, obj, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	}
}

// awaitReason waits until an object is not Ready, for a reason.
func awaitReason(t *testing.T, obj controllers.Object, reason string) *metav1.Condition {
	t.Helper()
	return awaitCondition(t, obj, v1alpha1.ConditionReady, metav1.ConditionFalse, reason)
}

func awaitCondition(t *testing.T, obj controllers.Object, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	t.Helper()
	var condition *metav1.Condition
	what := fmt.Sprintf("%T %s/%s has %s=%s %s", obj, obj.GetNamespace(), obj.GetName(), kind, status, reason)
	eventually(t, what, func(ctx context.Context) (bool, string) {
		if err := admin.Get(ctx, keyOf(obj), obj); err != nil {
			return false, err.Error()
		}
		s := obj.GetObjectStatus()
		condition = meta.FindStatusCondition(s.Conditions, kind)
		ok := condition != nil && condition.Status == status && (reason == "" || condition.Reason == reason) && s.ObservedGeneration == obj.GetGeneration()
		return ok, fmt.Sprintf("observedGeneration %d of %d, conditions %+v", s.ObservedGeneration, obj.GetGeneration(), s.Conditions)
	})
	return condition
}

func objectMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func organization(namespace, name string) *v1alpha1.Organization {
	return &v1alpha1.Organization{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.OrganizationSpec{
		Owner: v1alpha1.Owner{Email: v1alpha1.Email("owner@" + name + ".example")},
	}}
}

// of refers to an Organization, in a namespace where that is not the object's own.
func of(organization *v1alpha1.Organization, namespace string) v1alpha1.OrganizationRef {
	ref := v1alpha1.OrganizationRef{Name: v1alpha1.ObjectName(organization.Name)}
	if namespace != organization.Namespace {
		ref.Namespace = v1alpha1.NamespaceName(organization.Namespace)
	}
	return ref
}

func project(o *v1alpha1.Organization, namespace, name string) *v1alpha1.Project {
	return &v1alpha1.Project{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.ProjectSpec{OrganizationRef: of(o, namespace)}}
}

func member(o *v1alpha1.Organization, namespace, name string) *v1alpha1.Member {
	return &v1alpha1.Member{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.MemberSpec{
		OrganizationRef: of(o, namespace), Username: name, Email: v1alpha1.Email(name + "@acme.example"),
	}}
}

func application(o *v1alpha1.Organization, namespace, name string) *v1alpha1.Application {
	return &v1alpha1.Application{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.ApplicationSpec{OrganizationRef: of(o, namespace)}}
}

func group(o *v1alpha1.Organization, namespace, name string, members ...v1alpha1.GroupMember) *v1alpha1.Group {
	return &v1alpha1.Group{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.GroupSpec{OrganizationRef: of(o, namespace), Members: members}}
}

func apiKey(o *v1alpha1.Organization, namespace, name string, bearer v1alpha1.Bearer) *v1alpha1.APIKey {
	return &v1alpha1.APIKey{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.APIKeySpec{OrganizationRef: of(o, namespace), Bearer: bearer}}
}

func policy(o *v1alpha1.Organization, namespace, name string, principal *v1alpha1.Principal, rules ...v1alpha1.PolicyRule) *v1alpha1.Policy {
	return &v1alpha1.Policy{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.PolicySpec{
		OrganizationRef: of(o, namespace), Principal: principal, Rules: rules,
	}}
}

func sshKey(o *v1alpha1.Organization, namespace, name, project string) *v1alpha1.SSHKey {
	return &v1alpha1.SSHKey{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.SSHKeySpec{
		OrganizationRef: of(o, namespace), ProjectRef: v1alpha1.ProjectRef{Name: v1alpha1.ObjectName(project)},
		PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWx0LWZvci10ZXN0cywgbm9ib2R5IGhhcyB0aGlz somebody@somewhere",
	}}
}

func selects(label, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
}

func keyOf(obj client.Object) client.ObjectKey { return client.ObjectKeyFromObject(obj) }
