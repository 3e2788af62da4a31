// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// bench is a control plane with the operator.
type bench struct {
	dir      string
	options  localcluster.OperatorOptions
	cluster  *localcluster.Cluster
	operator *localcluster.Operator
	client   client.Client
	// raw asks for what is no object, such as the API server's metrics.
	raw kubernetes.Interface
}

// startBench starts a control plane, and the operator from the repository at source. Where there is something to prepare, that is
// done before the operator starts. The caller stops it.
func startBench(ctx context.Context, source string, prepare func(context.Context, *bench) error) (*bench, error) {
	ctrl.SetLogger(logr.Discard()) // controller-runtime warns when nobody set one
	b := &bench{}
	if err := b.start(ctx, source, prepare); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

func (b *bench) start(ctx context.Context, source string, prepare func(context.Context, *bench) error) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "iam-performance-"); err != nil {
		return err
	}
	say("Starting a control plane on 127.0.0.1")
	if b.cluster, err = localcluster.Start(ctx, localcluster.Options{}); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	b.options = localcluster.OperatorOptions{Source: source, Dir: b.dir}
	for _, port := range []*int{&b.options.WebhookPort, &b.options.AuditPort, &b.options.DecisionPort} {
		if *port, err = localcluster.FreePort(); err != nil {
			return err
		}
	}
	if prepare != nil {
		if err := prepare(ctx, b); err != nil {
			return err
		}
	}
	say("Starting the operator")
	if err := b.cluster.InstallOperator(ctx, b.options, io.Discard); err != nil {
		return err
	}
	b.operator, err = b.cluster.StartOperator(ctx, b.options)
	return err
}

// connect makes the clients.
func (b *bench) connect() error {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	config := b.cluster.Config()
	config.QPS = -1 // Else the client's own limit is what is measured.
	if b.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	b.raw, err = kubernetes.NewForConfig(config)
	return err
}

// stop ends all processes, and leaves no file behind.
func (b *bench) stop() error {
	var errs []error
	if b.operator != nil {
		errs = append(errs, b.operator.Stop())
	}
	if b.cluster != nil {
		errs = append(errs, b.cluster.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// acme is the Organization of each namespace.
const acme = "acme"

// found makes an Organization, and its namespace where that is not there yet.
func (b *bench) found(ctx context.Context, namespace string) error {
	organization := &v1alpha1.Organization{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: acme},
		Spec:       v1alpha1.OrganizationSpec{Owner: v1alpha1.Owner{Email: "owner@acme.example"}},
	}
	err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if err := client.IgnoreAlreadyExists(err); err != nil {
		return err
	}
	if err := b.client.Create(ctx, organization); err != nil {
		return err
	}
	return b.awaitReason(ctx, organization, v1alpha1.ReasonApplied)
}

// awaitCatalogue waits until the operator has made the built-in permission sets, which is what it is busy with at its first start.
func (b *bench) awaitCatalogue(ctx context.Context) error {
	return b.await(ctx, "the built-in permission sets are applied", 100*time.Millisecond, func(ctx context.Context) (bool, string, error) {
		var sets v1alpha1.PermissionSetList
		err := b.client.List(ctx, &sets)
		applied := 0
		for i := range sets.Items {
			if readyReason(&sets.Items[i]) == v1alpha1.ReasonApplied {
				applied++
			}
		}
		return err == nil && applied == len(iam.Catalogue()), fmt.Sprintf("%d applied, %v", applied, err), nil
	})
}

// awaitReason waits until the operator has dealt with an object, and says why it is Ready, or is not.
func (b *bench) awaitReason(ctx context.Context, obj controllers.Object, reason string) error {
	what := fmt.Sprintf("%s %s has reason %s", obj.GetNamespace(), obj.GetName(), reason)
	return b.await(ctx, what, 10*time.Millisecond, func(ctx context.Context) (bool, string, error) {
		err := b.client.Get(ctx, client.ObjectKeyFromObject(obj), obj)
		return readyReason(obj) == reason, fmt.Sprintf("Its status is %+v", obj.GetObjectStatus()), err
	})
}

// awaitTimeout bounds each wait; the longest is for the operator to catch up with thousands of objects.
const awaitTimeout = 10 * time.Minute

// await waits until something is so, as long as the operator lives. The last that was seen is told where it never is.
func (b *bench) await(ctx context.Context, what string, every time.Duration, is func(context.Context) (bool, string, error)) error {
	var seen string
	err := wait.PollUntilContextTimeout(ctx, every, awaitTimeout, true, func(ctx context.Context) (done bool, err error) {
		if err := b.operator.Alive(); err != nil {
			return false, err
		}
		done, seen, err = is(ctx)
		return done, err
	})
	if err != nil {
		return fmt.Errorf("it did not come to pass that %s: %w\nThe last that was seen: %s", what, err, seen)
	}
	return nil
}

// readyReason is why an object as it is now is Ready, or is not; empty where the operator has not dealt with it.
func readyReason(obj controllers.Object) string {
	status := obj.GetObjectStatus()
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || status.ObservedGeneration != obj.GetGeneration() {
		return ""
	}
	return ready.Reason
}

// workers is how many requests are under way at once while many objects are made.
const workers = 16

// parallel does n things, some at a time, until the first error.
func parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	running.Wait()
	return context.Cause(ctx)
}

// say tells how far it is; what was measured goes to standard output.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "==> "+format+"\n", args...) }
