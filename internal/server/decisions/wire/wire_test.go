// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", `"\`, "\n\t\x00\x1f\x7f", "é東🚀", "\xff\xc3", "\u2028\uFFFD", strings.Repeat("x", 1000) + "\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := AppendString([]byte("x"), s)
		var back string
		if err := json.Unmarshal(text[1:], &back); err != nil {
			t.Fatalf("%q became %s: %v", s, text, err)
		}
		want := s
		if !utf8.ValidString(s) {
			bytes, _ := json.Marshal(s)
			_ = json.Unmarshal(bytes, &want)
		}
		if back != want {
			t.Errorf("%q became %s, which is %q", s, text, back)
		}
	})
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"": "", "short": "short", strings.Repeat("é", 64): strings.Repeat("é", 32) + "…", "x" + strings.Repeat("é", 64): "x" + strings.Repeat("é", 31) + "…"} {
		if got := Cut(text); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}
