package apply

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// CheckError says that HAProxy refuses a configuration. Nothing was touched.
type CheckError struct {
	Output string
	Err    error
}

// errWords says that HAProxy need not be asked.
var errWords = errors.New("a line that it would not take")

// errWarned says that HAProxy would take it, but in another sense than was meant, or not
// for ever.
var errWarned = errors.New("it warns")

// Error carries HAProxy's own words.
func (e *CheckError) Error() string {
	return fmt.Sprintf("haproxy refuses the configuration (%v): %s", e.Err, strings.TrimSpace(e.Output))
}

// Unwrap returns how the check ended.
func (e *CheckError) Unwrap() error { return e.Err }

// checkTimeout bounds a check.
const checkTimeout = 15 * time.Second

func (h *HAProxy) judge(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.o.Binary, "-c", "-f", path).CombinedOutput()
	if err == nil && len(file.Warnings(string(out))) > 0 {
		err = errWarned
	}
	if err != nil {
		text, errRead := os.ReadFile(path)
		if errRead != nil {
			return errors.Join(err, errRead)
		}
		return &CheckError{Output: file.Redact(string(out), slices.Values(file.ReadLines(string(text)))), Err: err}
	}
	return nil
}

// Older reports whether a HAProxy is older than a version, of which the first two numbers
// count.
func Older(ctx context.Context, binary string, major, minor int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "-v").Output()
	if err != nil {
		return false, fmt.Errorf("%s -v: %w", binary, err)
	}
	var hasMajor, hasMinor int
	if _, err := fmt.Sscanf(string(out), "HAProxy version %d.%d", &hasMajor, &hasMinor); err != nil {
		return false, fmt.Errorf("%s -v says %.40q: want HAProxy version and a number", binary, out)
	}
	return hasMajor < major || hasMajor == major && hasMinor < minor, nil
}
