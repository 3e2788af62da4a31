// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

const (
	// maxQuestions is how many access reviews one round of an attempt may take: with parallelQuestions at once, a second
	// or so of the API server's time.
	maxQuestions = 500
	// parallelQuestions are under way at once for one attempt.
	parallelQuestions = 8
)

// Authorizer asks whether a user may do something; an error means that nobody could tell.
type Authorizer func(ctx context.Context, user authenticationv1.UserInfo, attributes authorizationv1.ResourceAttributes) (bool, error)

// NewAuthorizer asks the API server by SubjectAccessReview, with the user's full info (groups, uid, extra).
func NewAuthorizer(c client.Client) Authorizer {
	return func(ctx context.Context, user authenticationv1.UserInfo, attributes authorizationv1.ResourceAttributes) (bool, error) {
		extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
		for key, value := range user.Extra {
			extra[key] = authorizationv1.ExtraValue(value)
		}
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra, ResourceAttributes: &attributes,
		}}
		if err := c.Create(ctx, review); err != nil {
			return false, err
		}
		// status.evaluationError is no error here: RBAC reports every binding to a role that is gone, and still answers.
		return review.Status.Allowed && !review.Status.Denied, nil
	}
}

// TooManyQuestionsError is the error for an attempt whose rights would take too many access reviews, one by one, to find out.
type TooManyQuestionsError struct {
	// User who asks.
	User string
	// Home is the home namespace of the Organization.
	Home string
}

// Error says what would pass.
func (e *TooManyQuestionsError) Error() string {
	return fmt.Sprintf("this gives away so much at once that it would take more than %d questions to find out whether %s may: split it into several objects, "+
		"or hold the verb for all objects of the namespaces rather than by resourceNames, or hold escalate on policies.%s in namespace %s",
		maxQuestions, quoted(e.User), v1alpha1.GroupVersion.Group, e.Home)
}

// unmet gives the needs that the requester does not meet. Most people who may give something away may give all of its
// kind, so that is asked first; then whether they may grant whatever they like; and only then object by object.
func (g *Guard) unmet(ctx context.Context, attempt Attempt, open []Need) ([]Need, error) {
	user, home := attempt.User, organizationOf(attempt.Object).namespace
	var err error
	if len(distinct(open, Need.forAll)) <= maxQuestions {
		if open, err = g.answer(ctx, user, open, Need.forAll); err != nil {
			return nil, err
		}
	}
	if open, err = g.excuse(ctx, user, home, open); err != nil {
		return nil, err
	}
	if len(distinct(open, Need.forOne)) > maxQuestions {
		return nil, &TooManyQuestionsError{User: user.Username, Home: home}
	}
	return g.answer(ctx, user, open, Need.forOne)
}

// excuse drops the needs to bind, and only those, for whoever may escalate on policies in the Organization's home.
func (g *Guard) excuse(ctx context.Context, user authenticationv1.UserInfo, home string, open []Need) ([]Need, error) {
	var others []Need
	for _, need := range open {
		if need.Verb != verbBind {
			others = append(others, need)
		}
	}
	if len(others) == len(open) {
		return open, nil
	}
	override := Need{Verb: verbEscalate, Group: v1alpha1.GroupVersion.Group, Resource: resourcePolicies, Namespace: home}
	denied, err := g.answer(ctx, user, []Need{override}, Need.forAll)
	if err != nil || len(denied) > 0 {
		return open, err
	}
	return others, nil
}

// answer asks a question for each need, every one once, and gives the needs for which the answer is no.
func (g *Guard) answer(ctx context.Context, user authenticationv1.UserInfo, open []Need, question func(Need) Need) ([]Need, error) {
	questions := distinct(open, question)
	allowed, err := g.ask(ctx, user, questions)
	if err != nil {
		return nil, err
	}
	held := make(map[Need]bool, len(questions))
	for i := range questions {
		held[questions[i]] = allowed[i]
	}
	var denied []Need
	for _, need := range open {
		if !held[question(need)] {
			denied = append(denied, need)
		}
	}
	return denied, nil
}

// ask puts questions to the authorizer, a few at once. The first error ends it.
func (g *Guard) ask(ctx context.Context, user authenticationv1.UserInfo, questions []Need) ([]bool, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	allowed := make([]bool, len(questions))
	var taken atomic.Int64
	var workers sync.WaitGroup
	for range min(parallelQuestions, len(questions)) {
		workers.Go(func() {
			for i := int(taken.Add(1)) - 1; i < len(questions) && ctx.Err() == nil; i = int(taken.Add(1)) - 1 {
				var err error
				if allowed[i], err = g.Authorize(ctx, user, attributesOf(questions[i])); err != nil {
					fail(fmt.Errorf("find out whether %s may %s: %w", quoted(user.Username), questions[i], err))
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return allowed, nil
}

func attributesOf(need Need) authorizationv1.ResourceAttributes {
	version := v1alpha1.GroupVersion.Version
	if need.Group == "" {
		version = "v1" // the core group's, as kube-apiserver asks for impersonation
	}
	return authorizationv1.ResourceAttributes{
		Verb: need.Verb, Group: need.Group, Version: version, Resource: need.Resource, Namespace: need.Namespace, Name: need.Name,
	}
}

// distinct lists the questions of needs, each once and in their order.
func distinct(open []Need, question func(Need) Need) []Need {
	seen := make(map[Need]struct{}, len(open))
	var questions []Need
	for _, need := range open {
		asked := question(need)
		if _, found := seen[asked]; !found {
			seen[asked] = struct{}{}
			questions = append(questions, asked)
		}
	}
	return questions
}
