// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
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
		events, err := o.Store.Events(ctx, store.EventQuery{ResourceID: id, Method: method})
		if err != nil || len(events) == 0 {
			return false, fmt.Sprint(err, len(events))
		}
		found = events[0]
		return ok == nil || ok(found), fmt.Sprintf("%+v %+v", found.Principal, found.Authorship)
	})
	return found
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
		if event.Principal != want || event.KubernetesUser != user || event.RequestID != "request-of-"+user || event.Authorship == nil || event.Authorship.State != iam.AuthorshipAdmitted {
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
		if event.Principal.Name != iam.Unknown || event.KubernetesUser != "" || event.Authorship.State != iam.AuthorshipAbsent || event.Authorship.FieldManager != "somebody" {
			t.Errorf("%+v, user %q, %+v", event.Principal, event.KubernetesUser, event.Authorship)
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
		if event.Principal.Name != "maya" || len(event.Authorship.Authors) != 2 || event.Authorship.Authors[0].KubernetesUser != "ada@corp.example" {
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
		if event.Principal.Name != iam.Unknown || event.Authorship.State != iam.AuthorshipAbsent {
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

// What was stored while the webhooks were not installed is not applied, also not once they are there, until somebody has
// submitted it again; what was applied before goes on.
func TestAdmissionMissing(t *testing.T) {
	o := newOperator(t)
	o.Admission = true
	configuration := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: objectMeta("", controllers.AdmissionConfiguration)}
	// It guards by its looks, and is never asked, so that nothing of this test depends on an answer.
	configuration.Webhooks = []admissionv1.ValidatingWebhook{{
		Name: controllers.GuardWebhook, FailurePolicy: ptr.To(admissionv1.Fail), SideEffects: ptr.To(admissionv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"}, ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://localhost:1/validate")},
		Rules: []admissionv1.RuleWithOperations{{Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"*"},
		}}},
		MatchConditions: []admissionv1.MatchCondition{{Name: "never", Expression: "false"}},
	}}
	t.Cleanup(func() { _ = client.IgnoreNotFound(admin.Delete(context.Background(), configuration)) })
	create(t, configuration.DeepCopy())
	o.start(t)
	t.Cleanup(func() { o.halt(t) })

	ns := newNamespace(t, nil)
	org, before := organization(ns, "acme"), (*v1alpha1.Application)(nil)
	before = application(org, ns, "before")
	create(t, org, before)
	awaitReady(t, org, before)

	if err := admin.Delete(t.Context(), configuration.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	change(t, before, func(a *v1alpha1.Application) { a.Spec.Description = "changed while nobody looked" })
	held := application(org, ns, "held")
	create(t, held)
	awaitReason(t, held, v1alpha1.ReasonAdmissionMissing)
	awaitReason(t, before, v1alpha1.ReasonAdmissionMissing)
	if _, err := o.Store.Get(t.Context(), iam.KindApplication, string(held.UID)); err == nil {
		t.Error("what nobody judged is in the store")
	}
	row, err := o.Store.Get(t.Context(), iam.KindApplication, string(before.UID))
	if err != nil || row.Entity.(*iam.Application).Description != "" {
		t.Errorf("what was applied before did not stay as it was: %v, %+v", err, row.Entity)
	}

	create(t, configuration.DeepCopy())
	fresh := application(org, ns, "fresh")
	create(t, fresh)
	awaitReady(t, fresh)
	poke(t, held)
	awaitQuiet(t, o)
	awaitReason(t, held, v1alpha1.ReasonAdmissionMissing)

	record(t, o, held, "maya@corp.example")
	poke(t, held)
	awaitReady(t, held)
	awaitReason(t, before, v1alpha1.ReasonAdmissionMissing)
	change(t, before, func(a *v1alpha1.Application) { a.Spec.Description = "changed again" })
	awaitReady(t, before)

	held.Spec.Description = ""
	o.halt(t)
	loseDatabase(t, o)
	if err := admin.Delete(t.Context(), configuration.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	o.start(t)
	eventually(t, "what was applied comes back without the webhooks", func(ctx context.Context) (bool, string) {
		_, err := o.Store.Get(ctx, iam.KindApplication, string(held.UID))
		return err == nil, fmt.Sprint(err)
	})
	remove(t, held)
}
