// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/controllers"
)

// right is one thing that a rule allows.
type right struct{ group, resource, verb string }

func (r right) String() string {
	return fmt.Sprintf("%s %s of group %q", r.verb, r.resource, r.group)
}

// shippedRole reads the role that the operator runs with, as it is shipped.
func shippedRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(text, role); err != nil {
		t.Fatal(err)
	}
	return role
}

// rightsOf gives what a role allows, each with the names of the objects that it is limited to.
func rightsOf(t *testing.T, role *rbacv1.ClusterRole) map[right][]string {
	t.Helper()
	rights := map[right][]string{}
	for _, rule := range role.Rules {
		if len(rule.NonResourceURLs) > 0 {
			t.Fatalf("this test does not know what to make of %+v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if strings.Contains(group+resource+verb, "*") {
						t.Errorf("%+v allows more than anybody can look over", rule)
					}
					rights[right{group, resource, verb}] = rule.ResourceNames
				}
			}
		}
	}
	return rights
}

// usedRights reads from the API server's audit log what the operator was allowed since a
// time, and what it was not.
func usedRights(t *testing.T, since time.Time) (used map[right]bool, refused []right) {
	t.Helper()
	file, err := os.Open(auditLogPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	used = map[right]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			continue // The last line may be half written.
		}
		if event.User.Username != operatorUser || event.RequestReceivedTimestamp.Time.Before(since) || event.ObjectRef == nil {
			continue
		}
		asked := right{event.ObjectRef.APIGroup, event.ObjectRef.Resource, event.Verb}
		if event.ObjectRef.Subresource != "" {
			asked.resource += "/" + event.ObjectRef.Subresource
		}
		// A namespace that is going answers 403 as well. It is RBAC that says so here.
		if event.Annotations["authorization.k8s.io/decision"] != "allow" {
			refused = append(refused, asked)
			continue
		}
		used[asked] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return used, refused
}

// The operator is allowed just what it needs: whatever it asks is allowed, and of what is
// allowed nothing goes unused. So a rule too many fails, and so does one that is removed.
func TestEveryRBACRuleIsNeeded(t *testing.T) {
	digestKeys := &corev1.Secret{ObjectMeta: objectMeta(operatorNamespace, controllers.DigestKeySecret)}
	if err := client.IgnoreNotFound(admin.Delete(t.Context(), digestKeys)); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	t.Run("lists", exerciseLists)
	t.Run("events", func(t *testing.T) {
		startOperator(t) // without webhooks, which would refuse what it has events of
		exerciseEvents(t)
	})
	squatCatalogueName(t)
	guarded := startGuardedOperator(t)
	o := guarded.operator
	exerciseKeys(t, o)
	exerciseConfigMap(t)
	exerciseCatalogue(t)
	exerciseDeletion(t)
	exerciseAdmission(t, guarded)
	awaitQuiet(t, o)

	used, refused := usedRights(t, since)
	for _, asked := range refused {
		t.Errorf("refused: %s", asked)
	}
	allowed := rightsOf(t, shippedRole(t))
	if len(allowed) < 30 {
		t.Fatalf("the role allows only %d things, so it was not read well: %v", len(allowed), allowed)
	}
	for right := range allowed {
		if !used[right] && right != knownBy {
			t.Errorf("allowed and never used: %s", right)
		}
	}
	if _, held := allowed[knownBy]; !held {
		t.Errorf("nothing tells the operator's own permission sets from those of others: it lacks %s", knownBy)
	}
}

// knownBy is the right by which the webhooks' configuration knows the operator; the API server looks at it, and nobody uses it.
var knownBy = right{"iam-operator.dev", "permissionsets", "escalate"}

// exerciseAdmission stores something while the webhooks are not installed, which makes the operator look for them.
func exerciseAdmission(t *testing.T, o *guardedOperator) {
	t.Helper()
	ns := newNamespace(t, nil)
	o.uninstall(t)
	held := organization(ns, "acme")
	create(t, held)
	awaitReason(t, held, v1alpha1.ReasonAdmissionMissing)
	o.install(t)
	o.awaitAsked(t)
}

