package runtime

import (
	"errors"
	"fmt"
	"strings"
)

// What a command may fail with, besides transport errors; recognised with errors.Is.
var (
	// ErrUnanswered means that the command may or may not have been carried out.
	ErrUnanswered = errors.New("no complete answer")
	// ErrBusy means that connections to the server or backend remain.
	ErrBusy = errors.New("still in use")
	// ErrNotFound means that there is no such backend, server, request, map or entry.
	ErrNotFound = errors.New("not found")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("already exists")
	// ErrUnsupported means that this version of HAProxy has no such command.
	ErrUnsupported = errors.New("unknown to this version of HAProxy")
	// ErrArgument means that an argument was refused before anything was sent.
	ErrArgument = errors.New("bad argument")
)

// Error is HAProxy's refusal of a command.
type Error struct {
	Command string
	// Severity is that of syslog: 3 is an error, 4 a warning, 6 information;
	// -1 if the answer carried none.
	Severity int
	Text     string
}

// Error names the command and what HAProxy said.
func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("haproxy: %s: an empty answer where a confirmation was expected", e.Command)
	}
	return fmt.Sprintf("haproxy: %s: %s", e.Command, e.Text)
}

// Is tells the refusals that callers treat differently. HAProxy has no codes for
// them, so this is the one place that knows its words.
func (e *Error) Is(target error) bool {
	said := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(e.Text, t) {
				return true
			}
		}
		return false
	}
	switch target {
	case ErrBusy:
		return said("still has connections", "still attached", "still in use", "still referenced")
	case ErrNotFound:
		return said("No such server", "No such backend", "No such proxy", "entry not found", "Key not found", "Unknown map identifier", "Unknown ACL identifier", "Cannot find default proxy", "an't find backend", "No such session")
	case ErrUnsupported:
		return said("Unknown command")
	case ErrExists:
		return said("Already exists", "already exists", "name is already used")
	}
	return false
}
