// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
	"github.com/iam-operator/iam-operator/internal/store"
)

func (b *bench) records(t *testing.T, obj declared.Object) []iam.Attribution {
	t.Helper()
	records, err := b.store.Attributions(t.Context(), string(obj.GetUID()))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func (b *bench) events(t *testing.T) []iam.Event {
	t.Helper()
	events, err := b.store.Events(t.Context(), store.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func mustAllow(t *testing.T, answer admission.Response) {
	t.Helper()
	if !answer.Allowed {
		t.Fatalf("refused: %+v", answer.Result)
	}
}

func mustRefuse(t *testing.T, answer admission.Response, code int, says ...string) {
	t.Helper()
	if answer.Allowed || answer.Result == nil || int(answer.Result.Code) != code || answer.Result.Status != metav1.StatusFailure {
		t.Fatalf("want a refusal with code %d, got allowed %v, %+v", code, answer.Allowed, answer.Result)
	}
	for _, words := range says {
		if !strings.Contains(answer.Result.Message, words) {
			t.Errorf("the answer does not say %q: %s", words, answer.Result.Message)
		}
	}
}

// What is admitted is recorded with just what identifies it and whoever asked.
func TestAdmittedIsAttributed(t *testing.T) {
	b := newBench(t, acme())
	m := memberIn("shop", "maya")
	m.Generation = 7
	answer := b.Handle(t.Context(), requestTo(t, m, nil))
	mustAllow(t, answer)
	want := []iam.Attribution{{
		ObjectUID: string(m.UID), Generation: 7, Digest: declared.Digest(m), RequestID: "request-1", At: noon,
		Requester: iam.Requester{Name: "maya@corp.example", UID: "maya-uid", Groups: []string{"staff"}, Extra: map[string][]string{"shift": {"day"}}},
	}}
	mustEqual(t, "the record differs", want, b.records(t, m))
	if events := b.events(t); len(events) > 0 {
		t.Errorf("what was admitted is an event of admission's: %+v", events)
	}
}

func TestWhatIsNotAttributed(t *testing.T) {
	terminating := memberIn("shop", "maya", func(m *v1alpha1.Member) {
		m.DeletionTimestamp, m.Finalizers = ptr.To(metav1.NewTime(noon)), []string{v1alpha1.Finalizer}
	})
	relabelled := memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Labels = map[string]string{"team": "web"} })
	for name, test := range map[string]struct {
		request admission.Request
	}{
		"a dry run":                      {dry(requestTo(t, memberIn("shop", "maya"), nil))},
		"an update that changes nothing": {requestTo(t, relabelled, memberIn("shop", "maya"))},
		"an object that is on its way out": {requestTo(t, edited(terminating.DeepCopy(), func(m *v1alpha1.Member) {
			m.Spec.Username, m.Generation = "root", 2 // would be refused
		}), terminating)},
		"a subresource": {of(requestTo(t, memberIn("shop", "maya"), memberIn("shop", "maya")), "status")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, acme())
			mustAllow(t, b.Handle(t.Context(), test.request))
			if records := b.records(t, memberIn("shop", "maya")); len(records) > 0 {
				t.Errorf("recorded: %+v", records)
			}
		})
	}
}

func dry(request admission.Request) admission.Request {
	request.DryRun = ptr.To(true)
	return request
}

func of(request admission.Request, subresource string) admission.Request {
	request.SubResource = subresource
	return request
}

func edited[T any](obj T, edit func(T)) T {
	edit(obj)
	return obj
}

