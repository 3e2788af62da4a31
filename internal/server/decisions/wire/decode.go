// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"

	strict "sigs.k8s.io/json"
)

// decodeRefusal says in words what is wrong with a body.
func decodeRefusal(err error) *Refusal {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return Refuse(http.StatusBadRequest, "the JSON must be an object")
		}
		return BadField(wrong.Field, "must be %s, not %s", wanted(wrong.Type), Cut(wrong.Value))
	}
	if syntax, offset := strict.SyntaxErrorOffset(err); syntax {
		return Refuse(http.StatusBadRequest, "this is no JSON: %s, after %d bytes", err, offset)
	}
	return Refuse(http.StatusBadRequest, "the JSON has not the wanted form")
}

func wanted(kind reflect.Type) string {
	switch kind.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	default:
		return "an object"
	}
}
