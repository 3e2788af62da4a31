// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
)

// Error is why a condition was refused: everything that was found wrong with it, in the order of the text.
type Error struct {
	// Issues has at least one element.
	Issues []Issue
}

// Issue is one thing wrong with a condition.
type Issue struct {
	// Line and Column say where, both counted from 1, the column in Unicode code points. Like CEL's, the place of an
	// operation is that of its operator. Both are 0 when the fault is that of the condition as a whole.
	Line, Column int
	// Message says what, in CEL's own words where CEL found it.
	Message string
}

// Error lists the issues in one line.
func (e *Error) Error() string {
	words := make([]string, len(e.Issues))
	for i, issue := range e.Issues {
		words[i] = issue.String()
	}
	return strings.Join(words, "; ")
}

// String reads like "line 1, column 14: undeclared reference to 'foo'".
func (i Issue) String() string {
	if i.Line == 0 {
		return i.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", i.Line, i.Column, i.Message)
}

// refusal is an error about the condition as a whole.
func refusal(format string, args ...any) *Error {
	return &Error{Issues: []Issue{{Message: fmt.Sprintf(format, args...)}}}
}

// asError returns nil when there are no issues.
func asError(issues *cel.Issues) error {
	found := issues.Errors()
	if len(found) == 0 {
		return nil
	}
	err := &Error{Issues: make([]Issue, len(found))}
	for i, issue := range found {
		// Conditions live in no container (CEL's word for a package), so that part says nothing to their author.
		err.Issues[i].Message = strings.TrimSuffix(issue.Message, " (in container '')")
		// CEL has no place for some faults, such as too deep a recursion, and gives them a line or column of -1.
		if line, column := issue.Location.Line(), issue.Location.Column(); line > 0 && column >= 0 {
			err.Issues[i].Line, err.Issues[i].Column = line, column+1
		}
	}
	slices.SortStableFunc(err.Issues, func(a, b Issue) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return err
}
