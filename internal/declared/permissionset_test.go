// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestPermissionSet(t *testing.T) {
	h := head(iam.KindPermissionSet, "shopreader")
	h.OrganizationID, h.Object.Namespace = "", ""
	wanted := &iam.PermissionSet{
		Head: h, Name: "ShopReader", ScopeType: iam.ScopeProjects, Description: "reads the shop", Categories: []string{"Shop"},
		Permissions: []string{"shop:*:read", "shop:order:list"}, IncludedInAllProducts: true,
	}
	same(t, declared.PermissionSet(permissionSet()), wanted)

	empty := permissionSet()
	empty.Spec.Permissions = nil
	if got := encoded(t, declared.PermissionSet(empty)); !strings.Contains(got, `"permissions":[]`) {
		t.Errorf("got %s", got)
	}
}

func TestPermissionSetIDs(t *testing.T) {
	const builtIn = "ObjectStorageReadOnly"
	for name, c := range map[string]struct {
		name, label, recorded, want string
		managed                     bool
	}{
		"own set":                            {name: "ShopReader", want: uid},
		"built in":                           {name: builtIn, label: "true", want: iam.ManagedPermissionSetID(builtIn), managed: true},
		"built in, with another id recorded": {name: builtIn, label: "true", recorded: otherID, want: iam.ManagedPermissionSetID(builtIn), managed: true},
		"built in, label lost":               {name: builtIn, recorded: iam.ManagedPermissionSetID(builtIn), want: iam.ManagedPermissionSetID(builtIn)},
		"labelled but not built in":          {name: "ShopReader", label: "true", want: uid, managed: true},
		"labelled in other words":            {name: builtIn, label: "yes", want: uid},
		"dropped from the catalogue":         {name: "FormerReadOnly", label: "true", recorded: otherID, want: otherID, managed: true},
	} {
		t.Run(name, func(t *testing.T) {
			set := permissionSet()
			set.Spec.Name, set.Status.ID = v1alpha1.PermissionSetName(c.name), c.recorded
			set.Labels = map[string]string{v1alpha1.ManagedLabel: c.label}
			got := declared.PermissionSet(set)
			if got.ID != c.want || got.Managed != c.managed || declared.ID(set) != c.want {
				t.Errorf("got id %s and %s, managed: %t", got.ID, declared.ID(set), got.Managed)
			}
		})
	}
}

// What the operator itself applies has to pass.
func TestTheCatalogueIsValid(t *testing.T) {
	for _, set := range iam.Catalogue() {
		declaredSet := permissionSet()
		declaredSet.Name = strings.ToLower(set.Name)
		declaredSet.Labels = map[string]string{v1alpha1.ManagedLabel: "true"}
		declaredSet.Spec = v1alpha1.PermissionSetSpec{
			Name: v1alpha1.PermissionSetName(set.Name), ScopeType: v1alpha1.PermissionSetScopeType(set.ScopeType), Description: set.Description, Categories: set.Categories,
		}
		for _, permission := range set.PermissionStrings() {
			declaredSet.Spec.Permissions = append(declaredSet.Spec.Permissions, v1alpha1.Permission(permission))
		}
		t.Run(set.Name, func(t *testing.T) { check(t, declared.ValidatePermissionSet(declaredSet)) })
	}
}

func TestValidatePermissionSet(t *testing.T) {
	type setCase = invalid[*v1alpha1.PermissionSet]
	refuses(t, permissionSet, declared.ValidatePermissionSet, map[string]setCase{
		"an object of another name": {
			func(s *v1alpha1.PermissionSet) { s.Name = "shop-reader" },
			[]want{{"metadata.name", `"shop-reader": the object is named after the set in lower case, so that a name exists once in the cluster; write shopreader`}},
		},
		"a name that begins with a digit": {
			func(s *v1alpha1.PermissionSet) { s.Spec.Name = "1Shop" },
			[]want{{"spec.name", "begins with a letter, such as ObjectStorageReadOnly"}},
		},
		"a name that is too long": {
			func(s *v1alpha1.PermissionSet) { s.Spec.Name = v1alpha1.PermissionSetName(strings.Repeat("a", 65)) },
			[]want{{"spec.name", "1 to 64 letters and digits"}},
		},
		"a scope type that does not exist": {
			func(s *v1alpha1.PermissionSet) { s.Spec.ScopeType, s.Spec.IncludedInAllProducts = "Cluster", false },
			[]want{{"spec.scopeType", `scope type "Cluster" does not exist; write Projects or Organization`}},
		},
		"the Organization among all products": {
			func(s *v1alpha1.PermissionSet) { s.Spec.ScopeType = v1alpha1.ScopeTypeOrganization },
			[]want{{"spec.includedInAllProducts", "only a set of scope type Projects counts among all products; remove it"}},
		},
		"permissions that are none": {
			func(s *v1alpha1.PermissionSet) {
				s.Spec.Permissions = []v1alpha1.Permission{"shop:*:read", "shop:read", "shop:or*:read", "shop:*:read", "billing:*:read"}
			},
			[]want{
				{"spec.permissions[1]", "has 2 segments; write service:resource:action"},
				{"spec.permissions[2]", "* stands for a whole segment"},
				{"spec.permissions[3]", "is listed already"},
				{"spec.permissions[4]", "only a set of scope type Organization may name it"},
			},
		},
	})
	passes(t, permissionSet, declared.ValidatePermissionSet, map[string]func(*v1alpha1.PermissionSet){
		"of the Organization": func(s *v1alpha1.PermissionSet) {
			s.Spec.ScopeType, s.Spec.IncludedInAllProducts = v1alpha1.ScopeTypeOrganization, false
		},
	})
}
