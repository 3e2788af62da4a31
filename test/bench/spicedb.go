// SPDX-License-Identifier: Apache-2.0

//go:build peers

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	caveattypes "github.com/authzed/spicedb/pkg/caveats/types"
	dscfg "github.com/authzed/spicedb/pkg/cmd/datastore"
	"github.com/authzed/spicedb/pkg/datalayer"
	"github.com/authzed/spicedb/pkg/datastore"
	"github.com/authzed/spicedb/pkg/embedded"
	core "github.com/authzed/spicedb/pkg/proto/core/v1"
	"github.com/authzed/spicedb/pkg/tuple"
	"google.golang.org/protobuf/types/known/structpb"
)

// spicedb is SpiceDB embedded in this process, without a server, as its package of that name is meant for, with its datastore
// in memory. The schema is as OpenFGA's model.
type spicedb struct {
	*embedded.Permissions
	datastore datastore.Datastore
	model     *relationModel
	granted   relations
	// subjects are the ids by which a principal asks.
	subjects map[string][]string
}

func newSpiceDB(w *world) (engine, error) {
	e := &spicedb{model: newRelationModel(w), granted: relations{}, subjects: map[string][]string{}}
	ctx := context.Background()
	schema := "schema: |-\n  " + strings.ReplaceAll(spicedbSchema(e.model), "\n", "\n  ")
	var err error
	e.datastore, err = dscfg.NewDatastore(ctx, dscfg.DefaultDatastoreConfig().ToOption(), dscfg.WithEngine("memory"),
		dscfg.SetBootstrapFileContents(map[string][]byte{"schema.yaml": []byte(schema)}),
		dscfg.WithCaveatTypeSet(caveattypes.Default.TypeSet), dscfg.WithBootstrapSchemaMode(datalayer.SchemaModeReadNewWriteNew))
	if err != nil {
		return nil, err
	}
	e.Permissions, err = embedded.NewPermissions(embedded.Config{
		Datastore: e.datastore, SchemaMode: datalayer.SchemaModeReadNewWriteNew, SchemaCacheMaxCostBytes: 64 << 20,
	})
	if err != nil {
		return nil, err
	}
	all, err := e.relationships(w)
	if err != nil {
		return nil, err
	}
	return e, e.write(all)
}

// spicedbSchema gives the schema in SpiceDB's language.
func spicedbSchema(m *relationModel) string {
	text := &strings.Builder{}
	text.WriteString(strings.TrimSpace(conditionText("caveat", "any")))
	text.WriteString("\n\ndefinition subject {}\n\ndefinition group {\n  relation member: subject\n}\n")
	var grantees []string
	for _, grantee := range []string{"subject", "group#member"} {
		grantees = append(grantees, grantee)
		for _, name := range conditionNames() {
			grantees = append(grantees, grantee+" with "+name)
		}
	}
	for _, project := range []bool{false, true} {
		if project {
			text.WriteString("\ndefinition project {\n  relation parent: organization\n")
		} else {
			text.WriteString("\ndefinition organization {\n")
		}
		for _, set := range m.setsOn(project) {
			fmt.Fprintf(text, "  relation %s: %s\n", m.set[set], strings.Join(grantees, " | "))
		}
		for _, permission := range m.permissions {
			ways := m.holdersOn(project, permission)
			if project {
				ways = append(ways, "parent->"+m.permission[permission])
			}
			fmt.Fprintf(text, "  permission %s = %s\n", m.permission[permission], strings.Join(ways, " + "))
		}
		text.WriteString("}\n")
	}
	return text.String()
}

