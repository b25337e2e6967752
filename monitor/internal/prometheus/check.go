package prometheus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/settings"
)

// Checker asks promtool, Prometheus' own checker, whether rules can be loaded. It
// belongs to one goroutine.
type Checker struct {
	// Bin is promtool's path. If it is empty nothing is checked beforehand, and
	// the answer to the reload alone decides.
	Bin string
	// Dir takes the copies that are checked; default the system's temporary folder.
	Dir string
	// Timeout bounds one run; default 10 s.
	Timeout time.Duration
	// Features are those that Prometheus has beyond its usual language.
	Features []string

	// passed are the rules that it has let through, by their IDs. A rule is right or wrong by
	// itself, so that of a thousand only the one is checked that has changed.
	passed map[string]alert.Rule
}

// refusal is promtool's answer to a file that it does not take.
type refusal struct{ reason string }

// Error is what promtool said.
func (r *refusal) Error() string { return r.reason }

// Check returns why rules, of which file is the rendered form, are refused, by
// their key. The error says that nothing could be learnt: promtool did not run,
// or refuses even an empty file.
func (c *Checker) Check(ctx context.Context, rules []alert.Rule, file []byte) (map[string]string, error) {
	if c.Bin == "" {
		return nil, nil
	}
	fresh := c.fresh(rules)
	if len(fresh) == 0 {
		return nil, nil
	}
	if len(fresh) < len(rules) {
		var err error
		if file, err = alert.Render(fresh); err != nil {
			return nil, err
		}
	}
	var said *refusal
	err := c.run(ctx, "rules", file)
	if err == nil {
		c.remember(rules)
	}
	if !errors.As(err, &said) {
		return nil, err
	}
	empty, err := alert.Render(nil)
	if err != nil {
		return nil, err
	}
	if err := c.run(ctx, "rules", empty); err != nil {
		return nil, fmt.Errorf("promtool refuses even a file without rules: %w", err)
	}
	refused := map[string]string{}
	return refused, c.halve(ctx, fresh, refused)
}

// fresh are the rules that have not been let through as they are.
func (c *Checker) fresh(rules []alert.Rule) []alert.Rule {
	var out []alert.Rule
	for _, r := range rules {
		if was, ok := c.passed[r.ID()]; !ok || !reflect.DeepEqual(was, r) {
			out = append(out, r)
		}
	}
	return out
}

func (c *Checker) remember(rules []alert.Rule) {
	c.passed = make(map[string]alert.Rule, len(rules))
	for _, r := range rules {
		c.passed[r.ID()] = r
	}
}

// halve finds the refused ones among rules of which at least one is, by checking halves.
func (c *Checker) halve(ctx context.Context, rules []alert.Rule, refused map[string]string) error {
	if len(rules) == 0 {
		return nil
	}
	file, err := alert.Render(rules)
	if err != nil {
		return err
	}
	err = c.run(ctx, "rules", file)
	var said *refusal
	if !errors.As(err, &said) {
		return err
	}
	if len(rules) == 1 {
		refused[rules[0].Key()] = said.reason
		return nil
	}
	half := len(rules) / 2
	if err := c.halve(ctx, rules[:half], refused); err != nil {
		return err
	}
	return c.halve(ctx, rules[half:], refused)
}

// Config returns why a configuration, or a piece of one, cannot be loaded.
func (c *Checker) Config(ctx context.Context, tree settings.Tree) error {
	if c.Bin == "" {
		return nil
	}
	content, err := encode(tree)
	if err != nil {
		return err
	}
	return c.run(ctx, "config", content)
}

// run checks one file's content as "rules" or "config". The error is a *refusal if promtool does not take it.
func (c *Checker) run(ctx context.Context, kind string, content []byte) error {
	dir, err := os.MkdirTemp(c.Dir, ".check-")
	if err != nil {
		return fmt.Errorf("promtool: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, kind+".yml")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("promtool: %w", err)
	}
	return c.runFile(ctx, kind, path)
}

func (c *Checker) runFile(ctx context.Context, kind, path string) error {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The files that a configuration names are not beside the copy that is checked.
	option := "--syntax-only"
	if kind == "rules" {
		option = "--lint=none"
	}
	args := []string{"check", kind, option, path}
	if len(c.Features) > 0 {
		args = append(args, "--enable-feature="+strings.Join(c.Features, ","))
	}
	cmd := exec.CommandContext(ctx, c.Bin, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("promtool: %w", ctx.Err())
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return &refusal{reason: clean(string(out), path)}
	default:
		return fmt.Errorf("promtool: %w: %s", err, clean(string(out), path))
	}
}

// clean leaves of promtool's output what says what is wrong.
func clean(out, path string) string {
	var kept []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(strings.ReplaceAll(line, path, filepath.Base(path)))
		if line == "" || line == "FAILED:" || strings.HasPrefix(line, "Checking ") || strings.HasPrefix(line, "SUCCESS") {
			continue
		}
		kept = append(kept, line)
	}
	return short(strings.Join(kept, "; "))
}
