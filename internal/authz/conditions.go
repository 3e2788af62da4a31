// SPDX-License-Identifier: Apache-2.0

package authz

import "github.com/iam-operator/iam-operator/internal/condition"

// conditions compiles each condition once, however many rules have it.
type conditions map[string]*sharedCondition

type sharedCondition struct {
	compiled *condition.Condition
	err      error
	uses     int
}

func (c conditions) use(source string) (*condition.Condition, error) {
	if source == "" {
		return nil, nil
	}
	shared := c[source]
	if shared == nil {
		shared = &sharedCondition{}
		shared.compiled, shared.err = condition.Compile(source)
		c[source] = shared
	}
	shared.uses++
	return shared.compiled, shared.err
}

func (c conditions) release(source string) {
	if shared := c[source]; shared != nil {
		if shared.uses--; shared.uses == 0 {
			delete(c, source)
		}
	}
}
