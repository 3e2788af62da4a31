// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// record says, as admission would, that somebody asked for what an object is now.
func record(t *testing.T, o *operator, obj controllers.Object, user string) {
	t.Helper()
	if err := admin.Get(t.Context(), keyOf(obj), obj); err != nil {
		t.Fatal(err)
	}
	err := o.Store.Attribute(t.Context(), iam.Attribution{
		ObjectUID: string(obj.GetUID()), Generation: obj.GetGeneration(), Digest: declared.Digest(obj.(declared.Object)),
		Requester: iam.Requester{Name: user}, RequestID: "request-of-" + user, At: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func recordDeletion(t *testing.T, o *operator, obj client.Object, user string) {
	t.Helper()
	err := o.Store.Attribute(t.Context(), iam.Attribution{ObjectUID: string(obj.GetUID()), Deletion: true, Requester: iam.Requester{Name: user}, At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitAuditEvent waits for the newest event of a method about something.
func awaitAuditEvent(t *testing.T, o *operator, id, method string, ok func(iam.Event) bool) iam.Event {
	t.Helper()
	var found iam.Event
	eventually(t, method+" of "+id, func(ctx context.Context) (bool, string) {
		events, err := o.Store.Events(ctx, store.EventQuery{EventFilter: store.EventFilter{ResourceID: id, Method: method}})
		if err != nil || len(events) == 0 {
			return false, fmt.Sprint(err, len(events))
		}
		found = events[0]
		return ok == nil || ok(found), fmt.Sprintf("%+v %+v", found.Principal, found.Authorship)
	})
	return found
}

func stateOf(event iam.Event) iam.AuthorshipState {
	if event.Authorship == nil {
		return ""
	}
	return event.Authorship.State
}

func authorsOf(event iam.Event) []iam.Author {
	if event.Authorship == nil {
		return nil
	}
	return event.Authorship.Authors
}

// attributionWorld is an Organization in which Maya, the owner and a ServiceAccount are known at the API server. What is
// created in it afterwards is attributed before the operator sees it: the operator is down meanwhile.
type attributionWorld struct {
	*operator
	home  string
	org   *v1alpha1.Organization
	maya  *v1alpha1.Member
	robot *v1alpha1.Application
}

func newAttributionWorld(t *testing.T) *attributionWorld {
	t.Helper()
	w := &attributionWorld{operator: startOperator(t), home: newNamespace(t, nil)}
	w.org = organization(w.home, "acme")
	w.org.Spec.Owner.KubernetesUsers = []v1alpha1.UserName{"ada@corp.example", "both@corp.example"}
	w.maya = member(w.org, w.home, "maya")
	w.maya.Spec.KubernetesUsers = []v1alpha1.UserName{"maya@corp.example", "both@corp.example"}
	w.robot = application(w.org, w.home, "robot")
	w.robot.Spec.ServiceAccounts = []v1alpha1.ServiceAccountRef{{Name: "robot"}}
	create(t, w.org, w.maya, w.robot)
	awaitReady(t, w.org, w.maya, w.robot)
	return w
}

// away runs something while the operator is down but for its store.
func (w *attributionWorld) away(t *testing.T, what func()) {
	t.Helper()
	w.halt(t)
	database, err := controllers.OpenDatabase(t.Context(), controllers.Database{Path: w.Database})
	if err != nil {
		t.Fatal(err)
	}
	w.Store = database
	what()
	if err := database.Close(); err != nil {
		t.Fatal(err)
	}
	w.start(t)
}

func TestAttributionNamesWhoAsked(t *testing.T) {
	w := newAttributionWorld(t)
	rival := newRival(t)
	users := map[string]iam.Actor{
		"maya@corp.example":                           {Kind: iam.ActorMember, ID: string(w.maya.UID), Name: "maya"},
		"ada@corp.example":                            {Kind: iam.ActorOwner, ID: w.org.Status.OwnerID, Name: "owner@acme.example"},
		"system:serviceaccount:" + w.home + ":robot":  {Kind: iam.ActorApplication, ID: string(w.robot.UID), Name: "robot"},
		"system:serviceaccount:" + w.home + ":others": {Kind: iam.ActorKubernetesUser, Name: "system:serviceaccount:" + w.home + ":others"},
		"nobody@corp.example":                         {Kind: iam.ActorKubernetesUser, Name: "nobody@corp.example"},
		"both@corp.example":                           {Kind: iam.ActorKubernetesUser, Name: "both@corp.example"},
		rival:                                         {Kind: iam.ActorKubernetesUser, Name: rival},
	}
	made := map[string]*v1alpha1.Application{}
	w.away(t, func() {
		i := 0
		for user := range users {
			made[user] = application(w.org, w.home, fmt.Sprintf("app-%d", i))
			create(t, made[user])
			record(t, w.operator, made[user], user)
			i++
		}
	})
	for user, want := range users {
		event := awaitAuditEvent(t, w.operator, string(made[user].UID), "CreateApplication", nil)
		if event.Principal != want || event.KubernetesUser != user || event.RequestID != "request-of-"+user || stateOf(event) != iam.AuthorshipAdmitted {
			t.Errorf("%s: %+v, user %q, request %q, %+v; want %+v", user, event.Principal, event.KubernetesUser, event.RequestID, event.Authorship, want)
		}
	}
}

// newRival makes another Organization with a Member, and gives the user whom that Member claims.
func newRival(t *testing.T) string {
	t.Helper()
	ns := newNamespace(t, nil)
	org := organization(ns, "rival")
	someone := member(org, ns, "someone")
	someone.Spec.KubernetesUsers = []v1alpha1.UserName{"someone@rival.example"}
	create(t, org, someone)
	awaitReady(t, org, someone)
	return "someone@rival.example"
}

func TestAttributionOfChanges(t *testing.T) {
	w := newAttributionWorld(t)
	t.Run("what was stored is not what was admitted", func(t *testing.T) {
		app := application(w.org, w.home, "other")
		w.away(t, func() {
			create(t, app)
			record(t, w.operator, app, "maya@corp.example")
			change(t, app, func(a *v1alpha1.Application) { a.Spec.Description = "by somebody else" })
		})
		event := awaitAuditEvent(t, w.operator, string(app.UID), "CreateApplication", nil)
		if event.Principal.Name != iam.Unknown || event.KubernetesUser != "" || stateOf(event) != iam.AuthorshipAbsent || event.Authorship.FieldManager != "somebody" {
			t.Errorf("%+v, user %q, %+v", event.Principal, event.KubernetesUser, event.Authorship)
		}
	})
	t.Run("an attempt that nobody recorded is listed as somebody's", func(t *testing.T) {
		app := application(w.org, w.home, "gap")
		create(t, app)
		awaitReady(t, app)
		w.away(t, func() {
			change(t, app, func(a *v1alpha1.Application) { a.Spec.Description = "unseen" })
			change(t, app, func(a *v1alpha1.Application) { a.Spec.Tags = []v1alpha1.Tag{"seen"} })
			record(t, w.operator, app, "maya@corp.example")
		})
		event := awaitAuditEvent(t, w.operator, string(app.UID), "UpdateApplication", nil)
		if authors := authorsOf(event); event.Principal.Name != "maya" || len(authors) != 2 || authors[0].KubernetesUser != iam.Unknown || authors[0].Generation != 2 {
			t.Errorf("%+v, %+v", event.Principal, event.Authorship)
		}
	})
	t.Run("several generations at once", func(t *testing.T) {
		app := application(w.org, w.home, "several")
		create(t, app)
		awaitReady(t, app)
		w.away(t, func() {
			for i, user := range []string{"ada@corp.example", "maya@corp.example"} {
				change(t, app, func(a *v1alpha1.Application) { a.Spec.Description = fmt.Sprint("edit ", i) })
				record(t, w.operator, app, user)
			}
		})
		event := awaitAuditEvent(t, w.operator, string(app.UID), "UpdateApplication", nil)
		if event.Principal.Name != "maya" || len(authorsOf(event)) != 2 || authorsOf(event)[0].KubernetesUser != "ada@corp.example" {
			t.Errorf("%+v, %+v", event.Principal, event.Authorship)
		}
	})
	t.Run("what changes by itself later is nobody's", func(t *testing.T) {
		app := application(w.org, w.home, "joins")
		app.Spec.Groups = []v1alpha1.GroupRef{{Name: "late"}}
		late := group(w.org, w.home, "late")
		w.away(t, func() {
			create(t, app)
			record(t, w.operator, app, "maya@corp.example")
		})
		awaitReason(t, app, v1alpha1.ReasonReferenceNotFound)
		awaitAuditEvent(t, w.operator, string(app.UID), "CreateApplication", func(e iam.Event) bool { return e.Principal.Name == "maya" })
		eventually(t, "the record is used up", func(ctx context.Context) (bool, string) {
			records, err := w.Store.Attributions(ctx, string(app.UID))
			return err == nil && len(records) == 0, fmt.Sprint(err, records)
		})
		create(t, late)
		awaitAuditEvent(t, w.operator, string(late.UID), "AddGroupMember", func(e iam.Event) bool { return e.Principal.Kind == iam.ActorSystem && e.Authorship == nil })
	})
}

// A reference may come after who asked for it; what an edit adds then is still theirs.
func TestAttributionOfWhatWaits(t *testing.T) {
	w := newAttributionWorld(t)
	app, late := application(w.org, w.home, "joins"), group(w.org, w.home, "late")
	create(t, app)
	awaitReady(t, app)
	w.away(t, func() {
		change(t, app, func(a *v1alpha1.Application) { a.Spec.Groups = []v1alpha1.GroupRef{{Name: "late"}} })
		record(t, w.operator, app, "maya@corp.example")
	})
	awaitReason(t, app, v1alpha1.ReasonReferenceNotFound)
	awaitQuiet(t, w.operator)
	create(t, late)
	awaitAuditEvent(t, w.operator, string(late.UID), "AddGroupMember", func(e iam.Event) bool { return e.Principal.Name == "maya" })
}

// An annotation changes no generation, and yet what it leads to is somebody's.
func TestAttributionOfAnnotations(t *testing.T) {
	w := newAttributionWorld(t)
	key := apiKey(w.org, w.home, "key", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "robot"})
	key.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"}
	create(t, key)
	awaitReady(t, key)
	before := key.Status.AccessKey
	w.away(t, func() {
		w.Clock.SetTime(w.Clock.Now().Add(time.Hour)) // The annotation has whole seconds, and must lie after the minting.
		change(t, key, func(k *v1alpha1.APIKey) {
			k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: w.Clock.Now().Format(time.RFC3339)}
		})
		record(t, w.operator, key, "maya@corp.example")
	})
	eventually(t, "the key is rotated", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(key), key)
		return err == nil && key.Status.AccessKey != before, fmt.Sprint(err, key.Status)
	})
	event := awaitAuditEvent(t, w.operator, key.Status.AccessKey, "CreateAPIKey", nil)
	if event.Principal.Name != "maya" || stateOf(event) != iam.AuthorshipAdmitted {
		t.Errorf("%+v, %+v", event.Principal, event.Authorship)
	}
	w.Clock.SetTime(key.Status.NextRotationAt.Add(time.Minute))
	poke(t, key)
	after := key.Status.AccessKey
	eventually(t, "the key rotates by itself", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(key), key)
		return err == nil && key.Status.AccessKey != after, fmt.Sprint(err, key.Status)
	})
	if event := awaitAuditEvent(t, w.operator, key.Status.AccessKey, "CreateAPIKey", nil); event.Principal.Kind != iam.ActorSystem {
		t.Errorf("what rotates by itself is by %+v, %+v", event.Principal, event.Authorship)
	}
}

