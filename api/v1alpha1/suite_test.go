// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/iam-operator/iam-operator/hack/localcluster"
)

// One real API server serves all tests of the package: what a CRD means is what the API server makes of it.
var (
	cluster *localcluster.Cluster
	api     client.Client
)

func TestMain(m *testing.M) {
	code, err := runWithCluster(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func runWithCluster(m *testing.M) (code int, err error) {
	cluster, err = localcluster.Start(context.Background(), localcluster.Options{CRDPaths: []string{"../../config/crd/bases"}})
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); stopErr != nil {
			code, err = 1, errors.Join(err, stopErr)
		}
	}()
	if api, err = client.New(cluster.Config(), client.Options{}); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// table is what the API server makes of one kind's objects.
type table struct {
	kind   string
	object string // YAML that is accepted as it is; each row changes it
	rows   []row
}

// row is one case: the table's object with set is created; or, with before, the object with before is created and then
// updated by set. The API server must refuse for exactly the causes in want, each "field: words of the message", and
// accept where there are none: so a rule that is removed or moved, or a further one, fails a row.
type row struct {
	name   string
	before change
	set    change
	status bool // set is written to the status, as the operator does
	want   []string
}

// tables are those of all kinds, for the tests that look at all of them.
var tables = []*table{
	&apiKeyTable, &applicationTable, &groupTable, &memberTable, &organizationTable,
	&permissionSetTable, &policyTable, &projectTable, &sshKeyTable,
}

func (tab *table) run(t *testing.T) {
	t.Run("the table's object is accepted", func(t *testing.T) {
		if err := api.Create(t.Context(), tab.base(t), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
			t.Fatal(err)
		}
	})
	for _, r := range tab.rows {
		t.Run(r.name, func(t *testing.T) {
			var err error
			if r.before == nil && !r.status {
				u := tab.base(t)
				r.set(t, u.Object)
				err = api.Create(t.Context(), u, client.DryRunAll, client.FieldValidation("Strict"))
			} else {
				err = tab.update(t, r)
			}
			compareCauses(t, err, r.want)
		})
	}
}

// update stores the object, returns what the API server says to the change, and removes the object.
func (tab *table) update(t *testing.T, r row) error {
	t.Helper()
	u := tab.base(t)
	if r.before != nil {
		r.before(t, u.Object)
	}
	if err := api.Create(t.Context(), u, client.FieldValidation("Strict")); err != nil {
		t.Fatalf("the object before the update is refused: %v", err)
	}
	defer func() {
		if err := api.Delete(context.WithoutCancel(t.Context()), u); err != nil {
			t.Error(err)
		}
	}()
	changed := u.DeepCopy()
	r.set(t, changed.Object)
	if r.status {
		return api.Status().Update(t.Context(), changed, client.DryRunAll)
	}
	return api.Update(t.Context(), changed, client.DryRunAll, client.FieldValidation("Strict"))
}

func (tab *table) base(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(tab.object), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetAPIVersion("iam-operator.dev/v1alpha1")
	u.SetKind(tab.kind)
	if tab.kind != "PermissionSet" {
		u.SetNamespace("default")
	}
	return u
}

// compareCauses compares one by one, so that each cause is wanted and each that is wanted is there.
func compareCauses(t *testing.T, err error, want []string) {
	t.Helper()
	causes, ok := causesOf(err)
	if !ok {
		t.Fatalf("the API server failed otherwise: %v", err)
	}
	missing := slices.Clone(want)
	for _, c := range causes {
		i := slices.IndexFunc(missing, func(w string) bool { return parseWant(w).matches(c) })
		if i < 0 {
			t.Errorf("refused, and should not be, by %s: %s", c.Field, c.Message)
			continue
		}
		missing = slices.Delete(missing, i, i+1)
	}
	for _, w := range missing {
		t.Errorf("not refused by %s", w)
	}
}

// causesOf gives the causes for which an object was refused as invalid; false for any other error.
func causesOf(err error) ([]metav1.StatusCause, bool) {
	if err == nil {
		return nil, true
	}
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return nil, false
	}
	// The API server says so where it leaves out CEL rules because the schema is broken already.
	notChecked := func(c metav1.StatusCause) bool {
		return strings.Contains(c.Message, "some validation rules were not checked")
	}
	return slices.DeleteFunc(slices.Clone(status.Status().Details.Causes), notChecked), true
}

// cause is what a row wants: a field and words of the message.
type cause struct{ field, words string }

func parseWant(want string) cause {
	field, words, _ := strings.Cut(want, ": ")
	return cause{field, words}
}

func (c cause) matches(got metav1.StatusCause) bool {
	return got.Field == c.field && strings.Contains(got.Message, c.words)
}

// change changes an object.
type change func(t *testing.T, object map[string]any)

// put sets the value at a path such as spec.rules[0].scope; a string value is set as it is.
func put(path string, value any) change {
	return func(t *testing.T, object map[string]any) {
		t.Helper()
		walk(t, object, path, func(parent map[string]any, key string) { parent[key] = value })
	}
}

// putYAML sets the value at a path from YAML.
func putYAML(path, text string) change {
	return func(t *testing.T, object map[string]any) {
		t.Helper()
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		put(path, value)(t, object)
	}
}

// drop removes what is at a path.
func drop(path string) change {
	return func(t *testing.T, object map[string]any) {
		t.Helper()
		walk(t, object, path, func(parent map[string]any, key string) { delete(parent, key) })
	}
}

// both makes the changes one after the other.
func both(changes ...change) change {
	return func(t *testing.T, object map[string]any) {
		t.Helper()
		for _, c := range changes {
			c(t, object)
		}
	}
}

// asIs changes nothing.
func asIs(*testing.T, map[string]any) {}

var step = regexp.MustCompile(`^([^\[]+)(?:\[(\d+)\])?$`)

// walk calls do with the last map on a path, and the last key. A map that is missing is made; a list must be there.
func walk(t *testing.T, object map[string]any, path string, do func(parent map[string]any, key string)) {
	t.Helper()
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		m := step.FindStringSubmatch(key)
		if m[2] == "" {
			if object[key] == nil {
				object[key] = map[string]any{}
			}
			object = object[key].(map[string]any)
			continue
		}
		i, _ := strconv.Atoi(m[2])
		list, _ := object[m[1]].([]any)
		if i >= len(list) {
			t.Fatalf("the object has no %s", path)
		}
		object = list[i].(map[string]any)
	}
	do(object, keys[len(keys)-1])
}

// numbered gives n strings that differ.
func numbered(format string, n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return list
}

// numberedMaps gives n maps from YAML with a %d in it.
func numberedMaps(t *testing.T, format string, n int) []any {
	t.Helper()
	list := make([]any, n)
	for i := range list {
		if err := yaml.Unmarshal(fmt.Appendf(nil, format, i), &list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// putMany sets the list at a path to n items, from YAML with a %d in it.
func putMany(path, format string, n int) change {
	return func(t *testing.T, object map[string]any) {
		t.Helper()
		put(path, numberedMaps(t, format, n))(t, object)
	}
}
