// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	auditv1alpha1 "github.com/iam-operator/iam-operator/api/audit/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/server/auditapi"
	"github.com/iam-operator/iam-operator/internal/store"
)

// auditServer is the API of the audit log in this process, with a store of its own, behind the cluster's aggregator.
type auditServer struct {
	Store store.Store

	kubeconfig string
	port       int
	stop       func() error
}

// startAuditServer installs config/audit-api, as config/default does, and serves until the test ends.
func startAuditServer(t *testing.T) *auditServer {
	t.Helper()
	klog.SetOutput(&logBuffer{})
	klog.LogToStderr(false)
	dir := t.TempDir()
	text, err := localcluster.Kubeconfig(operatorConfig)
	if err != nil {
		t.Fatal(err)
	}
	s := &auditServer{kubeconfig: filepath.Join(dir, "kubeconfig")}
	if err := os.WriteFile(s.kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if s.port, err = localcluster.FreePort(); err != nil {
		t.Fatal(err)
	}
	if s.Store, err = controllers.OpenDatabase(t.Context(), controllers.Database{Path: filepath.Join(dir, "iam.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Store.Close(); err != nil {
			t.Error(err)
		}
	})
	manifests, err := kubectl(t.Context(), "kustomize", filepath.Join(repository, "config", "audit-api"))
	if err == nil {
		manifests, err = localcluster.PointAPIServices(manifests, s.port)
	}
	file := filepath.Join(dir, "audit-api.yaml")
	if err == nil {
		err = os.WriteFile(file, []byte(manifests), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.halt(t) })
	mustKubectl(t, "apply", "--server-side", "--force-conflicts", "-f", file)
	t.Cleanup(func() {
		if out, err := kubectl(context.Background(), "delete", "apiservice", auditapi.APIServiceName); err != nil {
			t.Errorf("remove the APIService: %v\n%s", err, out)
		}
	})
	s.awaitAvailable(t)
	return s
}

func (s *auditServer) start(t *testing.T) {
	t.Helper()
	mgr, err := newManager(operatorConfig, &logBuffer{})
	if err == nil {
		err = auditapi.Setup(mgr, auditapi.Options{
			Store: s.Store, Host: "127.0.0.1", Port: s.port, Namespace: operatorNamespace, Kubeconfig: s.kubeconfig, Clock: &shiftedClock{}, Random: rand.Reader,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	s.stop = func() error { cancel(); return <-ended }
}

func (s *auditServer) halt(t *testing.T) {
	t.Helper()
	if s.stop == nil {
		return
	}
	if err := s.stop(); err != nil {
		t.Errorf("the audit API did not end well: %v", err)
	}
	s.stop = nil
}

func (s *auditServer) awaitAvailable(t *testing.T) {
	t.Helper()
	mustKubectl(t, "wait", "--for=condition=Available", "apiservice", auditapi.APIServiceName, "--timeout=60s")
}

// record keeps an event that happened in a namespace, and gives it as it was recorded.
func (s *auditServer) record(t *testing.T, namespace string, edit func(*iam.Event)) iam.Event {
	t.Helper()
	found := &corev1.Namespace{}
	if err := admin.Get(t.Context(), client.ObjectKey{Name: namespace}, found); err != nil {
		t.Fatal(err)
	}
	e := iam.Event{
		ID: uuid.Must(uuid.NewV7()).String(), RecordedAt: time.Now().UTC(), Organization: iam.EventOrganization{ID: "org-of-" + string(found.UID), Name: "acme"},
		Namespace: namespace, NamespaceUID: string(found.UID),
		Principal: iam.Actor{Kind: iam.ActorMember, ID: "member-maya", Name: "maya"}, KubernetesUser: "maya@acme.example", SourceIP: iam.Unknown, UserAgent: iam.Unknown,
		Product: "iam", Service: "scaleway.iam.v1alpha1.Api", Method: "CreatePolicy", Action: iam.ActionCreated, RequestID: uuid.NewString(), StatusCode: 200,
		Resources: []iam.EventResource{{Kind: iam.KindPolicy, Type: "iam_policy", ID: "policy-deployers", Name: "deployers", Action: iam.ActionCreated}},
		Change:    iam.EventChange{After: json.RawMessage(`{"description":"what they may"}`)},
	}
	if edit != nil {
		edit(&e)
	}
	if err := s.Store.Submit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ID: e.ID}})
	if err == nil && len(kept) == 1 {
		return kept[0]
	}
	if e.Origin == nil {
		t.Fatalf("the event was not kept: %v", err)
	}
	return e
}

// eventNames gives the ids of what kubectl lists with these arguments.
func eventNames(t *testing.T, args ...string) []string {
	t.Helper()
	out := mustKubectl(t, append([]string{"get", "auditevents", "-o", "jsonpath={.items[*].metadata.name}"}, args...)...)
	return strings.Fields(out)
}

func idsOf(events ...iam.Event) []string {
	ids := []string{}
	for _, event := range events {
		ids = append(ids, event.ID)
	}
	return ids
}

// The whole way of a person: kubectl, kube-apiserver, the aggregator, the store.
func TestAuditAPIWithKubectl(t *testing.T) {
	s := startAuditServer(t)
	ns := newNamespace(t, nil)
	old := s.record(t, ns, func(e *iam.Event) { e.RecordedAt = e.RecordedAt.Add(-3 * 24 * time.Hour) })
	made := s.record(t, ns, nil)
	refused := s.record(t, ns, func(e *iam.Event) {
		e.Principal = iam.Actor{Kind: iam.ActorKubernetesUser, Name: "eve@evil.example"}
		e.KubernetesUser, e.StatusCode, e.Reason, e.Change, e.ProjectID = "eve@evil.example", 403, "it takes bind", iam.EventChange{}, "project-web"
	})
	deleted := s.record(t, ns, func(e *iam.Event) {
		e.Principal = iam.Actor{Kind: iam.ActorSystem, Name: "iam-operator"}
		e.Method, e.Action, e.Product, e.Service, e.SourceIP, e.UserAgent = "DeleteProject", iam.ActionDeleted, "account", "scaleway.account.v3.ProjectApi", "10.0.0.7", "kubectl/v1.37.2"
		e.Resources = []iam.EventResource{{Kind: iam.KindProject, Type: "account_project", ID: "project-web", Name: "web", Action: iam.ActionDeleted}}
	})

	t.Run("columns", func(t *testing.T) {
		out := mustKubectl(t, "-n", ns, "get", "auditevents")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if !strings.Contains(lines[0], "Warning: these are the audit events of the last 24 hours") || len(lines) != 5 {
			t.Fatalf("kubectl get says\n%s", out)
		}
		if got, want := strings.Fields(lines[1]), []string{"WHEN", "WHO", "METHOD", "RESOURCE", "RESULT"}; !slices.Equal(got, want) {
			t.Errorf("the columns are %q, want %q", got, want)
		}
		want := []string{deleted.RecordedAt.Format("2006-01-02T15:04:05Z"), "System", "iam-operator", "DeleteProject", "account_project", "web", "200"}
		if got := strings.Fields(lines[2]); !slices.Equal(got, want) {
			t.Errorf("the newest is %q, want %q", got, want)
		}
		out = mustKubectl(t, "-n", ns, "get", "auditevents", "-o", "wide")
		for _, part := range []string{"FROM", "AGENT", "KUBERNETES USER", "REVISION", "10.0.0.7", "kubectl/v1.37.2", "eve@evil.example", deleted.Revision} {
			if !strings.Contains(out, part) {
				t.Errorf("the wide columns lack %q:\n%s", part, out)
			}
		}
	})
	t.Run("what it says", func(t *testing.T) {
		out := mustKubectl(t, "-n", ns, "get", "auditevent", made.ID, "-o", "yaml")
		for _, part := range []string{
			"recordedAt: \"" + made.RecordedAt.Format(time.RFC3339Nano) + "\"", "locality: global", "kubernetesUser: maya@acme.example", "sourceIP: unknown",
			"hash: " + made.Seal.Hash.String(), "description: what they may", "sequence: " + strconv.FormatInt(made.Sequence, 10), "revision: " + made.Revision,
		} {
			if !strings.Contains(out, part) {
				t.Errorf("-o yaml lacks %q:\n%s", part, out)
			}
		}
		if out := mustKubectl(t, "-n", ns, "describe", "iamevent", refused.ID); !strings.Contains(out, "it takes bind") {
			t.Errorf("describe says\n%s", out)
		}
		if out := mustKubectl(t, "explain", "auditevents.principal"); !strings.Contains(out, "kind is Owner, Member, Guest or Application for who is declared") {
			t.Errorf("explain says\n%s", out)
		}
		if out, err := kubectl(t.Context(), "-n", ns, "delete", "auditevent", made.ID); err == nil || !strings.Contains(out, "MethodNotAllowed") && !strings.Contains(out, "does not allow this method") {
			t.Errorf("an event can be deleted: %v\n%s", err, out)
		}
	})
	t.Run("selectors", func(t *testing.T) {
		for selector, want := range map[string][]iam.Event{
			"":          {deleted, refused, made, old}, // without a table there is no default
			"since=24h": {deleted, refused, made},
			"until=2d":  {old},
			"since=7d,until=" + made.RecordedAt.Format(time.RFC3339Nano): {old},
			"principal=maya":                    {made, old},
			"principal!=maya":                   {deleted, refused},
			"principalID=member-maya":           {made, old},
			"principalKind=System":              {deleted},
			"method==DeleteProject":             {deleted},
			"method!=DeleteProject,method!=X":   {refused, made, old},
			"method=CreatePolicy,method=X":      {},
			"action=deleted":                    {deleted},
			"resource=web":                      {deleted},
			"resourceID=project-web":            {deleted},
			"resourceKind!=Policy":              {deleted},
			"project=project-web":               {refused},
			"product=account":                   {deleted},
			"service=scaleway.iam.v1alpha1.Api": {refused, made, old},
			"sourceIP=10.0.0.7":                 {deleted},
			"sourceIP!=unknown":                 {deleted},
			"statusCode=403":                    {refused},
			"statusCode!=200,statusCode!=403":   {},
			"metadata.name=" + made.ID:          {made},
			"metadata.namespace=" + ns:          {deleted, refused, made, old},
			"metadata.namespace=elsewhere":      {},
			"principal=maya,since=24h":          {made},
		} {
			if got := eventNames(t, "-n", ns, "--field-selector", selector); !slices.Equal(got, idsOf(want...)) {
				t.Errorf("%q gives %v, want %v", selector, got, idsOf(want...))
			}
		}
		if got := eventNames(t, "-n", ns, "-l", "app=web"); len(got) != 0 {
			t.Errorf("there are no labels, and by one there is %v", got)
		}
	})
	t.Run("pages", func(t *testing.T) {
		if got := eventNames(t, "-n", ns, "--chunk-size=1"); !slices.Equal(got, idsOf(deleted, refused, made, old)) {
			t.Errorf("in pages of one there is %v", got)
		}
		if out := mustKubectl(t, "-n", ns, "get", "auditevents", "--field-selector", "since=7d"); strings.Contains(out, "Warning") {
			t.Errorf("since was given, and there is a warning:\n%s", out)
		}
	})
	t.Run("refused in words", func(t *testing.T) {
		path := "/apis/audit.iam-operator.dev/v1alpha1/namespaces/" + ns + "/auditevents?"
		for query, want := range map[string]string{
			url.Values{"fieldSelector": {"verb=get"}}.Encode():        "audit events have no such field; there are action, metadata.name, method,",
			url.Values{"fieldSelector": {"since=yesterday"}}.Encode(): `"yesterday" is neither a time such as`,
			url.Values{"fieldSelector": {"since!=24h"}}.Encode():      "it takes = only",
			url.Values{"fieldSelector": {"statusCode=many"}}.Encode(): "is no status code",
			url.Values{"continue": {"e30"}}.Encode():                  "the continue token is not one that this list",
			url.Values{"resourceVersion": {"x"}}.Encode():             "those are whole numbers",
			url.Values{"resourceVersion": {"99999999999"}}.Encode():   "given by a store that is gone",
		} {
			if out, err := kubectl(t.Context(), "get", "--raw", path+query); err == nil || !strings.Contains(out, want) {
				t.Errorf("%s is answered by %v %s, want %q", query, err, out, want)
			}
		}
	})
	t.Run("watch", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &logBuffer{}
		command := exec.CommandContext(ctx, cluster.Kubectl(), "-n", ns, "get", "auditevents", "-w")
		command.Env, command.Stdout, command.Stderr = append(os.Environ(), "KUBECONFIG="+adminKubeconf), out, out
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "kubectl lists", func(context.Context) (bool, string) {
			return strings.Contains(out.String(), "DeleteProject"), out.String()
		})
		s.record(t, ns, func(e *iam.Event) { e.Method = "LockMember" })
		eventually(t, "kubectl hears of it", func(context.Context) (bool, string) {
			return strings.Contains(out.String(), "LockMember"), out.String()
		})
		cancel()
		_ = command.Wait()
	})
}

