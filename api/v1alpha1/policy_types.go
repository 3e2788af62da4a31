// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PrincipalKind is the kind of principal that a policy grants to.
// +kubebuilder:validation:Enum=Member;Group;Application
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalMember      PrincipalKind = "Member"
	PrincipalGroup       PrincipalKind = "Group"
	PrincipalApplication PrincipalKind = "Application"
)

// Principal names who a policy grants to.
type Principal struct {
	// kind is Member, Group or Application.
	// +required
	Kind PrincipalKind `json:"kind"`
	// name of the object.
	// +required
	Name ObjectName `json:"name"`
	// namespace of the object; the policy's own when absent.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
}

// RuleScope says what a rule's permissions reach.
// +kubebuilder:validation:Enum=Projects;Organization
type RuleScope string

// The scopes of a rule.
const (
	// ScopeProjects: the Projects of projectRefs.
	ScopeProjects RuleScope = "Projects"
	// ScopeOrganization: the Organization; with sets of scope type Projects, all its present and future Projects.
	ScopeOrganization RuleScope = "Organization"
)

// PermissionSetName is the spec.name of a PermissionSet.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[A-Za-z][A-Za-z0-9]*$')`,message="must be letters and digits, beginning with a letter"
type PermissionSetName string

// PolicyRule grants permission sets on a scope, under a condition.
// +kubebuilder:validation:XValidation:rule="(self.scope == 'Projects') == (has(self.projectRefs) && size(self.projectRefs) > 0)",message="projectRefs go with scope: Projects, at least one, and only with it"
type PolicyRule struct {
	// permissionSets by their spec.name, all of one scope type.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +required
	PermissionSets []PermissionSetName `json:"permissionSets"`
	// scope is Projects, with projectRefs, or Organization. Permission sets of scope type
	// Organization go only with the latter.
	// +required
	Scope RuleScope `json:"scope"`
	// projectRefs that the rule reaches, with scope: Projects.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	ProjectRefs []ProjectRef `json:"projectRefs,omitempty"`
	// condition is a CEL expression over request.ip, request.time, request.user_agent,
	// resource.name, resource.id and resource.locality that must be true for the rule to
	// count, such as inIpRange(request.ip, "10.0.0.0/8"). Absent: always.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Condition string `json:"condition,omitempty"`
}

// PolicySpec declares a Policy.
type PolicySpec struct {
	// organizationRef names the Organization that the object belongs to. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="organizationRef cannot change: an object belongs to one Organization for life",reason="FieldValueForbidden"
	// +required
	OrganizationRef OrganizationRef `json:"organizationRef"`
	// displayName is the name for people and of the IAM API; metadata.name when absent.
	// +optional
	DisplayName DisplayName `json:"displayName,omitempty"`
	// description says in a sentence what this is for.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Description string `json:"description,omitempty"`
	// tags for people and for filters of the IAM API.
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +optional
	Tags []Tag `json:"tags,omitempty"`
	// principal that the policy grants to. Absent: nobody.
	// +optional
	Principal *Principal `json:"principal,omitempty"`
	// rules in the order in which they are shown. Any of them may allow; none denies.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +optional
	Rules []PolicyRule `json:"rules,omitempty"`
}

// PolicyStatus says how the Policy stands.
type PolicyStatus struct {
	ObjectStatus `json:",inline"`
	// rules is the number of rules.
	// +optional
	Rules int32 `json:"rules"`
	// scopes is the number of distinct scopes that the rules name.
	// +optional
	Scopes int32 `json:"scopes"`
	// permissionSets is the number of distinct permission sets that the rules name.
	// +optional
	PermissionSets int32 `json:"permissionSets"`
	// effective says whether the policy grants anything: it has a principal, and a rule that is resolved.
	// +optional
	Effective bool `json:"effective"`
	// principalID is the IAM id of the principal that the policy is bound to.
	// +kubebuilder:validation:MaxLength=36
	// +optional
	PrincipalID string `json:"principalID,omitempty"`
}

// Policy grants permission sets to one principal. Policies only allow: what none of
// them grants is denied.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=iampol,categories=iam
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Principal",type=string,JSONPath=`.spec.principal.name`
// +kubebuilder:printcolumn:name="Rules",type=integer,JSONPath=`.status.rules`
// +kubebuilder:printcolumn:name="Effective",type=boolean,JSONPath=`.status.effective`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.organizationRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.principal.kind`
// +kubebuilder:selectablefield:JSONPath=`.spec.principal.name`
// +kubebuilder:validation:XValidation:rule="has(self.spec.displayName) || size(self.metadata.name) <= 64",message="metadata.name is the display name when spec.displayName is absent, and may then have at most 64 characters"
type Policy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what is declared.
	// +required
	Spec PolicySpec `json:"spec"`
	// status is what the operator found and did.
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// PolicyList is a list of Policies.
// +kubebuilder:object:root=true
type PolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Policy `json:"items"`
}

// GetObjectStatus gives the part of the status that all kinds share.
func (o *Policy) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }

// GetOrganizationRef gives the reference to the Organization that the object belongs to.
func (o *Policy) GetOrganizationRef() OrganizationRef { return o.Spec.OrganizationRef }
