// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// organizationIndex finds objects by the Organization that they name.
const organizationIndex = "iam-operator.dev/admission-organization"

// quotaKind is a kind that an Organization may limit.
type quotaKind struct {
	prototype client.Object
	list      client.ObjectList
	// field of spec.quotas.
	field string
	limit func(*v1alpha1.Quotas) *int32
}

func quotaKinds() map[iam.Kind]quotaKind {
	return map[iam.Kind]quotaKind{
		iam.KindMember:      {&v1alpha1.Member{}, &v1alpha1.MemberList{}, "members", func(q *v1alpha1.Quotas) *int32 { return q.Members }},
		iam.KindApplication: {&v1alpha1.Application{}, &v1alpha1.ApplicationList{}, "applications", func(q *v1alpha1.Quotas) *int32 { return q.Applications }},
		iam.KindGroup:       {&v1alpha1.Group{}, &v1alpha1.GroupList{}, "groups", func(q *v1alpha1.Quotas) *int32 { return q.Groups }},
		iam.KindPolicy:      {&v1alpha1.Policy{}, &v1alpha1.PolicyList{}, "policies", func(q *v1alpha1.Quotas) *int32 { return q.Policies }},
		iam.KindAPIKey:      {&v1alpha1.APIKey{}, &v1alpha1.APIKeyList{}, "apiKeys", func(q *v1alpha1.Quotas) *int32 { return q.APIKeys }},
		iam.KindProject:     {&v1alpha1.Project{}, &v1alpha1.ProjectList{}, "projects", func(q *v1alpha1.Quotas) *int32 { return q.Projects }},
		iam.KindSSHKey:      {&v1alpha1.SSHKey{}, &v1alpha1.SSHKeyList{}, "sshKeys", func(q *v1alpha1.Quotas) *int32 { return q.SSHKeys }},
	}
}

// organizationKeys are an object's keys in the index by Organization.
func organizationKeys(obj client.Object) []string {
	ours, ok := obj.(declared.Object)
	if !ok {
		return nil
	}
	return []string{organizationOf(ours).String()}
}

// String is the key of an Organization in the cache's indexes.
func (o organizationName) String() string { return o.namespace + "/" + o.name }

// quotaErrors refuses what goes beyond an Organization's quota. It is counted in the cache,
// so that several at once may pass together: a quota keeps a tenant within bounds, and is no
// exact number.
func (v *validator) quotaErrors(ctx context.Context, a *attempt, tenant *v1alpha1.Organization) (field.ErrorList, error) {
	if a.Former != nil || tenant == nil || tenant.Spec.Quotas == nil {
		return nil, nil
	}
	kind, limited := quotaKinds()[a.kind]
	if !limited {
		return nil, nil
	}
	limit := kind.limit(tenant.Spec.Quotas)
	if limit == nil {
		return nil, nil
	}
	used, err := v.count(ctx, a, tenant, kind.list)
	if err != nil || used < int(*limit) {
		return nil, err
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"),
		fmt.Sprintf("quota %s: %d of %d used; raise spec.quotas.%s of Organization %s or delete one", kind.field, used, *limit, kind.field, tenant.Name))}, nil
}

// count counts the objects that belong to an Organization. What merely names it does not
// count: else strangers could use its quota up.
func (v *validator) count(ctx context.Context, a *attempt, tenant *v1alpha1.Organization, list client.ObjectList) (int, error) {
	of := organizationName{tenant.Namespace, tenant.Name}
	// They are only counted, and there may be tens of thousands.
	if err := v.cache.List(ctx, list, client.MatchingFields{organizationIndex: of.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("count the objects of Organization %s: %w", of, err)
	}
	used, admitted := 0, map[string]bool{}
	err := meta.EachListItem(list, func(item runtime.Object) error {
		obj, ok := item.(declared.Object)
		if !ok || !obj.GetDeletionTimestamp().IsZero() || obj.GetUID() == a.Object.GetUID() {
			return nil
		}
		counts, known := admitted[obj.GetNamespace()]
		if !known {
			var err error
			if counts, err = v.admits(ctx, tenant, obj.GetNamespace()); err != nil {
				return err
			}
			admitted[obj.GetNamespace()] = counts
		}
		if counts {
			used++
		}
		return nil
	})
	return used, err
}
