// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoModPinsWhatNamesTheFolder(t *testing.T) {
	v, err := pinned(goMod)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", "/cache")
	dir, err := cacheDir(v)
	if err != nil {
		t.Fatal(err)
	}
	if want := "/cache/iam-operator/controlplane/kubernetes-" + v.kubernetes + "-etcd-" + v.etcd + "-"; !strings.HasPrefix(dir, want) {
		t.Errorf("the folder is %s, want %s…", dir, want)
	}
}

func TestLinkerFlagsNameTheVersion(t *testing.T) {
	flags := ldflags(versions{kubernetes: "v1.37.2"})
	for _, want := range []string{"component-base/version.gitVersion=v1.37.2", "client-go/pkg/version.gitMajor=1", "gitMinor=37"} {
		if !strings.Contains(flags, want) {
			t.Errorf("%s lacks %s", flags, want)
		}
	}
}

// A folder that the user names is taken as it is, or refused by the name of what it lacks; nothing is ever built for it.
func TestGivenAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	for _, b := range binaries {
		path := filepath.Join(dir, b.name)
		if _, err := ensure(t.Context()); err == nil || !strings.Contains(err.Error(), path+" is missing") {
			t.Errorf("without %s: %v, want its name", b.name, err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ensure(t.Context()); err == nil || !strings.Contains(err.Error(), path+" is not an executable file") {
			t.Errorf("with a %s that cannot be run: %v", b.name, err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ensure(t.Context()); err != nil || got != dir {
		t.Errorf("with all binaries: %s, %v, want %s", got, err, dir)
	}
}

// The second of two builds must wait: both would write to the same folder. An interrupt ends the wait.
func TestOneBuildAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "key.lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(interrupted, path); err == nil {
		t.Fatal("two builds hold the lock")
	}
	unlock()
	second, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	second()
}

// What a build that was cut off has left is no reason to fail, nor does it become part of the result.
func TestInterruptedBuildLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "key")
	if err := os.MkdirAll(filepath.Join(dir+".building-1", "stale"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := buildInto(ctx, dir, versions{"v0.0.0", "v0.0.0"}); err == nil {
		t.Error("a cancelled build reports success")
	}
	if left, err := filepath.Glob(dir + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
