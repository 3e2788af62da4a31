// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"sync"

	"github.com/iam-operator/iam-operator/internal/iam"
)

// maxGaps is how many gaps are remembered. Beyond, the oldest is forgotten: its object waits until it is submitted again.
const maxGaps = 10_000

// Gaps remembers what admission judged and could not record, so that it counts all the same, although nobody will know who
// asked for it. It lives as long as the process: what was not reconciled by then waits until it is submitted again.
type Gaps struct {
	mu     sync.Mutex
	oldest []gap // in the order in which they came
	known  map[gap]struct{}
}

type gap struct {
	objectUID  string
	generation int64
	digest     string
}

// Add remembers that this was judged.
func (g *Gaps) Add(lost iam.Attribution) {
	if lost.Deletion {
		return // It takes no judgement.
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := gap{lost.ObjectUID, lost.Generation, lost.Digest}
	if _, found := g.known[fresh]; found {
		return
	}
	if g.known == nil {
		g.known = map[gap]struct{}{}
	}
	if len(g.oldest) == maxGaps {
		delete(g.known, g.oldest[0])
		g.oldest = g.oldest[1:]
	}
	g.oldest = append(g.oldest, fresh)
	g.known[fresh] = struct{}{}
}

// Has says whether just this was judged.
func (g *Gaps) Has(objectUID string, generation int64, digest string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, found := g.known[gap{objectUID, generation, digest}]
	return found
}
