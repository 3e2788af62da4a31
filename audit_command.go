// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/auditapi/query"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// The exit codes of `iam-operator audit`.
const (
	exitIntact   = 0
	exitTampered = 1
	exitUsage    = 2
)

const auditUsage = `usage: iam-operator audit <command> [flags]

  verify   say whether the audit log is intact, or what was altered, removed or inserted
  export   write the audit log as lines of JSON, which can be verified by themselves
  tail     print new audit events as they come

iam-operator audit <command> --help lists the flags.
Exit codes: 0 intact or done, 1 tampered with, 2 wrong usage, or it could not be done.
`

const (
	// progressEvery is after how many events it is said how far long work has come.
	progressEvery = 100_000
	// tailEvery is how often it is looked for new events.
	tailEvery = 200 * time.Millisecond
)

// auditCommand is the outside world of `iam-operator audit`.
type auditCommand struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
}

// runAudit runs `iam-operator audit`, and gives its exit code.
func runAudit(ctx context.Context, args []string) int {
	c := auditCommand{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now}
	return c.run(ctx, args)
}

func (c auditCommand) run(ctx context.Context, args []string) int {
	commands := map[string]func(context.Context, []string) (int, error){"verify": c.verify, "export": c.export, "tail": c.tail}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(c.err, auditUsage)
		return exitUsage
	}
	code, err := commands[args[0]](ctx, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitIntact
	case err != nil:
		fmt.Fprintf(c.err, "iam-operator audit %s: %v\n", args[0], err)
		return exitUsage
	}
	return code
}

func (c auditCommand) flags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet("iam-operator audit "+name, flag.ContinueOnError)
	flags.SetOutput(c.err)
	return flags
}

func parseAll(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag; --help lists the flags", flags.Arg(0))
	}
	return nil
}

// progress says on the error output how far long work has come.
func (c auditCommand) progress(done string) func(int64) {
	return func(events int64) {
		if events > 0 && events%progressEvery == 0 {
			fmt.Fprintf(c.err, "%d events %s\n", events, done)
		}
	}
}

// verification is the flags of verify.
type verification struct {
	database, export, checkpoint, former, keys, namespace string
	fromCluster                                           bool
}

func (c auditCommand) verify(ctx context.Context, args []string) (int, error) {
	var v verification
	flags := c.flags("verify")
	flags.StringVar(&v.database, "database", "", "path of the SQLite file; an operator may be writing it")
	flags.StringVar(&v.export, "export", "", "path of an export, or - for the standard input, in place of --database")
	flags.StringVar(&v.checkpoint, "checkpoint", "", "file with the newest checkpoint that was published (checkpoint.json of the ConfigMap)")
	flags.StringVar(&v.former, "former-checkpoint", "", "file with the last checkpoint of the store before this one, if there is one (former-checkpoint.json of the ConfigMap)")
	flags.StringVar(&v.keys, "public-keys", "", "file with the public keys (public-keys.pem of the ConfigMap)")
	flags.BoolVar(&v.fromCluster, "from-cluster", false, "read the checkpoint and the keys from the ConfigMap in the cluster of the kubeconfig")
	flags.StringVar(&v.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the operator's namespace, with --from-cluster (default $POD_NAMESPACE)")
	clientconfig.RegisterFlags(flags)
	if err := parseAll(flags, args); err != nil {
		return exitUsage, err
	}
	// Before the store is read: what is published after would be ahead of it.
	trust, err := v.trust(ctx)
	if err != nil {
		return exitUsage, err
	}
	result, err := c.check(ctx, v, trust)
	if err != nil {
		return exitUsage, err
	}
	return c.report(result), nil
}

// trust reads what to hold the log against.
func (v verification) trust(ctx context.Context) (chain.Trust, error) {
	switch {
	case (v.database == "") == (v.export == ""):
		return chain.Trust{}, errors.New("give --database or --export, and not both")
	case v.fromCluster && (v.checkpoint != "" || v.former != "" || v.keys != ""):
		return chain.Trust{}, errors.New("give --from-cluster, or --checkpoint and --public-keys, and not both")
	case v.fromCluster && v.namespace == "":
		return chain.Trust{}, errors.New("--from-cluster needs the operator's --namespace")
	case v.fromCluster:
		return v.published(ctx)
	}
	return v.files()
}

// files reads what to hold the log against from the files that were named, if any were.
func (v verification) files() (trust chain.Trust, err error) {
	if v.keys != "" {
		if trust.Keys, err = readKeys(v.keys); err != nil {
			return chain.Trust{}, fmt.Errorf("read the public keys from %s: %w", v.keys, err)
		}
	}
	if trust.Newest, err = readCheckpoint(v.checkpoint); err != nil {
		return chain.Trust{}, err
	}
	trust.Former, err = readCheckpoint(v.former)
	return trust, err
}

// readCheckpoint reads a file that was named; nil where none was.
func readCheckpoint(path string) (*iam.Checkpoint, error) {
	if path == "" {
		return nil, nil
	}
	checkpoint := &iam.Checkpoint{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, checkpoint)
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint from %s: %w", path, err)
	}
	return checkpoint, nil
}

