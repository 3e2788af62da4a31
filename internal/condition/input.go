// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Attributes are what is known of a request and its resource at a decision. What is zero is unknown: a condition
// sees it as absent, never as empty.
type Attributes struct {
	// IP is the address that the request came from. Conditions see it in its canonical form, and an IPv4-mapped IPv6
	// address as the IPv4 address. Reading what is no address, or has a zone, is an error.
	IP string
	// UserAgent is what the client calls itself. Conditions see its first 255 characters.
	UserAgent string
	// Time is when the request came, in the years 1 to 9999. Conditions see it in UTC.
	Time time.Time
	// ResourceName has at most 1024 characters, ResourceID 255 and ResourceLocality 64. Reading a longer one is an
	// error: the beginning of a name could be the name of another resource.
	ResourceName, ResourceID, ResourceLocality string
}

// Input is what conditions are evaluated on. Its zero value knows nothing. It serves any number of conditions and,
// after Reset, any number of decisions, but one at a time, and it must not be copied after its first use.
type Input struct {
	attributes Attributes
	// values are the attributes as CEL values, by slot, each made when a condition first reads it.
	values            [attributeCount]ref.Val
	request, resource object
}

// Reset forgets what the input held, and takes these attributes instead.
func (i *Input) Reset(a Attributes) {
	i.attributes = a
	i.values = [attributeCount]ref.Val{}
}

// activation is an Input as CEL wants it, which is nothing to users of Input.
type activation Input

// ResolveName implements [cel.Activation].
func (a *activation) ResolveName(name string) (any, bool) {
	var variable *object
	switch name {
	case requestVariable:
		variable = &a.request
	case resourceVariable:
		variable = &a.resource
	default:
		return nil, false
	}
	variable.input, variable.name = (*Input)(a), name
	return variable, true
}

// Parent implements [cel.Activation].
func (*activation) Parent() cel.Activation { return nil }

// object is a variable as a value of CEL: something with attributes, and of no other use.
type object struct {
	input *Input
	name  string
}

// Get implements [traits.Indexer]; it is how an attribute is read.
func (o *object) Get(index ref.Val) ref.Val {
	name, _ := index.(types.String)
	attribute, found := declared[o.name][string(name)]
	if !found {
		return types.NewErr("no such attribute: %s.%v", o.name, index)
	}
	value := &o.input.values[attribute.slot]
	if *value == nil {
		*value = attribute.read(attribute, &o.input.attributes)
	}
	return *value
}

// IsSet implements [traits.FieldTester]; it is has(). What is known and wrong is there: only reading it fails.
func (o *object) IsSet(index ref.Val) ref.Val {
	value := o.Get(index)
	name, _ := index.(types.String)
	if attribute, found := declared[o.name][string(name)]; found {
		return types.Bool(value != attribute.unknown)
	}
	return value
}

// Type implements [ref.Val].
func (o *object) Type() ref.Type { return types.NewObjectType(typeName(o.name)) }

// Value implements [ref.Val].
func (o *object) Value() any { return o }

// Equal implements [ref.Val].
func (o *object) Equal(other ref.Val) ref.Val { return types.Bool(o == other) }

// ConvertToType implements [ref.Val].
func (o *object) ConvertToType(to ref.Type) ref.Val {
	if to == types.TypeType {
		return types.NewObjectType(typeName(o.name))
	}
	return types.NewErr("%s cannot be made a %s", o.name, to.TypeName())
}

// ConvertToNative implements [ref.Val].
func (o *object) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot be made a %s", o.name, to)
}

// String is for messages of CEL that name a value.
func (o *object) String() string { return o.name }

func readIP(a *attribute, from *Attributes) ref.Val {
	if from.IP == "" {
		return a.unknown
	}
	address, err := parseAddress(from.IP)
	if err != nil {
		return a.wrong
	}
	// Most addresses come in canonical form, and need no other copy then.
	var buffer [maxAddress]byte
	if canonical := address.AppendTo(buffer[:0]); string(canonical) != from.IP {
		return types.String(canonical)
	}
	return types.String(from.IP)
}

func readTime(a *attribute, from *Attributes) ref.Val {
	if from.Time.IsZero() {
		return a.unknown
	}
	// CEL takes the hour and the day from a time as it comes, and means UTC.
	at := from.Time.UTC()
	if year := at.Year(); year < 1 || year > 9999 {
		return a.wrong
	}
	return types.Timestamp{Time: at}
}

func readUserAgent(a *attribute, from *Attributes) ref.Val {
	if from.UserAgent == "" {
		return a.unknown
	}
	return types.String(firstOf(from.UserAgent, a.maxSize))
}

func readName(a *attribute, from *Attributes) ref.Val { return a.whole(from.ResourceName) }

func readID(a *attribute, from *Attributes) ref.Val { return a.whole(from.ResourceID) }

func readLocality(a *attribute, from *Attributes) ref.Val { return a.whole(from.ResourceLocality) }

// whole is a text that is all there or not at all.
func (a *attribute) whole(text string) ref.Val {
	switch {
	case text == "":
		return a.unknown
	case len(firstOf(text, a.maxSize)) < len(text):
		return a.wrong
	}
	return types.String(text)
}

// firstOf is the beginning of a text, of at most so many characters; a byte that is no UTF-8 counts as one.
func firstOf(text string, characters uint64) string {
	if uint64(len(text)) <= characters {
		return text
	}
	end := 0
	for range characters {
		_, width := utf8.DecodeRuneInString(text[end:])
		end += width
	}
	return text[:end]
}
