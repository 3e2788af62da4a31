// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// recorded is an authorizer that holds some rights, and records what it was asked.
type recorded struct {
	mu    sync.Mutex
	asked []string
	// held are the rights that are held, in the words of Need.String.
	held []string
	// fails is a right at which nobody can tell.
	fails string
	// meet, if set, is called while a question is under way.
	meet func()
}

func (r *recorded) authorize(_ context.Context, _ authenticationv1.UserInfo, a authorizationv1.ResourceAttributes) (bool, error) {
	right := Need{Verb: a.Verb, Group: a.Group, Resource: a.Resource, Namespace: a.Namespace, Name: a.Name}.String()
	if r.meet != nil {
		r.meet()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, right)
	if right == r.fails {
		return false, errors.New("no answer")
	}
	return slices.Contains(r.held, right), nil
}

// missing gives what is missing, in words.
func missing(t *testing.T, r *recorded, attempt Attempt) []string {
	t.Helper()
	guard := guardOver(t)
	guard.Authorize = r.authorize
	list, err := guard.Missing(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, need := range list {
		words = append(words, need.String())
	}
	return words
}

func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

const overrideInHome = "escalate policies.iam-operator.dev in namespace home"

// What is asked, and what is then missing, by what the requester holds.
func TestMissing(t *testing.T) {
	all := []string{
		"bind projects.iam-operator.dev in namespace shop", "bind permissionsets.iam-operator.dev in namespace shop",
		"bind organizations.iam-operator.dev in namespace home", "bind permissionsets.iam-operator.dev in namespace home",
	}
	withID := guardedPolicy()
	annotate(v1alpha1.IDAnnotation, guardedID)(withID)
	escalateAll := "escalate organizations.iam-operator.dev in namespace home"
	for _, row := range []struct {
		name    string
		attempt Attempt
		held    []string
		asked   []string
		missing []string
	}{
		{
			name: "nothing given away, nothing asked", attempt: Attempt{Object: guardedPolicy(), Former: guardedPolicy()},
		},
		{
			name: "all of a kind: one question a kind and namespace", attempt: Attempt{Object: guardedPolicy()}, held: all, asked: all,
		},
		{
			name: "object by object, only where all is denied", attempt: Attempt{Object: guardedPolicy()},
			held:  append([]string{wholePolicy[0], wholePolicy[1]}, all[2:]...),
			asked: append(slices.Clone(all), overrideInHome, wholePolicy[0], wholePolicy[1]),
		},
		{
			name: "one of them missing", attempt: Attempt{Object: guardedPolicy()}, held: wholePolicy[1:],
			asked:   append(append(slices.Clone(all), overrideInHome), wholePolicy...),
			missing: wholePolicy[:1],
		},
		{
			name: "nothing held", attempt: Attempt{Object: guardedPolicy()},
			asked:   append(append(slices.Clone(all), overrideInHome), wholePolicy...),
			missing: wholePolicy,
		},
		{
			name: "escalate on policies stands for every bind", attempt: Attempt{Object: guardedPolicy()}, held: []string{overrideInHome},
			asked: append(slices.Clone(all), overrideInHome),
		},
		{
			name: "escalate on policies of another namespace stands for none", attempt: Attempt{Object: guardedPolicy()},
			held:    []string{"escalate policies.iam-operator.dev in namespace shop"},
			asked:   append(append(slices.Clone(all), overrideInHome), wholePolicy...),
			missing: wholePolicy,
		},
		{
			name: "escalate on policies stands for nothing but bind", attempt: Attempt{Object: withID}, held: []string{overrideInHome},
			asked:   append(append(slices.Clone(all), escalateAll, overrideInHome), escalateAcme...),
			missing: escalateAcme,
		},
		{
			name: "where nothing is bound, it is not asked for", attempt: Attempt{Object: guardedMember()},
			asked:   append([]string{"issue members.iam-operator.dev in namespace shop"}, issueOnMaya...),
			missing: issueOnMaya,
		},
		{
			name: "of the whole cluster", attempt: Attempt{Object: guardedPermissionSet()},
			asked:   append([]string{"escalate permissionsets.iam-operator.dev"}, escalateSet...),
			missing: escalateSet,
		},
		{
			name: "a former object that is a nil of its kind is none", attempt: Attempt{Object: guardedAPIKey(), Former: (*v1alpha1.APIKey)(nil)},
			held: issueOnCI, asked: append([]string{"issue applications.iam-operator.dev in namespace shop"}, issueOnCI...),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &recorded{held: row.held}
			if got := missing(t, r, row.attempt); !slices.Equal(got, row.missing) {
				t.Errorf("missing is %q, want %q", got, row.missing)
			}
			if !equalSets(r.asked, row.asked) {
				t.Errorf("asked were %q, want %q", r.asked, row.asked)
			}
		})
	}
}