func TestAttributionOfDeletions(t *testing.T) {
	w := newAttributionWorld(t)
	remember := func(name string) *v1alpha1.Application {
		app := application(w.org, w.home, name)
		create(t, app)
		awaitReady(t, app)
		return app
	}
	t.Run("the first who asked", func(t *testing.T) {
		app := remember("first")
		recordDeletion(t, w.operator, app, "maya@corp.example")
		recordDeletion(t, w.operator, app, "ada@corp.example")
		remove(t, app)
		event := awaitAuditEvent(t, w.operator, string(app.UID), "DeleteApplication", nil)
		if event.Principal.Kind != iam.ActorMember || event.KubernetesUser != "maya@corp.example" {
			t.Errorf("%+v, user %q", event.Principal, event.KubernetesUser)
		}
	})
	t.Run("without our finalizer", func(t *testing.T) {
		app := remember("finalized")
		w.away(t, func() {
			recordDeletion(t, w.operator, app, "ada@corp.example")
			change(t, app, func(a *v1alpha1.Application) { a.Finalizers = nil })
			remove(t, app)
		})
		event := awaitAuditEvent(t, w.operator, string(app.UID), "DeleteApplication", nil)
		if event.Principal.Kind != iam.ActorOwner {
			t.Errorf("%+v", event.Principal)
		}
	})
	t.Run("nobody saw it", func(t *testing.T) {
		app := remember("unseen")
		remove(t, app)
		event := awaitAuditEvent(t, w.operator, string(app.UID), "DeleteApplication", nil)
		if event.Principal.Name != iam.Unknown || stateOf(event) != iam.AuthorshipAbsent {
			t.Errorf("%+v, %+v", event.Principal, event.Authorship)
		}
	})
	t.Run("Kubernetes for itself", func(t *testing.T) {
		for user, want := range map[string]string{
			"system:serviceaccount:kube-system:generic-garbage-collector": "garbage-collector",
			"system:serviceaccount:kube-system:namespace-controller":      "namespace-controller",
			"system:kube-controller-manager":                              "garbage-collector",
		} {
			app := remember("by-" + want + fmt.Sprint(len(user)))
			recordDeletion(t, w.operator, app, user)
			remove(t, app)
			event := awaitAuditEvent(t, w.operator, string(app.UID), "DeleteApplication", nil)
			if event.Principal != (iam.Actor{Kind: iam.ActorSystem, Name: want}) || event.KubernetesUser != user {
				t.Errorf("%s: %+v, user %q", user, event.Principal, event.KubernetesUser)
			}
		}
	})
	t.Run("a name that went and came back while nobody looked", func(t *testing.T) {
		app := remember("twice")
		former := string(app.UID)
		w.away(t, func() {
			recordDeletion(t, w.operator, app, "ada@corp.example")
			change(t, app, func(a *v1alpha1.Application) { a.Finalizers = nil })
			remove(t, app)
			app = application(w.org, w.home, "twice")
			create(t, app)
			record(t, w.operator, app, "maya@corp.example")
		})
		gone := awaitAuditEvent(t, w.operator, former, "DeleteApplication", nil)
		come := awaitAuditEvent(t, w.operator, string(app.UID), "CreateApplication", nil)
		if gone.Principal.Kind != iam.ActorOwner || come.Principal.Name != "maya" {
			t.Errorf("deleted by %+v, created by %+v", gone.Principal, come.Principal)
		}
	})
	t.Run("a namespace takes along what is in it", func(t *testing.T) {
		ns := newNamespace(t, nil)
		org := organization(ns, "acme")
		app := application(org, ns, "inside")
		create(t, org, app)
		awaitReady(t, org, app)
		recordDeletion(t, w.operator, app, "system:kube-controller-manager")
		recordDeletion(t, w.operator, org, "system:kube-controller-manager")
		if err := admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: objectMeta("", ns)}); err != nil {
			t.Fatal(err)
		}
		for id, method := range map[string]string{string(app.UID): "DeleteApplication", string(org.UID): "CloseOrganization"} {
			event := awaitAuditEvent(t, w.operator, id, method, nil)
			if event.Principal != (iam.Actor{Kind: iam.ActorSystem, Name: "namespace-controller"}) || event.KubernetesUser != "system:kube-controller-manager" {
				t.Errorf("%s by %+v, user %q", method, event.Principal, event.KubernetesUser)
			}
		}
	})
	t.Run("an Organization takes along what is elsewhere", func(t *testing.T) {
		home, guest := newNamespace(t, nil), newNamespace(t, nil)
		org := organization(home, "acme")
		org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
		objects := []controllers.Object{org}
		for i := range 8 {
			objects = append(objects, application(org, guest, fmt.Sprint("guest-", i)))
		}
		for _, obj := range objects {
			create(t, obj)
		}
		awaitReady(t, objects...)
		recordDeletion(t, w.operator, org, "tom@corp.example")
		remove(t, org)
		for _, app := range objects[1:] {
			event := awaitAuditEvent(t, w.operator, string(app.GetUID()), "DeleteApplication", nil)
			if event.KubernetesUser != "tom@corp.example" {
				t.Errorf("%s by %+v, user %q", app.GetName(), event.Principal, event.KubernetesUser)
			}
		}
	})
	t.Run("a key goes with its bearer, by the same hand", func(t *testing.T) {
		app := remember("bearer")
		key := apiKey(w.org, w.home, "key", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "bearer"})
		create(t, key)
		awaitReady(t, key)
		access := key.Status.AccessKey
		recordDeletion(t, w.operator, app, "maya@corp.example")
		remove(t, app)
		event := awaitAuditEvent(t, w.operator, access, "DeleteAPIKey", nil)
		if event.Principal.Name != "maya" {
			t.Errorf("%+v", event.Principal)
		}
	})
}

