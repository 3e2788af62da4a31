// SPDX-License-Identifier: Apache-2.0

//go:build peers

package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
	"github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/server/config"

	"github.com/openfga/openfga/pkg/storage"
	"github.com/openfga/openfga/pkg/storage/memory"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/iam-operator/iam-operator/internal/authz/reference"
)

// openfga is OpenFGA: its server in this process, called without a network, with its storage in memory. Permission sets are
// relations of a Project or an Organization, and a permission is the union of the sets that hold it, there or in the parent.
// Its caches of answers are off, which is the default: they show a change only after their time is over.
type openfga struct {
	server  *server.Server
	storage storage.OpenFGADatastore
	store   string
	modelID string
	model   *relationModel
	granted relations
	// subjects are the ids by which a principal asks.
	subjects map[string][]string
}

func newOpenFGA(w *world) (engine, error) {
	s, tuples, err := newOpenFGAServer()
	if err != nil {
		return nil, err
	}
	return newOpenFGAStore(s, tuples, w)
}

// newOpenFGAByOrganization makes a store for each Organization.
func newOpenFGAByOrganization(w *world) (engine, error) {
	s, tuples, err := newOpenFGAServer()
	if err != nil {
		return nil, err
	}
	return byOrganization(func(part *world) (engine, error) { return newOpenFGAStore(s, tuples, part) })(w)
}

// newOpenFGAServer makes a server without a model. The cache keeps what is worked out of models, not answers. The algorithm is
// the newer one, which is still an experiment, since it takes a quarter of the time.
func newOpenFGAServer() (*server.Server, storage.OpenFGADatastore, error) {
	tuples := memory.New(memory.WithMaxTuplesPerWrite(1 << 30))
	cache, err := storage.NewInMemoryLRUCache[any]()
	if err != nil {
		return nil, nil, err
	}
	s, err := server.NewServerWithOpts(server.WithDatastore(tuples), server.WithCheckCache(cache), server.WithExperimentals(config.ExperimentalWeightedGraphCheck))
	return s, tuples, err
}

func newOpenFGAStore(s *server.Server, storage storage.OpenFGADatastore, w *world) (engine, error) {
	e := &openfga{server: s, storage: storage, model: newRelationModel(w), granted: relations{}, subjects: map[string][]string{}}
	ctx := context.Background()
	created, err := s.CreateStore(ctx, &openfgav1.CreateStoreRequest{Name: "benchmark"})
	if err != nil {
		return nil, err
	}
	e.store = created.GetId()
	model, err := transformer.TransformDSLToProto(openfgaModel(e.model))
	if err != nil {
		return nil, err
	}
	// OpenFGA's language cannot say any, which its models can.
	model.GetConditions()["any_of"].GetParameters()["alternatives"] = &openfgav1.ConditionParamTypeRef{
		TypeName: openfgav1.ConditionParamTypeRef_TYPE_NAME_ANY,
	}
	// Past the server, whose limits on the size of a model are for models that come over the network.
	e.modelID = ulid.Make().String()
	model.Id = e.modelID
	if err := storage.WriteAuthorizationModel(ctx, e.store, model); err != nil {
		return nil, err
	}
	tuples, err := e.tuples(w)
	if err != nil {
		return nil, err
	}
	return e, storage.Write(ctx, e.store, nil, tuples)
}

// openfgaModel gives the model in OpenFGA's language.
func openfgaModel(m *relationModel) string {
	text := &strings.Builder{}
	text.WriteString("model\n  schema 1.1\n\ntype subject\n\ntype group\n  relations\n    define member: [subject]\n")
	var grantees []string
	for _, grantee := range []string{"subject", "group#member"} {
		grantees = append(grantees, grantee)
		for _, name := range conditionNames() {
			grantees = append(grantees, grantee+" with "+name)
		}
	}
	for _, project := range []bool{false, true} {
		parent := ""
		if project {
			text.WriteString("\ntype project\n  relations\n    define parent: [organization]\n")
		} else {
			text.WriteString("\ntype organization\n  relations\n")
		}
		for _, set := range m.setsOn(project) {
			fmt.Fprintf(text, "    define %s: [%s]\n", m.set[set], strings.Join(grantees, ", "))
		}
		for _, permission := range m.permissions {
			name := m.permission[permission]
			if project {
				parent = name + " from parent"
			}
			if ways := append(m.holdersOn(project, permission), parent); strings.Join(ways, "") != "" {
				fmt.Fprintf(text, "    define %s: %s\n", name, strings.TrimSuffix(strings.Join(ways, " or "), " or "))
			}
		}
	}
	// In OpenFGA a parameter is written name: type.
	parameter := regexp.MustCompile(`([(,] ?\w+) (\w+[<\w>]*)`)
	for _, line := range strings.Split(strings.TrimSpace(conditionText("condition", "list<string>")), "\n") {
		head, body, _ := strings.Cut(line, " { ")
		fmt.Fprintf(text, "\n%s {\n  %s\n}\n", parameter.ReplaceAllString(head, "$1: $2"), strings.TrimSuffix(body, " }"))
	}
	return text.String()
}

