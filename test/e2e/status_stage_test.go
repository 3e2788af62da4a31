// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

// statusStage is where the status suite leads objects of all kinds through all that can
// happen to them.
type statusStage struct {
	*operator
	faulty *faultyStore
	// home is the Organization's, guest is let in later, rival has another Organization.
	home, guest, rival string
	organization       *v1alpha1.Organization
	set                *v1alpha1.PermissionSet
	// own and guests are an object of each kind that belongs to an Organization.
	own, guests []controllers.Object
}

func newStatusStage(t *testing.T) *statusStage {
	t.Helper()
	o, faulty := startFaultyOperator(t)
	s := &statusStage{operator: o, faulty: faulty, home: newNamespace(t, nil), rival: newNamespace(t, nil)}
	s.guest = newNamespace(t, map[string]string{"joins": s.home})
	s.organization = organization(s.home, "acme")
	s.organization.Spec.Alias = alias(s.home)
	s.set = customSet("Suite"+alias(s.home), v1alpha1.ScopeTypeProjects, "shop:order:read")
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), s.set)) })
	return s
}

func customSet(name string, scopeType v1alpha1.PermissionSetScopeType, permissions ...v1alpha1.Permission) *v1alpha1.PermissionSet {
	set := &v1alpha1.PermissionSet{Spec: v1alpha1.PermissionSetSpec{Name: v1alpha1.PermissionSetName(name), ScopeType: scopeType, Permissions: permissions}}
	set.Name = strings.ToLower(name)
	return set
}

// specimens are one object of each kind that belongs to an Organization.
func (s *statusStage) specimens(namespace string) []controllers.Object {
	o := s.organization
	return []controllers.Object{
		project(o, namespace, "web"),
		member(o, namespace, "maya-"+namespace[len(namespace)-5:]),
		application(o, namespace, "deployer"),
		group(o, namespace, "deployers", v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: "deployer"}),
		apiKey(o, namespace, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"}),
		policy(o, namespace, "grant", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "deployers"}, v1alpha1.PolicyRule{
			PermissionSets: []v1alpha1.PermissionSetName{"InstancesReadOnly"}, Scope: v1alpha1.ScopeProjects, ProjectRefs: []v1alpha1.ProjectRef{{Name: "web"}},
		}),
		sshKey(o, namespace, "laptop", "web"),
	}
}

// every is an object of each of the nine kinds.
func (s *statusStage) every() []controllers.Object {
	return append([]controllers.Object{s.organization, s.set}, s.own...)
}

// waitForTheOrganization creates everything before the Organization is there, and then
// before it lets the guests in.
func (s *statusStage) waitForTheOrganization(t *testing.T) {
	t.Helper()
	s.own, s.guests = s.specimens(s.home), s.specimens(s.guest)
	create(t, asObjects(s.own)...)
	for _, obj := range s.own {
		awaitReason(t, obj, v1alpha1.ReasonReferenceNotFound)
	}
	create(t, asObjects(s.guests)...)
	create(t, s.organization, s.set)
	awaitReady(t, s.every()...)
	for _, obj := range s.guests {
		awaitReason(t, obj, v1alpha1.ReasonNamespaceNotAllowed)
	}
	change(t, s.organization, func(o *v1alpha1.Organization) {
		o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("joins", s.home)}
	})
	awaitReady(t, s.organization)
	awaitReady(t, s.guests...)
}

// failAndRecover has the store fail, at a generation that was applied and at a new one.
func (s *statusStage) failAndRecover(t *testing.T) {
	t.Helper()
	s.faulty.failReads.Store(true)
	for _, obj := range s.every() {
		poke(t, obj)
	}
	for _, obj := range s.every() {
		awaitReason(t, obj, v1alpha1.ReasonFailed)
	}
	s.faulty.failReads.Store(false)
	awaitReady(t, s.every()...)

	s.faulty.failWrites.Store(true)
	unborn := group(s.organization, s.home, "unborn")
	create(t, unborn)
	for _, obj := range s.every() {
		change(t, obj, touch)
	}
	awaitTryingAgain(t, append(s.every(), unborn)...)
	s.faulty.failWrites.Store(false)
	awaitReady(t, append(s.every(), unborn)...)
}

