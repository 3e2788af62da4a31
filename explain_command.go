// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/iam-operator/iam-operator/internal/authz"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// The exit codes of `iam-operator explain`, beside exitUsage.
const (
	exitAllowed = 0
	exitDenied  = 1
)

// explainPage is how many results a search asks the engine for at once.
const explainPage = 100

const explainUsage = `usage: iam-operator explain <command> --database <file> [flags]

  why    say whether somebody may do something, and why, or what would have to be true
  who    list who may do something
  what   list what somebody may do, and where

  iam-operator explain why --subject member:shop/maya --permission object_storage:bucket:read --project shop/web --ip 192.0.2.7
  iam-operator explain who --permission instances:server:start --project shop/web
  iam-operator explain what --subject application:shop/deployer

The database may be one that an operator is writing; it is only read.
iam-operator explain <command> --help lists the flags.
Exit codes: 0 allowed or done, 1 denied, 2 wrong usage, or it could not be done.
`

// explainCommand is the outside world of `iam-operator explain`.
type explainCommand struct {
	out, err io.Writer
	now      func() time.Time
}

// explanationFlags are what is asked.
type explanationFlags struct {
	database, subject, permission, project, organization, at string
	kind                                                     string
	request                                                  authz.Request
}

// runExplain runs `iam-operator explain`, and gives its exit code.
func runExplain(ctx context.Context, args []string) int {
	return explainCommand{out: os.Stdout, err: os.Stderr, now: time.Now}.run(ctx, args)
}

func (c explainCommand) run(ctx context.Context, args []string) int {
	commands := map[string]func(context.Context, *explained) (int, error){"why": c.why, "who": c.who, "what": c.what}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(c.err, explainUsage)
		return exitUsage
	}
	asked, err := c.ask(ctx, args[0], args[1:])
	code := exitUsage
	if err == nil {
		code, err = commands[args[0]](ctx, asked)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitAllowed
	case err != nil:
		fmt.Fprintf(c.err, "iam-operator explain %s: %v\n", args[0], err)
		return exitUsage
	}
	return code
}

// explained is a question, and the world in which it is asked.
type explained struct {
	explanationFlags
	entities []iam.Entity
	view     authz.View
}

// ask reads the flags and the store.
func (c explainCommand) ask(ctx context.Context, command string, args []string) (*explained, error) {
	var asked explained
	flags := flag.NewFlagSet("iam-operator explain "+command, flag.ContinueOnError)
	flags.SetOutput(c.err)
	asked.bind(flags, command)
	if err := parseAll(flags, args); err != nil {
		return nil, err
	}
	if asked.database == "" {
		return nil, errors.New("--database is the path of the operator's SQLite file, and has to be given")
	}
	database, err := sqlite.OpenView(ctx, asked.database)
	if err != nil {
		return nil, err
	}
	entities, revision, err := database.Snapshot(ctx)
	if err := errors.Join(err, database.Close()); err != nil {
		return nil, err
	}
	asked.entities, asked.view = entities, authz.NewSnapshot(entities, revision).View(c.now())
	return &asked, asked.resolve(command)
}

func (f *explanationFlags) bind(flags *flag.FlagSet, command string) {
	flags.StringVar(&f.database, "database", "", "path of the SQLite file; an operator may be writing it")
	if command != "who" {
		flags.StringVar(&f.subject, "subject", "", "member:<namespace>/<name>, application:<namespace>/<name>, owner:<namespace>/<name of the Organization>, api_key:<access key>, or user:<id>")
	} else {
		flags.StringVar(&f.kind, "kind", string(authz.SubjectUser), "whom to look for: user, application, owner or api_key")
		flags.StringVar(&f.organization, "organization", "", "<namespace>/<name> of the Organization whose subjects may be; that of --project if absent")
	}
	if command != "what" {
		flags.StringVar(&f.permission, "permission", "", "service:resource:action, such as object_storage:bucket:read")
		flags.StringVar(&f.project, "project", "", "<namespace>/<name> or id of the Project, <namespace>/default for the default Project; absent: the Organization as a whole")
	}
	a := &f.request.Attributes
	flags.StringVar(&a.IP, "ip", "", "where the request would come from; absent: unknown")
	flags.StringVar(&a.UserAgent, "user-agent", "", "what it would be made with; absent: unknown")
	flags.StringVar(&f.at, "time", "", "when it would be made, in the form of RFC 3339; absent: now")
	flags.StringVar(&a.ResourceName, "resource-name", "", "name of the resource; absent: unknown")
	flags.StringVar(&a.ResourceID, "resource-id", "", "id of the resource; absent: unknown, as for a list or a creation")
	flags.StringVar(&a.ResourceLocality, "resource-locality", "", "where the resource is, such as fr-par; absent: unknown")
}