// exerciseLists runs the operator on an API server that can't stream lists, as those before
// Kubernetes 1.34 can't: there the cache is filled by list, and kept by watch.
func exerciseLists(t *testing.T) {
	older := rest.CopyConfig(operatorConfig)
	older.Wrap(func(newer http.RoundTripper) http.RoundTripper { return noStreams{newer} })
	o := newGuardedOperator(t)
	o.As = older
	o.install(t)
	o.startGuarded(t)
}

// noStreams answers as an API server that does not know how to stream a list.
type noStreams struct{ http.RoundTripper }

// RoundTrip refuses to stream, and passes everything else on.
func (n noStreams) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("sendInitialEvents") != "true" {
		return n.RoundTripper.RoundTrip(request)
	}
	refusal, err := json.Marshal(apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "ListOptions"}, "", field.ErrorList{
		field.Forbidden(field.NewPath("sendInitialEvents"), "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"),
	}).Status())
	return &http.Response{
		StatusCode: http.StatusUnprocessableEntity, Request: request, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(refusal)),
	}, err
}

// exerciseKeys mints, rotates, loses and alters keys.
func exerciseKeys(t *testing.T, o *operator) {
	t.Helper()
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	app := application(org, ns, "deployer")
	key := apiKey(org, ns, "ci", v1alpha1.Bearer{Kind: v1alpha1.BearerApplication, Name: "deployer"})
	key.Spec.Rotation = &v1alpha1.Rotation{Every: "720h", Overlap: "48h"}
	create(t, org, app, key)
	awaitReady(t, key)
	secret := &corev1.Secret{ObjectMeta: objectMeta(ns, "ci")}
	access := key.Status.AccessKey
	awaitAnother := func(why string) {
		t.Helper()
		before := access
		eventually(t, why, func(ctx context.Context) (bool, string) {
			err := admin.Get(ctx, keyOf(key), key)
			return err == nil && key.Status.AccessKey != "" && key.Status.AccessKey != before, fmt.Sprintf("%v, %+v", err, key.Status)
		})
		access = key.Status.AccessKey
	}
	o.Clock.SetTime(o.Clock.Now().Add(time.Hour))
	change(t, key, func(k *v1alpha1.APIKey) {
		k.Annotations = map[string]string{v1alpha1.RotateAtAnnotation: o.Clock.Now().Format(time.RFC3339)}
	})
	awaitAnother("the key is rotated")
	change(t, secret, func(s *corev1.Secret) { s.Data["SCW_SECRET_KEY"] = []byte("altered") })
	awaitAnother("the altered Secret is minted anew")
	if err := admin.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	awaitAnother("the lost Secret is minted anew")
	remove(t, app)
	awaitReason(t, key, v1alpha1.ReasonBearerDeleted)
}

// exerciseConfigMap makes a Project's authorized keys, and changes them.
func exerciseConfigMap(t *testing.T) {
	t.Helper()
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	web := project(org, ns, "web")
	create(t, org, web, sshKey(org, ns, "first", "web"))
	awaitLines := func(want int) {
		eventually(t, fmt.Sprintf("%d authorized keys", want), func(ctx context.Context) (bool, string) {
			configMap := &corev1.ConfigMap{}
			err := admin.Get(ctx, client.ObjectKey{Namespace: ns, Name: "web-authorized-keys"}, configMap)
			return err == nil && strings.Count(configMap.Data["authorized_keys"], "\n") == want, fmt.Sprintf("%v, %v", err, configMap.Data)
		})
	}
	awaitLines(1)
	create(t, sshKey(org, ns, "second", "web"))
	awaitLines(2)
}

