// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
	"github.com/iam-operator/iam-operator/hack/localcluster"
	"github.com/iam-operator/iam-operator/internal/server/decisions"
)

// decidedNamespace has the Organization in which it is decided.
const decidedNamespace = "decided"

// What is asked for: the permission, and the set that holds it.
const (
	askedPermission = "object_storage:bucket:read"
	askedSet        = "ObjectStorageReadOnly"
)

// patienceForDecisions bounds the wait for a decision to become another.
const patienceForDecisions = 30 * time.Second

// decider asks the operator's decision engine, as a service does that may ask about everybody.
type decider struct {
	http   *http.Client
	url    string
	secret string
	ca     []byte
}

// newDecider makes an Organization, and in it an application that may ask about others.
func newDecider(ctx context.Context, b *bench) (*decider, error) {
	if err := b.found(ctx, decidedNamespace); err != nil {
		return nil, err
	}
	const name = "checker"
	for _, object := range []controllers.Object{application(name), policy(name, v1alpha1.PrincipalApplication, name, "IAMPermissionChecker"), apiKey(name, name)} {
		if err := b.create(ctx, object); err != nil {
			return nil, err
		}
	}
	secret, err := b.secret(ctx, decidedNamespace, name)
	if err != nil {
		return nil, err
	}
	serving, err := b.secret(ctx, localcluster.OperatorNamespace, decisions.CertificateSecret)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(serving.Data["ca.crt"]) {
		return nil, errors.New("the operator's serving certificate comes with no authority")
	}
	return &decider{
		url:    fmt.Sprintf("https://localhost:%d/access/v1/evaluation", b.options.DecisionPort),
		secret: string(secret.Data["SCW_SECRET_KEY"]),
		ca:     serving.Data["ca.crt"],
		http: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: decisionConnections, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		}},
	}, nil
}

func (b *bench) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return secret, b.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
}

// create makes an object, and waits until it is applied.
func (b *bench) create(ctx context.Context, object controllers.Object) error {
	if err := b.client.Create(ctx, object); err != nil {
		return err
	}
	return b.awaitReason(ctx, object, v1alpha1.ReasonApplied)
}

func decided(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: decidedNamespace, Name: name}
}

var ofAcme = v1alpha1.OrganizationRef{Name: acme}

func application(name string) *v1alpha1.Application {
	return &v1alpha1.Application{ObjectMeta: decided(name), Spec: v1alpha1.ApplicationSpec{OrganizationRef: ofAcme}}
}

func member(name string) *v1alpha1.Member {
	return &v1alpha1.Member{ObjectMeta: decided(name), Spec: v1alpha1.MemberSpec{OrganizationRef: ofAcme, Username: name, Email: v1alpha1.Email(name + "@acme.example")}}
}

func group(name string, members ...string) *v1alpha1.Group {
	g := &v1alpha1.Group{ObjectMeta: decided(name), Spec: v1alpha1.GroupSpec{OrganizationRef: ofAcme}}
	for _, m := range members {
		g.Spec.Members = append(g.Spec.Members, v1alpha1.GroupMember{Kind: v1alpha1.GroupMemberMember, Name: v1alpha1.ObjectName(m)})
	}
	return g
}

func apiKey(name, bearer string) *v1alpha1.APIKey {
	return &v1alpha1.APIKey{ObjectMeta: decided(name), Spec: v1alpha1.APIKeySpec{
		OrganizationRef: ofAcme, Bearer: v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: v1alpha1.ObjectName(bearer)},
	}}
}

// policy grants a set on the Organization as a whole.
func policy(name string, kind v1alpha1.PrincipalKind, principal, set string) *v1alpha1.Policy {
	return &v1alpha1.Policy{ObjectMeta: decided(name), Spec: v1alpha1.PolicySpec{
		OrganizationRef: ofAcme, Principal: &v1alpha1.Principal{Kind: kind, Name: v1alpha1.ObjectName(principal)},
		Rules: []v1alpha1.PolicyRule{{PermissionSets: []v1alpha1.PermissionSetName{v1alpha1.PermissionSetName(set)}, Scope: v1alpha1.ScopeOrganization}},
	}}
}

// evaluation is the body of a question.
func evaluation(kind, id string) []byte {
	body, _ := json.Marshal(map[string]any{ // Maps of strings can be encoded.
		"subject": map[string]any{"type": kind, "id": id}, "action": map[string]any{"name": askedPermission},
		"resource": map[string]any{"type": "object_storage/bucket", "id": "logs"}, "context": map[string]any{"ip": "192.0.2.7", "user_agent": "performance"},
	})
	return body
}

// ask gives what was decided.
func (d *decider) ask(ctx context.Context, body []byte) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Authorization", "Bearer "+d.secret)
	request.Header.Set("Content-Type", "application/json")
	response, err := d.http.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return false, err
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the decision engine answers %s: %s", response.Status, text)
	}
	var answer struct {
		Decision *bool `json:"decision"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Decision == nil {
		return false, fmt.Errorf("the decision engine answers %s (%w)", text, err)
	}
	return *answer.Decision, nil
}

// await asks until the decision is the one that is wanted, and gives when that was.
func (d *decider) await(ctx context.Context, body []byte, wanted bool) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patienceForDecisions)
	defer cancel()
	for {
		allowed, err := d.ask(ctx, body)
		if err != nil {
			return time.Time{}, err
		}
		if allowed == wanted {
			return time.Now(), nil
		}
		time.Sleep(askEvery)
	}
}
