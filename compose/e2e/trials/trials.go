// Package trials does on fresh nodes what README and docs tell a newcomer to do, command by
// command as they stand on the pages, and says how long each took and what came of it. What a
// newcomer has to type and no page tells is said to be so.
package trials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/parts"
)

// trial is one thing that somebody wants to do, on nodes of its own.
type trial struct {
	name, what string
	nodes      int
	play       func(*newcomer, context.Context) error
}

func trials() []trial {
	return []trial{
		{"one", "one node: a first request, a certificate, a message, and nothing is left", 1, (*newcomer).one},
		{"three", "three nodes: a first request on each, and nothing is left", 3, (*newcomer).three},
		{"upgrade", "two nodes: from the version before to this one, and back, under load", 2, (*newcomer).upgrade},
		{"upgrade-one", "one node: the same; its ports are closed while its proxy is replaced", 1, (*newcomer).upgrade},
		{"migrate", "one node: public stacks of Docker Flow's move, with certificate, exporters, alerts and scaling", 1, (*newcomer).migrate},
	}
}

// Names are those of all trials, in their order.
func Names() []string {
	var names []string
	for _, t := range trials() {
		names = append(names, t.name)
	}
	return names
}

// limit is how long one trial may take.
const limit = 15 * time.Minute

// Run plays trials. One that fails does not keep the others from being played. Before is the
// commit from which is upgraded, the last tag but that of today if it is empty.
func Run(ctx context.Context, c parts.Config, before string) error {
	for _, name := range c.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("there is no trial %q; the trials are %s", name, strings.Join(Names(), ", "))
		}
	}
	var failed []string
	for _, t := range trials() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, t.name) {
			continue
		}
		if err := t.run(ctx, c, before); err != nil {
			fmt.Fprintf(c.Out, "- FAULT: %v\n\nFAIL %s\n", err, t.name)
			failed = append(failed, t.name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(failed, ", "), parts.ErrFailed)
	}
	return nil
}

func (t trial) run(ctx context.Context, c parts.Config, before string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fmt.Fprintf(c.Out, "\n## %s: %s\n\n", t.name, t.what)
	l, err := lab.Start(ctx, lab.Options{Managers: t.nodes, Apart: true, Log: c.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	n, err := arrive(ctx, l, c, before)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.leave(context.WithoutCancel(ctx))) }()
	began := time.Now()
	if err := t.play(n, ctx); err != nil {
		return err
	}
	if len(n.faults) > 0 {
		return errors.New(strings.Join(n.faults, "; "))
	}
	fmt.Fprintf(c.Out, "\nPASS %s (%s, %d commands, of which %d stand on no page)\n", t.name, seconds(time.Since(began)), n.commands, n.untold)
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// say prints a line.
func say(out io.Writer, format string, values ...any) { fmt.Fprintf(out, format+"\n", values...) }
