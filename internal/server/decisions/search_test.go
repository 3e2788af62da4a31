// SPDX-License-Identifier: Apache-2.0

package decisions

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/iam-operator/iam-operator/internal/server/decisions/wire"
)

// A search beyond those that may run at once is told to come again; when one has ended, however it did, the next one runs.
func TestSearchesAreBounded(t *testing.T) {
	s := &Session{service: &Service{searches: make(chan struct{}, 1)}, request: httptest.NewRequest(http.MethodPost, "/", nil)}
	fault := errors.New("fault")
	err := s.search(func(context.Context) error {
		refused := s.search(func(context.Context) error { return nil })
		if refusal, ok := errors.AsType[*wire.Refusal](refused); !ok || refusal.Status != http.StatusServiceUnavailable {
			t.Errorf("beside another it gives %v", refused)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		gone := &Session{service: s.service, request: s.request.WithContext(ctx)}
		if err := gone.search(func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("for a client that is gone it gives %v", err)
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("it gives %v, want its own error", err)
	}
	if err := s.search(func(context.Context) error { return nil }); err != nil {
		t.Errorf("after the others it gives %v", err)
	}
}