// What was stored while nobody could judge it is judged as new when it is submitted again,
// and recorded although nothing of it changed.
func TestSubmittedAgain(t *testing.T) {
	held := memberIn("shop", "maya", func(m *v1alpha1.Member) {
		m.Status.ObservedGeneration = m.Generation
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAdmissionMissing}}
	})
	again := edited(held.DeepCopy(), func(m *v1alpha1.Member) {
		m.Annotations = map[string]string{v1alpha1.ReconcileAtAnnotation: "now"}
	})
	b := newBench(t, acme())
	b.denied["issue members"] = true
	mustRefuse(t, b.Handle(t.Context(), requestTo(t, again, held)), http.StatusForbidden, "issue on members.iam-operator.dev/maya in namespace shop")
	b.denied = nil
	mustAllow(t, b.Handle(t.Context(), requestTo(t, again, held)))
	if records := b.records(t, held); len(records) != 1 || records[0].Digest != declared.Digest(held) {
		t.Errorf("recorded: %+v, want what was submitted again", records)
	}
	applied := edited(held.DeepCopy(), func(m *v1alpha1.Member) { m.Status.Conditions[0].Reason = v1alpha1.ReasonApplied })
	b.denied = map[string]bool{"issue members": true}
	mustAllow(t, b.Handle(t.Context(), requestTo(t, again, applied)))
	if records := b.records(t, held); len(records) != 1 {
		t.Errorf("recorded: %+v, although nothing new is asked for", records)
	}
}

// Who is refused without end has an end of it written down; others are not kept from theirs.
func TestRefusalsAreBounded(t *testing.T) {
	b := newBench(t, acme())
	refused := func(user string) {
		t.Helper()
		request := requestTo(t, memberIn("shop", "root", func(m *v1alpha1.Member) { m.Spec.Username = "root" }), nil)
		request.UserInfo.Username = user
		mustRefuse(t, b.Handle(t.Context(), request), http.StatusUnprocessableEntity)
	}
	for range refusalsAtOnce + 5 {
		refused("mallory")
	}
	if lost := counted(t, b.history.lost.refusals); lost != 5 {
		t.Errorf("%v refusals are counted as lost, want 5", lost)
	}
	refused("maya")
	if events := b.events(t); len(events) != refusalsAtOnce+1 {
		t.Errorf("%d events, want %d", len(events), refusalsAtOnce+1)
	}
}

// Only what was judged is what an update is compared with: by what the operator's status says, by a record, or by a gap.
func TestFormerWasJudged(t *testing.T) {
	stored := memberIn("shop", "maya")
	stored.Generation = 3
	described := edited(stored.DeepCopy(), func(m *v1alpha1.Member) { m.Spec.FirstName, m.Generation = "Maya", 4 })
	record := iam.Attribution{ObjectUID: string(stored.UID), Generation: 3, Digest: declared.Digest(stored)}
	for name, test := range map[string]struct {
		prepare func(b *bench, old *v1alpha1.Member)
		judged  bool
	}{
		"never seen":  {func(*bench, *v1alpha1.Member) {}, false},
		"let through": {func(_ *bench, old *v1alpha1.Member) { *old = *letThrough(t, stored).(*v1alpha1.Member) }, true},
		"let through at another generation": {func(_ *bench, old *v1alpha1.Member) {
			*old = *letThrough(t, stored).(*v1alpha1.Member)
			old.Status.ObservedGeneration = 2
		}, false},
		"let through, and an act asked for since": {func(_ *bench, old *v1alpha1.Member) {
			*old = *letThrough(t, stored).(*v1alpha1.Member)
			old.Annotations = map[string]string{v1alpha1.UnlockAtAnnotation: "2027-06-01T00:00:00Z"}
		}, false},
		"recorded": {func(b *bench, _ *v1alpha1.Member) {
			if err := b.store.Attribute(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}, true},
		"recorded for another generation": {func(b *bench, _ *v1alpha1.Member) {
			other := record
			other.Generation = 2
			if err := b.store.Attribute(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}, false},
		"judged, and not recorded": {func(b *bench, _ *v1alpha1.Member) { b.history.gaps.Add(record) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, acme())
			b.denied["issue members"] = true
			old := stored.DeepCopy()
			test.prepare(b, old)
			request := requestTo(t, described, old)
			request.OldObject = raw(t, old)
			if answer := b.Handle(t.Context(), request); answer.Allowed != test.judged {
				t.Errorf("admitted: %t, want %t: %+v", answer.Allowed, test.judged, answer.Result)
			}
		})
	}
}

// Rules that an Organization got while nobody could judge them do not loosen what is admitted.
func TestRulesInForce(t *testing.T) {
	strict := acme(func(o *v1alpha1.Organization) {
		o.Generation, o.Spec.Security = 1, &v1alpha1.Security{MaxAPIKeyLifetime: "24h"}
	})
	strict.Status.ID = string(strict.UID)
	loose := edited(strict.DeepCopy(), func(o *v1alpha1.Organization) { o.Generation, o.Spec.Security = 2, nil })
	year := keyIn("shop", "ci", func(k *v1alpha1.APIKey) { k.Spec.ExpiresIn = "8760h" })
	for name, test := range map[string]struct {
		organization *v1alpha1.Organization
		admitted     bool
	}{
		"loosened, and judged":  {letThrough(t, loose).(*v1alpha1.Organization), true},
		"loosened by who knows": {loose, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.organization)
			_, err := b.store.Write(t.Context(), func(tx store.Tx) error {
				_, err := tx.Put(t.Context(), declared.Organization(strict, "uid-of-home"))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if answer := b.Handle(t.Context(), requestTo(t, year, nil)); answer.Allowed != test.admitted {
				t.Errorf("admitted: %t, want %t: %+v", answer.Allowed, test.admitted, answer.Result)
			}
		})
	}
}

// The guard comes first: who may not grant learns nothing by the rules.
func TestGuardComesFirst(t *testing.T) {
	b := newBench(t, acme())
	b.denied["issue members"] = true
	m := memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "OWNER@acme.example" })
	answer := b.Handle(t.Context(), requestTo(t, m, nil))
	mustRefuse(t, answer, http.StatusForbidden, "maya@corp.example may not give this away", "issue on members.iam-operator.dev/maya")
	if answer.Result.Reason != metav1.StatusReasonForbidden || strings.Contains(answer.Result.Message, "username") && strings.Contains(answer.Result.Message, "owner, who logs in") {
		t.Errorf("the refusal tells of the rules: %+v", answer.Result)
	}
	b.denied = nil
	mustRefuse(t, b.Handle(t.Context(), requestTo(t, m, nil)), http.StatusUnprocessableEntity, "spec.username", "choose another username")
}

