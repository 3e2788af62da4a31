// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

// hostileText is what people paste: letters of many scripts, some beside the first plane,
// some that can't be seen, and one that turns the line around.
const hostileText = "Zoë 東京 🚀 \u202e \u200b \t\\\"'<b>%s{{.}}"

// entityOf gives the only row that an object accounts for.
func entityOf(t *testing.T, o *operator, obj controllers.Object) iam.Entity {
	t.Helper()
	kind := kindOf(obj)
	page, err := o.Store.List(t.Context(), store.Query{Kind: kind, Object: &iam.Object{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}})
	if err != nil || len(page.Rows) != 1 {
		t.Fatalf("%s %s accounts for %d rows (%v)", kind, obj.GetName(), len(page.Rows), err)
	}
	return page.Rows[0].Entity
}

// Any text that the schema lets in arrives in the store as it was written.
func TestHostileTextArrivesUnchanged(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 0)
	long := strings.Repeat("🚀", 200)
	web := edited(project(w.organization, w.home, "web"), func(p *v1alpha1.Project) { p.Spec.Description = long })
	person := edited(member(w.organization, w.home, "zoe"), func(m *v1alpha1.Member) { m.Spec.FirstName, m.Spec.LastName = hostileText, "\u200b" })
	condition := `resource.name == "` + strings.Repeat("東", 2000) + `"`
	grant := policy(w.organization, w.home, "grant", nil, withCondition(setsRule("web", "InstancesReadOnly"), condition))
	key := edited(sshKey(w.organization, w.home, "laptop", "web"), func(k *v1alpha1.SSHKey) { k.Spec.DisplayName = hostileText + "\nssh-ed25519 AAAA injected" })
	create(t, web, person, grant, key)
	awaitReady(t, web, person, grant, key)
	if got := entityOf(t, o, web).(*iam.Project).Description; got != long {
		t.Errorf("the description became %q", got)
	}
	if got := entityOf(t, o, person).(*iam.Member); got.FirstName != hostileText || got.LastName != "\u200b" {
		t.Errorf("the names became %q, %q", got.FirstName, got.LastName)
	}
	if got := entityOf(t, o, grant).(*iam.Policy).Rules[0].Condition; got != condition {
		t.Errorf("the condition became %q", got)
	}
	configMap := &corev1.ConfigMap{ObjectMeta: objectMeta(w.home, "web-authorized-keys")}
	eventually(t, "the authorized keys", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(configMap), configMap)
		return err == nil && strings.Count(configMap.Data["authorized_keys"], "\n") == 1, fmt.Sprintf("%v %q", err, configMap.Data)
	})
	if strings.Contains(configMap.Data["authorized_keys"], "injected") {
		t.Errorf("a display name became a key: %q", configMap.Data["authorized_keys"])
	}
}

// Labels and annotations are anybody's: nothing that is in them keeps an object from being
// reconciled, or makes it something else.
func TestHostileLabelsAndAnnotations(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 0)
	bearer := v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}
	for name, header := range map[string]metav1.ObjectMeta{
		"a long time to reconcile at":    {Annotations: map[string]string{v1alpha1.ReconcileAtAnnotation: strings.Repeat("🚀", 10_000)}},
		"no time to reconcile at":        {Annotations: map[string]string{v1alpha1.ReconcileAtAnnotation: hostileText}},
		"no time to rotate at":           {Annotations: map[string]string{v1alpha1.RotateAtAnnotation: hostileText}},
		"a time to rotate at far away":   {Annotations: map[string]string{v1alpha1.RotateAtAnnotation: "9999-12-31T23:59:59Z"}},
		"annotations of 200 KiB":         {Annotations: map[string]string{"acme.example/note": strings.Repeat("x", 200<<10)}},
		"the operator's labels":          {Labels: map[string]string{v1alpha1.WatchLabel: "true", v1alpha1.ManagedLabel: "true"}},
		"a finalizer of somebody else's": {Finalizers: []string{"example.com/holds"}},
	} {
		t.Run(name, func(t *testing.T) {
			suffix := fmt.Sprintf("%x", len(name))
			key, app := apiKey(w.organization, w.home, "key-"+suffix, bearer), application(w.organization, w.home, "app-"+suffix)
			for _, obj := range []controllers.Object{key, app} {
				obj.SetLabels(header.Labels)
				obj.SetAnnotations(header.Annotations)
				obj.SetFinalizers(header.Finalizers)
			}
			create(t, key, app)
			awaitReady(t, key, app)
			if key.Status.AccessKey == "" {
				t.Error("no key was minted")
			}
			access, secret := key.Status.AccessKey, &corev1.Secret{ObjectMeta: objectMeta(w.home, key.Name)}
			for _, obj := range []controllers.Object{key, app} {
				if err := admin.Delete(t.Context(), obj); err != nil {
					t.Fatal(err)
				}
			}
			awaitGone(t, secret)
			eventually(t, "the key counts no more", func(ctx context.Context) (bool, string) {
				_, err := o.Store.Get(ctx, iam.KindAPIKey, access)
				return err != nil, "it is in the store"
			})
			if len(header.Finalizers) > 0 {
				change(t, key, func(k *v1alpha1.APIKey) { k.Finalizers = nil })
				change(t, app, func(a *v1alpha1.Application) { a.Finalizers = nil })
			}
			awaitGone(t, key)
		})
	}
}

