// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const runAsParent = "LOCALCLUSTER_TEST_RUN_AS_PARENT"

// TestChildrenDieWithAKilledParent runs this test binary again as the parent of a cluster, and kills it.
func TestChildrenDieWithAKilledParent(t *testing.T) {
	if os.Getenv(runAsParent) != "" {
		beParent(t)
		return
	}
	temp := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), runAsParent+"=1", "TMPDIR="+temp)
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	must(t, err)
	must(t, parent.Start())
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		ready = strings.HasPrefix(lines.Text(), "cluster ready")
	}
	running := processesOf(t, temp)
	must(t, parent.Process.Kill())
	_ = parent.Wait()
	if !ready || len(running) != 3 {
		t.Fatalf("the parent did not run a cluster (ready: %v), but %v", ready, running)
	}
	eventually(t, "no process of the cluster is left", func(context.Context) error {
		if left := processesOf(t, temp); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		return nil
	}, func(err error) bool { return err == nil })
}

// beParent runs a cluster until it is killed.
func beParent(t *testing.T) {
	c, err := Start(t.Context(), Options{ControllerManager: true})
	must(t, err)
	fmt.Println("cluster ready")
	<-t.Context().Done()
	t.Error("the parent was to be killed", errors.Join(c.Stop()))
}