// resolve turns what the flags name into ids.
func (e *explained) resolve(command string) error {
	var err error
	if e.at != "" {
		if e.request.Attributes.Time, err = time.Parse(time.RFC3339, e.at); err != nil {
			return fmt.Errorf("--time: %q has not the form of RFC 3339, such as 2026-03-02T12:00:00Z", e.at)
		}
	}
	if command != "what" {
		if e.request.Permission, err = iam.ParsePermission(e.permission); err != nil {
			return fmt.Errorf("--permission: %w", err)
		}
		if err := e.resolveScope(); err != nil {
			return err
		}
	}
	if command == "who" {
		return nil
	}
	e.request.Subject, err = e.resolveSubject()
	return err
}

func (e *explained) resolveScope() error {
	if e.organization != "" {
		organization, found := e.named(iam.KindOrganization, e.organization)
		if !found {
			return fmt.Errorf("--organization: there is no Organization %s", e.organization)
		}
		e.request.Scope.OrganizationID = organization.ID
	}
	if e.project == "" {
		return nil
	}
	project, found := e.named(iam.KindProject, e.project)
	if namespace, isDefault := strings.CutSuffix(e.project, "/default"); !found && isDefault {
		project, found = e.ofOrganization(iam.KindProject, func(head iam.Head) bool { return head.Object.Namespace == namespace })
	}
	if !found {
		return fmt.Errorf("--project: there is no Project %s; give its namespace and name, or its id", e.project)
	}
	e.request.Scope = authz.Scope{OrganizationID: project.OrganizationID, ProjectID: project.ID}
	return nil
}

// resolveSubject takes what is no name for an id: of a subject that does not exist, too, it can be said why it may do nothing.
func (e *explained) resolveSubject() (authz.Subject, error) {
	kind, name, found := strings.Cut(e.subject, ":")
	if !found || name == "" {
		return authz.Subject{}, errors.New("--subject: write member:<namespace>/<name>, application:<namespace>/<name>, owner:<namespace>/<name>, api_key:<access key> or user:<id>")
	}
	of := map[string]struct {
		kind   authz.SubjectKind
		entity iam.Kind
	}{
		"member": {authz.SubjectUser, iam.KindMember}, "user": {authz.SubjectUser, iam.KindMember}, "owner": {authz.SubjectOwner, iam.KindMember},
		"application": {authz.SubjectApplication, iam.KindApplication}, "api_key": {authz.SubjectAPIKey, iam.KindAPIKey},
	}[kind]
	if of.kind == "" {
		return authz.Subject{}, fmt.Errorf("--subject: %q is no kind of subject; there are member, user, application, owner and api_key", kind)
	}
	head, found := e.named(of.entity, name)
	if kind == "owner" {
		head, found = e.ofOrganization(of.entity, func(head iam.Head) bool {
			return head.ID == name || head.Object.Namespace+"/"+head.Object.Name == name
		})
	}
	if found && kind != "api_key" {
		name = head.ID
	}
	return authz.Subject{Kind: of.kind, ID: name}, nil
}

// named finds an entity by its id, or by <namespace>/<name> of its object.
func (e *explained) named(kind iam.Kind, name string) (iam.Head, bool) {
	namespace, object, qualified := strings.Cut(name, "/")
	for _, entity := range e.entities {
		head := entity.GetHead()
		named := qualified && head.Object == iam.Object{Kind: kind, Namespace: namespace, Name: object, UID: head.Object.UID}
		if entity.EntityKind() == kind && (head.ID == name || named) {
			return head, true
		}
	}
	return iam.Head{}, false
}

// ofOrganization finds what comes with an Organization and has no object of its own: the owner, and the default Project.
func (e *explained) ofOrganization(kind iam.Kind, matches func(iam.Head) bool) (iam.Head, bool) {
	for _, entity := range e.entities {
		if head := entity.GetHead(); entity.EntityKind() == kind && head.Object.Kind == iam.KindOrganization && matches(head) {
			return head, true
		}
	}
	return iam.Head{}, false
}

