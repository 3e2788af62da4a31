// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// hidden are the fields that no event may show: what a secret key is compared with, and
// what Kubernetes or the operator made up.
func hidden(path string) bool {
	switch path {
	case "APIKey.Digest", "APIKey.DigestKeyID", "Organization.NamespaceUID", "Policy.Rules[].ID":
		return true
	}
	return strings.HasSuffix(path, ".Object.UID")
}

// leaf is a field of an entity that holds a value of its own, by its path.
type leaf struct {
	path  string
	value reflect.Value
}

// leaves walks an entity down to the fields that can be set. Pointers and lists count as
// they are, and with what they hold.
func leaves(path string, v reflect.Value) []leaf {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return []leaf{{path, v}}
	}
	var all []leaf
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := path + "." + v.Type().Field(i).Name
			if v.Type().Field(i).Anonymous {
				name = path
			}
			all = append(all, leaves(name, v.Field(i))...)
		}
	case reflect.Pointer:
		all = append(all, leaf{path, v})
		if !v.IsNil() {
			all = append(all, leaves(path+"*", v.Elem())...)
		}
	case reflect.Slice:
		all = append(all, leaf{path, v})
		for i := range v.Len() {
			all = append(all, leaves(path+"[]", v.Index(i))...)
		}
	default:
		all = append(all, leaf{path, v})
	}
	return all
}

func leavesOf(entity iam.Entity) []leaf {
	v := reflect.ValueOf(entity).Elem()
	return leaves(v.Type().Name(), v)
}

// fill sets every leaf to what next gives; lists get two elements, pointers something.
func fill(path string, v reflect.Value, next func(path string, v reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		next(path, v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			name := path + "." + v.Type().Field(i).Name
			if v.Type().Field(i).Anonymous {
				name = path
			}
			fill(name, v.Field(i), next)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(path+"*", v.Elem(), next)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(path+"[]", v.Index(i), next)
		}
	default:
		next(path, v)
	}
}

// marked gives an entity with a value in every field; texts carry the mark and their path.
func marked(kind iam.Kind, mark string) iam.Entity {
	entity := blank(kind)
	n := int64(len(mark))
	fill(string(kind), reflect.ValueOf(entity).Elem(), func(path string, v reflect.Value) {
		n++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprintf("%s(%s)", mark, path))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(n)
		default:
			v.Set(reflect.ValueOf(created.Add(time.Duration(n) * time.Hour)))
		}
	})
	return entity
}

func blank(kind iam.Kind) iam.Entity {
	entity, err := iam.Decode(kind, []byte("{}"))
	if err != nil {
		panic(err)
	}
	return entity
}

// clone gives the entity as the store would give it back.
func clone(entity iam.Entity) iam.Entity {
	body, err := iam.Encode(entity)
	if err != nil {
		panic(err)
	}
	copied, err := iam.Decode(entity.EntityKind(), body)
	if err != nil {
		panic(err)
	}
	return copied
}

func changesOf(notes []audit.Note) string {
	var all strings.Builder
	for _, n := range notes {
		all.Write(n.Change.Before)
		all.WriteByte('\n')
		all.Write(n.Change.After)
		all.WriteByte('\n')
	}
	return all.String()
}

// Law 8: what must not show does not, whatever the change. The rest does, so that the test
// cannot pass by showing nothing.
func TestNothingHiddenShows(t *testing.T) {
	for _, kind := range iam.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			before, after := marked(kind, "OLD"), marked(kind, "NEW")
			// One entity, not two: its id and its Organization stay.
			head := reflect.ValueOf(after).Elem().FieldByName("Head")
			head.FieldByName("ID").SetString(before.GetHead().ID)
			head.FieldByName("OrganizationID").SetString(before.GetHead().OrganizationID)
			for name, notes := range map[string][]audit.Note{
				"created": audit.Describe(nil, before), "deleted": audit.Describe(before, nil), "updated": audit.Describe(before, after),
			} {
				everything, err := json.Marshal(notes)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range leavesOf(before) {
					if l.value.Kind() != reflect.String {
						continue
					}
					shows := strings.Contains(string(everything), l.value.String())
					if hidden(l.path) && shows {
						t.Errorf("%s: %s shows", name, l.path)
					}
					if !hidden(l.path) && !shows && !unsaid(l.path) {
						t.Errorf("%s: %s does not show", name, l.path)
					}
				}
				if name == "updated" && !strings.Contains(string(everything), "NEW(") {
					t.Error("the new state does not show at all")
				}
			}
		})
	}
}

