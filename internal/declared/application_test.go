// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

func TestApplication(t *testing.T) {
	same(t, declared.Application(application(), organizationID, []string{otherID, "", otherID}), &iam.Application{
		Head: head(iam.KindApplication, "ci"), Name: "CI", Description: "the pipeline", Tags: []string{"a"}, Groups: []string{otherID},
		ServiceAccounts: []string{"ci", "cd"},
	})
	bare := &v1alpha1.Application{ObjectMeta: meta("ci")}
	same(t, declared.Application(bare, organizationID, nil), &iam.Application{Head: head(iam.KindApplication, "ci"), Name: "ci"})
}

func TestValidateApplication(t *testing.T) {
	refuses(t, application, declared.ValidateApplication, map[string]invalid[*v1alpha1.Application]{
		"the same tag twice": {
			func(a *v1alpha1.Application) { a.Spec.Tags = []v1alpha1.Tag{"a", "a"} },
			[]want{{"spec.tags[1]", "Duplicate value"}},
		},
	})
}
