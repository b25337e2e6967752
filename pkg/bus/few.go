package bus

import (
	"errors"
	"fmt"
	"strings"
)

// fewest is how many errors are told of many.
const fewest = 3

// few is several errors of which only the first are told: a store that does not answer
// fails a thousand writes at once, and a thousand lines would hide why.
type few []error

// join is errors.Join for errors that may be many; it returns nil if there is none.
func join(errs []error) error {
	if len(errs) <= fewest {
		return errors.Join(errs...)
	}
	return few(errs)
}

func (e few) Error() string {
	lines := make([]string, 0, fewest+1)
	for _, err := range e[:fewest] {
		lines = append(lines, err.Error())
	}
	return strings.Join(append(lines, fmt.Sprintf("and %d more", len(e)-fewest)), "\n")
}

// Unwrap gives errors.Is all of them.
func (e few) Unwrap() []error { return e }
