// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// fields are what an event may show of an entity, by name. Only what is listed below is
// shown: a field that is added to an entity stays hidden until somebody decides otherwise.
type fields map[string]any

// declared gives what people declared of an entity: no digest, no UID, no id that is derived.
func declared(entity iam.Entity) fields {
	shown := declaredOf(entity)
	object := entity.GetHead().Object
	// Where it comes from, for whoever has to find the manifest.
	shown["object"] = fields{"namespace": object.Namespace, "name": object.Name}
	return shown
}

func declaredOf(entity iam.Entity) fields {
	switch e := entity.(type) {
	case *iam.Organization:
		return declaredOrganization(e)
	case *iam.Project:
		return fields{"name": e.Name, "description": e.Description}
	case *iam.Member:
		return declaredMember(e)
	case *iam.Group:
		return fields{
			"name": e.Name, "description": e.Description, "tags": list(e.Tags),
			"membership": string(e.Membership), "memberIDs": list(e.Members),
		}
	case *iam.Application:
		return fields{
			"name": e.Name, "description": e.Description, "tags": list(e.Tags),
			"groupIDs": list(e.Groups), "serviceAccounts": list(e.ServiceAccounts),
		}
	case *iam.APIKey:
		return fields{
			"description": e.Description, "bearerKind": string(e.BearerKind), "bearerID": e.BearerID, "ownerEmail": e.OwnerEmail,
			"defaultProjectID": e.DefaultProjectID, "expiresAt": moment(e.ExpiresAt), "retiring": e.Retiring,
		}
	case *iam.Policy:
		return fields{
			"name": e.Name, "description": e.Description, "tags": list(e.Tags),
			"principalKind": string(e.PrincipalKind), "principalID": e.PrincipalID, "rules": declaredRules(e.Rules),
		}
	case *iam.PermissionSet:
		return fields{
			"name": e.Name, "scopeType": string(e.ScopeType), "description": e.Description, "categories": list(e.Categories),
			"permissions": list(e.Permissions), "managed": e.Managed, "includedInAllProducts": e.IncludedInAllProducts,
		}
	case *iam.SSHKey:
		return fields{
			"name": e.Name, "projectID": e.ProjectID, "publicKey": e.PublicKey,
			"fingerprint": e.Fingerprint, "disabled": e.Disabled,
		}
	}
	return fields{}
}

func declaredOrganization(o *iam.Organization) fields {
	shown := fields{
		"name": o.Name, "alias": o.Alias, "auditRetention": o.AuditRetention.String(),
		"quotas":                  declaredQuotas(o.Quotas),
		"loginMethods":            list(o.Security.LoginMethods),
		"mfaRequired":             o.Security.MFARequired,
		"renewPasswordAtLogin":    o.Security.RenewPasswordAtLogin,
		"passwordMinLength":       o.Security.PasswordMinLength,
		"gracePeriod":             o.Security.GracePeriod.String(),
		"loginAttemptsBeforeLock": o.Security.LoginAttemptsBeforeLock,
		"maxLoginSession":         o.Security.MaxLoginSession.String(),
		"maxAPIKeyLifetime":       nil,
	}
	// Zero is no maximum; "0s" would read as the contrary.
	if o.Security.MaxAPIKeyLifetime != 0 {
		shown["maxAPIKeyLifetime"] = o.Security.MaxAPIKeyLifetime.String()
	}
	return shown
}

// securityFields are those of UpdateOrganizationSecuritySettings.
func securityFields() []string {
	return []string{
		"mfaRequired", "renewPasswordAtLogin", "passwordMinLength", "gracePeriod",
		"loginAttemptsBeforeLock", "maxLoginSession", "maxAPIKeyLifetime",
	}
}

func declaredQuotas(q iam.Quotas) fields {
	shown := fields{}
	for name, limit := range map[string]*int{
		"members": q.Members, "applications": q.Applications, "groups": q.Groups, "policies": q.Policies,
		"apiKeys": q.APIKeys, "projects": q.Projects, "sshKeys": q.SSHKeys,
	} {
		if limit != nil {
			shown[name] = *limit
		}
	}
	return shown
}

func declaredMember(m *iam.Member) fields {
	return fields{
		"type": string(m.Type), "username": m.Username, "email": m.Email,
		"firstName": m.FirstName, "lastName": m.LastName, "phoneNumber": m.PhoneNumber, "locale": m.Locale,
		"tags": list(m.Tags), "groupIDs": list(m.Groups), "kubernetesUsers": list(m.KubernetesUsers),
		"locked": m.Locked, "invited": m.Invited,
		"mfa": m.MFA, "passwordUpdatedAt": moment(m.PasswordUpdatedAt), "gracePeriods": declaredGracePeriods(m.GracePeriods),
	}
}

func declaredGracePeriods(periods []iam.MemberGracePeriod) []fields {
	shown := make([]fields, len(periods))
	for i, p := range periods {
		shown[i] = fields{"type": p.Type, "startedAt": moment(&p.StartedAt), "expiresAt": moment(&p.ExpiresAt)}
	}
	return shown
}

// declaredRules leaves the rules' ids out: every generation of a policy has new ones, and
// nobody declared them.
func declaredRules(rules []iam.Rule) []fields {
	shown := make([]fields, len(rules))
	for i, r := range rules {
		shown[i] = fields{
			"permissionSets": list(r.PermissionSets), "organizationScope": r.OrganizationScope,
			"projectIDs": list(r.ProjectIDs), "condition": r.Condition, "refused": r.Refused,
		}.withoutEmpty()
	}
	return shown
}

// list makes an absent list an empty one, which is the same declaration.
func list(items []string) []string {
	if items == nil {
		return []string{}
	}
	return items
}

func moment(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// withoutEmpty leaves out what says nothing, where there is nothing to compare it with.
func (f fields) withoutEmpty() fields {
	shown := fields{}
	for name, value := range f {
		v := reflect.ValueOf(value)
		empty := value == nil || v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
		if !empty {
			shown[name] = value
		}
	}
	return shown
}

// encode gives the fields as JSON, in the order of their names so that the same change
// always has the same bytes.
func (f fields) encode() json.RawMessage {
	body, err := json.Marshal(f)
	if err != nil {
		// There are only strings, numbers, booleans, and lists and maps of them in it.
		panic(fmt.Sprintf("audit: encode fields: %v", err))
	}
	return body
}

// delta holds the fields that differ between two states of an entity.
type delta struct{ before, after fields }

func diff(before, after fields) delta {
	d := delta{fields{}, fields{}}
	for name, value := range after {
		if !reflect.DeepEqual(before[name], value) {
			d.before[name], d.after[name] = before[name], value
		}
	}
	return d
}

func (d delta) has(name string) bool {
	_, ok := d.after[name]
	return ok
}

func (d delta) empty() bool { return len(d.after) == 0 }

// take moves the named fields, where they differ, into a delta of their own.
func (d delta) take(names ...string) delta {
	taken := delta{fields{}, fields{}}
	for _, name := range names {
		if d.has(name) {
			taken.before[name], taken.after[name] = d.before[name], d.after[name]
			delete(d.before, name)
			delete(d.after, name)
		}
	}
	return taken
}

func (d delta) change() iam.EventChange {
	if d.empty() {
		return iam.EventChange{}
	}
	return iam.EventChange{Before: d.before.encode(), After: d.after.encode()}
}