// auditClient is a client of the audit events as somebody.
func auditClient(t *testing.T, as *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(as, client.Options{Scheme: auditScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func auditScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme, err := controllers.NewScheme()
	if err == nil {
		err = auditv1alpha1.AddToScheme(scheme)
	}
	if err != nil {
		t.Fatal(err)
	}
	return scheme
}

func listIDs(t *testing.T, c client.Client, options ...client.ListOption) ([]string, error) {
	t.Helper()
	list := &auditv1alpha1.AuditEventList{}
	err := c.List(t.Context(), list, options...)
	ids := []string{}
	for _, item := range list.Items {
		ids = append(ids, item.Name)
	}
	return ids, err
}

// Who reads what is RBAC's, namespace by namespace.
func TestAuditAPIIsolation(t *testing.T) {
	s := startAuditServer(t)
	mine, theirs := newNamespace(t, nil), newNamespace(t, nil)
	a, b := s.record(t, mine, nil), s.record(t, theirs, nil)
	user := "auditor-of-" + mine
	mustKubectl(t, "-n", mine, "create", "rolebinding", "auditor", "--clusterrole=iam-operator-auditor", "--user="+user)
	as := cluster.Config()
	as.Impersonate.UserName = user
	c := auditClient(t, as)
	eventually(t, "the auditor reads", func(context.Context) (bool, string) {
		ids, err := listIDs(t, c, client.InNamespace(mine))
		return err == nil && slices.Equal(ids, idsOf(a)), fmt.Sprint(ids, err)
	})
	if ids, err := listIDs(t, c, client.InNamespace(theirs)); !apierrors.IsForbidden(err) {
		t.Errorf("elsewhere the auditor reads %v %v", ids, err)
	}
	if ids, err := listIDs(t, c); !apierrors.IsForbidden(err) {
		t.Errorf("everywhere the auditor reads %v %v", ids, err)
	}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: mine, Name: b.ID}, &auditv1alpha1.AuditEvent{}); !apierrors.IsNotFound(err) {
		t.Errorf("by the name of another namespace's event the auditor gets %v", err)
	}
	everything := auditClient(t, cluster.Config())
	if ids, err := listIDs(t, everything); err != nil || !slices.Equal(ids, idsOf(b, a)) {
		t.Errorf("everywhere the administrator of the cluster reads %v %v", ids, err)
	}

	t.Run("a namespace that was made again", func(t *testing.T) {
		w, err := everything.Watch(t.Context(), &auditv1alpha1.AuditEventList{}, client.InNamespace(theirs))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if first := <-w.ResultChan(); first.Type != watch.Added {
			t.Fatalf("the watch begins with %+v", first)
		}
		namespace := &corev1.Namespace{}
		namespace.Name = theirs
		remove(t, namespace)
		awaitGone(t, namespace)
		again := &corev1.Namespace{}
		again.Name = theirs
		create(t, again)
		if ids, err := listIDs(t, everything, client.InNamespace(theirs)); err != nil || len(ids) != 0 {
			t.Errorf("the successor sees %v %v", ids, err)
		}
		c := s.record(t, theirs, nil)
		if ids, err := listIDs(t, everything, client.InNamespace(theirs)); err != nil || !slices.Equal(ids, idsOf(c)) {
			t.Errorf("the successor sees %v %v", ids, err)
		}
		if ids, err := listIDs(t, everything); err != nil || !slices.Equal(ids, idsOf(c, b, a)) {
			t.Errorf("everywhere there is %v %v", ids, err)
		}
		if last := <-w.ResultChan(); last.Type != watch.Error || !apierrors.IsGone(apierrors.FromObject(last.Object)) && !apierrors.IsResourceExpired(apierrors.FromObject(last.Object)) {
			t.Errorf("the predecessor's watch goes on with %+v", last)
		}
	})
}

