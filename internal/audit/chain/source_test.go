// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

// openedView is a view of a file, be there an operator that writes it or not.
type openedView struct{ *sqlite.View }

func (w *world) view(t tb) openedView {
	t.Helper()
	view, err := sqlite.OpenView(t.Context(), w.path)
	if err != nil {
		t.Fatal(err)
	}
	return openedView{view}
}

func (v openedView) close() { _ = v.Close() }

// restlessView is one of a store in which the newest checkpoint is another each time, or cannot be read in the end.
type restlessView struct {
	openedView
	number int64
	failAt int64
}

var errUnreadable = errors.New("the disk is gone")

func (v *restlessView) LastCheckpoint(context.Context) (iam.Checkpoint, error) {
	if v.number++; v.number == v.failAt {
		return iam.Checkpoint{}, errUnreadable
	}
	return iam.Checkpoint{Number: v.number}, nil
}

// It is said why no moment was found at which a store could be read.
func TestNoCut(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer w.close(t)
	w.record(t, "a")
	view := w.view(t)
	defer view.close()
	for name, test := range map[string]struct {
		failAt int64
		says   string
	}{
		"written too fast":     {0, "too fast to be read at one moment: in each of 10 attempts a checkpoint was made meanwhile; try again"},
		"a read fails":         {1, "read the newest checkpoint: the disk is gone"},
		"the last read failed": {11, "read the newest checkpoint: the disk is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&chain.Export{Source: &restlessView{openedView: view, failAt: test.failAt}}).Run(t.Context(), io.Discard, nil)
			if err == nil || !strings.HasSuffix(err.Error(), test.says) || errors.Is(err, errUnreadable) != (test.failAt > 0) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
