// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
)

// organization: whoever writes these fields takes the Organization over, or hides what was done in it. To create one is
// the same, since what belongs to it goes by its name: else to delete it and to make it again would be the way around.
func (n *needs) organization(f facts, o *v1alpha1.Organization) {
	former := formerOf[v1alpha1.Organization](f)
	var users []v1alpha1.UserName
	what := "an Organization is created, with its owner"
	if former != nil {
		users = former.Spec.Owner.KubernetesUsers
		what = governs(changedOf(o, former))
	}
	if what != "" {
		n.addOurs(verbEscalate, resourceOrganizations, o.Namespace, o.Name, what)
	}
	n.kubernetesUsers(f.user, field.NewPath("spec", "owner", "kubernetesUsers"), o.Spec.Owner.KubernetesUsers, users)
}

// changedOf lists the fields of an Organization that count and differ.
func changedOf(o, former *v1alpha1.Organization) []string {
	var fields changes
	fields.note("spec.owner", o.Spec.Owner, former.Spec.Owner)
	fields.note("spec.allowedNamespaces", o.Spec.AllowedNamespaces, former.Spec.AllowedNamespaces)
	fields.note("spec.security", o.Spec.Security, former.Spec.Security)
	fields.note("spec.quotas", o.Spec.Quotas, former.Spec.Quotas)
	// Keeping events for longer hides nothing.
	if declared.Organization(o, "").AuditRetention < declared.Organization(former, "").AuditRetention {
		fields = append(fields, "spec.auditLog.retention")
	}
	return fields
}

func governs(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return enumerate(fields) + " changes, which governs the Organization"
}

// member: an e-mail address and a username are credentials, since they are how somebody logs in. So every Member is
// created with credentials.
func (n *needs) member(f facts, m *v1alpha1.Member) {
	former := formerOf[v1alpha1.Member](f)
	what := "a Member is created, with the credentials of its username and e-mail address"
	if former != nil {
		what = issues(credentialsChanged(f, m, former))
	} else {
		former = &v1alpha1.Member{} // so that all that follows is new
	}
	if what != "" {
		n.addOurs(verbIssue, resourceMembers, m.Namespace, m.Name, what)
	}
	n.kubernetesUsers(f.user, field.NewPath("spec", "kubernetesUsers"), m.Spec.KubernetesUsers, former.Spec.KubernetesUsers)
	if ref := secretOf(m); ref != nil && !apiequality.Semantic.DeepEqual(ref, secretOf(former)) {
		n.add(Need{Verb: verbGet, Resource: resourceSecrets, Namespace: m.Namespace, Name: string(ref.Name),
			For: "spec.password.secretRef makes its content a password"})
	}
	n.joins(m, m.Spec.Groups, former.Spec.Groups)
	n.listed(f, m)
}

// credentialsChanged lists the fields and annotations of a Member that are credentials and differ.
func credentialsChanged(f facts, m, former *v1alpha1.Member) []string {
	var fields changes
	fields.note("spec.username", m.Spec.Username, former.Spec.Username)
	fields.note("spec.email", m.Spec.Email, former.Spec.Email)
	fields.note("spec.password", m.Spec.Password, former.Spec.Password)
	if !sameSet(m.Spec.KubernetesUsers, former.Spec.KubernetesUsers) {
		fields = append(fields, "spec.kubernetesUsers")
	}
	if former.Spec.State == v1alpha1.StateLocked && m.Spec.State != v1alpha1.StateLocked {
		fields = append(fields, "spec.state")
	}
	for _, act := range []string{v1alpha1.UnlockAtAnnotation, v1alpha1.ResetMFAAtAnnotation} {
		if annotated(f, act) {
			fields = append(fields, "annotation "+act)
		}
	}
	return fields
}

func issues(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return enumerate(fields) + " changes a credential"
}

func secretOf(m *v1alpha1.Member) *v1alpha1.SecretKeyRef {
	if m.Spec.Password == nil {
		return nil
	}
	return m.Spec.Password.SecretRef
}

// group: who is put into a group has what the group is granted.
func (n *needs) group(f facts, g *v1alpha1.Group) {
	former := formerOf[v1alpha1.Group](f)
	if becomesDynamic(g, former) {
		n.dynamic(f, g)
	}
	var before []v1alpha1.GroupMember
	if former != nil {
		before = former.Spec.Members
	}
	if fresh := added(g.Spec.Members, before); len(fresh) > 0 {
		n.addOurs(verbBind, resourceGroups, g.Namespace, g.Name,
			"spec.members adds "+string(fresh[0].Kind)+" "+string(fresh[0].Name)+more(len(fresh)-1))
	}
}

// becomesDynamic says whether a group takes in everybody of a kind, and did not before.
func becomesDynamic(g, former *v1alpha1.Group) bool {
	if g.Spec.Membership == "" || g.Spec.Membership == v1alpha1.MembershipDeclared {
		return false
	}
	return former == nil || former.Spec.Membership != g.Spec.Membership
}

