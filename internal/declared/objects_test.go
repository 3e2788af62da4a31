// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// The objects that the tests start from: one of each kind, with every field of the spec set. All pass.

const (
	organizationID = "0d9ac9ee-0000-4000-8000-000000000001"
	projectID      = "0d9ac9ee-0000-4000-8000-000000000002"
	otherID        = "0d9ac9ee-0000-4000-8000-000000000003"
	uid            = "0d9ac9ee-0000-4000-8000-000000000004"
)

// created is not in UTC, as a time from the API server need not be.
var created = time.Date(2026, 10, 1, 10, 30, 0, 0, time.FixedZone("CEST", 7200))

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: "shop", UID: uid, Generation: 3, CreationTimestamp: metav1.NewTime(created),
	}
}

// head is what meta becomes.
func head(kind iam.Kind, name string) iam.Head {
	return iam.Head{
		ID: uid, OrganizationID: organizationID, CreatedAt: time.Date(2026, 10, 1, 8, 30, 0, 0, time.UTC),
		Object: iam.Object{Kind: kind, Namespace: "shop", Name: name, UID: uid},
	}
}

func acme() v1alpha1.OrganizationRef {
	return v1alpha1.OrganizationRef{Name: "acme", Namespace: "acme"}
}

func organization() *v1alpha1.Organization {
	return &v1alpha1.Organization{
		ObjectMeta: meta("acme"),
		Spec: v1alpha1.OrganizationSpec{
			DisplayName: "Acme Corp", Alias: "acme",
			Owner: v1alpha1.Owner{
				Email: "owner@acme.example", FirstName: "Ada", LastName: "Ng", KubernetesUsers: []v1alpha1.UserName{"ada@corp.example"},
			},
			DefaultProject: &v1alpha1.DefaultProject{DisplayName: "main", Description: "what has no project of its own"},
			AllowedNamespaces: &v1alpha1.AllowedNamespaces{
				From: v1alpha1.NamespacesSelector,
				Selector: &metav1.LabelSelector{
					MatchLabels:      map[string]string{"kubernetes.io/metadata.name": "shop"},
					MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}}},
				},
			},
			Security: &v1alpha1.Security{
				LoginMethods: []v1alpha1.LoginMethod{v1alpha1.LoginSAML, v1alpha1.LoginPassword}, MFA: v1alpha1.MFARequired,
				PasswordRenewal: v1alpha1.PasswordRenewalFirstLogin, PasswordPolicy: &v1alpha1.PasswordPolicy{MinLength: new(int32(20))},
				GracePeriod: "24h", LoginAttemptsBeforeLock: new(int32(5)), MaxLoginSession: "1h30m", MaxAPIKeyLifetime: "2160h",
			},
			Quotas: &v1alpha1.Quotas{
				Members: new(int32(1)), Applications: new(int32(2)), Groups: new(int32(3)), Policies: new(int32(4)),
				APIKeys: new(int32(5)), Projects: new(int32(6)), SSHKeys: new(int32(0)),
			},
			AuditLog: &v1alpha1.AuditLog{Retention: "1440h"},
		},
	}
}

func project() *v1alpha1.Project {
	return &v1alpha1.Project{
		ObjectMeta: meta("web"),
		Spec:       v1alpha1.ProjectSpec{OrganizationRef: acme(), DisplayName: "The web", Description: "the shop"},
	}
}

func member() *v1alpha1.Member {
	return &v1alpha1.Member{
		ObjectMeta: meta("maya"),
		Spec: v1alpha1.MemberSpec{
			OrganizationRef: acme(), Type: v1alpha1.TypeMember, Username: "Maya", Email: "maya@acme.example",
			FirstName: "Maya", LastName: "Diaz", PhoneNumber: "+33612345678", Locale: "fr_FR", Tags: []v1alpha1.Tag{"b", "a=1"},
			Groups: []v1alpha1.GroupRef{{Name: "deployers", Namespace: "platform"}}, State: v1alpha1.StateLocked,
			Password:        &v1alpha1.MemberPassword{SecretRef: &v1alpha1.SecretKeyRef{Name: "maya-password", Key: "password"}},
			KubernetesUsers: []v1alpha1.UserName{"maya@corp.example"},
		},
	}
}

