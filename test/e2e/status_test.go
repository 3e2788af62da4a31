// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/config/gitops"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/store"
)

// statusOutcomes are what each kind must have been seen in, so that the suite can't pass
// by having seen nothing.
var statusOutcomes = func() map[string][]string {
	every := []string{"never seen", "new generation", "ready", "trying again", "waiting: Failed", "stalled: InvalidSpec", "deleting"}
	belonging := append(slices.Clone(every), "waiting: ReferenceNotFound", "waiting: NamespaceNotAllowed")
	with := func(common []string, own ...string) []string { return append(slices.Clone(common), own...) }
	return map[string][]string{
		"Organization":  with(every, "waiting: Conflict", "waiting: SecretConflict", "deleting: held", "beside: NotEnforced"),
		"Project":       with(belonging, "waiting: SecretConflict", "deleting: held"),
		"Member":        with(belonging, "waiting: Conflict", "waiting: SecretConflict", "waiting: SecretNotOptedIn", "stalled: Expired", "beside: Locked", "beside: PasswordRefused"),
		"Group":         belonging,
		"Application":   with(belonging, "waiting: Conflict", "beside: NotEnforced"),
		"APIKey":        with(belonging, "waiting: Conflict", "waiting: SecretConflict", "stalled: Expired", "stalled: BearerDeleted"),
		"Policy":        with(belonging, "stalled: PrincipalDeleted"),
		"PermissionSet": every,
		"SSHKey":        belonging,
	}
}()

// Every status that any object of the nine kinds goes through means to kstatus, Argo CD
// and Flux what its conditions say, and keeps the laws of conditions.
func TestStatusSuite(t *testing.T) {
	seen := observe(t)
	s := newStatusStage(t)
	s.waitForTheOrganization(t)
	s.failAndRecover(t)
	s.refuse(t)
	s.contend(t)
	s.meetForeignObjects(t)
	s.notEnforce(t)
	s.passTime(t)
	s.losePrincipals(t)
	s.delete(t)
	sightings := seen.stop(t, s.home, s.guest, s.rival)

	for _, kind := range statusKinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Run("was seen in all it can be in", func(t *testing.T) { judgeOutcomes(t, kind, sightings[kind]) })
			t.Run("keeps the laws of conditions", func(t *testing.T) { judgeLaws(t, sightings[kind]) })
			t.Run("keeps its id", func(t *testing.T) { judgeIDs(t, sightings[kind]) })
			t.Run("kstatus agrees", func(t *testing.T) { judgeKstatus(t, sightings[kind]) })
			t.Run("Argo CD agrees", func(t *testing.T) { judgeArgo(t, sightings[kind]) })
			t.Run("Flux agrees", func(t *testing.T) { judgeFlux(t, sightings[kind]) })
		})
	}
}

// eachStanding looks at all sightings of a kind.
func eachStanding(t *testing.T, sightings []*unstructured.Unstructured, judge func(u *unstructured.Unstructured, s standing)) {
	t.Helper()
	if len(sightings) == 0 {
		t.Fatal("nothing was seen")
	}
	for _, u := range sightings {
		s, err := standingOf(u)
		if err != nil {
			t.Errorf("%v: %s", err, describe(u))
			continue
		}
		judge(u, s)
	}
}

func judgeOutcomes(t *testing.T, kind string, sightings []*unstructured.Unstructured) {
	counts := map[string]int{}
	eachStanding(t, sightings, func(_ *unstructured.Unstructured, s standing) {
		for _, outcome := range s.outcomes() {
			counts[outcome]++
		}
	})
	t.Logf("%d statuses: %v", len(sightings), counts)
	if len(statusOutcomes[kind]) == 0 {
		t.Errorf("nothing says what kind %s is to be seen in", kind)
	}
	for _, outcome := range statusOutcomes[kind] {
		if counts[outcome] == 0 {
			t.Errorf("never seen: %q", outcome)
		}
	}
}

func judgeLaws(t *testing.T, sightings []*unstructured.Unstructured) {
	eachStanding(t, sightings, func(u *unstructured.Unstructured, s standing) {
		for law, check := range statusLaws {
			if breach := check(s); breach != "" {
				t.Errorf("%s: %s\n%s", law, breach, describe(u))
			}
		}
	})
}

func judgeIDs(t *testing.T, sightings []*unstructured.Unstructured) {
	ids := map[string]string{}
	eachStanding(t, sightings, func(u *unstructured.Unstructured, s standing) {
		uid := string(u.GetUID())
		if former, seen := ids[uid]; seen && former != s.id {
			t.Errorf("%s/%s: status.id went from %q to %q", u.GetNamespace(), u.GetName(), former, s.id)
		}
		if s.id != "" {
			ids[uid] = s.id
		}
	})
	if len(ids) == 0 {
		t.Error("no id was seen")
	}
}