// A refused object is answered field by field, as the API server's own refusals are.
func TestRefusalNamesFields(t *testing.T) {
	b := newBench(t, acme())
	m := memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username, m.Spec.Email = "root", "maya" })
	answer := b.Handle(t.Context(), requestTo(t, m, nil))
	mustRefuse(t, answer, http.StatusUnprocessableEntity, `Member.iam-operator.dev "maya" is invalid`)
	want := []metav1.StatusCause{
		{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.username", Message: `Invalid value: "root": owner, root and scaleway are reserved usernames; choose another`},
		{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.email", Message: `Invalid value: "maya": this is not an e-mail address; write an address such as maya@acme.example`},
	}
	if answer.Result.Details == nil || answer.Result.Reason != metav1.StatusReasonInvalid {
		t.Fatalf("the answer has no details: %+v", answer.Result)
	}
	mustEqual(t, "the causes differ", want, answer.Result.Details.Causes)
}

// A refused attempt is an audit event of its Organization, without the values that were refused.
func TestRefusedIsAnEvent(t *testing.T) {
	stored := memberIn("shop", "maya")
	stored.Status.ID = "40000000-0000-4000-8000-000000000000"
	renamed := edited(stored.DeepCopy(), func(m *v1alpha1.Member) { m.Spec.Username, m.Generation = "root", 2 })
	stranger := memberIn("wild", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "root" })
	set := edited(setOf("Shop", v1alpha1.ScopeTypeProjects), func(s *v1alpha1.PermissionSet) {
		s.Spec.Permissions = []v1alpha1.Permission{"billing:invoice:read"}
	})
	acmeID := string(acme().UID)
	for name, test := range map[string]struct {
		obj, old declared.Object
		denied   string
		want     iam.Event
	}{
		"a rule, at creation": {
			obj: memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "root" }),
			want: iam.Event{Namespace: "home", NamespaceUID: "uid-of-home", Organization: iam.EventOrganization{ID: acmeID, Name: "acme"}, Method: "CreateUser", Action: iam.ActionCreated, StatusCode: 422,
				Reason:    "spec.username: owner, root and scaleway are reserved usernames; choose another",
				Resources: []iam.EventResource{{Kind: iam.KindMember, Type: "iam_user", Name: "maya", Action: iam.ActionCreated}}},
		},
		"a rule, at an update": {
			obj: renamed, old: stored,
			want: iam.Event{Namespace: "home", NamespaceUID: "uid-of-home", Organization: iam.EventOrganization{ID: acmeID, Name: "acme"}, Method: "UpdateUser", Action: iam.ActionUpdated, StatusCode: 422,
				Reason:    "spec.username: owner, root and scaleway are reserved usernames; choose another",
				Resources: []iam.EventResource{{Kind: iam.KindMember, Type: "iam_user", ID: "40000000-0000-4000-8000-000000000000", Name: "maya", Action: iam.ActionUpdated}}},
		},
		"the guard": {
			obj: memberIn("shop", "maya"), denied: "issue members",
			want: iam.Event{Namespace: "home", NamespaceUID: "uid-of-home", Organization: iam.EventOrganization{ID: acmeID, Name: "acme"}, Method: "CreateUser", Action: iam.ActionCreated, StatusCode: 403,
				Reason:    "maya@corp.example may not give this away: it takes issue on members.iam-operator.dev/maya in namespace shop",
				Resources: []iam.EventResource{{Kind: iam.KindMember, Type: "iam_user", Name: "maya", Action: iam.ActionCreated}}},
		},
		"from a namespace that the Organization does not admit": {
			obj: stranger,
			want: iam.Event{Namespace: "operator", NamespaceUID: "uid-of-operator", Method: "CreateUser", Action: iam.ActionCreated, StatusCode: 422,
				Reason:    "spec.username: owner, root and scaleway are reserved usernames; choose another",
				Resources: []iam.EventResource{{Kind: iam.KindMember, Type: "iam_user", Name: "maya", Action: iam.ActionCreated}}},
		},
		"a permission set": {
			obj: set,
			want: iam.Event{Namespace: "operator", NamespaceUID: "uid-of-operator", Method: "CreatePermissionSet", Action: iam.ActionCreated, StatusCode: 422, Reason: "spec.permissions[0]: ",
				Resources: []iam.EventResource{{Kind: iam.KindPermissionSet, Type: "iam_permission_set", Name: "shop", Action: iam.ActionCreated}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, acme())
			b.denied[test.denied] = true
			if answer := b.Handle(t.Context(), requestTo(t, test.obj, test.old)); answer.Allowed {
				t.Fatal("it was admitted")
			}
			events := b.events(t)
			if len(events) != 1 {
				t.Fatalf("%d events tell of it: %+v", len(events), events)
			}
			got := events[0]
			if got.Principal != (iam.Actor{Kind: iam.ActorKubernetesUser, Name: "maya@corp.example"}) || got.KubernetesUser != "maya@corp.example" || got.RequestID != "request-1" || !got.RecordedAt.Equal(noon) {
				t.Errorf("the event does not say who asked: %+v", got)
			}
			if !strings.HasPrefix(got.Reason, test.want.Reason) {
				t.Errorf("the reason is %q, want %q", got.Reason, test.want.Reason)
			}
			trimmed := iam.Event{
				Namespace: got.Namespace, NamespaceUID: got.NamespaceUID, Organization: got.Organization, Method: got.Method, Action: got.Action,
				StatusCode: got.StatusCode, Reason: test.want.Reason, Resources: got.Resources,
			}
			mustEqual(t, "the event differs", test.want, trimmed)
			if records := b.records(t, test.obj); len(records) > 0 {
				t.Errorf("what was refused is attributed: %+v", records)
			}
		})
	}
}

