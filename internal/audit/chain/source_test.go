// SPDX-License-Identifier: Apache-2.0

package chain_test

import (
	"context"

	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
	"github.com/iam-operator/iam-operator/internal/store/sqlite"
)

type storeSource struct{ *sqlite.Store }

func (s storeSource) Incarnation() string {
	r, _ := s.Revision(context.Background())
	return r.Incarnation
}

func (s storeSource) ChainHeads(ctx context.Context) (heads []iam.ChainHead, err error) {
	_, err = s.Write(ctx, func(tx store.Tx) error {
		heads, err = tx.ChainHeads(ctx)
		return err
	})
	return heads, err
}

func (s storeSource) Unlisted(context.Context) (int64, error) { return 0, nil }

func (storeSource) close() {}

func (w *world) view(tb) storeSource { return storeSource{w.store} }