// The same right is asked for once, however often it is needed.
func TestMissingAsksOnce(t *testing.T) {
	p := guardedPolicy()
	for i := range 20 {
		rule := *p.Spec.Rules[0].DeepCopy()
		rule.Condition = fmt.Sprintf("%d == %d", i, i)
		p.Spec.Rules = append(p.Spec.Rules, rule)
	}
	r := &recorded{}
	if got := missing(t, r, Attempt{Object: p}); !slices.Equal(got, wholePolicy) {
		t.Errorf("missing is %q, want %q", got, wholePolicy)
	}
	if len(r.asked) != 9 {
		t.Errorf("%d questions were asked, want four for all, the override, and four for one: %q", len(r.asked), r.asked)
	}
}

// widePolicy grants many sets on the Organization.
func widePolicy(sets int) *v1alpha1.Policy {
	p := guardedPolicy()
	p.Spec.Rules = nil
	for i := range sets {
		if i%100 == 0 {
			p.Spec.Rules = append(p.Spec.Rules, v1alpha1.PolicyRule{Scope: v1alpha1.ScopeOrganization})
		}
		addSet(p, i/100, v1alpha1.PermissionSetName(fmt.Sprintf("S%d", i)))
	}
	return p
}

// scatteredPolicy grants on many namespaces.
func scatteredPolicy(namespaces int) *v1alpha1.Policy {
	p := guardedPolicy()
	p.Spec.Rules = nil
	for i := range namespaces {
		if i%100 == 0 {
			p.Spec.Rules = append(p.Spec.Rules, v1alpha1.PolicyRule{Scope: v1alpha1.ScopeProjects, PermissionSets: []v1alpha1.PermissionSetName{"A"}})
		}
		rule := &p.Spec.Rules[i/100]
		rule.ProjectRefs = append(rule.ProjectRefs, v1alpha1.ProjectRef{Name: "web", Namespace: v1alpha1.NamespaceName(fmt.Sprintf("n%d", i))})
	}
	return p
}

// What would take too many questions is refused, in words that say what would pass, unless few questions settle it.
func TestMissingIsBounded(t *testing.T) {
	bindOrganization := "bind organizations.iam-operator.dev in namespace home"
	bindSets := "bind permissionsets.iam-operator.dev in namespace home"
	var everywhere []string
	for i := range maxQuestions / 2 {
		in := fmt.Sprintf(" in namespace n%d", i)
		everywhere = append(everywhere, "bind projects.iam-operator.dev"+in, "bind permissionsets.iam-operator.dev"+in)
	}
	withID := widePolicy(5000)
	annotate(v1alpha1.IDAnnotation, guardedID)(withID)
	for _, row := range []struct {
		name    string
		policy  *v1alpha1.Policy
		held    []string
		most    int
		refused bool
		missing int
	}{
		{name: "few enough", policy: widePolicy(maxQuestions - 1), held: []string{bindOrganization}, most: maxQuestions + 2, missing: maxQuestions - 1},
		{name: "one too many", policy: widePolicy(maxQuestions), most: 3, refused: true},
		{name: "many, and held for all", policy: widePolicy(5000), held: []string{bindOrganization, bindSets}, most: 2},
		{name: "many, and held by the override", policy: widePolicy(5000), held: []string{overrideInHome}, most: 3},
		{name: "as many namespaces as are asked about", policy: scatteredPolicy(maxQuestions / 2), held: everywhere, most: maxQuestions},
		{name: "many namespaces", policy: scatteredPolicy(maxQuestions), most: 1, refused: true},
		{name: "many namespaces, and held by the override", policy: scatteredPolicy(5000), held: []string{overrideInHome}, most: 1},
		{
			name: "many, and the override does not cover all", policy: withID, held: []string{overrideInHome}, most: 5, missing: 1,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &recorded{held: row.held}
			list, err := (&Guard{Authorize: r.authorize}).Missing(t.Context(), Attempt{User: authenticationv1.UserInfo{Username: "maya"}, Object: row.policy})
			var refused *TooManyQuestionsError
			switch {
			case errors.As(err, &refused) != row.refused || err != nil && !row.refused:
				t.Errorf("the error is %v", err)
			case row.refused && !strings.Contains(err.Error(), "maya") || row.refused && !strings.Contains(err.Error(), "split it"):
				t.Errorf("the refusal does not say whose, or what would pass: %v", err)
			case len(list) != row.missing:
				t.Errorf("%d rights are missing, want %d", len(list), row.missing)
			}
			if len(r.asked) > row.most {
				t.Errorf("%d questions were asked, want %d at most", len(r.asked), row.most)
			}
		})
	}
}

