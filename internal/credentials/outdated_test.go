// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/iam-operator/iam-operator/internal/credentials"
)

func TestOutdated(t *testing.T) {
	present, err := credentials.NewHasher(rand.Reader).Hash(t.Context(), "gravel-Mantis-oboe-tundra-41")
	if err != nil {
		t.Fatal(err)
	}
	parameters := strings.Split(present, "$")[3]
	for name, tt := range map[string]struct {
		hashed string
		want   bool
	}{
		"a present one":       {hashed: present},
		"with less memory":    {hashed: strings.Replace(present, parameters, "m=4096,t=2,p=1", 1), want: true},
		"with fewer passes":   {hashed: strings.Replace(present, parameters, "m=19456,t=1,p=1", 1), want: true},
		"with more of all":    {hashed: strings.Replace(present, parameters, "m=65536,t=3,p=2", 1)},
		"with a shorter hash": {hashed: present[:len(present)-19], want: true},
		"what is none":        {hashed: "hash"},
		"nothing":             {},
	} {
		if got := credentials.Outdated(tt.hashed); got != tt.want {
			t.Errorf("%s: outdated is %v", name, got)
		}
	}
}