func TestRefusedDryRunIsNoEvent(t *testing.T) {
	b := newBench(t, acme())
	m := memberIn("shop", "maya", func(m *v1alpha1.Member) { m.Spec.Username = "root" })
	mustRefuse(t, b.Handle(t.Context(), dry(requestTo(t, m, nil))), http.StatusUnprocessableEntity)
	if events := b.events(t); len(events) > 0 {
		t.Errorf("a dry run left %+v", events)
	}
}

// Who is refused is named as who they are in the Organization that they asked for, and as nobody of another.
func TestRefusedIsNamed(t *testing.T) {
	claimant := memberIn("shop", "maya", func(m *v1alpha1.Member) {
		m.UID, m.Spec.KubernetesUsers = "50000000-0000-4000-8000-000000000000", []v1alpha1.UserName{"maya@corp.example"}
	})
	for name, test := range map[string]struct {
		obj  *v1alpha1.Member
		want iam.ActorKind
	}{
		"of the Organization": {memberIn("shop", "other", func(m *v1alpha1.Member) { m.Spec.Username = "root" }), iam.ActorMember},
		"of no Organization":  {memberIn("wild", "other", func(m *v1alpha1.Member) { m.Spec.Username = "root" }), iam.ActorKubernetesUser},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, acme(), claimant)
			_, err := b.store.Write(t.Context(), func(tx store.Tx) error {
				_, err := tx.Put(t.Context(), &iam.Member{
					Head: declared.Head(claimant, iam.KindMember, string(acme().UID)), Type: iam.TypeMember, Username: "maya", KubernetesUsers: []string{"maya@corp.example"},
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, b.Handle(t.Context(), requestTo(t, test.obj, nil)), http.StatusUnprocessableEntity)
			events := b.events(t)
			if len(events) != 1 || events[0].Principal.Kind != test.want || events[0].KubernetesUser != "maya@corp.example" {
				t.Errorf("want one event of a %s, got %+v", test.want, events)
			}
		})
	}
}

