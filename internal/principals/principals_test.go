// SPDX-License-Identifier: Apache-2.0

package principals

import (
	"testing"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// Somebody is named where just their own row, in the very Organization, has the name.
func TestActorOf(t *testing.T) {
	claimant := &v1alpha1.Member{}
	claimant.UID = "u1"
	head := iam.Head{ID: "id", OrganizationID: "acme", Object: iam.Object{Namespace: "ns", UID: "u1"}}
	other := head
	other.OrganizationID = "rival"
	successor := head
	successor.Object.UID = "u2"
	names := []string{"maya@corp.example"}
	for name, tc := range map[string]struct {
		row  iam.Entity
		user string
		want iam.Actor
	}{
		"a Member":                        {&iam.Member{Head: head, Type: iam.TypeMember, Username: "maya", KubernetesUsers: names}, names[0], iam.Actor{Kind: iam.ActorMember, ID: "id", Name: "maya"}},
		"the owner":                       {&iam.Member{Head: head, Type: iam.TypeOwner, Email: "ada@acme.example", KubernetesUsers: names}, names[0], iam.Actor{Kind: iam.ActorOwner, ID: "id", Name: "ada@acme.example"}},
		"an Application":                  {&iam.Application{Head: head, Name: "robot", ServiceAccounts: []string{"robot"}}, "system:serviceaccount:ns:robot", iam.Actor{Kind: iam.ActorApplication, ID: "id", Name: "robot"}},
		"a ServiceAccount elsewhere":      {&iam.Application{Head: head, Name: "robot", ServiceAccounts: []string{"robot"}}, "system:serviceaccount:other:robot", iam.Actor{}},
		"no row":                          {nil, names[0], iam.Actor{}},
		"a claim that is not applied":     {&iam.Member{Head: head, Type: iam.TypeMember, Username: "maya"}, names[0], iam.Actor{}},
		"another Organization's":          {&iam.Member{Head: other, Type: iam.TypeMember, Username: "maya", KubernetesUsers: names}, names[0], iam.Actor{}},
		"the row of another of that name": {&iam.Member{Head: successor, Type: iam.TypeMember, Username: "maya", KubernetesUsers: names}, names[0], iam.Actor{}},
		"what is no principal":            {&iam.Project{Head: head}, names[0], iam.Actor{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := actorOf(tc.row, claimant, "acme", tc.user)
			if ok != (tc.want != iam.Actor{}) || ok && got != tc.want {
				t.Errorf("%+v, %t; want %+v", got, ok, tc.want)
			}
		})
	}
}