func judgeKstatus(t *testing.T, sightings []*unstructured.Unstructured) {
	eachStanding(t, sightings, func(u *unstructured.Unstructured, s standing) {
		got, err := status.Compute(u)
		if err != nil || got.Status != s.meaning() {
			t.Errorf("kstatus says %v (%v), the conditions %s: %s", got, err, s.meaning(), describe(u))
		}
	})
}

func judgeArgo(t *testing.T, sightings []*unstructured.Unstructured) {
	words := map[status.Status]string{
		status.CurrentStatus: gitops.ArgoHealthy, status.FailedStatus: gitops.ArgoDegraded,
		status.InProgressStatus: gitops.ArgoProgressing, status.TerminatingStatus: gitops.ArgoProgressing,
	}
	eachStanding(t, sightings, func(u *unstructured.Unstructured, s standing) {
		health, message, err := gitops.ArgoHealth(u.Object)
		if err != nil || health != words[s.meaning()] || message == "" {
			t.Errorf("Argo CD says %s, %q (%v), the conditions %s: %s", health, message, err, s.meaning(), describe(u))
		}
	})
}

func judgeFlux(t *testing.T, sightings []*unstructured.Unstructured) {
	eachStanding(t, sightings, func(u *unstructured.Unstructured, s standing) {
		want := s.meaning()
		if want == status.TerminatingStatus {
			want = status.InProgressStatus // the expressions have no word of their own for it
		}
		got, err := gitops.FluxStatus(u)
		if err != nil || got != want {
			t.Errorf("Flux says %s (%v), the conditions %s: %s", got, err, want, describe(u))
		}
	})
}

// faultyStore is a store that fails while it is told to.
type faultyStore struct {
	store.Store
	failWrites, failReads atomic.Bool
}

var errFaulty = errors.New("the disk is away")

// Write fails, or does what the store does.
func (f *faultyStore) Write(ctx context.Context, fn func(store.Tx) error) (store.Revision, error) {
	if f.failWrites.Load() {
		return store.Revision{}, errFaulty
	}
	return f.Store.Write(ctx, fn)
}

// List fails, or does what the store does.
func (f *faultyStore) List(ctx context.Context, query store.Query) (store.Page, error) {
	if f.failReads.Load() {
		return store.Page{}, errFaulty
	}
	return f.Store.List(ctx, query)
}

// startFaultyOperator does as startOperator, on a store that can be made to fail.
func startFaultyOperator(t *testing.T) (*operator, *faultyStore) {
	t.Helper()
	o := &operator{Database: filepath.Join(t.TempDir(), "iam.db"), Clock: &shiftedClock{}, Logs: &logBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	database, err := controllers.OpenDatabase(ctx, controllers.Database{Path: o.Database})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	faulty := &faultyStore{Store: database}
	o.Store = faulty
	mgr, err := newManager(operatorConfig, o.Logs)
	if err == nil {
		err = controllers.Setup(ctx, mgr, controllers.Options{
			Store: faulty, Namespace: operatorNamespace, APIURL: apiURL, Clock: o.Clock, Random: rand.Reader,
		})
	}
	if err != nil {
		cancel()
		t.Fatal(errors.Join(err, database.Close()))
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	o.stop = func() error {
		cancel()
		return errors.Join(<-ended, database.Close())
	}
	t.Cleanup(func() { o.halt(t) })
	return o, faulty
}

// awaitStanding waits until the conditions of an object are as wanted, whichever
// generation they speak of.
func awaitStanding(t *testing.T, obj controllers.Object, what string, wanted func(s *v1alpha1.ObjectStatus) bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s/%s is %s", obj, obj.GetNamespace(), obj.GetName(), what), func(ctx context.Context) (bool, string) {
		if err := admin.Get(ctx, keyOf(obj), obj); err != nil {
			return false, err.Error()
		}
		return wanted(obj.GetObjectStatus()), fmt.Sprintf("%+v", *obj.GetObjectStatus())
	})
}

func awaitTryingAgain(t *testing.T, objects ...controllers.Object) {
	t.Helper()
	for _, obj := range objects {
		awaitStanding(t, obj, "tried again", func(s *v1alpha1.ObjectStatus) bool {
			return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReconciling)
		})
	}
}

func asObjects(objects []controllers.Object) []client.Object {
	list := make([]client.Object, len(objects))
	for i, obj := range objects {
		list[i] = obj
	}
	return list
}

func newConfigMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: objectMeta(namespace, name), Data: map[string]string{"theirs": "x"}}
}
