// SPDX-License-Identifier: Apache-2.0

package chain_test

import "github.com/iam-operator/iam-operator/internal/store/sqlite"

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
