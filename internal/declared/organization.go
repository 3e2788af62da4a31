// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// What holds where an Organization declares nothing.
const (
	defaultLoginAttempts       = 10
	defaultPasswordLength      = 15
	defaultPasswordLengthByMFA = 8 // NIST SP 800-63B rev. 4: shorter where a second factor is required
)

// The bounds of an Organization's durations, as in the schema.
var (
	gracePeriodBounds    = bounds{least: time.Hour, most: 8760 * time.Hour, absent: 72 * time.Hour, strict: time.Hour}
	loginSessionBounds   = bounds{least: 5 * time.Minute, most: 8760 * time.Hour, absent: 720 * time.Hour, strict: 5 * time.Minute}
	apiKeyLifetimeBounds = bounds{least: time.Hour, most: 87600 * time.Hour, strict: time.Hour}
	auditRetentionBounds = bounds{least: 24 * time.Hour, most: 87600 * time.Hour, absent: 720 * time.Hour, strict: 87600 * time.Hour}
	defaultLoginMethods  = []v1alpha1.LoginMethod{v1alpha1.LoginPassword, v1alpha1.LoginMagicCode}
)

// Organization is the entity of an Organization; namespaceUID is the UID of its namespace. Defaults are filled in.
func Organization(o *v1alpha1.Organization, namespaceUID string) *iam.Organization {
	id := ID(o)
	organization := &iam.Organization{
		Head:           Head(o, iam.KindOrganization, id),
		Name:           nameOf(o, string(o.Spec.DisplayName)),
		Alias:          o.Spec.Alias,
		NamespaceUID:   namespaceUID,
		OwnerID:        iam.OwnerID(id),
		Security:       security(o.Spec.Security),
		Quotas:         quotas(o.Spec.Quotas),
		AuditRetention: auditRetentionBounds.absent,
	}
	if o.Spec.AuditLog != nil {
		organization.AuditRetention = auditRetentionBounds.value(o.Spec.AuditLog.Retention)
	}
	return organization
}

func security(declared *v1alpha1.Security) iam.Security {
	if declared == nil {
		declared = &v1alpha1.Security{}
	}
	mfa := declared.MFA == v1alpha1.MFARequired
	rules := iam.Security{
		LoginMethods:            strs(declared.LoginMethods),
		MFARequired:             mfa,
		RenewPasswordAtLogin:    declared.PasswordRenewal == v1alpha1.PasswordRenewalFirstLogin,
		PasswordMinLength:       defaultPasswordLength,
		GracePeriod:             gracePeriodBounds.value(declared.GracePeriod),
		LoginAttemptsBeforeLock: defaultLoginAttempts,
		MaxLoginSession:         loginSessionBounds.value(declared.MaxLoginSession),
		MaxAPIKeyLifetime:       apiKeyLifetimeBounds.value(declared.MaxAPIKeyLifetime),
	}
	if rules.LoginMethods == nil {
		rules.LoginMethods = strs(defaultLoginMethods)
	}
	if mfa {
		rules.PasswordMinLength = defaultPasswordLengthByMFA
	}
	if policy := declared.PasswordPolicy; policy != nil && policy.MinLength != nil {
		rules.PasswordMinLength = int(*policy.MinLength)
	}
	if declared.LoginAttemptsBeforeLock != nil {
		rules.LoginAttemptsBeforeLock = int(*declared.LoginAttemptsBeforeLock)
	}
	return rules
}

func quotas(declared *v1alpha1.Quotas) iam.Quotas {
	if declared == nil {
		return iam.Quotas{}
	}
	return iam.Quotas{
		Members:      quota(declared.Members),
		Applications: quota(declared.Applications),
		Groups:       quota(declared.Groups),
		Policies:     quota(declared.Policies),
		APIKeys:      quota(declared.APIKeys),
		Projects:     quota(declared.Projects),
		SSHKeys:      quota(declared.SSHKeys),
	}
}

func quota(limit *int32) *int {
	if limit == nil {
		return nil
	}
	n := int(*limit)
	return &n
}

// Owner is the user that the Organization belongs to. It has no username, so that its name never collides with a
// Member's; its id stays when ownership is handed over.
func Owner(o *v1alpha1.Organization) *iam.Member {
	id := ID(o)
	head := Head(o, iam.KindOrganization, id)
	head.ID = iam.OwnerID(id)
	return &iam.Member{
		Head:            head,
		Type:            iam.TypeOwner,
		Email:           string(o.Spec.Owner.Email),
		FirstName:       o.Spec.Owner.FirstName,
		LastName:        o.Spec.Owner.LastName,
		Locale:          defaultLocale,
		KubernetesUsers: strs(o.Spec.Owner.KubernetesUsers),
	}
}

// DefaultProject is the Project that every Organization has without an object. Its id is the Organization's.
func DefaultProject(o *v1alpha1.Organization) *iam.Project {
	id := ID(o)
	project := &iam.Project{Head: Head(o, iam.KindOrganization, id), Name: v1alpha1.DefaultProjectName}
	if declared := o.Spec.DefaultProject; declared != nil {
		project.Description = declared.Description
		if declared.DisplayName != "" {
			project.Name = declared.DisplayName
		}
	}
	return project
}

// ValidateOrganization says what is wrong with an Organization, as far as it alone tells.
func ValidateOrganization(o *v1alpha1.Organization) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validateObject(o)
	errs = append(errs, validateName(o, string(o.Spec.DisplayName))...)
	errs = append(errs, validateEmail(spec.Child("owner", "email"), o.Spec.Owner.Email)...)
	errs = append(errs, validateAllowedNamespaces(spec.Child("allowedNamespaces"), o.Spec.AllowedNamespaces)...)
	if s := o.Spec.Security; s != nil {
		path := spec.Child("security")
		errs = append(errs, gracePeriodBounds.validate(path.Child("gracePeriod"), s.GracePeriod)...)
		errs = append(errs, loginSessionBounds.validate(path.Child("maxLoginSession"), s.MaxLoginSession)...)
		errs = append(errs, apiKeyLifetimeBounds.validate(path.Child("maxAPIKeyLifetime"), s.MaxAPIKeyLifetime)...)
	}
	if o.Spec.AuditLog != nil {
		errs = append(errs, auditRetentionBounds.validate(spec.Child("auditLog", "retention"), o.Spec.AuditLog.Retention)...)
	}
	return errs
}

func validateAllowedNamespaces(path *field.Path, allowed *v1alpha1.AllowedNamespaces) field.ErrorList {
	if allowed == nil {
		return nil
	}
	selector := path.Child("selector")
	switch {
	case allowed.From != v1alpha1.NamespacesSelector && allowed.Selector != nil:
		return field.ErrorList{field.Forbidden(selector, "a selector goes with from: Selector only; remove it, or write from: Selector")}
	case allowed.From != v1alpha1.NamespacesSelector:
		return nil
	case allowed.Selector == nil:
		return field.ErrorList{field.Required(selector, "from: Selector needs a selector; use from: All to admit every namespace")}
	}
	if errs := metav1validation.ValidateLabelSelector(allowed.Selector, metav1validation.LabelSelectorValidationOptions{}, selector); len(errs) > 0 {
		// They come in the order of a map, and the same object must always get the same message.
		slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Error(), b.Error()) })
		return errs
	}
	// What counts in the end is that the loop can use it.
	if _, err := metav1.LabelSelectorAsSelector(allowed.Selector); err != nil {
		return field.ErrorList{field.Invalid(selector, field.OmitValueType{}, err.Error())}
	}
	return nil
}