// relationships are all that there is in a world.
func (e *spicedb) relationships(w *world) ([]tuple.RelationshipUpdate, error) {
	var all []tuple.RelationshipUpdate
	for organization, projects := range w.projects {
		for _, project := range projects {
			all = append(all, relate(tuple.ONR("project", project, "parent"), subjectOf("organization", organization), nil))
		}
	}
	for _, p := range w.principals {
		e.subjects[p.id] = p.subjects()
		for _, group := range p.groups {
			for _, subject := range e.subjects[p.id] {
				all = append(all, relate(tuple.ONR("group", group, "member"), subjectOf("subject", subject), nil))
			}
		}
	}
	for _, p := range w.policies {
		e.granted.add(p)
	}
	granted, err := e.all(slices.Collect(maps.Keys(e.granted)))
	return append(all, granted...), err
}

func subjectOf(kind, id string) tuple.ObjectAndRelation { return tuple.ONR(kind, id, tuple.Ellipsis) }

func relate(resource, subject tuple.ObjectAndRelation, caveat *core.ContextualizedCaveat) tuple.RelationshipUpdate {
	return tuple.Touch(tuple.Relationship{
		RelationshipReference: tuple.RelationshipReference{Resource: resource, Subject: subject}, OptionalCaveat: caveat,
	})
}

// all gives the relationships of relations: for a group one, for a principal one for each id by which it asks.
func (e *spicedb) all(relations []relation) ([]tuple.RelationshipUpdate, error) {
	var all []tuple.RelationshipUpdate
	for _, at := range relations {
		c, found := e.granted.condition(at)
		if !found {
			continue
		}
		var caveat *core.ContextualizedCaveat
		if c != nil {
			name, values := parameters(c)
			given, err := structpb.NewStruct(values)
			if err != nil {
				return nil, err
			}
			caveat = &core.ContextualizedCaveat{CaveatName: name, Context: given}
		}
		kind := "organization"
		if at.scope.isProject {
			kind = "project"
		}
		for _, grantee := range e.grantees(at) {
			all = append(all, relate(tuple.ONR(kind, at.scope.id, e.model.set[at.set]), grantee, caveat))
		}
	}
	return all, nil
}

func (e *spicedb) grantees(at relation) []tuple.ObjectAndRelation {
	if at.toGroup {
		return []tuple.ObjectAndRelation{tuple.ONR("group", at.grantee, "member")}
	}
	var all []tuple.ObjectAndRelation
	for _, subject := range e.subjects[at.grantee] {
		all = append(all, subjectOf("subject", subject))
	}
	return all
}

// write writes in one transaction, as SpiceDB's own calls do.
func (e *spicedb) write(updates []tuple.RelationshipUpdate) error {
	_, err := e.datastore.ReadWriteTx(context.Background(), func(ctx context.Context, tx datastore.ReadWriteTransaction) error {
		return tx.WriteRelationships(ctx, updates)
	})
	return err
}

func (e *spicedb) prepare(q *question) (ask, error) {
	r := embedded.CheckRequest{
		ResourceType: "organization", ResourceID: q.scope.id, Permission: e.model.permission[q.permission],
		SubjectType: "subject", SubjectID: q.subject, CaveatContext: relationContext(q),
	}
	if q.scope.isProject {
		r.ResourceType = "project"
	}
	ctx := context.Background()
	return func() (bool, error) {
		result, err := e.Check(ctx, r)
		if result.IsConditional {
			err = errors.New("attributes are missing")
		}
		return result.HasPermission, err
	}, nil
}

// update deletes the relationships that a policy no longer gives, and writes those that it gives.
func (e *spicedb) update(before, after *policy) error {
	concerned := e.granted.concerned(before, after)
	old, err := e.all(concerned)
	if err != nil {
		return err
	}
	e.granted.remove(before)
	e.granted.add(after)
	updates, err := e.all(concerned)
	if err != nil {
		return err
	}
	kept := map[tuple.RelationshipReference]bool{}
	for _, u := range updates {
		kept[u.Relationship.RelationshipReference] = true
	}
	for _, u := range old {
		if !kept[u.Relationship.RelationshipReference] {
			updates = append(updates, tuple.Delete(u.Relationship))
		}
	}
	return e.write(updates)
}
