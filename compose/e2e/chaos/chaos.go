// Package chaos breaks a deployed Waggle in one way after the other, while requests
// flow and labels change, and says what was done, what was counted and whether that
// is what is promised.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// Config says what to break.
type Config struct {
	// Images and Tag are those of 'make images'.
	Images, Tag string
	// Only are the names of the parts, all of them if empty.
	Only []string
	// Out receives what the parts have to say, Log how the swarm is built.
	Out, Log io.Writer
	// Logs, if not empty, is a folder for all logs of each part that fails.
	Logs string
	// Hold, if not nil, is called before a swarm is removed.
	Hold func(*stack.Stack)
}

// room is a swarm in which parts play, one after the other.
type room struct {
	name    string
	options stack.Options
	parts   []part
}

// part is one way of breaking something.
type part struct {
	name, what string
	play       func(*world, context.Context) error
}

// rooms are all of them. What concerns the server that a listener runs itself needs
// another swarm than what several servers are needed for.
func rooms() []room {
	return []room{
		{"three managers, two workers, three NATS servers, three listeners",
			stack.Options{Managers: 3, Workers: 2, NATS: true, Listeners: 3, Lean: true}, []part{
				{"listeners", "kill -9 of each listener", (*world).killListeners},
				{"nats", "kill -9 of each NATS server", (*world).killNATS},
				{"leader", "kill -9 of the NATS server that leads the bucket", (*world).killLeader},
				{"pause", "SIGSTOP of the writer for 30 s, and SIGCONT", (*world).pauseWriter},
				{"cut-manager", "the link of the writer's manager is cut for 30 s", (*world).cutManager},
				{"cut-nats", "the NATS server that leads the bucket is cut off for 20 s", (*world).cutNATS},
				{"swarm-leader", "the engine that leads the swarm stops for 25 s", (*world).changeSwarmLeader},
				{"quorum", "two of three managers' engines stop for 40 s", (*world).loseQuorum},
				{"blackout", "the power of two of three managers is cut", (*world).blackout},
				{"worker", "the power of a worker is cut, three times", (*world).powerOfWorker},
				{"manager", "the power of a manager is cut, three times", (*world).powerOfManager},
				{"unsynced", "a NATS server's power is cut, and its disk has lost the last writes", (*world).unsynced},
				{"strangers", "a listener of another swarm comes to the same NATS", (*world).strangers},
			}},
		{"a manager and a worker, the listener's own server", stack.Options{}, []part{
			{"backup", "an old backup of the store is put back", (*world).backup},
			{"unsynced-own", "power cut of the listener's node, whose disk has lost the last writes", (*world).unsyncedOwn},
			{"disk", "the disk of the store is full", (*world).fullDisk},
			{"forged", "a NATS server with a forged catalog takes the listener's name", (*world).forged},
			{"alertmanager", "somebody takes Alertmanager's name", (*world).takenAlertmanager},
			{"rotate", "the secrets of all components are replaced, and the script is killed on its way", (*world).rotate}}},
	}
}

// Parts are the names of all parts, in their order.
func Parts() []string {
	var names []string
	for _, r := range rooms() {
		for _, p := range r.parts {
			names = append(names, p.name)
		}
	}
	return names
}

// known says which of the names is that of no part.
func known(names []string) error {
	for _, name := range names {
		if !slices.Contains(Parts(), name) {
			return fmt.Errorf("there is no part %q; the parts are %s", name, strings.Join(Parts(), ", "))
		}
	}
	return nil
}

// ErrFailed says that something that is promised does not hold; the output says what.
var ErrFailed = errors.New("what is promised does not hold")

// partLimit is how long one part may take.
const partLimit = 10 * time.Minute

// Run plays the parts. A part that fails does not keep the others from being played.
func Run(ctx context.Context, c Config) error {
	if err := known(c.Only); err != nil {
		return err
	}
	var failed []string
	for _, r := range rooms() {
		r.parts = slices.DeleteFunc(r.parts, func(p part) bool { return len(c.Only) > 0 && !slices.Contains(c.Only, p.name) })
		if len(r.parts) == 0 {
			continue
		}
		r.options.Images, r.options.Tag, r.options.Log = c.Images, c.Tag, c.Log
		bad, err := r.run(ctx, c)
		failed = append(failed, bad...)
		if err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(failed, ", "), ErrFailed)
	}
	return nil
}

// run plays the parts of a room and returns the names of those that failed.
func (r room) run(ctx context.Context, c Config) (failed []string, err error) {
	fmt.Fprintf(c.Out, "\n# %s\n", r.name)
	w, err := open(ctx, r.options, c.Out)
	if err != nil {
		return nil, err
	}
	w.logs = c.Logs
	defer func() {
		if c.Hold != nil {
			c.Hold(w.Stack)
		}
		err = errors.Join(err, w.close())
	}()
	for i, p := range r.parts {
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		if i > 0 {
			p.play = after(p.play)
		}
		if !w.play(ctx, p) {
			failed = append(failed, p.name)
		}
	}
	return failed, nil
}

// after plays a part when nothing is left of those before, so that it has no faults but
// its own.
func after(play func(*world, context.Context) error) func(*world, context.Context) error {
	return func(w *world, ctx context.Context) error {
		if err := w.whole(ctx); err != nil {
			return err
		}
		return play(w, ctx)
	}
}

// On plays parts, shortened, on a Waggle that is deployed already, which stays.
func On(ctx context.Context, s *stack.Stack, out io.Writer, names ...string) error {
	if err := known(names); err != nil {
		return err
	}
	w, err := look(ctx, s, out)
	if err != nil {
		return err
	}
	defer w.leave()
	w.short = true
	var failed []string
	for _, r := range rooms() {
		for _, p := range r.parts {
			if slices.Contains(names, p.name) && !w.play(ctx, p) {
				failed = append(failed, p.name)
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(failed, ", "), ErrFailed)
	}
	return nil
}

// play plays one part and tells whether all was as it should be.
func (w *world) play(ctx context.Context, p part) bool {
	began := time.Now()
	fmt.Fprintf(w.out, "\n## %s: %s\n\n", p.name, p.what)
	w.faults = nil
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	if err := p.play(w, ctx); err != nil {
		w.fault("it could not be played to its end: %v", err)
	}
	verdict := "PASS"
	if len(w.faults) > 0 {
		verdict = "FAIL"
		for _, fault := range w.faults {
			fmt.Fprintf(w.out, "- FAULT: %s\n", fault)
		}
		w.showLogs(context.WithoutCancel(ctx))
		if w.logs != "" {
			w.keepLogs(context.WithoutCancel(ctx), filepath.Join(w.logs, p.name))
		}
	}
	fmt.Fprintf(w.out, "\n%s %s (%d s)\n", verdict, p.name, int(time.Since(began).Seconds()))
	return len(w.faults) == 0
}
