// SPDX-License-Identifier: Apache-2.0

// Command golangci-lint is golangci-lint with the Kubernetes API linter built in. Upstream's way to add a linter, `golangci-lint custom`, clones and downloads;
// linking the plugin here instead leaves the versions to go.mod and the contents to go.sum.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter" // registers the custom linter "kubeapilinter", which .golangci-kal.yml configures
)

func main() {
	if err := commands.Execute(buildInfo()); err != nil {
		fmt.Fprintln(os.Stderr, "golangci-lint:", err)
		os.Exit(exitcodes.Failure)
	}
}

// buildInfo names the golangci-lint release that go.mod pins, so that `golangci-lint version` and bug reports say what really ran.
func buildInfo() commands.BuildInfo {
	info := commands.BuildInfo{Version: "unknown", Commit: "unknown", Date: "unknown"}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	info.GoVersion = build.GoVersion
	for _, dep := range build.Deps {
		if dep.Path == "github.com/golangci/golangci-lint/v2" {
			info.Version, info.Commit = dep.Version, dep.Sum
		}
	}
	return info
}
