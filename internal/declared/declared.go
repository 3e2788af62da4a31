// SPDX-License-Identifier: Apache-2.0

// Package declared turns API objects into the domain's values, and says what is wrong with them. It is pure: no clock,
// no input or output, nothing kept between calls. Admission, the reconcilers and the command line share its validators,
// so that what one refuses the others refuse in the same words.
//
// A conversion copies what it keeps and never changes the object, which may come from a cache. It expects an object that
// its validator passes; on any other it does not panic, and errs on the side that grants less.
package declared

import (
	"regexp"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Object is an object of any of the nine kinds.
type Object interface {
	metav1.Object
	// GetObjectStatus gives the part of the status that all kinds share.
	GetObjectStatus() *v1alpha1.ObjectStatus
}

// nilUUID has the form of an id but names nobody (RFC 9562, section 5.9).
const nilUUID = "00000000-0000-0000-0000-000000000000"

// uuidForm is lower case only, because ids are compared as text.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ID is the object's IAM id: status.id once it is recorded, else annotation iam-operator.dev/id if it is a UUID in lower
// case, else metadata.uid. So the annotation counts at creation only. A permission set of the built-in catalogue has the
// id of its name instead, which is the same in every cluster and after every restoration.
func ID(obj Object) string {
	if set, ok := obj.(*v1alpha1.PermissionSet); ok && isManaged(set) && inCatalogue(string(set.Spec.Name)) {
		return iam.ManagedPermissionSetID(string(set.Spec.Name))
	}
	if recorded := obj.GetObjectStatus().ID; recorded != "" {
		return recorded
	}
	if restored := obj.GetAnnotations()[v1alpha1.IDAnnotation]; isID(restored) {
		return restored
	}
	return string(obj.GetUID())
}

// HasID says whether it is settled which id the object has. It is not while annotation iam-operator.dev/id still counts
// and holds none: the validators refuse that, and to record any other id would be to ignore it for good.
func HasID(obj Object) bool {
	written, found := obj.GetAnnotations()[v1alpha1.IDAnnotation]
	return !found || obj.GetObjectStatus().ID != "" || isID(written)
}

func isID(s string) bool { return uuidForm.MatchString(s) && s != nilUUID }

// Head is what every entity made from the object begins with.
func Head(obj Object, kind iam.Kind, organizationID string) iam.Head {
	return iam.Head{
		ID:             ID(obj),
		OrganizationID: organizationID,
		Object: iam.Object{
			Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(), UID: string(obj.GetUID()),
		},
		CreatedAt: obj.GetCreationTimestamp().UTC(),
	}
}

func isManaged(set *v1alpha1.PermissionSet) bool { return set.Labels[v1alpha1.ManagedLabel] == "true" }

func inCatalogue(name string) bool {
	_, found := catalogueNames()[name]
	return found
}

var catalogueNames = sync.OnceValue(func() map[string]struct{} {
	names := map[string]struct{}{}
	for _, set := range iam.Catalogue() {
		names[set.Name] = struct{}{}
	}
	return names
})

// nameOf is the name for people: the display name, or else the object's.
func nameOf(obj Object, displayName string) string {
	if displayName != "" {
		return displayName
	}
	return obj.GetName()
}

// strs copies a list of any kind of strings; an empty one is nil, so that absent and empty are stored alike.
func strs[S ~string](list []S) []string {
	if len(list) == 0 {
		return nil
	}
	copied := make([]string, len(list))
	for i, s := range list {
		copied[i] = string(s)
	}
	return copied
}

// distinct copies ids in their order, each once. An empty id would be a reference that was not resolved: it is left out,
// since it must never match anybody's.
func distinct(ids []string) []string {
	var kept []string
	seen := map[string]bool{"": true}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			kept = append(kept, id)
		}
	}
	return kept
}

// lower is how names are compared that are unique without regard to case.
func lower[S ~string](s S) string { return strings.ToLower(string(s)) }
