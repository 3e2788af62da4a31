// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

var auditStart = time.Date(2026, time.November, 1, 12, 0, 0, 0, time.UTC)

// auditLog is a database with some events that are vouched for, and files with what vouches for them.
type auditLog struct {
	database, checkpoint, keys string
	store                      *sqlite.Store
}

func newAuditLog(t *testing.T) *auditLog {
	t.Helper()
	folder := t.TempDir()
	l := &auditLog{filepath.Join(folder, "iam.db"), filepath.Join(folder, "checkpoint.json"), filepath.Join(folder, "public-keys.pem"), nil}
	var err error
	if l.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: l.database}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.store.Close() })
	keys, err := chain.NewKeys(rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.submit(t, 1, 4)
	signer := &chain.Checkpointer{Store: l.store, Keys: keys, Now: time.Now, Load: func(context.Context) (chain.Published, error) { return chain.Published{}, nil }}
	if err := signer.Write(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	last, err := l.store.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Public.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{l.checkpoint: text, l.keys: public} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *auditLog) submit(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		event := iam.Event{
			ID: fmt.Sprintf("event-%d", i), RecordedAt: auditStart.Add(time.Duration(i) * time.Hour), Organization: iam.EventOrganization{ID: []string{"a", "b"}[i%2]},
			Principal: iam.Actor{Kind: iam.ActorMember, Name: []string{"maya", "mo"}[i%2]}, Method: "CreatePolicy", StatusCode: 200,
			Resources: []iam.EventResource{{Kind: iam.KindPolicy, Name: fmt.Sprintf("policy-%d", i)}},
		}
		if err := l.store.Submit(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
}

// runs runs the command, and gives what it says.
func runs(ctx context.Context, in string, args ...string) (code int, out, errors string) {
	var o, e bytes.Buffer
	c := auditCommand{in: strings.NewReader(in), out: &o, err: &e, now: func() time.Time { return auditStart.Add(6 * time.Hour) }}
	code = c.run(ctx, args)
	return code, o.String(), e.String()
}

func TestAuditUsage(t *testing.T) {
	l := newAuditLog(t)
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":                      {nil, 2, "usage: iam-operator audit <command>"},
		"an unknown command":           {[]string{"burn"}, 2, "usage: iam-operator audit <command>"},
		"help":                         {[]string{"verify", "--help"}, 0, "-from-cluster"},
		"no file":                      {[]string{"verify"}, 2, "give --database or --export, and not both"},
		"two files":                    {[]string{"verify", "--database=a", "--export=b"}, 2, "give --database or --export, and not both"},
		"an unknown flag":              {[]string{"verify", "--colour"}, 2, "not defined: -colour"},
		"no flag":                      {[]string{"verify", "colour"}, 2, `"colour" is no flag`},
		"cluster and file":             {[]string{"verify", "--database=a", "--from-cluster", "--checkpoint=b"}, 2, "give --from-cluster, or --checkpoint and --public-keys, and not both"},
		"cluster without namespace":    {[]string{"verify", "--database=a", "--from-cluster", "--namespace="}, 2, "needs the operator's --namespace"},
		"no such database":             {[]string{"verify", "--database=/nowhere/iam.db"}, 2, "/nowhere/iam.db"},
		"no such checkpoint":           {[]string{"verify", "--database=" + l.database, "--checkpoint=/nowhere"}, 2, "read the checkpoint from /nowhere"},
		"keys that are none":           {[]string{"verify", "--database=" + l.database, "--public-keys=" + l.checkpoint}, 2, "not a list of public keys in PEM"},
		"a checkpoint that is none":    {[]string{"verify", "--database=" + l.database, "--checkpoint=" + l.keys}, 2, "read the checkpoint from"},
		"no such former checkpoint":    {[]string{"verify", "--database=" + l.database, "--former-checkpoint=/nowhere"}, 2, "read the checkpoint from /nowhere"},
		"an export that is none":       {[]string{"verify", "--export=" + l.checkpoint}, 2, "does not begin as an export"},
		"an unknown selector":          {[]string{"export", "--database=" + l.database, "--field-selector=colour=red"}, 2, "colour"},
		"two values":                   {[]string{"export", "--database=" + l.database, "--field-selector=method=a,method=b"}, 2, "an export takes one value for a field"},
		"a bad time":                   {[]string{"tail", "--database=" + l.database, "--field-selector=since=noon"}, 2, "noon"},
		"nothing to go on with":        {[]string{"export", "--database=" + l.database, "--resume=/nowhere"}, 2, "/nowhere"},
		"something else to go on with": {[]string{"export", "--database=" + l.database, "--resume=" + l.keys}, 2, "begin a new export"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errors := runs(t.Context(), "", test.args...)
			if code != test.code || !strings.Contains(out+errors, test.says) {
				t.Errorf("%d: %s%s\nwant %d: %s", code, out, errors, test.code, test.says)
			}
		})
	}
}

