// SPDX-License-Identifier: Apache-2.0

package auditapi

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"
)

const (
	// maxWatches bounds how many watches may be open in this process: each holds a goroutine, and a connection.
	maxWatches = 256
	// maxUserWatches bounds how many of them one user may have, so that no tenant takes them all.
	maxUserWatches = 32
	// retrySeconds is when to try again where too many watches are open.
	retrySeconds = 10
)

// slots counts the watches that are open.
type slots struct {
	// all and each bound how many there are, and how many of one user.
	all, each int

	mu   sync.Mutex
	open int
	by   map[string]int
}

func newSlots(all, each int) *slots {
	return &slots{all: all, each: each, by: map[string]int{}}
}

// take takes a slot for whoever asks, until release is called.
func (s *slots) take(ctx context.Context) (release func(), err error) {
	name := ""
	if user, ok := request.UserFrom(ctx); ok {
		name = user.GetName()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.by[name] >= s.each:
		return nil, apierrors.NewTooManyRequests(fmt.Sprintf("user %q has %d watches of audit events open, which is the most that one user may have; end one, or list", name, s.each), retrySeconds)
	case s.open >= s.all:
		return nil, apierrors.NewTooManyRequests(fmt.Sprintf("%d watches of audit events are open, which is the most that this server takes of all users; list, or try again later", s.all), retrySeconds)
	}
	s.open++
	s.by[name]++
	return func() { s.release(name) }, nil
}

func (s *slots) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.by[name]--; s.by[name] == 0 {
		delete(s.by, name)
	}
}