func (c explainCommand) why(_ context.Context, e *explained) (int, error) {
	explanation := e.view.Explain(&e.request)
	answer, code := "DENIED", exitDenied
	if explanation.Decision.Allowed {
		answer, code = "ALLOWED", exitAllowed
	}
	fmt.Fprintf(c.out, "%s (%s, revision %s)\n%s\n", answer, explanation.Decision.Reason, explanation.Decision.Revision, explanation.Sentence)
	if len(explanation.Remedies) > 0 {
		fmt.Fprintf(c.out, "It would be allowed if:\n")
		for _, remedy := range explanation.Remedies {
			fmt.Fprintf(c.out, "  - %s\n", remedy)
		}
	}
	return code, nil
}

func (c explainCommand) who(ctx context.Context, e *explained) (int, error) {
	r := e.request
	r.Subject.Kind = authz.SubjectKind(e.kind)
	kinds := []authz.SubjectKind{authz.SubjectUser, authz.SubjectApplication, authz.SubjectOwner, authz.SubjectAPIKey}
	if !slices.Contains(kinds, r.Subject.Kind) {
		return exitUsage, fmt.Errorf("--kind: %q is no kind of subject; there are %v", e.kind, kinds)
	}
	if r.Scope.OrganizationID == "" {
		return exitUsage, errors.New("give --project, or --organization for the Organization as a whole")
	}
	table := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tID\tNAME\tBECAUSE")
	for after, more := "", true; more; more = after != "" {
		var found []string
		var err error
		if found, after, err = e.view.Subjects(ctx, &r, after, explainPage); err != nil {
			return exitUsage, err
		}
		for _, id := range found {
			asked := r
			asked.Subject.ID = id
			explanation := e.view.Explain(&asked)
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Subject.Kind, id, e.label(explanation.Decision.Principal.ID), because(explanation.Decision))
		}
	}
	return exitAllowed, table.Flush()
}

func (c explainCommand) what(ctx context.Context, e *explained) (int, error) {
	explanation := e.view.Explain(&authz.Request{Subject: e.request.Subject, Permission: iam.Permission{Service: "iam", Resource: "user", Action: "read"}})
	principal := explanation.Decision.Principal
	if principal.Kind == "" {
		return exitUsage, errors.New(explanation.Sentence)
	}
	table := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "WHERE\tPERMISSION\tBECAUSE")
	for _, scope := range e.scopes(principal.OrganizationID) {
		r := e.request
		r.Scope = scope.Scope
		for after, more := "", true; more; more = after != "" {
			var found []string
			var err error
			if found, after, err = e.view.Actions(ctx, &r, after, explainPage); err != nil {
				return exitUsage, err
			}
			for _, text := range found {
				r.Permission, _ = iam.ParsePermission(text)
				fmt.Fprintf(table, "%s\t%s\t%s\n", scope.name, text, because(e.view.Decide(&r)))
			}
			r.Permission = iam.Permission{}
		}
	}
	return exitAllowed, table.Flush()
}

type namedScope struct {
	authz.Scope
	name string
}

// scopes are the Organization as a whole, and its Projects by name.
func (e *explained) scopes(organizationID string) []namedScope {
	var projects []namedScope
	for _, entity := range e.entities {
		if project, ok := entity.(*iam.Project); ok && project.OrganizationID == organizationID {
			projects = append(projects, namedScope{authz.Scope{OrganizationID: organizationID, ProjectID: project.ID}, "Project " + project.Name})
		}
	}
	slices.SortFunc(projects, func(a, b namedScope) int { return strings.Compare(a.name, b.name) })
	return append([]namedScope{{authz.Scope{OrganizationID: organizationID}, "Organization"}}, projects...)
}

func (e *explained) label(id string) string {
	for _, entity := range e.entities {
		if kind := entity.EntityKind(); (kind == iam.KindMember || kind == iam.KindApplication) && entity.GetHead().ID == id {
			return entity.Label()
		}
	}
	return ""
}

func because(d authz.Decision) string {
	if d.Reason == authz.ReasonOwner {
		return "owner"
	}
	text := fmt.Sprintf("policy %s, set %s", d.Grant.PolicyName, d.Grant.PermissionSet)
	if d.Grant.Condition != "" {
		text += ", condition " + d.Grant.Condition
	}
	return text
}