func guest() *v1alpha1.Member {
	return &v1alpha1.Member{
		ObjectMeta: meta("gus"),
		Spec: v1alpha1.MemberSpec{
			OrganizationRef: acme(), Type: v1alpha1.TypeGuest, Email: "gus@elsewhere.example", Tags: []v1alpha1.Tag{"a"},
		},
	}
}

func group() *v1alpha1.Group {
	return &v1alpha1.Group{
		ObjectMeta: meta("deployers"),
		Spec: v1alpha1.GroupSpec{
			OrganizationRef: acme(), DisplayName: "Deployers", Description: "who deploys", Tags: []v1alpha1.Tag{"a"},
			Membership: v1alpha1.MembershipDeclared,
			Members:    []v1alpha1.GroupMember{{Kind: v1alpha1.GroupMemberMember, Name: "maya"}, {Kind: v1alpha1.GroupMemberApplication, Name: "ci"}},
		},
	}
}

func application() *v1alpha1.Application {
	return &v1alpha1.Application{
		ObjectMeta: meta("ci"),
		Spec: v1alpha1.ApplicationSpec{
			OrganizationRef: acme(), DisplayName: "CI", Description: "the pipeline", Tags: []v1alpha1.Tag{"a"},
			Groups:          []v1alpha1.GroupRef{{Name: "deployers"}},
			ServiceAccounts: []v1alpha1.ServiceAccountRef{{Name: "ci"}, {Name: "cd"}},
		},
	}
}

func apiKey() *v1alpha1.APIKey {
	return &v1alpha1.APIKey{
		ObjectMeta: meta("ci-key"),
		Spec: v1alpha1.APIKeySpec{
			OrganizationRef: acme(), Bearer: v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "ci"}, Description: "used by CI",
			DefaultProjectRef: &v1alpha1.ProjectRef{Name: "web"}, Rotation: &v1alpha1.Rotation{Every: "720h", Overlap: "48h"},
			SecretName: "ci-credentials",
			SecretTemplate: &v1alpha1.SecretTemplate{
				Labels:      map[string]string{"app.kubernetes.io/part-of": "shop", "empty": ""},
				Annotations: map[string]string{"Example.com/Note": "any text, æøå\n"},
			},
		},
	}
}

func policy() *v1alpha1.Policy {
	return &v1alpha1.Policy{
		ObjectMeta: meta("deploy"),
		Spec: v1alpha1.PolicySpec{
			OrganizationRef: acme(), DisplayName: "Deploy", Description: "may deploy", Tags: []v1alpha1.Tag{"a"},
			Principal: &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers", Namespace: "platform"},
			Rules: []v1alpha1.PolicyRule{
				{
					PermissionSets: []v1alpha1.PermissionSetName{"InstancesFullAccess", "ObjectStorageReadOnly"}, Scope: v1alpha1.ScopeProjects,
					ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}, {Name: "default"}}, Condition: `inIpRange(request.ip, "10.0.0.0/8")`,
				},
				{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization},
			},
		},
	}
}

func permissionSet() *v1alpha1.PermissionSet {
	set := &v1alpha1.PermissionSet{
		ObjectMeta: meta("shopreader"),
		Spec: v1alpha1.PermissionSetSpec{
			Name: "ShopReader", ScopeType: v1alpha1.ScopeTypeProjects, Description: "reads the shop", Categories: []string{"Shop"},
			Permissions: []v1alpha1.Permission{"shop:*:read", "shop:order:list"}, IncludedInAllProducts: true,
		},
	}
	set.Namespace = ""
	return set
}

func sshKey() *v1alpha1.SSHKey {
	return &v1alpha1.SSHKey{
		ObjectMeta: meta("ada"),
		Spec: v1alpha1.SSHKeySpec{
			OrganizationRef: acme(), ProjectRef: v1alpha1.ProjectRef{Name: "web"}, DisplayName: "Ada's key",
			PublicKey: ed25519Key + " ada@acme", State: v1alpha1.SSHKeyDisabled,
		},
	}
}

// want is an error that is expected: exactly this path, and these words among its own.
type want struct{ path, words string }