// exerciseCatalogue edits and deletes built-in permission sets.
func exerciseCatalogue(t *testing.T) {
	t.Helper()
	squatted := &v1alpha1.PermissionSet{}
	squatted.Name = squattedSet
	eventually(t, "the squatted set is made anew", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(squatted), squatted)
		return err == nil && squatted.Spec.ScopeType == v1alpha1.ScopeTypeOrganization, fmt.Sprint(err, squatted.Spec.ScopeType)
	})
	edited, deleted := &v1alpha1.PermissionSet{}, &v1alpha1.PermissionSet{}
	edited.Name, deleted.Name = "instancesreadonly", "iamreadonly"
	awaitReady(t, edited, deleted)
	was := edited.Spec.Description
	change(t, edited, func(s *v1alpha1.PermissionSet) { s.Spec.Description = "edited by hand" })
	eventually(t, "the edited set is put back", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(edited), edited)
		return err == nil && edited.Spec.Description == was, fmt.Sprintf("%v, %q", err, edited.Spec.Description)
	})
	former := deleted.UID
	if err := admin.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deleted set is made again", func(ctx context.Context) (bool, string) {
		err := admin.Get(ctx, keyOf(deleted), deleted)
		return err == nil && deleted.UID != former, fmt.Sprint(err)
	})
}

const squattedSet = "billingmanager"

// squatCatalogueName puts another set in the place of a built-in one, of a scope type that
// cannot be changed, while no operator runs.
func squatCatalogueName(t *testing.T) {
	t.Helper()
	set := &v1alpha1.PermissionSet{Spec: v1alpha1.PermissionSetSpec{
		Name: "BillingManager", ScopeType: v1alpha1.ScopeTypeProjects, Permissions: []v1alpha1.Permission{"shop:order:read"},
	}}
	set.Name = squattedSet
	remove(t, set.DeepCopy())
	create(t, set)
}

// exerciseEvents has the operator say the same twice of one and the same object, which it
// does when it can't write the status: an event of a series is a patch.
func exerciseEvents(t *testing.T) {
	t.Helper()
	ns := newNamespace(t, nil)
	org := organization(ns, "acme")
	create(t, org)
	awaitReady(t, org)
	refuseStatuses(t, ns)
	since := time.Now()
	broken := policy(org, ns, "broken", nil, v1alpha1.PolicyRule{PermissionSets: []v1alpha1.PermissionSetName{"IAMReadOnly"}, Scope: v1alpha1.ScopeOrganization, Condition: "1 +"})
	create(t, broken)
	eventually(t, "an event is told twice", func(context.Context) (bool, string) {
		for _, call := range operatorCalls(t, since) {
			if call.verb == "patch" && call.resource == "events" {
				return true, ""
			}
		}
		return false, "no patch of an event"
	})
}