// touch makes a new generation that changes the object's rows.
func touch(obj controllers.Object) {
	const word = "touched"
	switch o := obj.(type) {
	case *v1alpha1.Organization:
		o.Spec.DisplayName = word
	case *v1alpha1.Project:
		o.Spec.Description = word
	case *v1alpha1.Member:
		o.Spec.FirstName = word
	case *v1alpha1.Group:
		o.Spec.Description = word
	case *v1alpha1.Application:
		o.Spec.Description = word
	case *v1alpha1.APIKey:
		o.Spec.Description = word
	case *v1alpha1.Policy:
		o.Spec.Description = word
	case *v1alpha1.PermissionSet:
		o.Spec.Description = word
	case *v1alpha1.SSHKey:
		o.Spec.DisplayName = word
	}
}

// refuse has each kind meet a spec that can't work. Where the schema leaves no such spec,
// there is still the annotation for an id.
func (s *statusStage) refuse(t *testing.T) {
	t.Helper()
	badID := func(obj controllers.Object) controllers.Object {
		obj.SetAnnotations(map[string]string{v1alpha1.IDAnnotation: "no id"})
		return obj
	}
	o := s.organization
	refused := []controllers.Object{
		badID(project(o, s.home, "refused")),
		badID(group(o, s.home, "refused")),
		badID(application(o, s.home, "refused")),
		apiKey(o, s.guest, "refused", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}),
	}
	broken := organization(s.rival, "broken")
	broken.Spec.Owner.Email = "somebody@nowhere"
	anonymous := member(o, s.home, "refused")
	anonymous.Spec.Username = string(o.Spec.Owner.Email)
	garbled := sshKey(o, s.home, "refused", "web")
	garbled.Spec.PublicKey = "ssh-ed25519 AAAA"
	conditional := policy(o, s.home, "refused", nil, v1alpha1.PolicyRule{
		PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization, Condition: "request.ip ==",
	})
	misplaced := customSet("Refused"+alias(s.home), v1alpha1.ScopeTypeProjects, "billing:invoice:read")
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), misplaced)) })
	refused = append(refused, broken, anonymous, garbled, conditional, misplaced)
	create(t, asObjects(refused)...)
	for _, obj := range refused {
		awaitCondition(t, obj, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
	}
	change(t, broken, func(o *v1alpha1.Organization) { o.Spec.Owner.Email = "somebody@nowhere.example" })
	change(t, anonymous, func(m *v1alpha1.Member) { m.Spec.Username = "anonymous" })
	change(t, misplaced, func(p *v1alpha1.PermissionSet) { p.Spec.Permissions = []v1alpha1.Permission{"shop:order:list"} })
	awaitReady(t, broken, anonymous, misplaced)
	for _, obj := range refused {
		remove(t, obj)
	}
}

// contend has two objects want one name, of each kind of name.
func (s *statusStage) contend(t *testing.T) {
	t.Helper()
	o := s.organization
	first, second := application(o, s.home, "first"), application(o, s.home, "second")
	for _, a := range []*v1alpha1.Application{first, second} {
		a.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "robot"}}
	}
	create(t, first)
	awaitReady(t, first)
	double := member(o, s.guest, "double")
	double.Spec.Username = s.own[1].(*v1alpha1.Member).Spec.Username
	key := apiKey(o, s.home, "second", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	key.Spec.SecretName = "ci"
	claimant := organization(s.rival, "claimant")
	claimant.Spec.Alias = o.Spec.Alias
	create(t, second, double, key, claimant)
	for _, obj := range []controllers.Object{second, double, key, claimant} {
		awaitReason(t, obj, v1alpha1.ReasonConflict)
	}
	remove(t, first)
	awaitReady(t, second)
}

