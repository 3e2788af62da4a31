// SPDX-License-Identifier: Apache-2.0

package declared_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/api/v1alpha1"
	"github.com/iam-operator/iam-operator/internal/declared"
	"github.com/iam-operator/iam-operator/internal/iam"
)

type object interface {
	declared.Object
	runtime.Object
}

// kindOf says what a kind's functions are, so that laws can be held over all of them.
type kindOf struct {
	kind              iam.Kind
	object            func() object
	empty             func() object
	validate          func(object) field.ErrorList
	convert           func(object) []iam.Entity
	forgetDisplayName func(object)
}

func kindWith[T object](
	kind iam.Kind, build func() T, validate func(T) field.ErrorList, convert func(T) []iam.Entity, forget func(T),
) kindOf {
	return kindOf{
		kind:     kind,
		object:   func() object { return build() },
		empty:    func() object { return reflect.New(reflect.TypeFor[T]().Elem()).Interface().(object) },
		validate: func(o object) field.ErrorList { return validate(o.(T)) },
		convert:  func(o object) []iam.Entity { return convert(o.(T)) },
		forgetDisplayName: func(o object) {
			if forget != nil {
				forget(o.(T))
			}
		},
	}
}

var someIDs = []string{otherID, projectID, "", otherID}

func kinds() []kindOf {
	return []kindOf{
		kindWith(iam.KindOrganization, organization, declared.ValidateOrganization, func(o *v1alpha1.Organization) []iam.Entity {
			return []iam.Entity{declared.Organization(o, otherID), declared.Owner(o), declared.DefaultProject(o)}
		}, func(o *v1alpha1.Organization) { o.Spec.DisplayName = "" }),
		kindWith(iam.KindProject, project, declared.ValidateProject, func(p *v1alpha1.Project) []iam.Entity {
			return []iam.Entity{declared.Project(p, organizationID)}
		}, func(p *v1alpha1.Project) { p.Spec.DisplayName = "" }),
		kindWith(iam.KindMember, member, declared.ValidateMember, func(m *v1alpha1.Member) []iam.Entity {
			return []iam.Entity{declared.Member(m, organizationID, someIDs)}
		}, nil),
		kindWith(iam.KindGroup, group, declared.ValidateGroup, func(g *v1alpha1.Group) []iam.Entity {
			return []iam.Entity{declared.Group(g, organizationID, someIDs)}
		}, func(g *v1alpha1.Group) { g.Spec.DisplayName = "" }),
		kindWith(iam.KindApplication, application, declared.ValidateApplication, func(a *v1alpha1.Application) []iam.Entity {
			return []iam.Entity{declared.Application(a, organizationID, someIDs)}
		}, func(a *v1alpha1.Application) { a.Spec.DisplayName = "" }),
		kindWith(iam.KindAPIKey, apiKey, declared.ValidateAPIKey, func(*v1alpha1.APIKey) []iam.Entity { return nil }, nil),
		kindWith(iam.KindPolicy, policy, declared.ValidatePolicy, func(p *v1alpha1.Policy) []iam.Entity {
			return []iam.Entity{declared.Policy(p, organizationID, otherID, []declared.Rule{{PermissionSets: []string{"A", "B"}, ProjectIDs: someIDs}})}
		}, func(p *v1alpha1.Policy) { p.Spec.DisplayName = "" }),
		kindWith(iam.KindPermissionSet, permissionSet, declared.ValidatePermissionSet, func(s *v1alpha1.PermissionSet) []iam.Entity {
			return []iam.Entity{declared.PermissionSet(s)}
		}, nil),
		kindWith(iam.KindSSHKey, sshKey, declared.ValidateSSHKey, func(k *v1alpha1.SSHKey) []iam.Entity {
			key, err := declared.SSHKey(k, organizationID, projectID)
			if err != nil {
				return nil
			}
			return []iam.Entity{key}
		}, nil),
	}
}

