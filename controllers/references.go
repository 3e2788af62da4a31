// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// kindNamespace stands for namespaces among the kinds of references.
const kindNamespace iam.Kind = "Namespace"

// reference names an object that another depends on. It is the key by which the cache
// finds who must look again when that object comes, goes or changes.
type reference struct {
	kind            iam.Kind
	namespace, name string
}

// String is the key of the reference in the cache's index.
func (r reference) String() string { return string(r.kind) + "/" + r.namespace + "/" + r.name }

// referenceTo names a thing of a namespace, which is the object's own when none is given.
func referenceTo[N, M ~string](kind iam.Kind, own string, namespace N, name M) reference {
	if namespace == "" {
		return reference{kind, own, string(name)}
	}
	return reference{kind, string(namespace), string(name)}
}

// belonging is an object that belongs to an Organization.
type belonging interface {
	Object
	// GetOrganizationRef gives the reference to the Organization that the object belongs to.
	GetOrganizationRef() v1alpha1.OrganizationRef
}

func organizationOf(obj belonging) reference {
	ref := obj.GetOrganizationRef()
	return referenceTo(iam.KindOrganization, obj.GetNamespace(), ref.Namespace, ref.Name)
}

// membershipReferences lists what decides whether an object belongs to its Organization,
// and, for everything else that it refers to, the namespaces that must be admitted.
func membershipReferences(obj belonging, others ...reference) []reference {
	refs := []reference{organizationOf(obj), {kindNamespace, "", obj.GetNamespace()}}
	for _, other := range others {
		refs = append(refs, other)
		if other.namespace != obj.GetNamespace() && other.namespace != "" {
			refs = append(refs, reference{kindNamespace, "", other.namespace})
		}
	}
	return refs
}

// projectReference names a Project; the default one is the Organization.
func projectReference(obj belonging, ref v1alpha1.ProjectRef) reference {
	if ref.Name == v1alpha1.DefaultProjectName {
		return organizationOf(obj)
	}
	return referenceTo(iam.KindProject, obj.GetNamespace(), ref.Namespace, ref.Name)
}

func groupReferences(obj belonging, groups []v1alpha1.GroupRef) []reference {
	refs := make([]reference, len(groups))
	for i, group := range groups {
		refs[i] = referenceTo(iam.KindGroup, obj.GetNamespace(), group.Namespace, group.Name)
	}
	return refs
}

// tenant is an Organization as seen by the objects that belong to it.
type tenant struct {
	*Environment
	organization *v1alpha1.Organization
	id           string
	// admitted keeps what was found of each namespace: one reconciliation is to see one
	// world, and a label that flaps in between must not look like a deletion.
	admitted map[string]bool
	// security holds the rules for credentials that are in force.
	security iam.Security
	// sealed says that nobody judged what the Organization declares: see sealOff.
	sealed bool
}

// tenantOf finds the Organization of an object, or says why the object does not belong to
// one. From another namespace, an Organization that is missing and one that does not admit
// that namespace look alike.
func (e *Environment) tenantOf(ctx context.Context, obj belonging) (*tenant, error) {
	ref := organizationOf(obj)
	organization := &v1alpha1.Organization{}
	found, err := e.find(ctx, ref, organization)
	if err != nil {
		return nil, err
	}
	if ref.namespace == obj.GetNamespace() {
		if !found {
			return nil, waiting(v1alpha1.ReasonReferenceNotFound, "Organization %s not found in namespace %s", ref.name, ref.namespace)
		}
		tenant := e.newTenant(organization)
		return tenant, tenant.sealOff(ctx)
	}
	tenant, admitted := e.newTenant(organization), false
	if found {
		if err := tenant.sealOff(ctx); err != nil {
			return nil, err
		}
		if admitted, err = tenant.has(ctx, obj); err != nil {
			return nil, err
		}
	}
	if !admitted {
		return nil, waiting(v1alpha1.ReasonNamespaceNotAllowed,
			"Organization %s in namespace %s does not exist, or does not admit namespace %s in its spec.allowedNamespaces", ref.name, ref.namespace, obj.GetNamespace())
	}
	return tenant, nil
}

func (e *Environment) newTenant(organization *v1alpha1.Organization) *tenant {
	return &tenant{
		Environment: e, organization: organization, id: idOf(organization), admitted: map[string]bool{},
		security: declared.Organization(organization, "").Security,
	}
}

