// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// The categories of the catalogue, as the documentation of Scaleway IAM groups its permission sets.
const (
	CategoryGeneral             = "General"
	CategoryCompute             = "Compute"
	CategoryBareMetal           = "BareMetal"
	CategoryStorage             = "Storage"
	CategoryNetwork             = "Network"
	CategoryContainers          = "Containers"
	CategoryServerless          = "Serverless"
	CategoryDatabases           = "Databases"
	CategoryAI                  = "AI"
	CategoryData                = "Data"
	CategoryIntegration         = "Integration"
	CategoryDomainsAndWeb       = "DomainsAndWeb"
	CategoryMonitoring          = "Monitoring"
	CategorySecurity            = "Security"
	CategoryLabs                = "Labs"
	CategoryOrganization        = "Organization"
	CategoryIAM                 = "IAM"
	CategoryBilling             = "Billing"
	CategorySupport             = "Support"
	CategoryAuditTrail          = "AuditTrail"
	CategoryEnvironmentalImpact = "EnvironmentalImpact"
	CategoryNotifications       = "Notifications"
)

// CatalogueSet is a permission set that is built in. Names, scope types and categories are Scaleway's documented ones;
// Scaleway does not publish what a set holds, so the permissions are ours, chosen by what its documentation says.
type CatalogueSet struct {
	// Name is unique in the catalogue, also when case is ignored.
	Name string
	// ScopeType says at what level the set is granted.
	ScopeType ScopeType
	// Categories is never empty.
	Categories []string
	// Description is one sentence of at most 200 characters.
	Description string
	// Permissions are valid in the sense of ValidatePermissionSet.
	Permissions []Permission
}

// PermissionStrings returns the permissions as they are written.
func (s CatalogueSet) PermissionStrings() []string {
	written := make([]string, 0, len(s.Permissions))
	for _, p := range s.Permissions {
		written = append(written, p.String())
	}
	return written
}

// Catalogue returns all built-in permission sets, sorted by name. The caller owns the result.
func Catalogue() []CatalogueSet {
	sets := slices.Clone(builtIn().sets)
	for i := range sets {
		sets[i].Categories = slices.Clone(sets[i].Categories)
		sets[i].Permissions = slices.Clone(sets[i].Permissions)
	}
	return sets
}

// ProjectServices returns, sorted, the project-level services that the catalogue names: what `*` as service stands
// for in a Projects-type set, beside iam:ssh_key and what custom sets contribute. The caller owns the result.
func ProjectServices() []string {
	return slices.Clone(builtIn().services)
}

// section is a part of the catalogue whose sets share scope type and categories.
type section struct {
	scopeType  ScopeType
	categories []string
	sets       []row
}

// row is a set as the tables write it. permissions are separated by blanks; `a:b:read,list` is short for
// `a:b:read a:b:list`.
type row struct{ name, description, permissions string }

type compiledCatalogue struct {
	sets     []CatalogueSet
	services []string
}

// builtIn compiles the tables once; they never change while the process runs.
var builtIn = sync.OnceValue(func() compiledCatalogue {
	var c compiledCatalogue
	var inProjects []Permission
	for _, s := range slices.Concat(organizationSections, computeSections, storageNetworkSections, productSections, webSections) {
		for _, r := range s.sets {
			set := CatalogueSet{
				Name: r.name, ScopeType: s.scopeType, Categories: s.categories,
				Description: r.description, Permissions: mustExpandActions(r.permissions),
			}
			c.sets = append(c.sets, set)
			if s.scopeType == ScopeProjects {
				inProjects = append(inProjects, set.Permissions...)
			}
		}
	}
	slices.SortFunc(c.sets, func(a, b CatalogueSet) int { return strings.Compare(a.Name, b.Name) })
	c.services = ContributedServices(inProjects)
	return c
})

// mustExpandActions reads the permissions of a table row. It panics on a malformed one: the tables are part of the
// program, and every test of the catalogue would fail.
func mustExpandActions(list string) []Permission {
	var permissions []Permission
	for field := range strings.FieldsSeq(list) {
		at := strings.LastIndexByte(field, ':') + 1
		for action := range strings.SplitSeq(field[at:], ",") {
			p, err := ParsePermission(field[:at] + action)
			if err != nil {
				panic(fmt.Sprintf("iam: built-in tables: %v", err))
			}
			permissions = append(permissions, p)
		}
	}
	return permissions
}
