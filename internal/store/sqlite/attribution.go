// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"

	"github.com/iam-operator/iam-operator/internal/iam"
)

var errToCome = errors.New("to come in this branch")

func (s *Store) Attribute(context.Context, ...iam.Attribution) error             { return errToCome }
func (s *Store) Attributions(context.Context, string) ([]iam.Attribution, error) { return nil, nil }
func (s *Store) ForgetAttributions(context.Context, string, int64, string) error { return nil }
func (s *Store) Tell(context.Context, ...iam.MemberEvent) error                  { return errToCome }
func (s *Store) Told(context.Context, string) ([]iam.MemberEvent, error)         { return nil, nil }
func (s *Store) ToldAbout(context.Context) ([]string, error)                     { return nil, nil }
func (s *Store) Settle(context.Context, string, int64) error                     { return nil }
