// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// userRoles reads the roles for people as they are shipped.
func userRoles(t *testing.T) []rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile("rbac/user_roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var roles []rbacv1.ClusterRole
	for _, u := range objects(t, string(text)) {
		body, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(body, &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "ClusterRole" || role.AggregationRule != nil {
			t.Errorf("%s is a %s with the aggregation %v, want a plain ClusterRole", role.Name, role.Kind, role.AggregationRule)
		}
		roles = append(roles, role)
	}
	return roles
}

// rightsIn lists what a role allows, as "verb resource.group".
func rightsIn(role rbacv1.ClusterRole) []string {
	var rights []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					rights = append(rights, verb+" "+resource+"."+group)
				}
			}
		}
	}
	return rights
}

// Which roles there are, what each may give away, and nothing of what none may have.
func TestUserRoles(t *testing.T) {
	granting := map[string][]string{
		"iam-operator-organization-admin": {
			"bind groups", "bind organizations", "bind permissionsets", "bind projects",
			"escalate organizations", "escalate policies",
			"issue applications", "issue members", "issue organizations",
		},
		"iam-operator-admin":         {"bind groups", "bind permissionsets", "bind projects", "issue applications"},
		"iam-operator-member-issuer": {"issue members"},
		"iam-operator-editor":        nil,
		"iam-operator-viewer":        nil,
		"iam-operator-auditor":       nil,
		"iam-operator-catalogue":     nil,
	}
	readers := []string{"iam-operator-viewer", "iam-operator-auditor", "iam-operator-catalogue"}
	for _, role := range userRoles(t) {
		want, known := granting[role.Name]
		if !known {
			t.Errorf("%s is in no table", role.Name)
			continue
		}
		delete(granting, role.Name)
		for label := range role.Labels {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/") {
				t.Errorf("%s has the label %s: view is part of edit, and edit is what everybody has", role.Name, label)
			}
		}
		var gives []string
		for _, right := range rightsIn(role) {
			verb, resource, _ := strings.Cut(right, " ")
			resource, group, _ := strings.Cut(resource, ".")
			switch {
			case strings.Contains(right, "*"):
				t.Errorf("%s has %s: a wildcard takes in what is yet to come", role.Name, right)
			case group != "iam-operator.dev" && group != "audit.iam-operator.dev":
				t.Errorf("%s has %s, which is not ours to give", role.Name, right)
			case strings.Contains(resource, "/"):
				t.Errorf("%s has %s; a status is the operator's", role.Name, right)
			case slices.Contains([]string{"bind", "issue", "escalate", "impersonate"}, verb):
				gives = append(gives, verb+" "+resource)
			case !slices.Contains([]string{"get", "list", "watch"}, verb) &&
				(slices.Contains(readers, role.Name) || resource == "permissionsets" || resource == "auditevents"):
				t.Errorf("%s has %s", role.Name, right)
			}
		}
		slices.Sort(gives)
		if !slices.Equal(gives, want) {
			t.Errorf("%s may give away %q, want %q", role.Name, gives, want)
		}
	}
	for name := range granting {
		t.Errorf("there is no ClusterRole %s", name)
	}
}

// The API server takes the roles, and a RoleBinding to one counts in its namespace alone: also for bind on permission
// sets, which are of the cluster, and are given away namespace by namespace.
func TestUserRolesInANamespace(t *testing.T) {
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "--server-side", "-f", "rbac/user_roles.yaml")
	t.Cleanup(func() { kubectl(t, "delete", "-f", "rbac/user_roles.yaml") })
	kubectl(t, "create", "namespace", "bound")
	for _, role := range userRoles(t) {
		kubectl(t, "-n", "bound", "create", "rolebinding", role.Name, "--clusterrole="+role.Name, "--user="+role.Name)
	}
	for _, row := range []struct {
		role, verb, resource string
		want                 bool
	}{
		{"iam-operator-organization-admin", "bind", "permissionsets", true},
		{"iam-operator-organization-admin", "issue", "organizations", true},
		{"iam-operator-organization-admin", "escalate", "policies", true},
		{"iam-operator-organization-admin", "delete", "organizations", true},
		{"iam-operator-organization-admin", "escalate", "permissionsets", false},
		{"iam-operator-admin", "bind", "permissionsets", true},
		{"iam-operator-admin", "bind", "organizations", false},
		{"iam-operator-admin", "issue", "members", false},
		{"iam-operator-admin", "update", "members", true},
		{"iam-operator-admin", "delete", "organizations", false},
		{"iam-operator-member-issuer", "issue", "members", true},
		{"iam-operator-member-issuer", "create", "apikeys", false},
		{"iam-operator-editor", "update", "policies", true},
		{"iam-operator-editor", "bind", "projects", false},
		{"iam-operator-viewer", "get", "members", true},
		{"iam-operator-viewer", "update", "members", false},
	} {
		t.Run(strings.Join([]string{row.role, row.verb, row.resource}, " "), func(t *testing.T) {
			if row.want {
				eventually(t, func() bool { return mayIn(t, client, "bound", row.role, row.verb, row.resource) })
			} else if mayIn(t, client, "bound", row.role, row.verb, row.resource) {
				t.Error("the role allows it")
			}
			if mayIn(t, client, "default", row.role, row.verb, row.resource) {
				t.Error("the role allows it in a namespace in which it is not bound")
			}
		})
	}
}

func mayIn(t *testing.T, client kubernetes.Interface, namespace, user, verb, resource string) bool {
	t.Helper()
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: "iam-operator.dev", Resource: resource},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// eventually waits for what the API server learns from a watch, such as a new RoleBinding.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	if !comesTrue(holds) {
		t.Fatal("it does not come true")
	}
}

func comesTrue(holds func() bool) bool {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}
