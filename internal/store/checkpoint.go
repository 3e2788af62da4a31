// SPDX-License-Identifier: Apache-2.0

package store

import "fmt"

// UnreadableCheckpointError says that what the store holds as a checkpoint cannot be read: somebody
// has altered the store by other means than this program.
type UnreadableCheckpointError struct {
	Number int64
	Err    error
}

// Error names the checkpoint by its number.
func (e *UnreadableCheckpointError) Error() string {
	return fmt.Sprintf("audit checkpoint %d cannot be read: %v", e.Number, e.Err)
}

// Unwrap gives what was found.
func (e *UnreadableCheckpointError) Unwrap() error { return e.Err }
