// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/iam-operator/iam-operator/internal/audit/sink"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// What happens in a cluster comes to a sink, whole and in order: each line fits its seal, and each seal the one before it
// in its chain. No secret comes with it.
func TestSinkGetsWhatHappens(t *testing.T) {
	o := startOperator(t)
	path := filepath.Join(t.TempDir(), "audit.log")
	file := sink.NewFile(path)
	follower := &sink.Follower{Store: o.Store, Sink: file, Name: "sink/file", Clock: o.Clock, Log: logr.Discard()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	minted := watchMintedSecrets(t)
	w := newWorld(t, 1)
	eventually(t, "the sink has got everything", func(ctx context.Context) (bool, string) {
		all, err := o.Store.EventRange(ctx, store.EventScope{})
		if err != nil {
			return false, err.Error()
		}
		cursor, err := o.Store.Cursor(ctx, "sink/file")
		return cursor == all.Newest && cursor > 0, fmt.Sprint(cursor, all.Newest, err)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	verifyLines(t, string(text))
	for _, key := range w.keys {
		if !strings.Contains(string(text), key.Status.AccessKey) {
			t.Errorf("nothing tells of API key %s", key.Status.AccessKey)
		}
	}
	for secret := range minted() {
		if strings.Contains(string(text), secret) {
			t.Error("a minted secret is in the sink")
		}
	}
}

func verifyLines(t *testing.T, text string) {
	t.Helper()
	last := map[string]iam.Hash{}
	for i, text := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var line struct {
			Sequence int64     `json:"sequence"`
			Revision string    `json:"revision"`
			Seal     iam.Seal  `json:"seal"`
			Body     iam.Event `json:"body"`
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		event := line.Body
		event.Sequence, event.Revision = line.Sequence, line.Revision
		content, err := event.ContentHash()
		if err != nil || iam.SealAfter(line.Seal.Previous, content) != line.Seal {
			t.Errorf("line %d does not fit its seal: %v", i+1, err)
		}
		chain := event.Organization.ID
		if before, begun := last[chain]; begun && before != line.Seal.Previous {
			t.Errorf("line %d does not follow the one before it in its chain", i+1)
		}
		last[chain] = line.Seal.Hash
	}
}