// A store that is out of order never changes an answer; what is lost is counted.
func TestHistoryNeverChangesAnAnswer(t *testing.T) {
	b := newBench(t, acme())
	b.store.broken = errors.New("the disk is full")
	mustAllow(t, b.Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), nil)))
	m := memberIn("shop", "tom", func(m *v1alpha1.Member) { m.Spec.Username = "root" })
	answer := b.Handle(t.Context(), requestTo(t, m, nil))
	mustRefuse(t, answer, http.StatusUnprocessableEntity, "spec.username")
	if strings.Contains(answer.Result.Message, "disk") {
		t.Errorf("the answer tells of the store: %s", answer.Result.Message)
	}
	mustAllow(t, b.history.recordDeletion(t.Context(), deletionOf(t, memberIn("shop", "maya"))))
	if lost := counted(t, b.history.lost.attributions); lost != 2 {
		t.Errorf("%v attributions are counted as lost, want 2", lost)
	}
	if lost := counted(t, b.history.lost.refusals); lost != 1 {
		t.Errorf("%v refusals are counted as lost, want 1", lost)
	}
}

func deletionOf(t *testing.T, old declared.Object) admission.Request {
	t.Helper()
	request := requestTo(t, old, nil)
	request.Operation, request.OldObject = admissionv1.Delete, request.Object
	request.Object.Raw, request.Name = nil, "" // as when a collection is deleted
	return request
}

func TestDeletionIsRecorded(t *testing.T) {
	b := newBench(t)
	m := memberIn("shop", "maya")
	mustAllow(t, b.history.recordDeletion(t.Context(), dry(deletionOf(t, m))))
	going := memberIn("shop", "maya", func(m *v1alpha1.Member) { m.DeletionTimestamp = ptr.To(metav1.NewTime(noon)) })
	mustAllow(t, b.history.recordDeletion(t.Context(), deletionOf(t, going)))
	if records := b.records(t, m); len(records) > 0 {
		t.Fatalf("a dry run, or who asked again, is recorded: %+v", records)
	}
	mustAllow(t, b.history.recordDeletion(t.Context(), deletionOf(t, m)))
	records := b.records(t, m)
	if len(records) != 1 || !records[0].Deletion || records[0].Requester.Name != "maya@corp.example" || !records[0].At.Equal(noon) {
		t.Errorf("recorded: %+v", records)
	}
	broken := deletionOf(t, m)
	broken.OldObject.Raw = []byte("{")
	mustAllow(t, b.history.recordDeletion(t.Context(), broken))
	if lost := counted(t, b.history.lost.attributions); lost != 1 {
		t.Errorf("%v attributions are counted as lost, want 1", lost)
	}
}