func readKeys(path string) (chain.PublicKeys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := chain.ParsePublicKeys(text)
	if err == nil && len(keys) == 0 {
		err = errors.New("there is none")
	}
	return keys, err
}

func (v verification) published(ctx context.Context) (chain.Trust, error) {
	config, err := clientconfig.GetConfig()
	if err != nil {
		return chain.Trust{}, err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return chain.Trust{}, err
	}
	configMap := &corev1.ConfigMap{}
	if err := cluster.Get(ctx, client.ObjectKey{Namespace: v.namespace, Name: controllers.AuditCheckpointConfigMap}, configMap); err != nil {
		return chain.Trust{}, fmt.Errorf("read the published checkpoint: %w", err)
	}
	published, err := controllers.ReadAuditCheckpoint(configMap)
	if err != nil {
		return chain.Trust{}, fmt.Errorf("read ConfigMap %s: %w", configMap.Name, err)
	}
	return chain.Trust{Keys: published.Keys, Newest: published.Newest, Former: published.Former}, nil
}

func (c auditCommand) check(ctx context.Context, v verification, trust chain.Trust) (result chain.Result, err error) {
	if v.export == "-" {
		return chain.VerifyExport(c.in, trust, c.progress("verified"))
	}
	if v.export != "" {
		file, err := os.Open(v.export)
		if err != nil {
			return chain.Result{}, err
		}
		defer file.Close()
		return chain.VerifyExport(file, trust, c.progress("verified"))
	}
	view, err := openView(ctx, v.database)
	if err != nil {
		return chain.Result{}, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	return chain.VerifyStore(ctx, view, trust, c.progress("verified"))
}

func openView(ctx context.Context, path string) (*sqlite.View, error) {
	if path == "" {
		return nil, errors.New("give --database, the path of the SQLite file")
	}
	return sqlite.OpenView(ctx, path)
}

// report says what a verification came to.
func (c auditCommand) report(r chain.Result) int {
	if r.Restarted != "" {
		fmt.Fprintf(c.out, "RESTARTED: %s\n", r.Restarted)
	}
	if r.Finding != nil {
		fmt.Fprintf(c.out, "TAMPERED WITH\n%v\n", r.Finding)
		fmt.Fprintf(c.out, "This is the first problem; %d events and %d checkpoints of store %s were intact before it.\n", r.Events, r.Checkpoints, r.Incarnation)
		return exitTampered
	}
	fmt.Fprintf(c.out, "intact: %d events (%d to %d) in %d chains, and %d checkpoints, of store %s\n", r.Events, r.First, r.Last, r.Chains, r.Checkpoints, r.Incarnation)
	if r.LastCheckpoint > 0 {
		fmt.Fprintf(c.out, "checkpoint %d of %s is the newest; %d events after it are chained, and not vouched for yet\n",
			r.LastCheckpoint, r.LastCheckpointAt.UTC().Format(time.RFC3339), r.Unvouched)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(c.out, "note: %s\n", note)
	}
	return exitIntact
}

// selection is the flags that say which events are meant.
type selection struct{ database, selector, organization string }

func (s *selection) bind(flags *flag.FlagSet) {
	flags.StringVar(&s.database, "database", "", "path of the SQLite file; an operator may be writing it")
	flags.StringVar(&s.selector, "field-selector", "", "which events, as for `kubectl get auditevents`: "+strings.Join(query.Labels(), ", ")+", since, until")
	flags.StringVar(&s.organization, "organization", "", "id of the Organization whose events are meant (default: all)")
}

func (s *selection) query(now time.Time) (query.Query, error) {
	selector, err := fields.ParseSelector(s.selector)
	if err != nil {
		return query.Query{}, fmt.Errorf("--field-selector: %w", err)
	}
	q, err := query.Parse(selector, now)
	if err != nil {
		return query.Query{}, err
	}
	q.OrganizationID = s.organization
	return q, nil
}

func (c auditCommand) export(ctx context.Context, args []string) (code int, err error) {
	var s selection
	var resume string
	flags := c.flags("export")
	s.bind(flags)
	flags.StringVar(&resume, "resume", "", "file with a former export, which is gone on with, in place of the standard output")
	if err := parseAll(flags, args); err != nil {
		return exitUsage, err
	}
	q, err := s.query(c.now())
	if err != nil {
		return exitUsage, err
	}
	if q.None || len(q.Also) > 0 || len(q.Nots) > 0 {
		return exitUsage, errors.New("an export takes one value for a field, and one that it is not")
	}
	view, err := openView(ctx, s.database)
	if err != nil {
		return exitUsage, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	e := chain.Export{Source: view, Query: q.EventQuery, Progress: c.progress("written")}
	var counts chain.Counts
	if resume == "" {
		counts, err = e.Run(ctx, c.out, nil)
	} else {
		counts, err = resumeExport(ctx, e, resume)
	}
	if err != nil {
		return exitUsage, err
	}
	fmt.Fprintf(c.err, "%d events, %d stubs and %d checkpoints, up to event %d\n", counts.Events, counts.Stubs, counts.Checkpoints, counts.Sequence)
	return exitIntact, nil
}

// resumeExport goes on with the export in a file.
func resumeExport(ctx context.Context, e chain.Export, path string) (counts chain.Counts, err error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR, 0)
	if err != nil {
		return chain.Counts{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	former, err := chain.Resume(file)
	if err != nil {
		return chain.Counts{}, fmt.Errorf("resume %s: %w", path, err)
	}
	// What "since" meant when the export began is what it means now.
	e.Query.Since, e.Query.Until = former.Header.Query.Since, former.Header.Query.Until
	if err := former.Fits(ctx, &e); err != nil {
		return chain.Counts{}, fmt.Errorf("resume %s: %w", path, err)
	}
	if err := file.Truncate(former.Size); err != nil {
		return chain.Counts{}, err
	}
	if _, err := file.Seek(former.Size, io.SeekStart); err != nil {
		return chain.Counts{}, err
	}
	return e.Run(ctx, file, former)
}

func (c auditCommand) tail(ctx context.Context, args []string) (code int, err error) {
	var s selection
	var asJSON bool
	flags := c.flags("tail")
	s.bind(flags)
	flags.BoolVar(&asJSON, "json", false, "print each event as a line of JSON, with its seal")
	if err := parseAll(flags, args); err != nil {
		return exitUsage, err
	}
	q, err := s.query(c.now())
	if err != nil {
		return exitUsage, err
	}
	view, err := openView(ctx, s.database)
	if err != nil {
		return exitUsage, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	there, err := view.EventRange(ctx, q.EventScope)
	for after := there.Newest; err == nil && ctx.Err() == nil; {
		var events []iam.Event
		if events, err = view.EventsAfter(ctx, q.EventScope, after, store.MaxPageSize); err == nil {
			for _, event := range events {
				after = event.Sequence
				if q.Matches(event) {
					err = errors.Join(err, c.show(event, asJSON))
				}
			}
		}
		if len(events) == 0 {
			wait(ctx, tailEvery)
		}
	}
	if ctx.Err() != nil {
		return exitIntact, nil
	}
	return exitUsage, err
}

func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// show prints one event.
func (c auditCommand) show(event iam.Event, asJSON bool) error {
	out := bufio.NewWriter(c.out)
	if asJSON {
		if err := json.NewEncoder(out).Encode(chain.EventRecord{Sequence: event.Sequence, Revision: event.Revision, Seal: event.Seal, Body: event}); err != nil {
			return err
		}
		return out.Flush()
	}
	about := make([]string, 0, len(event.Resources))
	for _, resource := range event.Resources {
		name := resource.Name
		if name == "" {
			name = resource.ID
		}
		about = append(about, string(resource.Kind)+"/"+name)
	}
	fmt.Fprintf(out, "%s\t%d\t%s\t%s\t%s\t%d\n", event.RecordedAt.UTC().Format(time.RFC3339), event.Sequence, event.Principal.Name, event.Method, strings.Join(about, ","), event.StatusCode)
	return out.Flush()
}