// dynamic: a dynamic group grants to whoever there is in the Organization, now and later, all that it is granted.
func (n *needs) dynamic(f facts, g *v1alpha1.Group) {
	home := organizationOf(g)
	what := "spec.membership: " + string(g.Spec.Membership) + " takes in all of Organization " + home.name
	n.addOurs(verbBind, resourceOrganizations, home.namespace, home.name, what)
	n.addOurs(verbBind, resourceGroups, g.Namespace, g.Name, what)
	for _, set := range f.grantedSets {
		n.addOurs(verbBind, resourcePermissionSets, home.namespace, strings.ToLower(string(set)), what+", and the group has "+string(set))
	}
}

// application: a ServiceAccount that is an Application has what the Application is granted.
func (n *needs) application(f facts, a *v1alpha1.Application) {
	former := formerOf[v1alpha1.Application](f)
	if former == nil {
		former = &v1alpha1.Application{}
	}
	if fresh := added(a.Spec.ServiceAccounts, former.Spec.ServiceAccounts); len(fresh) > 0 {
		n.addOurs(verbIssue, resourceApplications, a.Namespace, a.Name,
			"spec.serviceAccounts makes ServiceAccount "+string(fresh[0].Name)+more(len(fresh)-1)+" this Application")
	}
	n.joins(a, a.Spec.Groups, former.Spec.Groups)
	n.listed(f, a)
}

// apiKey: whoever may read the Secret of a key is its bearer.
func (n *needs) apiKey(f facts, k *v1alpha1.APIKey) {
	former := formerOf[v1alpha1.APIKey](f)
	what := "a key is minted for the bearer"
	if former != nil {
		what = issues(keyChanged(f, k, former))
	}
	if what == "" {
		return
	}
	switch bearer := k.Spec.Bearer; bearer.Kind {
	case v1alpha1.BearerMember:
		n.addOurs(verbIssue, resourceMembers, k.Namespace, string(bearer.Name), what)
	case v1alpha1.BearerApplication:
		n.addOurs(verbIssue, resourceApplications, k.Namespace, string(bearer.Name), what)
	default: // the Owner, and whatever else could come to be: nothing takes more
		home := organizationOf(k)
		n.addOurs(verbIssue, resourceOrganizations, home.namespace, home.name, what)
	}
}

// keyChanged lists the fields of a key that count and differ. secretTemplate is among them because annotations make other
// controllers copy a Secret to where more people read it.
func keyChanged(f facts, k, former *v1alpha1.APIKey) []string {
	var fields changes
	fields.note("spec.bearer", k.Spec.Bearer, former.Spec.Bearer)
	fields.note("spec.expiresAt", k.Spec.ExpiresAt, former.Spec.ExpiresAt)
	fields.note("spec.expiresIn", k.Spec.ExpiresIn, former.Spec.ExpiresIn)
	fields.note("spec.rotation", k.Spec.Rotation, former.Spec.Rotation)
	fields.note("spec.secretName", k.Spec.SecretName, former.Spec.SecretName)
	fields.note("spec.secretTemplate", k.Spec.SecretTemplate, former.Spec.SecretTemplate)
	if annotated(f, v1alpha1.RotateAtAnnotation) {
		fields = append(fields, "annotation "+v1alpha1.RotateAtAnnotation)
	}
	return fields
}

// groupName is a group that somebody joins, with its namespace.
type groupName struct{ namespace, name string }

// joins is the need to add somebody to groups from its own side: the same as from the group's, where the group is.
func (n *needs) joins(obj declared.Object, groups, before []v1alpha1.GroupRef) {
	for _, of := range added(groupNames(obj, groups), groupNames(obj, before)) {
		n.addOurs(verbBind, resourceGroups, of.namespace, of.name, "spec.groups joins Group "+of.name)
	}
}

// listed is the need to be what a Group lists already, such as somebody of that name who was deleted: whoever is made gets
// what the Group is granted.
func (n *needs) listed(f facts, obj declared.Object) {
	for _, group := range f.listedBy {
		n.addOurs(verbBind, resourceGroups, obj.GetNamespace(), group, "Group "+group+" lists "+obj.GetName()+" among its members")
	}
}

func groupNames(obj declared.Object, refs []v1alpha1.GroupRef) []groupName {
	names := make([]groupName, len(refs))
	for i, ref := range refs {
		names[i] = groupName{or(string(ref.Namespace), obj.GetNamespace()), string(ref.Name)}
	}
	return names
}

// kubernetesUsers is the need to say that somebody at the API server is this person: to be allowed to act as that user.
// Everybody may say so of themselves. Impersonation takes ServiceAccounts by their own resource, as kube-apiserver does.
func (n *needs) kubernetesUsers(requester string, path *field.Path, users, before []v1alpha1.UserName) {
	for _, user := range added(users, before) {
		if string(user) == requester {
			continue
		}
		need := Need{Verb: verbImpersonate, Resource: resourceUsers, Name: string(user), For: path.String() + " claims " + quoted(string(user))}
		if namespace, name, err := serviceaccount.SplitUsername(string(user)); err == nil {
			need.Resource, need.Namespace, need.Name = resourceServiceAccounts, namespace, name
		}
		n.add(need)
	}
}

// changes are the fields that differ.
type changes []string

// note adds a field if its values differ. Absent and empty are the same, as they are to whoever reads them.
func (c *changes) note(name string, value, before any) {
	if !apiequality.Semantic.DeepEqual(value, before) {
		*c = append(*c, name)
	}
}