// gate is an operator that judges by webhooks which the tests install and remove. They guard by their looks, and are never
// asked, so that nothing of a test depends on an answer: what the operator sees while they are installed counts as judged,
// and not recorded.
type gate struct {
	*operator
	configuration *admissionv1.ValidatingWebhookConfiguration

	mu        sync.Mutex
	installed bool
	unjudged  map[string]bool
}

func (g *gate) judged(objectUID string, generation int64, digest string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := fmt.Sprint(objectUID, generation, digest)
	g.unjudged[key] = g.unjudged[key] || !g.installed
	return !g.unjudged[key]
}

func (g *gate) switchTo(installed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.installed = installed
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{operator: newOperator(t), unjudged: map[string]bool{}}
	g.Admission, g.Judged = true, g.judged
	g.configuration = &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: objectMeta("", controllers.AdmissionConfiguration)}
	g.configuration.Webhooks = []admissionv1.ValidatingWebhook{{
		Name: controllers.GuardWebhook, FailurePolicy: ptr.To(admissionv1.Fail), SideEffects: ptr.To(admissionv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"}, ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://localhost:1/validate")},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"*"},
		}}},
		MatchConditions: []admissionv1.MatchCondition{{Name: "never", Expression: "false"}},
	}}
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), g.configuration)) })
	g.install(t)
	g.start(t)
	t.Cleanup(func() { g.halt(t) })
	return g
}