// unsaid says that a note does not repeat what others say: the event has the Organization,
// the resource has the object's kind, and the owner's id follows from the Organization's.
func unsaid(path string) bool {
	for _, suffix := range []string{".OrganizationID", ".Object.Kind", ".OwnerID"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

// Law 2, field by field: no edit of whatever single field is without an event.
func TestEveryFieldRaisesAnEvent(t *testing.T) {
	for _, kind := range iam.Kinds() {
		before := marked(kind, "OLD")
		for i, l := range leavesOf(before) {
			after := clone(before)
			v := leavesOf(after)[i].value
			switch v.Kind() {
			case reflect.String:
				v.SetString("other")
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int() + 1)
			case reflect.Slice, reflect.Pointer:
				v.SetZero()
			default:
				v.Set(reflect.ValueOf(created))
			}
			notes := audit.Describe(before, after)
			if len(notes) == 0 {
				t.Errorf("%s: no event", l.path)
			}
			if shown := strings.TrimSpace(changesOf(notes)); hidden(l.path) && shown != "" {
				t.Errorf("%s: the change is %s", l.path, shown)
			}
		}
	}
}

// anyEntity draws an entity out of few values, so that two of them are often alike in part.
func anyEntity(kind iam.Kind) *rapid.Generator[iam.Entity] {
	return rapid.Custom(func(t *rapid.T) iam.Entity {
		entity := blank(kind)
		draw(t, string(kind), reflect.ValueOf(entity).Elem())
		return entity
	})
}

func draw(t *rapid.T, path string, v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(created.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, path)) * time.Hour)))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			draw(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		if rapid.Bool().Draw(t, path) {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, path, v.Elem())
		}
	case v.Kind() == reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, path)
		if n > 0 || rapid.Bool().Draw(t, path) {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range n {
			draw(t, path, v.Index(i))
		}
	case v.Type() == reflect.TypeFor[iam.MemberType]():
		v.SetString(string(rapid.SampledFrom([]iam.MemberType{iam.TypeOwner, iam.TypeMember, iam.TypeGuest}).Draw(t, path)))
	case v.Type() == reflect.TypeFor[iam.Membership]():
		v.SetString(string(rapid.SampledFrom([]iam.Membership{iam.MembershipDeclared, iam.MembershipAllUsers}).Draw(t, path)))
	case v.Kind() == reflect.String:
		v.SetString(rapid.SampledFrom([]string{"", "a", "b", "é<&>"}).Draw(t, path))
	case v.Kind() == reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, path))
	default:
		v.SetInt(int64(rapid.IntRange(0, 1).Draw(t, path)))
	}
}

// withTheOrganization says that the Organization's own event tells of an entity's coming and going.
func withTheOrganization(entity iam.Entity) bool {
	switch e := entity.(type) {
	case *iam.Member:
		return e.Type == iam.TypeOwner
	case *iam.Project:
		return e.ID == e.OrganizationID
	}
	return false
}

// Law 2: two states that differ have an event, two that do not have none; each field that
// differs is told once; and every change is an object that can be read.
func TestEveryDifferenceIsToldOnce(t *testing.T) {
	for _, kind := range iam.Kinds() {
		t.Run(string(kind), rapid.MakeCheck(func(t *rapid.T) {
			before, after := anyEntity(kind).Draw(t, "before"), anyEntity(kind).Draw(t, "after")
			reflect.ValueOf(after).Elem().FieldByName("ID").SetString(before.GetHead().ID)
			x, _ := iam.Encode(before)
			y, _ := iam.Encode(after)
			notes := audit.Describe(before, after)
			if got, want := len(notes) > 0, string(x) != string(y); got != want {
				t.Fatalf("event: %t, want %t for\n%s\n%s", got, want, x, y)
			}
			if notes := audit.Describe(before, clone(before)); len(notes) > 0 {
				t.Fatalf("an entity and its copy differ: %+v", notes)
			}
			for name, notes := range map[string][]audit.Note{"created": audit.Describe(nil, after), "deleted": audit.Describe(after, nil)} {
				if got, want := len(notes) == 0, withTheOrganization(after); got != want {
					t.Fatalf("%s without an event: %t, want %t", name, got, want)
				}
			}
			told := map[string]string{}
			for _, n := range notes {
				for field, change := range fieldsOf(t, n) {
					if field == "members" {
						continue
					}
					if by, twice := told[field]; twice {
						t.Errorf("%s is told by %s and by %s", field, by, n.Method)
					}
					if change[0] == change[1] {
						t.Errorf("%s tells of %s, which is %s before and after", n.Method, field, change[0])
					}
					told[field] = n.Method
				}
			}
		}))
	}
}

// fieldsOf gives the fields of a change with their states before and after.
func fieldsOf(t rapid.TB, n audit.Note) map[string][2]string {
	all := map[string][2]string{}
	for i, body := range []json.RawMessage{n.Change.Before, n.Change.After} {
		if body == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatalf("%s: the change %s is no object: %v", n.Method, body, err)
		}
		for name, value := range fields {
			states := all[name]
			states[i] = string(value)
			all[name] = states
		}
	}
	return all
}
