// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

const (
	errorsOnly = zapcore.DPanicLevel
	// patience is how long a test waits for what should take a moment.
	patience = 60 * time.Second
	apiURL   = "https://iam.example:8443"
)

// operator is an iam-operator in this process.
type operator struct {
	// Database is the path of its store; Store is the store, open while it runs.
	Database string
	Store    store.Store
	// Clock is what it takes for the time.
	Clock *shiftedClock
	// Admission switches on that what nobody judged waits; the webhooks are the tests' own matter.
	Admission bool
	// Judged is what the webhooks judged without a record.
	Judged func(objectUID string, generation int64, digest string) bool
	// Logs is all that it has logged, at the most talkative level.
	Logs *logBuffer

	stop func() error
}

// startOperator starts an operator whose store has nothing but the catalogue, and stops it when the test ends.
func startOperator(t *testing.T) *operator {
	t.Helper()
	o := newOperator(t)
	o.start(t)
	t.Cleanup(func() { o.halt(t) })
	return o
}

// newOperator gives an operator that is yet to start.
func newOperator(t *testing.T) *operator {
	t.Helper()
	o := emptyOperator(t.TempDir())
	if err := os.WriteFile(o.Database, catalogueDatabase, 0o600); err != nil {
		t.Fatal(err)
	}
	acceptAuditLog(t)
	return o
}

// acceptAuditLog does what an administrator does who puts back an older copy of the database, knowing what that means:
// the copies with which the tests begin are all of one store.
func acceptAuditLog(t *testing.T) {
	t.Helper()
	published := &corev1.ConfigMap{ObjectMeta: objectMeta(operatorNamespace, controllers.AuditCheckpointConfigMap)}
	if err := client.IgnoreNotFound(admin.Delete(t.Context(), published)); err != nil {
		t.Fatal(err)
	}
}

func emptyOperator(dir string) *operator {
	return &operator{Database: filepath.Join(dir, "iam.db"), Clock: &shiftedClock{}, Logs: &logBuffer{}}
}

// catalogueDatabase is a database with the built-in permission sets and nothing else. Every operator begins with a copy
// of it: to store two hundred sets anew for each test is what most tests would spend their time with.
var catalogueDatabase []byte

// makeCatalogueDatabase runs an operator on an empty store until it has the catalogue.
func makeCatalogueDatabase(ctx context.Context, dir string) (err error) {
	o := emptyOperator(dir)
	if err := o.run(); err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, poll, patience, true, func(ctx context.Context) (bool, error) {
		held, err := o.Store.Count(ctx, store.Query{Kind: iam.KindPermissionSet})
		return held == len(iam.Catalogue()), err
	})
	if err := errors.Join(err, o.stop()); err != nil {
		return fmt.Errorf("store the catalogue: %w", err)
	}
	catalogueDatabase, err = os.ReadFile(o.Database)
	return err
}

// start runs the operator on its database until halt.
func (o *operator) start(t *testing.T) {
	t.Helper()
	if err := o.run(); err != nil {
		t.Fatal(err)
	}
}

// run runs the operator until its stop is called; there is none when it fails.
func (o *operator) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := newManager(operatorConfig, o.Logs)
	if err != nil {
		cancel()
		return err
	}
	database, err := controllers.OpenDatabase(ctx, controllers.Database{Path: o.Database})
	if err != nil {
		cancel()
		return err
	}
	err = controllers.Setup(ctx, mgr, controllers.Options{
		Store: database, Namespace: operatorNamespace, APIURL: apiURL, Clock: o.Clock, Random: rand.Reader,
		Admission: o.Admission, Judged: o.Judged,
	})
	if err != nil {
		cancel()
		return errors.Join(err, database.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop := func() error {
		cancel()
		return errors.Join(<-ended, database.Close())
	}
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return errors.Join(errors.New("the operator's cache did not fill"), stop())
	}
	o.Store, o.stop = database, stop
	return nil
}

// newManager makes a manager, with a webhook server of its own where one is given.
func newManager(as *rest.Config, logs *logBuffer, webhooks ...webhook.Server) (ctrl.Manager, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	as = rest.CopyConfig(as)
	as.QPS = -1
	options := ctrl.Options{
		Scheme:  scheme,
		Cache:   controllers.CacheOptions(),
		Logger:  zap.New(zap.WriteTo(logs), zap.Level(zapcore.Level(-5)), zap.UseDevMode(true)),
		Metrics: server.Options{BindAddress: "0"},
		// The names of controllers are unique in a process, and a test may start several operators after another.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	}
	for _, server := range webhooks {
		options.WebhookServer = server
	}
	return ctrl.NewManager(as, options)
}

// halt stops the operator. Its store is closed then; its database stays.
func (o *operator) halt(t *testing.T) {
	t.Helper()
	if o.stop == nil {
		return
	}
	if err := o.stop(); err != nil {
		t.Errorf("the operator did not end well: %v", err)
	}
	o.stop = nil
}

// shiftedClock runs as the real one does, ahead of it by what SetTime asked for: a clock
// that stood still would hide a status that changes with the time.
type shiftedClock struct {
	clock.RealClock
	ahead atomic.Int64
}

// Now is the shifted time.
func (c *shiftedClock) Now() time.Time { return c.RealClock.Now().Add(time.Duration(c.ahead.Load())) }

// Since is the time that has passed since then.
func (c *shiftedClock) Since(then time.Time) time.Duration { return c.Now().Sub(then) }

// SetTime makes it that time now.
func (c *shiftedClock) SetTime(now time.Time) { c.ahead.Store(int64(time.Until(now))) }

// logBuffer keeps what is written to it.
type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write appends to the buffer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

// String gives all that was written.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