func TestWhatCannotBeJudgedIsRefused(t *testing.T) {
	b := newBench(t, acme())
	foreign := requestTo(t, memberIn("shop", "maya"), nil)
	foreign.Kind.Group = "example.com"
	unknown := requestTo(t, memberIn("shop", "maya"), nil)
	unknown.Kind.Kind = "Robot"
	malformed := requestTo(t, memberIn("shop", "maya"), nil)
	malformed.Object.Raw = []byte(`{"spec":{"username":7}}`)
	former := requestTo(t, memberIn("shop", "maya"), memberIn("shop", "maya"))
	former.OldObject.Raw = []byte(`[]`)
	for name, test := range map[string]struct {
		request admission.Request
		says    string
	}{
		"a kind of others":  {foreign, `Member of group "example.com" is no kind of the iam-operator`},
		"an unknown kind":   {unknown, "Robot of group"},
		"a malformed field": {malformed, "spec.username"},
		"a malformed past":  {former, "the former object can't be read as Member"},
	} {
		t.Run(name, func(t *testing.T) {
			mustRefuse(t, b.Handle(t.Context(), test.request), http.StatusBadRequest, test.says)
		})
	}
}

// unreadable is a reader that makes the program panic.
type unreadable struct{ client.Reader }

func TestWhoeverCannotTellRefuses(t *testing.T) {
	b := newBench(t, acme())
	b.cache = brokenReader{}
	mustRefuse(t, b.Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), nil)), http.StatusInternalServerError, "the cache is not filled")
	if events := b.events(t); len(events) > 0 {
		t.Errorf("what nobody judged is an event: %+v", events)
	}
	// It stands for any slip of ours.
	b.cache, b.live = unreadable{}, unreadable{}
	hook := &webhook.Admission{Handler: b.validator}
	answer := hook.Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), nil))
	if answer.Allowed || answer.Result == nil || answer.Result.Code != http.StatusInternalServerError {
		t.Errorf("a panic is answered by %+v", answer)
	}
}

// The answers come in time even where the store hangs.
func TestHistoryIsBounded(t *testing.T) {
	b := newBench(t, acme())
	b.history.store = hanging{b.store}
	begun := time.Now()
	mustAllow(t, b.Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), nil)))
	mustAllow(t, b.history.recordDeletion(t.Context(), deletionOf(t, memberIn("shop", "maya"))))
	mustRefuse(t, b.Handle(t.Context(), requestTo(t, memberIn("shop", "tom", func(m *v1alpha1.Member) { m.Spec.Username = "root" }), nil)), http.StatusUnprocessableEntity)
	if took := time.Since(begun); took > 2*recordWithin+recordDeletionWithin+5*time.Second {
		t.Errorf("three answers took %s", took)
	}
	if recordDeletionWithin >= time.Second {
		t.Error("a deletion is given up by the API server after a second")
	}
}

// The API server's own audit log learns by which id our events know a request, whatever the
// answer is, and the event of a refusal carries that id.
func TestAnswersNameTheRequest(t *testing.T) {
	for name, test := range map[string]struct {
		ask     func(*bench, *testing.T) admission.Response
		allowed bool
	}{
		"admitted": {func(b *bench, t *testing.T) admission.Response {
			return named(b).Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), nil))
		}, true},
		"refused": {func(b *bench, t *testing.T) admission.Response {
			return named(b).Handle(t.Context(), requestTo(t, memberIn("shop", "root"), nil))
		}, false},
		"deleted": {func(b *bench, t *testing.T) admission.Response {
			return named(admission.HandlerFunc(b.history.recordDeletion)).Handle(t.Context(), requestTo(t, memberIn("shop", "maya"), memberIn("shop", "maya")))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, acme())
			answer := test.ask(b, t)
			if answer.Allowed != test.allowed {
				t.Fatalf("answered %+v", answer)
			}
			mustEqual(t, "the annotations differ", map[string]string{"request-id": "request-1"}, answer.AuditAnnotations)
			events := b.events(t)
			if refused := len(events) == 1 && events[0].RequestID == "request-1"; refused == test.allowed {
				t.Errorf("events %+v", events)
			}
		})
	}
}