func TestAuditVerify(t *testing.T) {
	l := newAuditLog(t)
	l.submit(t, 5, 5)
	args := []string{"verify", "--database=" + l.database, "--checkpoint=" + l.checkpoint, "--public-keys=" + l.keys}
	code, out, _ := runs(t.Context(), "", args...)
	if code != 0 || !strings.HasPrefix(out, "intact: 5 events (1 to 5) in 2 chains, and 1 checkpoints, of store ") || !strings.Contains(out, "1 events after it are chained") || strings.Contains(out, "note:") {
		t.Errorf("%d: %s", code, out)
	}
	code, out, _ = runs(t.Context(), "", args[:2]...)
	if code != 0 || strings.Count(out, "note:") != 2 {
		t.Errorf("without anything to hold it against, %d: %s", code, out)
	}
	_, text, _ := runs(t.Context(), "", "export", "--database="+l.database)
	if code, out, _ := runs(t.Context(), text, "verify", "--export=-", args[2], args[3]); code != 0 || !strings.HasPrefix(out, "intact: 5 events") {
		t.Errorf("of the export, %d: %s", code, out)
	}
	if code, out, _ := runs(t.Context(), strings.Replace(text, "maya", "mona", 1), "verify", "--export=-"); code != 1 || !strings.Contains(out, "altered: event 2 in the chain of Organization a: what it says is not what was sealed") {
		t.Errorf("of an export that was altered, %d: %s", code, out)
	}
	for former, want := range map[string]struct {
		code int
		says string
	}{
		fmt.Sprintf(`{"incarnation":"lost","sequence":9,"at":%q}`, auditStart.Format(time.RFC3339)):               {0, "RESTARTED: this log is that of a new store. Of the one before, lost, all up to event 9"},
		fmt.Sprintf(`{"incarnation":"lost","at":%q}`, auditStart.Add(3*time.Hour).Format(time.RFC3339)):           {1, "restarted: event 1 in the chain"},
		fmt.Sprintf(`{"incarnation":"lost","at":%q}`, auditStart.Add(time.Hour+time.Minute).Format(time.RFC3339)): {0, "RESTARTED: "},
	} {
		path := filepath.Join(t.TempDir(), "former.json")
		if err := os.WriteFile(path, []byte(former), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errors := runs(t.Context(), "", append(slices.Clone(args), "--former-checkpoint="+path)...); code != want.code || !strings.HasPrefix(out, "RESTARTED: ") || !strings.Contains(out, want.says) {
			t.Errorf("after %s, %d: %s%s", former, code, out, errors)
		}
	}
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", l.database)
	if err == nil {
		_, err = db.ExecContext(t.Context(), "UPDATE audit_events SET body = replace(body, 'maya', 'mona') WHERE sequence = 4")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if code, out, _ := runs(t.Context(), "", args...); code != 1 || !strings.HasPrefix(out, "TAMPERED WITH\naltered: event 4 in the chain of Organization a") {
		t.Errorf("of a database that was altered, %d: %s", code, out)
	}
}

func TestAuditExport(t *testing.T) {
	l := newAuditLog(t)
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"all":                  {nil, "4 events, 0 stubs and 1 checkpoints, up to event 4"},
		"one Organization":     {[]string{"--organization=a"}, "2 events, 0 stubs and 1 checkpoints, up to event 4"},
		"a principal":          {[]string{"--field-selector=principal=maya"}, "2 events, 2 stubs"},
		"not a principal":      {[]string{"--field-selector=principal!=maya,resource!=policy-1"}, "1 events, 3 stubs"},
		"since some hours ago": {[]string{"--field-selector=since=3h,until=1h"}, "2 events, 2 stubs"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errors := runs(t.Context(), "", append([]string{"export", "--database=" + l.database}, test.args...)...)
			if code != 0 || !strings.Contains(errors, test.says) || !strings.HasPrefix(out, `{"header":{"format":"iam-operator.dev/audit-export/v1"`) {
				t.Errorf("%d: %s%s", code, errors, out)
			}
		})
	}
}

// An export is gone on with in its file, also when it was interrupted in the middle of a line.
func TestAuditResume(t *testing.T) {
	l := newAuditLog(t)
	selector := "--field-selector=principal!=nobody,since=24h"
	_, text, _ := runs(t.Context(), "", "export", "--database="+l.database, selector)
	path := filepath.Join(t.TempDir(), "export.ndjson")
	if err := os.WriteFile(path, []byte(text[:len(text)*2/3]), 0o600); err != nil {
		t.Fatal(err)
	}
	l.submit(t, 5, 6)
	code, _, errors := runs(t.Context(), "", "export", "--database="+l.database, selector, "--resume="+path)
	if code != 0 || !strings.Contains(errors, "6 events, 0 stubs and 1 checkpoints, up to event 6") {
		t.Fatalf("%d: %s", code, errors)
	}
	if code, out, errors := runs(t.Context(), "", "verify", "--export="+path, "--checkpoint="+l.checkpoint, "--public-keys="+l.keys); code != 0 {
		t.Errorf("%d: %s%s", code, out, errors)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errors := runs(t.Context(), "", "export", "--database="+l.database, "--field-selector=principal=mo", "--resume="+path); code != 2 || !strings.Contains(errors, "with other filters") {
		t.Errorf("%d: %s", code, errors)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("what could not be gone on with was altered: %v", err)
	}
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func TestAuditTail(t *testing.T) {
	l := newAuditLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out, errors lockedBuffer
	ended := make(chan int, 1)
	go func() {
		c := auditCommand{out: &out, err: &errors, now: time.Now}
		ended <- c.run(ctx, []string{"tail", "--database=" + l.database, "--field-selector=principal=maya"})
	}()
	// The tail begins with what comes after it has opened the file, at some time: so there is always one more to come.
	deadline := time.After(20 * time.Second)
	for i := 5; !strings.Contains(out.String(), "\tmaya\tCreatePolicy\tPolicy/policy-"); i++ {
		l.submit(t, i, i)
		select {
		case <-deadline:
			t.Fatalf("nothing came: %s%s", &out, &errors)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if code := <-ended; code != 0 || strings.Contains(out.String(), "\tmo\t") {
		t.Errorf("%d: %s%s", code, &out, &errors)
	}
}