// tuples are all that there is in a world.
func (e *openfga) tuples(w *world) ([]*openfgav1.TupleKey, error) {
	var all []*openfgav1.TupleKey
	for organization, projects := range w.projects {
		for _, project := range projects {
			all = append(all, &openfgav1.TupleKey{User: "organization:" + organization, Relation: "parent", Object: "project:" + project})
		}
	}
	for _, p := range w.principals {
		e.subjects[p.id] = p.subjects()
		for _, group := range p.groups {
			for _, subject := range e.subjects[p.id] {
				all = append(all, &openfgav1.TupleKey{User: "subject:" + subject, Relation: "member", Object: "group:" + group})
			}
		}
	}
	for _, p := range w.policies {
		e.granted.add(p)
	}
	granted, err := e.all(slices.Collect(maps.Keys(e.granted)))
	return append(all, granted...), err
}

// of gives the tuples of a relation: for a group one, for a principal one for each id by which it asks.
func (e *openfga) of(at relation) ([]*openfgav1.TupleKey, error) {
	c, found := e.granted.condition(at)
	if !found {
		return nil, nil
	}
	users := []string{"group:" + at.grantee + "#member"}
	if !at.toGroup {
		users = nil
		for _, subject := range e.subjects[at.grantee] {
			users = append(users, "subject:"+subject)
		}
	}
	condition, err := openfgaCondition(c)
	if err != nil {
		return nil, err
	}
	var tuples []*openfgav1.TupleKey
	for _, user := range users {
		tuples = append(tuples, &openfgav1.TupleKey{User: user, Relation: e.model.set[at.set], Object: openfgaObject(at.scope), Condition: condition})
	}
	return tuples, nil
}

func openfgaObject(s scope) string {
	if s.isProject {
		return "project:" + s.id
	}
	return "organization:" + s.id
}

func openfgaCondition(c reference.Condition) (*openfgav1.RelationshipCondition, error) {
	if c == nil {
		return nil, nil // a tuple without a condition has nil
	}
	name, values := parameters(c)
	given, err := structpb.NewStruct(values)
	return &openfgav1.RelationshipCondition{Name: name, Context: given}, err
}

func (e *openfga) prepare(q *question) (ask, error) {
	given, err := structpb.NewStruct(relationContext(q))
	if err != nil {
		return nil, err
	}
	r := &openfgav1.CheckRequest{
		StoreId: e.store, AuthorizationModelId: e.modelID, Context: given,
		TupleKey: &openfgav1.CheckRequestTupleKey{
			User: "subject:" + q.subject, Relation: e.model.permission[q.permission], Object: openfgaObject(q.scope),
		},
	}
	ctx := context.Background()
	return func() (bool, error) {
		response, err := e.server.Check(ctx, r)
		return response.GetAllowed(), err
	}, nil
}

// update deletes all tuples of the relations that are concerned, and writes them anew: OpenFGA does not do both to one tuple
// in one call.
func (e *openfga) update(before, after *policy) error {
	concerned := e.granted.concerned(before, after)
	old, err := e.all(concerned)
	if err != nil {
		return err
	}
	e.granted.remove(before)
	e.granted.add(after)
	tuples, err := e.all(concerned)
	if err != nil {
		return err
	}
	deletes := make([]*openfgav1.TupleKeyWithoutCondition, len(old))
	for i, t := range old {
		deletes[i] = &openfgav1.TupleKeyWithoutCondition{User: t.GetUser(), Relation: t.GetRelation(), Object: t.GetObject()}
	}
	ctx := context.Background()
	if err := e.storage.Write(ctx, e.store, deletes, nil); err != nil {
		return err
	}
	return e.storage.Write(ctx, e.store, nil, tuples)
}

// all gives the tuples of relations.
func (e *openfga) all(relations []relation) ([]*openfgav1.TupleKey, error) {
	var all []*openfgav1.TupleKey
	for _, at := range relations {
		tuples, err := e.of(at)
		if err != nil {
			return nil, err
		}
		all = append(all, tuples...)
	}
	return all, nil
}