// As many questions as are allowed are under way at once, and never more.
func TestMissingAsksInParallel(t *testing.T) {
	var mu sync.Mutex
	underWay, most := 0, 0
	full := make(chan struct{})
	r := &recorded{meet: func() {
		mu.Lock()
		underWay++
		most = max(most, underWay)
		if most == parallelQuestions && underWay == most {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-full // The first ones wait for each other: were there fewer, the test would not end.
		mu.Lock()
		underWay--
		mu.Unlock()
	}}
	questions := make([]Need, 100)
	for i := range questions {
		questions[i] = Need{Verb: verbBind, Resource: resourceGroups, Name: fmt.Sprintf("g%d", i)}
	}
	if _, err := (&Guard{Authorize: r.authorize}).ask(t.Context(), authenticationv1.UserInfo{}, questions); err != nil {
		t.Fatal(err)
	}
	if most != parallelQuestions || len(r.asked) != len(questions) {
		t.Errorf("%d questions were under way at once and %d were asked, want %d and %d", most, len(r.asked), parallelQuestions, len(questions))
	}
}

// Where nobody can tell, nothing passes: in any round, and when the request has been given up.
func TestMissingFailsClosed(t *testing.T) {
	for _, right := range []string{"bind projects.iam-operator.dev in namespace shop", overrideInHome, wholePolicy[3]} {
		t.Run(right, func(t *testing.T) {
			r := &recorded{fails: right, held: wholePolicy[:3]}
			list, err := (&Guard{Authorize: r.authorize}).Missing(t.Context(), Attempt{Object: guardedPolicy()})
			if err == nil || list != nil || !strings.Contains(err.Error(), right) || !strings.Contains(err.Error(), "no answer") {
				t.Errorf("missing is %v with the error %v, want an error that names %s", list, err, right)
			}
		})
	}
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r := &recorded{held: wholePolicy}
		if _, err := (&Guard{Authorize: r.authorize}).Missing(ctx, Attempt{Object: guardedPolicy()}); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v, want that the request was given up", err)
		}
		if len(r.asked) > 0 {
			t.Errorf("%q were asked for nobody", r.asked)
		}
	})
	t.Run("an error ends the questions", func(t *testing.T) {
		r := &recorded{}
		guard := &Guard{Authorize: func(context.Context, authenticationv1.UserInfo, authorizationv1.ResourceAttributes) (bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, "")
			return false, errors.New("no answer")
		}}
		questions := make([]Need, 400)
		if _, err := guard.ask(t.Context(), authenticationv1.UserInfo{}, questions); err == nil || len(r.asked) > parallelQuestions {
			t.Errorf("%d questions were asked after an error, %v", len(r.asked), err)
		}
	})
}

// The access review tells all that the API server told of the user.
func TestAuthorizerTellsAll(t *testing.T) {
	user := authenticationv1.UserInfo{
		Username: "maya", UID: "u1", Groups: []string{"a", "b"}, Extra: map[string]authenticationv1.ExtraValue{"scopes": {"x", "y"}},
	}
	attributes := authorizationv1.ResourceAttributes{Verb: "bind", Group: "iam-operator.dev", Version: "v1alpha1", Resource: "projects", Namespace: "shop", Name: "web"}
	for _, row := range []struct {
		name   string
		status authorizationv1.SubjectAccessReviewStatus
		err    error
		want   bool
	}{
		{name: "allowed", status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}, want: true},
		{name: "no opinion", status: authorizationv1.SubjectAccessReviewStatus{}},
		{name: "denied", status: authorizationv1.SubjectAccessReviewStatus{Denied: true}},
		{name: "both, which must not be", status: authorizationv1.SubjectAccessReviewStatus{Allowed: true, Denied: true}},
		{name: "allowed, and another role is gone", status: authorizationv1.SubjectAccessReviewStatus{Allowed: true, EvaluationError: "role not found"}, want: true},
		{name: "unreachable", err: errors.New("unreachable")},
	} {
		t.Run(row.name, func(t *testing.T) {
			var sent *authorizationv1.SubjectAccessReview
			c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
					review := obj.(*authorizationv1.SubjectAccessReview)
					sent = review.DeepCopy()
					review.Status = row.status
					return row.err
				},
			}).Build()
			got, err := NewAuthorizer(c)(t.Context(), user, attributes)
			if got != row.want || !errors.Is(err, row.err) {
				t.Errorf("the answer is %v, %v, want %v, %v", got, err, row.want, row.err)
			}
			want := authorizationv1.SubjectAccessReviewSpec{
				User: "maya", UID: "u1", Groups: []string{"a", "b"}, Extra: map[string]authorizationv1.ExtraValue{"scopes": {"x", "y"}},
				ResourceAttributes: &attributes,
			}
			if !reflect.DeepEqual(sent.Spec, want) {
				t.Errorf("the review is %+v, want %+v", sent.Spec, want)
			}
		})
	}
}

// Kubernetes' own objects are asked for at their own version, ours at ours.
func TestAttributesOf(t *testing.T) {
	ours := attributesOf(Need{Verb: verbBind, Group: "iam-operator.dev", Resource: resourceGroups, Namespace: "shop", Name: "g"})
	if want := (authorizationv1.ResourceAttributes{Verb: "bind", Group: "iam-operator.dev", Version: "v1alpha1", Resource: "groups", Namespace: "shop", Name: "g"}); ours != want {
		t.Errorf("the attributes are %+v, want %+v", ours, want)
	}
	if theirs := attributesOf(Need{Verb: verbImpersonate, Resource: resourceUsers, Name: "lea"}); theirs.Version != "v1" || theirs.Group != "" {
		t.Errorf("a user is asked for at %s of group %q, want v1 of the core group", theirs.Version, theirs.Group)
	}
}
