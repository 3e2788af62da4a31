// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// The versions that hack/controlplane builds. They are written in its go.mod, a module of its own that this one cannot
// import; a test compares the two.
const (
	kubernetesVersion = "v1.37.2"
	etcdVersion       = "v3.7.3"
)

// assets is the folder of the control plane's binaries.
type assets string

func (a assets) path(binary string) string { return filepath.Join(string(a), binary) }

// findAssets returns the folder that KUBEBUILDER_ASSETS names, or else the one that hack/controlplane builds into.
// It fails with what to do where a binary that is needed is not there.
func findAssets(controllerManager bool) (assets, error) {
	needed := []string{"etcd", "kube-apiserver", "kubectl"}
	if controllerManager {
		needed = append(needed, "kube-controller-manager")
	}
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		if missing := firstMissing(assets(dir), needed); missing != "" {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS is set, but %s is missing; add it there, or unset KUBEBUILDER_ASSETS and run `make controlplane`", missing)
		}
		return assets(dir), nil
	}
	dir, err := builtAssets()
	if err != nil {
		return "", err
	}
	if missing := firstMissing(dir, needed); missing != "" {
		return "", fmt.Errorf("the control plane is not built: %s is missing; run `make controlplane` (about 23 minutes of CPU time, once a version), or set KUBEBUILDER_ASSETS to a folder with the binaries", missing)
	}
	return dir, nil
}

func firstMissing(dir assets, binaries []string) string {
	for _, b := range binaries {
		if info, err := os.Stat(dir.path(b)); err != nil || !info.Mode().IsRegular() {
			return dir.path(b)
		}
	}
	return ""
}

// builtAssets is the folder that hack/controlplane builds into, whether or not it has been there yet.
func builtAssets() (assets, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the control plane's folder cannot be found (set HOME, XDG_CACHE_HOME or KUBEBUILDER_ASSETS): %w", err)
		}
		base = filepath.Join(home, ".cache")
	}
	key := fmt.Sprintf("kubernetes-%s-etcd-%s-%s-%s", kubernetesVersion, etcdVersion, runtime.GOOS, runtime.GOARCH)
	return assets(filepath.Join(base, "iam-operator", "controlplane", key)), nil
}