// What controllers use works: informers, that begin with a streamed list, and hear of what changes.
func TestAuditAPIInformer(t *testing.T) {
	s := startAuditServer(t)
	ns := newNamespace(t, nil)
	first := s.record(t, ns, nil)
	s.record(t, ns, func(e *iam.Event) { e.StatusCode = 403 })
	informers, err := cache.New(cluster.Config(), cache.Options{Scheme: auditScheme(t), ByObject: map[client.Object]cache.ByObject{
		&auditv1alpha1.AuditEvent{}: {Field: fields.ParseSelectorOrDie("statusCode=200"), Namespaces: map[string]cache.Config{ns: {}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- informers.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	updates := make(chan *auditv1alpha1.AuditEvent, 10)
	informer, err := informers.GetInformer(ctx, &auditv1alpha1.AuditEvent{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{UpdateFunc: func(_, now any) { updates <- now.(*auditv1alpha1.AuditEvent) }}); err != nil {
		t.Fatal(err)
	}
	sees := func(want ...iam.Event) {
		t.Helper()
		eventually(t, "the informer is filled", func(ctx context.Context) (bool, string) {
			list := &auditv1alpha1.AuditEventList{}
			err := informers.List(ctx, list, client.InNamespace(ns))
			return err == nil && len(list.Items) == len(want), fmt.Sprint(err, len(list.Items))
		})
	}
	sees(first)
	second := s.record(t, ns, nil)
	sees(first, second)
	s.record(t, ns, func(e *iam.Event) {
		*e = iam.Event{ID: e.ID, RecordedAt: e.RecordedAt, Organization: e.Organization, Namespace: e.Namespace, NamespaceUID: e.NamespaceUID, Method: "RecordOrigin",
			Origin: &iam.EventOrigin{EventID: first.ID, EventSequence: first.Sequence, SourceIP: "10.1.2.3", UserAgent: "kubectl"}}
	})
	select {
	case updated := <-updates:
		if updated.Name != first.ID || updated.SourceIP != "10.1.2.3" || updated.UserAgent != "kubectl" {
			t.Errorf("the origin became known, and the informer has %+v", updated)
		}
	case <-time.After(patience):
		t.Error("the origin became known, and the informer does not hear of it")
	}
}

// endsWithin is how long the operator may take to end, whatever watches are open.
const endsWithin = 5 * time.Second

// Open watches do not hold back the end of the operator, and while it is down the rest of the cluster works, but for one
// thing: a namespace waits to be gone until it is back.
func TestAuditAPIDown(t *testing.T) {
	s := startAuditServer(t)
	ns := newNamespace(t, nil)
	s.record(t, ns, nil)
	c := auditClient(t, cluster.Config())
	var watches []watch.Interface
	for range 10 {
		w, err := c.Watch(t.Context(), &auditv1alpha1.AuditEventList{}, client.InNamespace(ns))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		<-w.ResultChan()
		watches = append(watches, w)
	}
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- s.stop() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the audit API does not end while watches are open")
	}
	took := time.Since(began)
	t.Logf("with ten open watches it ended in %s", took)
	// This is no benchmark: whoever waits for its watches to end takes minutes, or for ever.
	if took > endsWithin {
		t.Errorf("with ten open watches it ended in %s, and that must be within %s", took, endsWithin)
	}
	s.stop = nil
	if open, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))); err == nil {
		_ = open.Close()
		t.Error("the audit API has ended, and still listens")
	}
	for _, w := range watches {
		for range w.ResultChan() {
		}
	}
	eventually(t, "the APIService is unavailable", func(context.Context) (bool, string) {
		out := mustKubectl(t, "get", "apiservice", auditapi.APIServiceName)
		return strings.Contains(out, "False"), out
	})
	namespace := &corev1.Namespace{}
	namespace.Name = newNamespace(t, nil)
	some := &corev1.ConfigMap{ObjectMeta: objectMeta(namespace.Name, "some")}
	create(t, some)
	if _, err := listIDs(t, c, client.InNamespace(ns)); err == nil {
		t.Error("audit events are listed while nobody serves them")
	}
	if err := admin.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, some)
	eventually(t, "the namespace says what it waits for", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(namespace), namespace)
		for _, c := range namespace.Status.Conditions {
			if c.Type == corev1.NamespaceDeletionDiscoveryFailure && c.Status == corev1.ConditionTrue {
				return strings.Contains(c.Message, auditv1alpha1.GroupVersion.Group), c.Message
			}
		}
		return false, fmt.Sprint(err, namespace.Status)
	})
	if namespace.DeletionTimestamp == nil || namespace.Status.Phase != corev1.NamespaceTerminating {
		t.Errorf("while the audit API is down, the namespace is %+v", namespace.Status)
	}
	s.start(t)
	s.awaitAvailable(t)
	awaitGoneWithin(t, 3*patience, namespace)
}

// Whoever removes what was installed removes the APIService.
func TestAuditAPIUninstalled(t *testing.T) {
	out := mustKubectl(t, "delete", "--dry-run=client", "-k", filepath.Join(repository, "config", "default"))
	if !strings.Contains(out, `"`+auditapi.APIServiceName+`" deleted`) {
		t.Errorf("removing config/default does not remove the APIService:\n%s", out)
	}
	if _, err := kubectl(t.Context(), "get", "apiservice", auditapi.APIServiceName); err == nil {
		t.Error("a test left its APIService behind")
	}
}
