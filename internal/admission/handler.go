// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// attempt is one request to write an object of ours.
type attempt struct {
	Attempt
	request admission.Request
	kind    iam.Kind
	// old is what is stored now; nil at creation. Attempt.Former is less where it was never judged.
	old declared.Object
}

func (a *attempt) dryRun() bool { return a.request.DryRun != nil && *a.request.DryRun }

// newObject gives an empty object of a kind, nil for a kind that is not ours.
func newObject(kind iam.Kind) declared.Object {
	switch kind {
	case iam.KindOrganization:
		return &v1alpha1.Organization{}
	case iam.KindProject:
		return &v1alpha1.Project{}
	case iam.KindMember:
		return &v1alpha1.Member{}
	case iam.KindGroup:
		return &v1alpha1.Group{}
	case iam.KindApplication:
		return &v1alpha1.Application{}
	case iam.KindAPIKey:
		return &v1alpha1.APIKey{}
	case iam.KindPolicy:
		return &v1alpha1.Policy{}
	case iam.KindPermissionSet:
		return &v1alpha1.PermissionSet{}
	case iam.KindSSHKey:
		return &v1alpha1.SSHKey{}
	}
	return nil
}

// decode reads the object, and the one that it replaces.
func decode(request admission.Request) (*attempt, error) {
	a := &attempt{request: request, kind: iam.Kind(request.Kind.Kind)}
	a.User = request.UserInfo
	a.Object = newObject(a.kind)
	if a.Object == nil || request.Kind.Group != v1alpha1.GroupVersion.Group {
		return nil, fmt.Errorf("%s of group %q is no kind of the iam-operator", request.Kind.Kind, request.Kind.Group)
	}
	if err := json.Unmarshal(request.Object.Raw, a.Object); err != nil {
		return nil, fmt.Errorf("the object can't be read as %s: %w", request.Kind.Kind, err)
	}
	if request.Operation != admissionv1.Update {
		return a, nil
	}
	a.old = newObject(a.kind)
	if err := json.Unmarshal(request.OldObject.Raw, a.old); err != nil {
		return nil, fmt.Errorf("the former object can't be read as %s: %w", request.Kind.Kind, err)
	}
	return a, nil
}

// validator answers POST /validate, for all kinds.
type validator struct {
	world
	guard     *Guard
	authorize Authorizer
	history   *history
	now       func() time.Time
}

// Handle judges an attempt: first whether the requester may give away what it gives away, so
// that nobody learns by the rules what they may not know; then by the rules.
func (v *validator) Handle(ctx context.Context, request admission.Request) admission.Response {
	if request.SubResource != "" {
		return admission.Allowed("")
	}
	a, err := decode(request)
	if err != nil {
		return denied(apierrors.NewBadRequest(err.Error()))
	}
	if a.old != nil && !a.old.GetDeletionTimestamp().IsZero() {
		return admission.Allowed("") // It grants nothing any more, and nothing must keep it from going.
	}
	if a.old != nil && v.history.judged(ctx, a.old) {
		a.Former = a.old
	}
	tenant, err := v.tenant(ctx, a.Object)
	if err != nil {
		return denied(apierrors.NewInternalError(err))
	}
	warnings, refusal, err := v.judge(ctx, a, tenant)
	if err != nil {
		v.history.log.Error(err, "Nobody could judge", "kind", a.kind, "namespace", a.Object.GetNamespace(), "name", a.Object.GetName(), "user", a.User.Username)
		return denied(apierrors.NewInternalError(err))
	}
	if refusal != nil {
		v.history.refused(ctx, a, tenant, v.namespaceUID(ctx, tenant), int(refusal.answer.ErrStatus.Code), refusal.reason)
		return denied(refusal.answer)
	}
	v.history.attribute(ctx, a)
	return admission.Allowed("").WithWarnings(warnings...)
}

// refusal is why an attempt is refused: what is answered, and what the audit event says of it.
type refusal struct {
	answer *apierrors.StatusError
	reason string
}

// judge gives a refusal, or else what to warn of. An error means that nobody could tell.
func (v *validator) judge(ctx context.Context, a *attempt, tenant *v1alpha1.Organization) ([]string, *refusal, error) {
	resource := schema.GroupResource{Group: a.request.Resource.Group, Resource: a.request.Resource.Resource}
	forbidden := func(reason string) *refusal {
		return &refusal{apierrors.NewForbidden(resource, a.Object.GetName(), errors.New(reason)), reason}
	}
	missing, err := v.guard.Missing(ctx, a.Attempt)
	var tooMany *TooManyQuestionsError
	switch {
	case errors.As(err, &tooMany):
		return nil, forbidden(tooMany.Error()), nil
	case err != nil:
		return nil, nil, err
	case len(missing) > 0:
		return nil, forbidden(Refusal(a.User.Username, missing)), nil
	}
	breaches, err := v.breaches(ctx, a, tenant)
	if err != nil {
		return nil, nil, err
	}
	weak, warnings, err := v.password(ctx, a, tenant)
	if err != nil {
		return nil, nil, err
	}
	if breaches = append(breaches, weak...); len(breaches) > 0 {
		return nil, a.invalid(breaches), nil
	}
	return append(warnings, v.warnings(ctx, a, tenant)...), nil, nil
}

func (a *attempt) invalid(errs field.ErrorList) *refusal {
	kind := schema.GroupKind{Group: a.request.Kind.Group, Kind: a.request.Kind.Kind}
	return &refusal{apierrors.NewInvalid(kind, a.Object.GetName(), errs), rulesOf(errs)}
}

// denied is the answer to the API server, which tells the requester all of the status.
func denied(why *apierrors.StatusError) admission.Response {
	status := why.Status()
	status.Status = metav1.StatusFailure
	if status.Code == 0 {
		status.Code = http.StatusInternalServerError
	}
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &status}}
}
