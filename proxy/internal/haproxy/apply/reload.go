package apply

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// ReloadError says that HAProxy could not start with a configuration that it takes, such as
// one with a port that it cannot have. It goes on with what it had.
type ReloadError struct {
	// Output is what it said, as far as it may be shown.
	Output string
	Err    error
}

// Error carries HAProxy's own words.
func (e *ReloadError) Error() string {
	return fmt.Sprintf("reload: %v: %s", e.Err, strings.TrimSpace(e.Output))
}

// Unwrap returns why.
func (e *ReloadError) Unwrap() error { return e.Err }

// unbound finds a port that HAProxy could not have, by the name of the frontend for it
// alone. HAProxy 3.0 says proxy, 3.4 frontend.
var unbound = regexp.MustCompile(`for (?:frontend|proxy) ` + file.StreamFrontend + `([0-9]+)\b`)

// Unbound are the ports below HTTP that HAProxy names as those that it could not have, in
// ascending order.
func (e *ReloadError) Unbound() []int {
	var out []int
	for _, m := range unbound.FindAllStringSubmatch(e.Output, -1) {
		if port, err := strconv.Atoi(m[1]); err == nil {
			out = append(out, port)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// notReloaded is the error of a reload that failed, with what HAProxy said.
func notReloaded(err error, output string) error {
	if errors.Is(err, runtime.ErrReload) {
		return &ReloadError{Output: output, Err: err}
	}
	return fmt.Errorf("reload: %w: %s", err, output)
}
