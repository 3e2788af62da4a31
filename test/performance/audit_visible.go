// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

const (
	// readEvery is how often the newest events are read while changes are made.
	readEvery = 50 * time.Millisecond
	// newest is how many of the newest are read at once: some more than come between two readings as a rule, and not so many
	// that to read them is what the machine is busy with.
	newest = 25
	// changeSelector selects the events of the changes that are waited for.
	changeSelector = "method=UpdateProject"
)

// measureVisible changes Projects at each rate, and takes the time until their events are read, and come by a watch.
func (a *auditBench) measureVisible(ctx context.Context, b *bench) error {
	if err := b.found(ctx, auditNamespace); err != nil {
		return err
	}
	say("Creating %d Projects", a.changes)
	err := parallel(ctx, a.changes, func(ctx context.Context, i int) error {
		return b.client.Create(ctx, project(auditNamespace, changed(i)))
	})
	if err != nil {
		return err
	}
	if err := b.awaitProjects(ctx, auditNamespace, a.changes); err != nil {
		return err
	}
	for _, rate := range a.rates {
		say("Changing %d Projects, %d a second", a.changes, rate)
		s := &sightings{mark: fmt.Sprintf("changed at %d a second", rate), returned: map[string]time.Time{}, read: map[string]time.Time{}, watched: map[string]time.Time{}}
		if err := a.changeAndWatch(ctx, b, s, rate); err != nil {
			return err
		}
		read, watched := s.waits()
		a.found.visible = append(a.found.visible,
			measurement{name: fmt.Sprintf("read, at %d changes a second", rate), samples: read, bar: visibleBar},
			measurement{name: fmt.Sprintf("watched, at %d changes a second", rate), samples: watched, bar: visibleBar})
	}
	return nil
}

func changed(i int) string { return fmt.Sprintf("changed-%d", i) }

// sightings are when each change returned, and when its event was there.
type sightings struct {
	// mark is in the description that the changes declare.
	mark string

	mu                      sync.Mutex
	returned, read, watched map[string]time.Time
}

// note takes down the first time at which the event of a change was seen in one of the ways, and says whether this is it.
func (s *sightings) note(seen map[string]time.Time, event *auditv1alpha1.AuditEvent) bool {
	now := time.Now()
	if event.Change == nil || event.Change.After == nil || !strings.Contains(string(event.Change.After.Raw), s.mark) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := false
	for _, resource := range event.Resources {
		if _, before := seen[resource.Name]; !before {
			seen[resource.Name], first = now, true
		}
	}
	return first
}

func (s *sightings) done(changes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.returned) == changes && len(s.read) == changes && len(s.watched) == changes
}

// waits gives how long after its return each change was read and watched; nothing where it was seen before that.
func (s *sightings) waits() (read, watched []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, returned := range s.returned {
		read = append(read, max(0, s.read[name].Sub(returned)))
		watched = append(watched, max(0, s.watched[name].Sub(returned)))
	}
	return read, watched
}

// changeAndWatch makes the changes while a reader and a watch look for their events, until all were seen.
func (a *auditBench) changeAndWatch(ctx context.Context, b *bench, s *sightings, rate int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events, err := a.api.Watch(ctx, &auditv1alpha1.AuditEventList{}, client.InNamespace(auditNamespace), &client.ListOptions{
		Raw: &metav1.ListOptions{FieldSelector: changeSelector + ",since=1m"},
	})
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer events.Stop()
	running.Go(func() {
		if err := s.watch(events.ResultChan()); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	running.Go(func() {
		if err := a.readNewest(ctx, s); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	if err := a.change(ctx, b, s, rate); err != nil {
		return err
	}
	err = b.await(ctx, "the events of all changes are there", readEvery, func(context.Context) (bool, string, error) {
		return s.done(a.changes), s.String(), context.Cause(ctx)
	})
	cancel(nil)
	return err
}

// String says how many were seen.
func (s *sightings) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d changed, %d read, %d watched", len(s.returned), len(s.read), len(s.watched))
}

// change begins a change at each tick, whether or not those before have returned.
func (a *auditBench) change(ctx context.Context, b *bench, s *sightings, rate int) error {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	failed := make(chan error, a.changes)
	var running sync.WaitGroup
	for i := range a.changes {
		running.Go(func() { failed <- s.change(ctx, b.client, changed(i)) })
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	running.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// change declares another description of a Project, and takes down when that returned.
func (s *sightings) change(ctx context.Context, c client.Client, name string) error {
	object := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Namespace: auditNamespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"description":%q}}`, s.mark))
	if err := c.Patch(ctx, object, patch); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returned[name] = time.Now()
	return nil
}

func (s *sightings) watch(events <-chan watch.Event) error {
	for event := range events {
		switch object := event.Object.(type) {
		case *auditv1alpha1.AuditEvent:
			s.note(s.watched, object)
		case *metav1.Status:
			return fmt.Errorf("the watch of audit events ends: %s", object.Message)
		}
	}
	return errors.New("the watch of audit events ended")
}

// readNewest reads the newest events, again and again, each time back to one that was seen before.
func (a *auditBench) readNewest(ctx context.Context, s *sightings) error {
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		for token, more := "", true; more; {
			list := &auditv1alpha1.AuditEventList{}
			err := a.api.List(ctx, list, client.InNamespace(auditNamespace), &client.ListOptions{
				Raw: &metav1.ListOptions{FieldSelector: changeSelector}, Limit: newest, Continue: token,
			})
			if err != nil {
				return err
			}
			for i := range list.Items {
				more = s.note(s.read, &list.Items[i]) && more
			}
			token = list.Continue
			more = more && token != ""
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}
