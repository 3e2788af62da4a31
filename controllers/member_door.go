// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// doorMark says up to where what log-in told of a Member has become part of its life.
// Sequences are those of one incarnation of the store.
type doorMark struct {
	Incarnation string `json:"incarnation,omitempty"`
	Sequence    int64  `json:"sequence,omitempty"`
}

func (m doorMark) covers(incarnation string, sequence int64) bool {
	return m.Incarnation == incarnation && sequence <= m.Sequence
}

// hear takes in what log-in told of the Member and is not part of its life yet. The failed
// log-ins since the last success stay with the door: they are the count of the attempts,
// which starts anew with another store.
func (c *memberCredentials) hear(ctx context.Context) error {
	told, err := c.Store.Told(ctx, idOf(c.member))
	if err != nil {
		return fmt.Errorf("read what log-in told: %w", err)
	}
	if len(told) == 0 {
		return nil
	}
	revision, err := c.Store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("read the store's incarnation: %w", err)
	}
	c.heardNow.Incarnation = revision.Incarnation
	for _, happened := range told {
		// A Secret that was written before the door was told so has it already.
		if !c.record.heard.covers(revision.Incarnation, happened.Sequence) {
			c.record.life = c.record.life.Apply(happened, c.security.MemberSettings())
		}
		if c.record.life.FailedAttempts == 0 || c.record.life.Lock != nil {
			c.heardNow.Sequence = happened.Sequence
		}
	}
	return nil
}

// doorPause is the least time from one look at the door to the next. Each commit of the
// store calls for one, and each look costs a query for everybody who has failed to log in.
const doorPause = 100 * time.Millisecond

// memberDoor wakes the Members of whom log-in has told something.
type memberDoor struct {
	*Environment
	wake chan event.GenericEvent
}

func (d *memberDoor) run(ctx context.Context) error {
	woken := map[string]int64{}
	for ctx.Err() == nil {
		changed := d.Store.Changed()
		if err := d.look(ctx, woken); err != nil && ctx.Err() == nil {
			return fmt.Errorf("watch what log-in tells: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
		select {
		case <-time.After(doorPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// look wakes whoever was told of since the last look. The failed log-ins that wait to be
// counted are told of all the time, and wake nobody again.
func (d *memberDoor) look(ctx context.Context, woken map[string]int64) error {
	ids, err := d.Store.ToldAbout(ctx)
	if err != nil {
		return err
	}
	waits := map[string]int64{}
	for _, id := range ids {
		told, err := d.Store.Told(ctx, id)
		if err != nil {
			return err
		}
		if len(told) == 0 {
			continue
		}
		waits[id] = told[len(told)-1].Sequence
		if waits[id] <= woken[id] {
			continue
		}
		found, err := d.answer(ctx, id, waits[id])
		if err != nil {
			return err
		}
		if !found {
			// Who does not count at present is woken by whatever changes that.
			delete(waits, id)
		}
	}
	clear(woken)
	for id, sequence := range waits {
		woken[id] = sequence
	}
	return nil
}

// answer wakes a Member. The owner and Guests have no credentials that could be locked, so
// that what is told of them ends here.
func (d *memberDoor) answer(ctx context.Context, id string, last int64) (bool, error) {
	row, err := d.Store.Get(ctx, iam.KindMember, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if user, ok := row.Entity.(*iam.Member); ok && user.Type != iam.TypeMember {
		return true, d.Store.Settle(ctx, id, last)
	}
	object := row.Entity.GetHead().Object
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(string(object.Kind)))
	metadata.SetNamespace(object.Namespace)
	metadata.SetName(object.Name)
	select {
	case d.wake <- event.GenericEvent{Object: metadata}:
	case <-ctx.Done():
	}
	return true, nil
}