// Silence (law 7) depends on it: what an object says, and nothing else about it, decides the bytes that the store compares.
func TestConversionDependsOnNothingElse(t *testing.T) {
	for _, k := range kinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				original := fill(k, rapid.Uint64().Draw(r, "seed"))
				before, errsBefore := encodedAll(r, k.convert(original)), k.validate(original)
				other := original.DeepCopyObject().(object)
				disturb(other, r)
				if after := encodedAll(r, k.convert(other)); !slices.Equal(before, after) {
					r.Fatalf("got\n  %s\nand then\n  %s", before, after)
				}
				if after := k.validate(other); !reflect.DeepEqual(errsBefore, after) {
					r.Fatalf("got\n  %v\nand then\n  %v", errsBefore, after)
				}
			})
		})
	}
}

// disturb changes what must not matter.
func disturb(o object, r *rapid.T) {
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: rapid.String().Draw(r, "manager")}})
	o.SetResourceVersion(rapid.String().Draw(r, "resourceVersion"))
	o.SetFinalizers([]string{v1alpha1.Finalizer})
	labels := map[string]string{rapid.StringMatching(`[a-z]{1,8}`).Draw(r, "label"): "x"}
	if managed, found := o.GetLabels()[v1alpha1.ManagedLabel]; found {
		labels[v1alpha1.ManagedLabel] = managed
	}
	o.SetLabels(labels)
	at := o.GetCreationTimestamp()
	o.SetCreationTimestamp(metav1.NewTime(at.In(time.FixedZone("", 3600*rapid.IntRange(-12, 12).Draw(r, "zone")))))
	status := o.GetObjectStatus()
	status.ObservedGeneration++
	status.Conditions = append(status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady})
	status.LastHandledReconcileAt = "x"
}

// An object comes from a cache that everybody reads; an entity goes to the store, which keeps it.
func TestConversionSharesNothingWithTheObject(t *testing.T) {
	for _, k := range kinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				original := fill(k, rapid.Uint64().Draw(r, "seed"))
				kept := original.DeepCopyObject()
				entities := k.convert(original)
				k.validate(original)
				for _, entity := range entities {
					overwrite(reflect.ValueOf(entity))
				}
				if !reflect.DeepEqual(kept, runtime.Object(original)) {
					r.Fatalf("the object was\n  %+v\nand is\n  %+v", kept, original)
				}
			})
		})
	}
}

func TestEncodingOutlivesTheStore(t *testing.T) {
	for _, k := range kinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				for _, entity := range k.convert(fill(k, rapid.Uint64().Draw(r, "seed"))) {
					body, err := iam.Encode(entity)
					if err != nil {
						r.Fatal(err)
					}
					read, err := iam.Decode(entity.EntityKind(), body)
					if err != nil {
						r.Fatal(err)
					}
					if again, err := iam.Encode(read); err != nil || string(again) != string(body) {
						r.Fatalf("%v: stored\n  %s\nand read back\n  %s", err, body, again)
					}
				}
			})
		})
	}
}

// A custom resource definition may be older than the operator, so that anything can arrive.
func TestNothingPanics(t *testing.T) {
	for _, k := range kinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			exercise(k, k.empty())
			rapid.Check(t, func(r *rapid.T) { exercise(k, fill(k, rapid.Uint64().Draw(r, "seed"), notUTF8...)) })
		})
	}
}

func exercise(k kindOf, o object) {
	for _, err := range k.validate(o) {
		_ = err.Error()
	}
	k.convert(o)
	_, _, _ = declared.RotateAt(o)
	switch o := o.(type) {
	case *v1alpha1.Member:
		_ = declared.ReservedUsername(o, o.Spec.Email)
	case *v1alpha1.Policy:
		for i, rule := range o.Spec.Rules {
			declared.RuleErrors(declared.RulePath(i), rule, map[string]iam.ScopeType{"a": iam.ScopeOrganization, "b": iam.ScopeProjects})
		}
		declared.Policy(o, "", "", nil)
	}
}

