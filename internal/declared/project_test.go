// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestProject(t *testing.T) {
	same(t, declared.Project(project(), organizationID), &iam.Project{
		Head: head(iam.KindProject, "web"), Name: "The web", Description: "the shop",
	})
}

func TestValidateProject(t *testing.T) {
	refuses(t, project, declared.ValidateProject, map[string]invalid[*v1alpha1.Project]{
		"called default": {
			func(p *v1alpha1.Project) { p.Name = "default" },
			[]want{{"metadata.name", "every Organization has without an object; choose another name"}},
		},
		"no room for the ConfigMap": {
			func(p *v1alpha1.Project) { p.Name = strings.Repeat("a", 238) },
			[]want{{"metadata.name", "has 238 characters and may have 237, so that the ConfigMap <name>-authorized-keys"}},
		},
	})
	passes(t, project, declared.ValidateProject, map[string]func(*v1alpha1.Project){
		"the longest name": func(p *v1alpha1.Project) { p.Name = strings.Repeat("a", 237) },
	})
}