// check compares errors with those wanted, in their order.
func check(t *testing.T, got field.ErrorList, wanted ...want) {
	t.Helper()
	if len(got) != len(wanted) {
		t.Fatalf("got %d errors, want %d:\n%v", len(got), len(wanted), got)
	}
	for i, w := range wanted {
		if got[i].Field != w.path {
			t.Errorf("error %d is at %s, want %s", i, got[i].Field, w.path)
		}
		if !strings.Contains(got[i].Error(), w.words) {
			t.Errorf("error %d is\n  %s\nwant in it\n  %s", i, got[i], w.words)
		}
	}
}

// invalid is a change to an object that passes, and the errors that it gets.
type invalid[T any] struct {
	change func(T)
	want   []want
}

// refuses checks that the object passes as it is, and what each change to it gets.
func refuses[T any](t *testing.T, object func() T, validate func(T) field.ErrorList, cases map[string]invalid[T]) {
	t.Helper()
	t.Run("passes with every field set", func(t *testing.T) { check(t, validate(object())) })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := object()
			c.change(changed)
			check(t, validate(changed), c.want...)
		})
	}
}

// passes checks that the changed objects still pass.
func passes[T any](t *testing.T, object func() T, validate func(T) field.ErrorList, cases map[string]func(T)) {
	t.Helper()
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			changed := object()
			change(changed)
			check(t, validate(changed))
		})
	}
}

// encoded is the form in which the store compares entities.
func encoded(t *testing.T, entity iam.Entity) string {
	t.Helper()
	body, err := iam.Encode(entity)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func same(t *testing.T, got, wanted iam.Entity) {
	t.Helper()
	if g, w := encoded(t, got), encoded(t, wanted); g != w {
		t.Errorf("got\n  %s\nwant\n  %s", g, w)
	}
}

func setID(obj metav1.Object, id string) {
	obj.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: id})
}

func TestID(t *testing.T) {
	for name, c := range map[string]struct {
		annotation, recorded, want string
	}{
		"the uid":        {want: uid},
		"the annotation": {annotation: otherID, want: otherID},
		"what is recorded wins over the annotation": {annotation: otherID, recorded: organizationID, want: organizationID},
		"what is recorded wins over the uid":        {recorded: otherID, want: otherID},
		"an annotation that is no UUID":             {annotation: "web", want: uid},
		"an annotation in upper case":               {annotation: "0D9AC9EE-0000-4000-8000-000000000003", want: uid},
		"an annotation in braces":                   {annotation: "{" + otherID + "}", want: uid},
		"an annotation with a line end":             {annotation: otherID + "\n", want: uid},
		"the nil UUID":                              {annotation: "00000000-0000-0000-0000-000000000000", want: uid},
		"an empty annotation":                       {annotation: "", want: uid},
	} {
		t.Run(name, func(t *testing.T) {
			object := project()
			setID(object, c.annotation)
			object.Status.ID = c.recorded
			if got := declared.ID(object); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := declared.Project(object, organizationID).ID; got != c.want {
				t.Errorf("the entity has %s, want %s", got, c.want)
			}
		})
	}
}

func TestHead(t *testing.T) {
	if got, want := declared.Head(project(), iam.KindProject, organizationID), head(iam.KindProject, "web"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The id and the name are judged alike for every kind.
func TestWhatAllKindsShare(t *testing.T) {
	for _, k := range kinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			object := k.object()
			setID(object, "web")
			check(t, k.validate(object), want{"metadata.annotations[iam-operator.dev/id]", `"web": the id to restore is a UUID in lower case`})
			object.GetObjectStatus().ID = uid
			check(t, k.validate(object))
			object = k.object()
			setID(object, otherID)
			check(t, k.validate(object))
		})
	}
}

func TestNamesThatStandIn(t *testing.T) {
	longName := strings.Repeat("a", 65)
	for _, k := range kinds() {
		switch k.kind {
		case iam.KindMember, iam.KindAPIKey, iam.KindPermissionSet, iam.KindSSHKey:
			continue // they have no display name, or one of another length
		}
		t.Run(string(k.kind), func(t *testing.T) {
			object := k.object()
			object.SetName(longName)
			check(t, k.validate(object))
			k.forgetDisplayName(object)
			check(t, k.validate(object), want{"metadata.name", "has 65 characters and may have 64 where it stands in for spec.displayName"})
			object.SetName(longName[1:])
			check(t, k.validate(object))
			if label := k.convert(object)[0].Label(); label != longName[1:] {
				t.Errorf("the entity is named %q", label)
			}
		})
	}
}