// Law 8: a private key that was pasted by mistake is not repeated in a message.
func TestMessagesNeverQuoteAPublicKey(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9]{24}`).Draw(r, "secret")
		form := rapid.SampledFrom([]string{
			"%", "-----BEGIN OPENSSH PRIVATE KEY-----\n%\n-----END OPENSSH PRIVATE KEY-----", "ssh-ed25519 %", "ssh-rsa % comment", "% ssh-ed25519 AAAA",
			"ssh-dss %", "a\n%",
		}).Draw(r, "form")
		key := sshKey()
		key.Spec.PublicKey = strings.ReplaceAll(form, "%", secret)
		errs := declared.ValidateSSHKey(key)
		if len(errs) == 0 {
			r.Fatal("it passed")
		}
		_, err := declared.SSHKey(key, organizationID, projectID)
		if err == nil {
			r.Fatal("it was converted")
		}
		if strings.Contains(errs.ToAggregate().Error()+err.Error(), secret) {
			r.Fatalf("%v, %v", errs, err)
		}
	})
}

// texts are what tends to break things, among what passes.
var texts = []string{
	"", "a", "A", "B", "acme", "owner@acme.example", "@", "a@", "a@b", "a@b.", "1h", "-1h", "1.5h", "99999h99999h99999h99999h", "9999999999h", "0ms", "1d",
	"Projects", "Organization", "Guest", "Member", "Selector", "Same", "Locked", "AllUsers", "Declared", "Owner", "Group", "In", "Exists",
	"shop:*:read", "*:*:*", "iam:ssh_key:read", ":", "::", "iam-operator.dev/x", "/", "a/b/c", ed25519Key, "ssh-rsa AAAA", "ssh-ed25519", "-----BEGIN",
	otherID, "request.ip == ''", "request.", "((((", "\x00", "\u202e", "æøå", "a\nb", " ", strings.Repeat("a", 300), "owner", "system:x", "2027-06-01T00:00:00Z",
}

// notUTF8 can't come from the API server, and can't be stored as it is; all the same nothing should break on it.
var notUTF8 = []string{"\xff\xfe", "owner@acme.example\xff", "ssh-ed25519 \xff", "a\xff"}

// fill makes an object of the kind with some fields set, without regard to the schema.
func fill(k kindOf, seed uint64, more ...string) object {
	o := k.empty()
	fillValue(reflect.ValueOf(o).Elem(), rand.New(rand.NewPCG(seed, seed)), slices.Concat(texts, more))
	return o
}

func fillValue(v reflect.Value, random *rand.Rand, texts []string) {
	switch v.Interface().(type) {
	case metav1.Time:
		// A year of four digits, which is all that JSON can write.
		v.Set(reflect.ValueOf(metav1.Unix(random.Int64N(1<<37)-1<<35, random.Int64N(1e9))))
		return
	case metav1.FieldsV1:
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[random.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(int32(random.Uint32())))
	case reflect.Pointer:
		if random.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillValue(v.Elem(), random, texts)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), random.IntN(4), 4))
		for i := range v.Len() {
			fillValue(v.Index(i), random, texts)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, known := range []string{v1alpha1.IDAnnotation, v1alpha1.RotateAtAnnotation, v1alpha1.ManagedLabel, ""} {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillValue(key, random, texts)
			fillValue(value, random, texts)
			if known != "" && random.IntN(2) == 0 {
				key.SetString(known)
			}
			if known == v1alpha1.ManagedLabel {
				value.SetString("true")
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(v.Field(i), random, texts)
		}
	}
}

// overwrite changes every list, pointer and text that can be reached from an entity.
func overwrite(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			overwrite(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			overwrite(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			overwrite(v.Field(i))
		}
	case reflect.String:
		v.SetString("overwritten")
	case reflect.Int:
		v.SetInt(-7)
	}
}

func encodedAll(r *rapid.T, entities []iam.Entity) []string {
	var all []string
	for _, entity := range entities {
		body, err := iam.Encode(entity)
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, string(body))
	}
	return all
}
