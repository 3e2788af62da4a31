// SPDX-License-Identifier: Apache-2.0

// Package iam is the domain: plain structs for what the canonical store holds, and the
// pure rules on them. It knows neither Kubernetes nor SQL, and has no clock of its own.
package iam

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kind is the kind of an entity of the canonical store.
type Kind string

// The kinds of entities. They carry the names of the API's kinds; the owner is a row of
// kind Member, the default Project one of kind Project.
const (
	KindOrganization  Kind = "Organization"
	KindProject       Kind = "Project"
	KindMember        Kind = "Member"
	KindGroup         Kind = "Group"
	KindApplication   Kind = "Application"
	KindAPIKey        Kind = "APIKey"
	KindPolicy        Kind = "Policy"
	KindPermissionSet Kind = "PermissionSet"
	KindSSHKey        Kind = "SSHKey"
)

// Kinds lists every kind, those that others refer to first.
func Kinds() []Kind {
	return []Kind{
		KindOrganization, KindPermissionSet, KindProject, KindGroup, KindMember,
		KindApplication, KindAPIKey, KindPolicy, KindSSHKey,
	}
}

// Object names the Kubernetes object that an entity comes from.
type Object struct {
	Kind      Kind   `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// Head is what all entities have in common.
type Head struct {
	// ID is the IAM id: a UUID, or the access key for an API key.
	ID string `json:"id"`
	// OrganizationID is empty for permission sets, which belong to no Organization.
	OrganizationID string `json:"organizationID,omitempty"`
	// Object is where the entity comes from. The owner and the default Project come from the Organization.
	Object Object `json:"object"`
	// CreatedAt is the object's creation, or the minting for an API key; UTC.
	CreatedAt time.Time `json:"createdAt"`
}

// GetHead gives the part that all entities have in common.
func (h Head) GetHead() Head { return h }

// Reference says that an entity refers to another.
type Reference struct {
	Relation Relation
	ID       string
}

// Relation is what a reference means.
type Relation string

// The relations between entities.
const (
	// RelationMember: a group lists a member or an application.
	RelationMember Relation = "member"
	// RelationGroup: a member or an application joins a group.
	RelationGroup Relation = "group"
	// RelationBearer: an API key acts for a principal.
	RelationBearer Relation = "bearer"
	// RelationPrincipal: a policy grants to a principal.
	RelationPrincipal Relation = "principal"
	// RelationProject: a rule reaches a Project, an SSH key belongs to one, an API key prefers one.
	RelationProject Relation = "project"
)

// Entity is one row of the canonical store.
type Entity interface {
	// GetHead gives the part that all entities have in common.
	GetHead() Head
	// EntityKind tells the kind.
	EntityKind() Kind
	// Label is the name for people, by which lists are sorted.
	Label() string
	// UniqueName is what no other entity of the kind may have in the same Organization
	// (in the same cluster, for an Organization); empty when anything goes.
	UniqueName() string
	// References lists the entities that this one refers to, in a fixed order.
	References() []Reference
}

// Encode gives the one form in which an entity is stored and compared.
func Encode(entity Entity) ([]byte, error) {
	body, err := json.Marshal(entity)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", entity.EntityKind(), entity.GetHead().ID, err)
	}
	return body, nil
}

// Decode is the inverse of Encode. An unknown kind or a malformed body is an error.
func Decode(kind Kind, body []byte) (Entity, error) {
	entity, ok := newEntity(kind)
	if !ok {
		return nil, fmt.Errorf("decode: unknown kind %q", kind)
	}
	if err := json.Unmarshal(body, entity); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return entity, nil
}

func newEntity(kind Kind) (Entity, bool) {
	switch kind {
	case KindOrganization:
		return &Organization{}, true
	case KindProject:
		return &Project{}, true
	case KindMember:
		return &Member{}, true
	case KindGroup:
		return &Group{}, true
	case KindApplication:
		return &Application{}, true
	case KindAPIKey:
		return &APIKey{}, true
	case KindPolicy:
		return &Policy{}, true
	case KindPermissionSet:
		return &PermissionSet{}, true
	case KindSSHKey:
		return &SSHKey{}, true
	}
	return nil, false
}
