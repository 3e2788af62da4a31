// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// password judges the password of a Member where its source is new, and warns where there is
// none to judge yet. The content is told of only to who may read it: the right is asked for
// here, although the guard asks for it too, so that what a refusal tells never hangs on
// another rule. What can't be judged now is left to the loop.
func (v *validator) password(ctx context.Context, a *attempt, tenant *v1alpha1.Organization) (field.ErrorList, []string, error) {
	m, ref := passwordSource(a)
	if ref == nil || tenant == nil {
		return nil, nil, nil
	}
	key := client.ObjectKey{Namespace: m.Namespace, Name: string(ref.Name)}
	may, err := v.authorize(ctx, a.User, authorizationv1.ResourceAttributes{
		Verb: verbGet, Version: "v1", Resource: resourceSecrets, Namespace: key.Namespace, Name: key.Name,
	})
	if err != nil || !may {
		return nil, nil, err
	}
	path := field.NewPath("spec", "password", "secretRef")
	warn := func(format string, args ...any) (field.ErrorList, []string, error) {
		return nil, []string{shortened(path.String() + ": " + fmt.Sprintf(format, args...))}, nil
	}
	secret := &corev1.Secret{}
	err = v.live.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		return warn("Secret %s not found; the password is set once there is one", key.Name)
	case err != nil:
		return nil, nil, fmt.Errorf("read the Secret of the password: %w", err)
	case secret.Type != v1alpha1.PasswordSecretType:
		return warn("Secret %s is not of type %s, which cannot change; delete it and create it again with that type", key.Name, v1alpha1.PasswordSecretType)
	case secret.Labels[v1alpha1.WatchLabel] != "true":
		return warn("Secret %s is not watched; run: kubectl label secret %s %s=true -n %s", key.Name, key.Name, v1alpha1.WatchLabel, key.Namespace)
	}
	content, found := secret.Data[ref.Key]
	if !found {
		return warn("Secret %s has no key %s; the password is set once it has", key.Name, ref.Key)
	}
	security, err := v.history.security(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	var errs field.ErrorList
	for _, problem := range iam.JudgePassword(string(content), security.PasswordPolicy(), declared.PasswordWords(m, tenant)) {
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, problem))
	}
	return errs, nil, nil
}

// passwordSource gives the Secret that a Member's password newly comes from; nil where there is none.
func passwordSource(a *attempt) (*v1alpha1.Member, *v1alpha1.SecretKeyRef) {
	m, ok := a.Object.(*v1alpha1.Member)
	if !ok {
		return nil, nil
	}
	ref := secretOf(m)
	if former, ok := a.Former.(*v1alpha1.Member); ok && apiequality.Semantic.DeepEqual(ref, secretOf(former)) {
		return nil, nil
	}
	return m, ref
}