func (g *gate) install(t *testing.T) {
	t.Helper()
	create(t, g.configuration.DeepCopy())
	g.switchTo(true)
}

func (g *gate) uninstall(t *testing.T) {
	t.Helper()
	g.switchTo(false)
	if err := admin.Delete(t.Context(), g.configuration.DeepCopy()); err != nil {
		t.Fatal(err)
	}
}

// submit does as admission would: it records who submits an object again, as a whole.
func (g *gate) submit(t *testing.T, obj controllers.Object) {
	t.Helper()
	record(t, g.operator, obj, "maya@corp.example")
	poke(t, obj)
	awaitReady(t, obj)
}

func (g *gate) rows(t *testing.T, kind iam.Kind, obj client.Object) []store.Row {
	t.Helper()
	page, err := g.Store.List(t.Context(), store.Query{Kind: kind, Object: &iam.Object{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}})
	if err != nil {
		t.Fatal(err)
	}
	return page.Rows
}

// What was stored while the webhooks were not installed is not applied, also not once they are there, until somebody has
// submitted it again; what was applied before goes on, and comes back after the loss of the database.
func TestAdmissionMissing(t *testing.T) {
	g := startGate(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	before, fresh, held := application(org, ns, "before"), application(org, ns, "fresh"), application(org, ns, "held")
	create(t, org, before)
	awaitReady(t, org, before)

	g.uninstall(t)
	change(t, before, func(a *v1alpha1.Application) { a.Spec.Description = "changed while nobody looked" })
	create(t, held)
	for _, app := range []*v1alpha1.Application{held, before} {
		advice := awaitReason(t, app, v1alpha1.ReasonAdmissionMissing).Message
		command := "kubectl -n " + ns + " annotate application.iam-operator.dev " + app.Name
		if !strings.Contains(advice, "Install them") || !strings.Contains(advice, command) {
			t.Errorf("the advice is %q", advice)
		}
	}
	if rows := g.rows(t, iam.KindApplication, held); len(rows) > 0 {
		t.Errorf("what nobody judged is in the store: %+v", rows)
	}
	if rows := g.rows(t, iam.KindApplication, before); len(rows) != 1 || rows[0].Entity.(*iam.Application).Description != "" {
		t.Errorf("what was applied before did not stay as it was: %+v", rows)
	}
	g.halt(t)
	g.start(t)

	g.install(t)
	create(t, fresh)
	awaitReady(t, fresh)
	eventually(t, "the advice changes", func(ctx context.Context) (bool, string) {
		advice := awaitReason(t, held, v1alpha1.ReasonAdmissionMissing).Message
		return !strings.Contains(advice, "Install them"), advice
	})
	poke(t, held)
	awaitQuiet(t, g.operator)
	awaitReason(t, held, v1alpha1.ReasonAdmissionMissing)

	g.submit(t, held)
	event := awaitAuditEvent(t, g.operator, string(held.UID), "CreateApplication", nil)
	if event.KubernetesUser != "maya@corp.example" {
		t.Errorf("it is told of as by %q, %+v", event.KubernetesUser, event.Authorship)
	}
	awaitReason(t, before, v1alpha1.ReasonAdmissionMissing)
	change(t, before, func(a *v1alpha1.Application) { a.Spec.Description = "changed again" })
	awaitReady(t, before)

	g.halt(t)
	loseDatabase(t, g.operator)
	g.uninstall(t)
	g.start(t)
	eventually(t, "what was applied comes back without the webhooks", func(context.Context) (bool, string) {
		rows := g.rows(t, iam.KindApplication, held)
		return len(rows) == 1, fmt.Sprint(rows)
	})
	remove(t, held)
	if rows := g.rows(t, iam.KindApplication, held); len(rows) > 0 {
		t.Errorf("a deletion waits for admission: %+v", rows)
	}
}

// What an Organization or an SSH key declares while nobody judges it does not reach others either, and what waits keeps
// nothing that is taken away meanwhile.
func TestAdmissionMissingReachesNobodyElse(t *testing.T) {
	g := startGate(t)
	w := &world{home: newNamespace(t, nil)}
	w.guest = newNamespace(t, map[string]string{"joins": w.home})
	org := organization(w.home, "acme")
	org.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selects("joins", w.home)}
	inside := application(org, w.guest, "inside")
	owners := apiKey(org, w.home, "owners", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	shop := project(org, w.home, "shop")
	known := sshKey(org, w.home, "known", shop.Name)
	create(t, org, inside, owners, shop, known)
	awaitReady(t, org, inside, owners, shop, known)
	outside := application(org, newNamespace(t, nil), "outside")
	create(t, outside)
	awaitReason(t, outside, v1alpha1.ReasonNamespaceNotAllowed)
	lines := func() string {
		configMap := &corev1.ConfigMap{}
		if err := admin.Get(t.Context(), client.ObjectKey{Namespace: w.home, Name: shop.Name + "-authorized-keys"}, configMap); err != nil {
			return err.Error()
		}
		return configMap.Data["authorized_keys"]
	}

	g.uninstall(t)
	change(t, org, func(o *v1alpha1.Organization) {
		o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
		o.Spec.Owner.Email = "mallory@rival.example"
	})
	change(t, inside, func(a *v1alpha1.Application) { a.Spec.Description = "so that it waits" })
	stranger := sshKey(org, w.home, "stranger", shop.Name)
	create(t, stranger)
	for _, obj := range []controllers.Object{org, inside, stranger} {
		awaitReason(t, obj, v1alpha1.ReasonAdmissionMissing)
	}
	for _, obj := range []client.Object{outside, owners, shop} {
		poke(t, obj)
	}
	awaitQuiet(t, g.operator)
	awaitReason(t, outside, v1alpha1.ReasonNamespaceNotAllowed)
	awaitReady(t, owners)
	if len(g.rows(t, iam.KindApplication, inside)) != 1 || len(g.rows(t, iam.KindAPIKey, owners)) != 1 {
		t.Error("what was there before does not stay")
	}
	if text := lines(); !strings.Contains(text, "/known") || strings.Contains(text, "/stranger") {
		t.Errorf("authorized keys: %q", text)
	}

	// What is taken away goes, whoever waits.
	change(t, shop, func(p *v1alpha1.Project) { p.Spec.Description = "so that it waits" })
	awaitReason(t, shop, v1alpha1.ReasonAdmissionMissing)
	remove(t, known)
	eventually(t, "the key is let in no more", func(context.Context) (bool, string) { return !strings.Contains(lines(), "/known"), lines() })
	g.install(t)
	change(t, org, func(o *v1alpha1.Organization) {
		o.Spec.AllowedNamespaces, o.Spec.Owner.Email = nil, "owner@acme.example"
	})
	awaitReady(t, org)
	eventually(t, "the namespace is in no more", func(context.Context) (bool, string) {
		rows := g.rows(t, iam.KindApplication, inside)
		return len(rows) == 0, fmt.Sprint(rows)
	})

	change(t, org, func(o *v1alpha1.Organization) {
		o.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}
	})
	awaitReady(t, org, outside)
	g.submit(t, shop)
	g.submit(t, stranger)
	eventually(t, "the judged key is let in", func(context.Context) (bool, string) { return strings.Contains(lines(), "/stranger"), lines() })
}