// admits says whether objects of a namespace may join the Organization.
func (t *tenant) admits(ctx context.Context, namespace string) (bool, error) {
	if admitted, known := t.admitted[namespace]; known {
		return admitted, nil
	}
	admitted, err := t.selects(ctx, namespace)
	if err == nil {
		t.admitted[namespace] = admitted
	}
	return admitted, err
}

func (t *tenant) selects(ctx context.Context, namespace string) (bool, error) {
	if namespace == t.organization.Namespace {
		return true, nil
	}
	allowed := t.organization.Spec.AllowedNamespaces
	if allowed == nil || allowed.From == v1alpha1.NamespacesSame {
		return false, nil
	}
	if allowed.From == v1alpha1.NamespacesAll {
		return true, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
	if err != nil {
		return false, nil // The Organization says so in its own status; nobody joins it by a selector that can't be read.
	}
	ns := &corev1.Namespace{}
	if err := t.Client.Get(ctx, client.ObjectKey{Name: namespace}, ns); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return selector.Matches(labels.Set(ns.Labels)), nil
}

// has says whether an object belongs to this Organization.
func (t *tenant) has(ctx context.Context, obj belonging) (bool, error) {
	ref := organizationOf(obj)
	if ref.namespace != t.organization.Namespace || ref.name != t.organization.Name {
		return false, nil
	}
	admitted, err := t.admits(ctx, obj.GetNamespace())
	if err != nil || !admitted || !t.sealed || obj.GetNamespace() == t.organization.Namespace {
		return admitted, err
	}
	return t.hasRow(ctx, obj)
}

// find reads an object from the cache. What is being deleted counts as gone; what has no id
// of its own yet, and what nobody has ever judged, as not there.
func (e *Environment) find(ctx context.Context, ref reference, into client.Object) (bool, error) {
	err := e.Client.Get(ctx, client.ObjectKey{Namespace: ref.namespace, Name: ref.name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", ref, err)
	}
	if !into.GetDeletionTimestamp().IsZero() {
		return false, nil
	}
	obj, ours := into.(Object)
	if !ours {
		return true, nil
	}
	if !hasSettledID(obj) {
		return false, nil
	}
	if unjudged, err := e.isUnjudged(ctx, obj); err != nil || !unjudged {
		return err == nil, err
	}
	return e.hasRow(ctx, obj)
}

// findOwn finds an object of the same Organization.
func (t *tenant) findOwn(ctx context.Context, ref reference, into belonging) (bool, error) {
	found, err := t.find(ctx, ref, into)
	if err != nil || !found {
		return false, err
	}
	return t.has(ctx, into)
}

// notFound is the one sentence for what is missing and for what is another's.
func notFound(ref reference) string {
	return fmt.Sprintf("%s %s not found in namespace %s of this Organization", ref.kind, ref.name, ref.namespace)
}

// missing collects what was not found, so that the rest can go on without it.
type missing []string

func (m *missing) add(ref reference) { *m = append(*m, notFound(ref)) }

// maxNamed is how many of the missing a message names.
const maxNamed = 5

func (m missing) failure() error {
	if len(m) == 0 {
		return nil
	}
	named := slices.Clone(m)
	if len(named) > maxNamed {
		named = append(named[:maxNamed], fmt.Sprintf("and %d more", len(m)-maxNamed))
	}
	return waiting(v1alpha1.ReasonReferenceNotFound, "%s", strings.Join(named, "; "))
}

// projectID finds a Project's id.
func (t *tenant) projectID(ctx context.Context, obj belonging, ref v1alpha1.ProjectRef) (string, bool, error) {
	if ref.Name == v1alpha1.DefaultProjectName {
		return t.id, true, nil
	}
	project := &v1alpha1.Project{}
	found, err := t.findOwn(ctx, projectReference(obj, ref), project)
	return idOf(project), found, err
}

// groupIDs finds the groups that a principal joins from its own side.
func (t *tenant) groupIDs(ctx context.Context, obj belonging, groups []v1alpha1.GroupRef) ([]string, missing, error) {
	var ids []string
	var absent missing
	for _, ref := range groupReferences(obj, groups) {
		group := &v1alpha1.Group{}
		found, err := t.findOwn(ctx, ref, group)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case !found:
			absent.add(ref)
			continue
		case !declaresMembers(group):
			absent = append(absent, fmt.Sprintf("Group %s in namespace %s has a dynamic membership, which nobody can join", ref.name, ref.namespace))
			continue
		}
		ids = append(ids, idOf(group))
	}
	return ids, absent, nil
}