// meetForeignObjects puts what is not the operator's where it wants to write.
func (s *statusStage) meetForeignObjects(t *testing.T) {
	t.Helper()
	o := s.organization
	secret := &corev1.Secret{ObjectMeta: objectMeta(s.home, "taken")}
	create(t, secret, newConfigMap(s.home, "taken-authorized-keys"), newConfigMap(s.rival, "default-authorized-keys"))
	key := apiKey(o, s.home, "taken", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	web := project(o, s.home, "taken")
	other := organization(s.rival, "taken")
	create(t, key, web, sshKey(o, s.home, "taken", "taken"), other, sshKey(other, s.rival, "taken", v1alpha1.DefaultProjectName))
	made, given := member(o, s.home, "made"), member(o, s.home, "given")
	made.Spec.Password, given.Spec.Password = generated("taken"), fromSecret("taken")
	create(t, made, given)
	for _, obj := range []controllers.Object{key, web, other, made} {
		awaitReason(t, obj, v1alpha1.ReasonSecretConflict)
	}
	awaitReason(t, given, v1alpha1.ReasonSecretNotOptedIn)
}

// notEnforce declares what this version only stores, a password that is refused, and a lock.
func (s *statusStage) notEnforce(t *testing.T) {
	t.Helper()
	change(t, s.organization, func(o *v1alpha1.Organization) {
		o.Spec.Security = &v1alpha1.Security{LoginMethods: []v1alpha1.LoginMethod{v1alpha1.LoginPassword}}
	})
	person := s.own[1].(*v1alpha1.Member)
	change(t, person, func(m *v1alpha1.Member) {
		m.Spec.State = v1alpha1.StateLocked
		m.Spec.Password = fromSecret("weak")
	})
	create(t, passwordSecret(person.Namespace, "weak", weakPassword))
	robot := s.own[2].(*v1alpha1.Application)
	change(t, robot, func(a *v1alpha1.Application) {
		a.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "deployer"}}
	})
	for _, obj := range []controllers.Object{s.organization, robot} {
		awaitReady(t, obj)
		awaitCondition(t, obj, v1alpha1.ConditionCredentialsValid, metav1.ConditionUnknown, v1alpha1.ReasonNotEnforced)
	}
	awaitCondition(t, person, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
	awaitReady(t, person)
	awaitCondition(t, person, v1alpha1.ConditionLocked, metav1.ConditionTrue, v1alpha1.ReasonDeclared)
	change(t, person, func(m *v1alpha1.Member) { m.Spec.State, m.Spec.Password = v1alpha1.StateActive, nil })
	awaitCondition(t, person, v1alpha1.ConditionLocked, metav1.ConditionFalse, "")
}

// passTime lets an invitation and a key come to their end.
func (s *statusStage) passTime(t *testing.T) {
	t.Helper()
	guest := &v1alpha1.Member{ObjectMeta: objectMeta(s.home, "guest"), Spec: v1alpha1.MemberSpec{
		OrganizationRef: of(s.organization, s.home), Type: v1alpha1.TypeGuest, Email: "guest@elsewhere.example",
	}}
	brief := apiKey(s.organization, s.home, "brief", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	brief.Spec.ExpiresIn = "24h"
	create(t, guest, brief)
	awaitReady(t, guest, brief)
	s.Clock.SetTime(s.Clock.Now().Add(8 * 24 * time.Hour))
	poke(t, guest)
	poke(t, brief)
	awaitCondition(t, guest, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExpired)
	awaitCondition(t, brief, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExpired)
}

// losePrincipals deletes what a key and a policy were made for.
func (s *statusStage) losePrincipals(t *testing.T) {
	t.Helper()
	remove(t, s.guests[2])
	remove(t, s.guests[3])
	awaitCondition(t, s.guests[4], v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonBearerDeleted)
	awaitCondition(t, s.guests[5], v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonPrincipalDeleted)
}

// delete deletes all: first what is held back by the rest.
func (s *statusStage) delete(t *testing.T) {
	t.Helper()
	for _, obj := range []controllers.Object{s.own[0], s.organization} {
		if err := admin.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		awaitReason(t, obj, v1alpha1.ReasonDeleting)
	}
	for _, obj := range append(s.own[1:], s.set) {
		remove(t, obj)
	}
	awaitGone(t, s.own[0])
	for _, list := range []client.Object{
		&v1alpha1.APIKey{}, &v1alpha1.Policy{}, &v1alpha1.SSHKey{}, &v1alpha1.Group{}, &v1alpha1.Member{}, &v1alpha1.Application{}, &v1alpha1.Project{},
	} {
		if err := admin.DeleteAllOf(t.Context(), list, client.InNamespace(s.home)); err != nil {
			t.Fatal(err)
		}
	}
	awaitGone(t, s.organization)
}