// A message that is too long for a status or an event is cut between two letters, and the
// cut status counts as the same at the next look.
func TestHostileTextInMessages(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 0)
	var broken []controllers.Object
	for shift := range 4 {
		// CEL repeats the text that it can't read; each shift cuts the letters elsewhere.
		condition := strings.Repeat(" ", shift) + `resource.name == "` + strings.Repeat("🚀", 1900)
		broken = append(broken, policy(w.organization, w.home, fmt.Sprintf("broken-%d", shift), nil, withCondition(setsRule("", "IAMReadOnly"), condition)))
	}
	create(t, asObjects(broken)...)
	for _, obj := range broken {
		message := awaitReason(t, obj, v1alpha1.ReasonInvalidSpec).Message
		if len(message) > 1024 || !utf8.ValidString(message) || strings.ContainsRune(message, utf8.RuneError) {
			t.Errorf("the message has %d bytes, and was cut within a letter: …%q", len(message), message[max(0, len(message)-20):])
		}
		awaitEvent(t, obj, v1alpha1.ReasonInvalidSpec)
	}
	awaitQuiet(t, o)
	turned, told := turnedAt(broken), eventsAbout(t, o, broken)
	for _, obj := range broken {
		poke(t, obj)
	}
	for _, obj := range broken {
		awaitStanding(t, obj, "looked at again", func(s *v1alpha1.ObjectStatus) bool { return s.LastHandledReconcileAt != "" })
	}
	awaitQuiet(t, o)
	if again := eventsAbout(t, o, broken); again != told {
		t.Errorf("%d audit events, and %d after another look", told, again)
	}
	if again := turnedAt(broken); !slices.Equal(turned, again) {
		t.Errorf("the conditions turned at %v, and while nothing changed at %v", turned, again)
	}
}

// turnedAt gives the times at which Ready last turned.
func turnedAt(objects []controllers.Object) []metav1.Time {
	times := make([]metav1.Time, len(objects))
	for i, obj := range objects {
		times[i] = meta.FindStatusCondition(obj.GetObjectStatus().Conditions, v1alpha1.ConditionReady).LastTransitionTime
	}
	return times
}

// eventsAbout counts the audit events about objects.
func eventsAbout(t *testing.T, o *operator, objects []controllers.Object) int {
	t.Helper()
	count := 0
	for _, obj := range objects {
		events, err := o.Store.Events(t.Context(), store.EventQuery{EventFilter: store.EventFilter{ResourceID: string(obj.GetUID())}})
		if err != nil {
			t.Fatal(err)
		}
		count += len(events)
	}
	return count
}

// awaitEvent waits until an event tells of an object.
func awaitEvent(t *testing.T, obj controllers.Object, reason string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an event tells of %s: %s", obj.GetName(), reason), func(ctx context.Context) (bool, string) {
		events := &eventsv1.EventList{}
		if err := admin.List(ctx, events, client.InNamespace(obj.GetNamespace())); err != nil {
			return false, err.Error()
		}
		for _, event := range events.Items {
			if event.Regarding.UID == obj.GetUID() && event.Reason == reason {
				return true, ""
			}
		}
		return false, fmt.Sprintf("none of %d does", len(events.Items))
	})
}