// Nor is done what an annotation asks for, which no generation counts, nor do the Organization's rules loosen for others.
func TestAdmissionMissingActsAndRules(t *testing.T) {
	g := startGate(t)
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	org.Spec.Security = &v1alpha1.Security{PasswordPolicy: &v1alpha1.PasswordPolicy{MinLength: ptr.To(int32(40))}}
	owners := apiKey(org, ns, "owners", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner})
	secret := passwordSecret(ns, "maya-password", goodPassword)
	maya := member(org, ns, "maya")
	maya.Spec.Password = fromSecret(secret.Name)
	create(t, secret, org, owners, maya)
	awaitReady(t, org, owners)
	refused := func() {
		t.Helper()
		awaitCondition(t, maya, v1alpha1.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha1.ReasonPasswordRefused)
	}
	refused()
	before := owners.Status.AccessKey
	g.Clock.SetTime(g.Clock.Now().Add(time.Hour))

	g.uninstall(t)
	change(t, org, func(o *v1alpha1.Organization) { o.Spec.Security = nil })
	change(t, owners, func(k *v1alpha1.APIKey) {
		k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: g.Clock.Now().Add(-time.Minute).Format(time.RFC3339)}
	})
	awaitReason(t, org, v1alpha1.ReasonAdmissionMissing)
	awaitReason(t, owners, v1alpha1.ReasonAdmissionMissing)
	poke(t, maya)
	awaitQuiet(t, g.operator)
	refused()
	g.install(t)
	poke(t, owners)
	awaitQuiet(t, g.operator)
	if awaitReason(t, owners, v1alpha1.ReasonAdmissionMissing); owners.Status.AccessKey != before {
		t.Error("the key was rotated for somebody whom nobody judged")
	}

	g.submit(t, org)
	awaitCondition(t, maya, v1alpha1.ConditionCredentialsValid, metav1.ConditionTrue, "")
	g.submit(t, owners)
	eventually(t, "the key is rotated", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(owners), owners)
		return err == nil && owners.Status.AccessKey != before, fmt.Sprint(err, owners.Status)
	})
}
