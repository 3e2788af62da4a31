// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"testing"

	"github.com/iam-operator/iam-operator/internal/audit"
	"github.com/iam-operator/iam-operator/internal/iam"
)

// A gap vouches for just what was judged, and the oldest ones make room.
func TestGaps(t *testing.T) {
	gaps := &audit.Gaps{}
	if gaps.Has("uid", 1, "digest") {
		t.Error("an empty one has something")
	}
	gaps.Add(iam.Attribution{ObjectUID: "gone", Deletion: true})
	if gaps.Has("gone", 0, "") {
		t.Error("a deletion was remembered, which nobody judges")
	}
	gaps.Add(iam.Attribution{ObjectUID: "uid", Generation: 1, Digest: "digest"})
	for name, has := range map[string]bool{
		"itself":             gaps.Has("uid", 1, "digest"),
		"another object":     !gaps.Has("other", 1, "digest"),
		"another generation": !gaps.Has("uid", 2, "digest"),
		"another digest":     !gaps.Has("uid", 1, "other"),
	} {
		if !has {
			t.Errorf("%s: the wrong answer", name)
		}
	}
	for generation := range int64(10_000) {
		gaps.Add(iam.Attribution{ObjectUID: "busy", Generation: generation + 1})
		gaps.Add(iam.Attribution{ObjectUID: "busy", Generation: generation + 1})
	}
	if gaps.Has("uid", 1, "digest") || !gaps.Has("busy", 1, "") || !gaps.Has("busy", 10_000, "") {
		t.Error("not the oldest made room")
	}
}
