// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/internal/audit/chain"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// oneConfigMap stands for an API server that has one ConfigMap at most.
type oneConfigMap struct {
	client.Client
	mu sync.Mutex
	is *corev1.ConfigMap
}

func (c *oneConfigMap) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, key.Name)
	}
	c.is.DeepCopyInto(into.(*corev1.ConfigMap))
	return nil
}

func (c *oneConfigMap) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	return c.Update(ctx, object)
}

func (c *oneConfigMap) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.is = object.(*corev1.ConfigMap).DeepCopy()
	return nil
}

// Retention has what was published read while the checkpointer publishes; the race detector looks on.
func TestPublishWhileItIsRead(t *testing.T) {
	server := &oneConfigMap{}
	a := &auditLog{Environment: &Environment{Client: server, APIReader: server}, namespace: "iam-system"}
	var published, read error
	var wg sync.WaitGroup
	wg.Go(func() {
		for number := int64(1); number <= 100; number++ {
			published = errors.Join(published, a.publish(t.Context(), chain.Published{Newest: &iam.Checkpoint{Number: number}}))
		}
	})
	wg.Go(func() {
		for range 100 {
			_, err := a.load(t.Context())
			read = errors.Join(read, err)
		}
	})
	wg.Wait()
	if err := errors.Join(published, read); err != nil {
		t.Fatal(err)
	}
	if last, err := a.load(t.Context()); err != nil || last.Newest == nil || last.Newest.Number != 100 {
		t.Errorf("published is %+v (%v)", last.Newest, err)
	}
}