// The longest names, of Secrets and of objects, leave room for what is made from them.
func TestHostileLongestNames(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 0)
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b.", 90) + "c"
	longest := func(n int) string { return strings.TrimRight(strings.Repeat(long, 2)[:n-1], ".") + "z" }
	key := edited(apiKey(w.organization, w.home, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}), func(k *v1alpha1.APIKey) {
		k.Spec.SecretName, k.Spec.Rotation = strings.Repeat("s", 244), &v1alpha1.Rotation{Every: "720h", Overlap: "48h"}
	})
	web := edited(project(w.organization, w.home, strings.Repeat("p", 237)), func(p *v1alpha1.Project) { p.Spec.DisplayName = "web" })
	laptop := sshKey(w.organization, w.home, longest(253), web.Name)
	laptop.Spec.DisplayName = "laptop"
	broken := policy(w.organization, w.home, longest(253), nil, withCondition(setsRule("", "IAMReadOnly"), "1"))
	broken.Spec.DisplayName = "broken"
	create(t, key, web, laptop, broken)
	awaitReady(t, key, web, laptop)
	awaitReason(t, broken, v1alpha1.ReasonInvalidSpec)
	awaitEvent(t, broken, v1alpha1.ReasonInvalidSpec)

	o.Clock.SetTime(o.Clock.Now().Add(721 * time.Hour))
	poke(t, key)
	eventually(t, "both Secrets are there", func(ctx context.Context) (bool, string) {
		active, retiring := &corev1.Secret{}, &corev1.Secret{}
		err := errors.Join(
			admin.Get(ctx, client.ObjectKey{Namespace: w.home, Name: key.Spec.SecretName}, active),
			admin.Get(ctx, client.ObjectKey{Namespace: w.home, Name: key.Spec.SecretName + "-retiring"}, retiring))
		return err == nil, fmt.Sprint(err)
	})
	eventually(t, "the ConfigMap is there", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, client.ObjectKey{Namespace: w.home, Name: web.Name + "-authorized-keys"}, &corev1.ConfigMap{})
		return err == nil, fmt.Sprint(err)
	})
}

// The largest policy and group that the schema lets in are reconciled like any other.
func TestHostileSizes(t *testing.T) {
	o := startOperator(t)
	w := newWorld(t, 0)
	sets := managedSets(t, v1alpha1.ScopeTypeProjects, 100)
	rules := make([]v1alpha1.PolicyRule, 50)
	for i := range rules {
		rules[i] = withCondition(setsRule(v1alpha1.DefaultProjectName, sets...), fmt.Sprintf("inIpRange(request.ip, \"10.%d.0.0/16\")", i))
	}
	great := policy(w.organization, w.home, "great", &v1alpha1.Principal{Kind: v1alpha1.PrincipalGroup, Name: "crowd"}, rules...)
	crowd := group(w.organization, w.home, "crowd")
	var people []controllers.Object
	for i := range 500 {
		person := application(w.organization, w.home, fmt.Sprintf("robot-%d", i))
		people = append(people, person)
		crowd.Spec.Members = append(crowd.Spec.Members, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberApplication, Name: v1alpha1.ObjectName(person.Name)})
	}
	create(t, great, crowd)
	if message := awaitReason(t, crowd, v1alpha1.ReasonReferenceNotFound).Message; !strings.Contains(message, "and 495 more") {
		t.Errorf("the message is to name a few of 500: %s", message)
	}
	create(t, asObjects(people)...)
	awaitReady(t, append(people, great, crowd)...)
	if crowd.Status.Members != 500 || len(entityOf(t, o, crowd).(*iam.Group).Members) != 500 {
		t.Errorf("the group has %d members", crowd.Status.Members)
	}
	if s := great.Status; s.Rules != 50 || s.PermissionSets != 100 || s.Scopes != 1 || !s.Effective {
		t.Errorf("the policy's status is %+v", s)
	}
	held := entityOf(t, o, great).(*iam.Policy)
	if len(held.Rules) != 50 || len(held.Rules[49].PermissionSets) != 100 {
		t.Errorf("the store has %d rules", len(held.Rules))
	}
}