// refuseStatuses has the API server refuse every status of the policies of a namespace.
func refuseStatuses(t *testing.T, namespace string) {
	t.Helper()
	name := "refuse-" + namespace
	refusal := &admissionv1.ValidatingAdmissionPolicy{Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"policies/status"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: "no status today"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: selects(corev1.LabelMetadataName, namespace)},
	}}
	refusal.Name, binding.Name = name, name
	probe := policy(&v1alpha1.Organization{ObjectMeta: objectMeta(namespace, "nobody")}, namespace, "probe", nil)
	create(t, probe)
	awaitReason(t, probe, v1alpha1.ReasonReferenceNotFound) // before the refusal, which would refuse this status too
	create(t, refusal, binding)
	t.Cleanup(func() {
		_ = admin.Delete(context.Background(), binding)
		_ = admin.Delete(context.Background(), refusal)
	})
	eventually(t, "statuses are refused", func(ctx context.Context) (bool, string) {
		err := admin.Status().Patch(ctx, probe, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"rules":1}}`)), client.DryRunAll)
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err), fmt.Sprint(err)
	})
}

// exerciseDeletion makes an object of each kind, and has each go.
func exerciseDeletion(t *testing.T) {
	t.Helper()
	w := newWorld(t, 1)
	set := customSet("Rbac"+alias(w.home), v1alpha1.ScopeTypeProjects, "shop:order:read")
	create(t, set)
	awaitReady(t, set)
	remove(t, set)
	// In the end the Organization, and before each object what holds its deletion back.
	for _, obj := range slices.Backward(w.objects) {
		remove(t, obj)
	}
}

// Without a right the operator does not go on as if nothing were: it says what it may not.
func TestRBACMissingRightIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		missing right
		// says is what the log must hold, or what the operator says when it refuses to start.
		says string
	}{
		"no Secret":               {right{"", "secrets", ""}, `secrets "iam-operator-digest-keys" is forbidden`},
		"no namespace":            {right{"", "namespaces", "get"}, `namespaces "iam-operator-system" is forbidden`},
		"no new Secret":           {right{"", "secrets", "create"}, `cannot create resource \"secrets\"`},
		"no status of a group":    {right{"iam-operator.dev", "groups/status", "patch"}, `cannot patch resource \"groups/status\"`},
		"no finalizer on a group": {right{"iam-operator.dev", "groups", "patch"}, `cannot patch resource \"groups\"`},
	} {
		t.Run(name, func(t *testing.T) {
			startOperator(t).halt(t) // so that the digest keys are there
			ns := newNamespace(t, nil)
			logs := &logBuffer{}
			if err := startAs(t, accountWithout(t, ns, test.missing), logs); err != nil {
				if !strings.Contains(err.Error(), test.says) {
					t.Fatalf("the operator does not start, and says %v; want %q", err, test.says)
				}
				return
			}
			org := organization(ns, "acme")
			create(t, org, group(org, ns, "deployers"), apiKey(org, ns, "root", v1alpha1.Bearer{Kind: v1alpha1.BearerOwner}))
			eventually(t, "the log says what is not allowed", func(context.Context) (bool, string) {
				return strings.Contains(logs.String(), test.says), fmt.Sprintf("%d bytes of log, without %q", len(logs.String()), test.says)
			})
		})
	}
}

// accountWithout gives a user with the shipped role less one right, or less all rights on
// a resource where the verb is empty.
func accountWithout(t *testing.T, name string, missing right) *rest.Config {
	t.Helper()
	role := shippedRole(t)
	role.Name = name
	var rules []rbacv1.PolicyRule
	for held, names := range rightsOf(t, role) {
		if held.group != missing.group || held.resource != missing.resource || missing.verb != "" && held.verb != missing.verb {
			rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{held.group}, Resources: []string{held.resource}, Verbs: []string{held.verb}, ResourceNames: names})
		}
	}
	role.Rules = rules
	binding := &rbacv1.ClusterRoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	binding.Name = name
	create(t, role, binding)
	t.Cleanup(func() {
		_ = admin.Delete(context.Background(), binding)
		_ = admin.Delete(context.Background(), role)
	})
	user, err := cluster.UserConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	awaitAllowed(t, user)
	return user
}

// awaitAllowed waits until the API server has taken in what a user may do.
func awaitAllowed(t *testing.T, user *rest.Config) {
	t.Helper()
	theirs, err := client.New(user, client.Options{Scheme: admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the role counts", func(ctx context.Context) (bool, string) {
		err := theirs.List(ctx, &v1alpha1.PermissionSetList{})
		return err == nil, fmt.Sprint(err)
	})
}

// startAs runs an operator as a user until the test ends. An operator that does not even
// start says why.
func startAs(t *testing.T, user *rest.Config, logs *logBuffer) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	database, err := controllers.OpenDatabase(ctx, controllers.Database{Path: filepath.Join(t.TempDir(), "iam.db")})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, database.Close()); err != nil {
			t.Errorf("the operator did not end well: %v", err)
		}
	})
	mgr, err := newManager(user, logs)
	if err == nil {
		err = controllers.Setup(ctx, mgr, controllers.Options{
			Store: database, Namespace: operatorNamespace, APIURL: apiURL, Clock: clock.RealClock{}, Random: rand.Reader,
		})
	}
	if err != nil {
		ended <- nil
		return err
	}
	go func() { ended <- mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		t.Fatal("the operator's cache did not fill")
	}
	return nil
}
