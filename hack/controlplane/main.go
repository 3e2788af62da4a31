// SPDX-License-Identifier: Apache-2.0

// Command controlplane builds a Kubernetes control plane from Go modules: kube-apiserver,
// kube-controller-manager and kubectl from k8s.io/kubernetes, and etcd. Tests and the demo run on it, so
// that a machine with Go, make and a shell needs no prebuilt download.
//
//	cd hack/controlplane && go run .
//
// prints the folder that holds the four binaries, and nothing else, on stdout; progress goes to stderr.
//
// The folder is ${XDG_CACHE_HOME:-~/.cache}/iam-operator/controlplane/<key>, where the key names the
// versions and the platform: every clone of a user shares one build. A folder that exists is whole: a build
// goes to a folder beside it, which takes the final name in one step once all four binaries are there. One
// build runs at a time; a second one waits for the first and then finds its work done.
//
// Where KUBEBUILDER_ASSETS is set, the binaries in that folder are used as they are, and nothing is built.
//
// This is a module of its own, so that the versions which Kubernetes pins for itself do not weigh on the
// operator's. Its go.mod is the one place where the versions are written; its go.sum vouches for the sources.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

//go:embed go.mod
var goMod string

// binaries are what the control plane consists of, in the order of their builds: what they have in common
// is compiled once, by the first that needs it.
var binaries = []struct{ name, pkg string }{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := ensure(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		stop()
		os.Exit(1)
	}
	fmt.Println(dir)
}

// ensure returns the folder that holds the binaries, and builds them first where they are missing.
func ensure(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		if err := check(dir); err != nil {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS is set, so nothing is built, but %w; add it there, or unset KUBEBUILDER_ASSETS", err)
		}
		return dir, nil
	}
	v, err := pinned(goMod)
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(v)
	if err != nil {
		return "", err
	}
	if check(dir) == nil {
		return dir, nil
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if check(dir) == nil { // built by whom we waited for
		return dir, nil
	}
	return dir, buildInto(ctx, dir, v)
}

// check reports the first binary that dir lacks.
func check(dir string) error {
	for _, b := range binaries {
		path := filepath.Join(dir, b.name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("%s is missing", path)
		case err != nil:
			return fmt.Errorf("%s cannot be looked at: %w", path, err)
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
			return fmt.Errorf("%s is not an executable file", path)
		}
	}
	return nil
}

// versions are the versions that go.mod pins, with their leading v.
type versions struct{ kubernetes, etcd string }

var (
	kubernetesLine = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)
	etcdLine       = regexp.MustCompile(`(?m)^\s*go\.etcd\.io/etcd/server/v3 (v\S+)`)
)

func pinned(goMod string) (versions, error) {
	k, e := kubernetesLine.FindStringSubmatch(goMod), etcdLine.FindStringSubmatch(goMod)
	if k == nil || e == nil {
		return versions{}, errors.New("go.mod must require k8s.io/kubernetes and go.etcd.io/etcd/server/v3; their versions name the folder of the binaries")
	}
	return versions{kubernetes: k[1], etcd: e[1]}, nil
}

// cacheDir is the folder for these versions on this platform. hack/localcluster looks for the same one.
func cacheDir(v versions) (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no cache folder can be chosen (set XDG_CACHE_HOME or HOME): %w", err)
		}
		base = filepath.Join(home, ".cache")
	}
	key := fmt.Sprintf("kubernetes-%s-etcd-%s-%s-%s", v.kubernetes, v.etcd, runtime.GOOS, runtime.GOARCH)
	return filepath.Join(base, "iam-operator", "controlplane", key), nil
}

// lock waits until this process alone may build. The kernel frees the lock when its holder dies, however it dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("the cache folder cannot be made: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the lock file of the cache folder cannot be opened: %w", err)
	}
	unlock = func() { _ = f.Close() } // closing frees it
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return unlock, nil
	}
	fmt.Fprintln(os.Stderr, "Waiting for another build of the same binaries to end.")
	// Asking again and again, rather than in the kernel, lets an interrupt end the wait.
	again := time.NewTicker(lockPoll)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				return unlock, nil
			}
		case <-ctx.Done():
			unlock()
			return nil, fmt.Errorf("interrupted while waiting for another build: %w", ctx.Err())
		}
	}
}

// lockPoll is how often a build that waits for another looks whether that has ended.
const lockPoll = 250 * time.Millisecond

// buildInto builds all binaries beside dir and then gives them their place in one step. The caller holds the
// lock and found dir incomplete: what lies in other building folders was left by builds that were cut off, and dir
// is absent, or somebody has removed a part of it.
func buildInto(ctx context.Context, dir string, v versions) (err error) {
	stale, err := filepath.Glob(dir + ".building-*")
	if err != nil {
		return fmt.Errorf("the remains of earlier builds cannot be looked for: %w", err)
	}
	for _, s := range stale {
		if err := os.RemoveAll(s); err != nil {
			return fmt.Errorf("the remains of an earlier build cannot be removed: %w", err)
		}
	}
	// The name is new each time, since the go command of a build that was killed may live on and still write to its own.
	building, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".building-")
	if err != nil {
		return fmt.Errorf("the folder to build in cannot be made: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(building)) }()

	fmt.Fprintf(os.Stderr, "Building a control plane from its Go modules: Kubernetes %s and etcd %s.\n"+
		"This happens once a version, into %s, and takes about 23 minutes of CPU time (and the download of the sources).\n",
		v.kubernetes, v.etcd, dir)
	start := time.Now()
	for i, b := range binaries {
		fmt.Fprintf(os.Stderr, "[%d/%d %4.0fs] %s\n", i+1, len(binaries), time.Since(start).Seconds(), b.name)
		if err := build(ctx, b.pkg, filepath.Join(building, b.name), v); err != nil {
			return fmt.Errorf("%s was not built: %w", b.name, err)
		}
	}
	if err := saysVersion(ctx, filepath.Join(building, "kube-apiserver"), v); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(dir), os.Chmod(building, 0o755), os.Rename(building, dir)); err != nil {
		return fmt.Errorf("the finished binaries cannot be put into their place: %w", err)
	}
	fmt.Fprintf(os.Stderr, "Done in %.0f s.\n", time.Since(start).Seconds())
	return nil
}

// build compiles one main package of a required module into the file out.
func build(ctx context.Context, pkg, out string, v versions) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ldflags(v), "-o", out, pkg)
	// The folder is named after the platform that this program runs on, and the sums must be this module's.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "GOWORK=off")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// An interrupt, rather than a kill, lets go remove its work folder.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return err
}

// ldflags strips the binaries and sets what Kubernetes's own build sets (hack/lib/version.sh), without
// which /version, OpenAPI and kubectl's check for version skew see v0.0.0.
func ldflags(v versions) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(v.kubernetes, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{"gitVersion=" + v.kubernetes, "gitMajor=" + major, "gitMinor=" + minor, "gitTreeState=clean"} {
			flags = append(flags, "-X", pkg+"."+set)
		}
	}
	return strings.Join(flags, " ")
}

// saysVersion guards against a version variable that has moved: the linker ignores -X for what does not exist.
func saysVersion(ctx context.Context, apiserver string, v versions) error {
	out, err := exec.CommandContext(ctx, apiserver, "--version").Output()
	if err != nil {
		return fmt.Errorf("the new kube-apiserver does not run: %w", err)
	}
	if got, want := strings.TrimSpace(string(out)), "Kubernetes "+v.kubernetes; got != want {
		return fmt.Errorf("the new kube-apiserver calls itself %q instead of %q: see ldflags", got, want)
	}
	return nil
}
