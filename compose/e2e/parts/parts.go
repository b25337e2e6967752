// Package parts deploys Waggle, plays what is done to it in one part after the other, and
// says of each part what was done, what was counted and whether that is what is promised.
package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// Config says which parts are played, and on what.
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

// World is what the parts of one room share: a Stage, which it embeds, and what they need
// besides.
type World interface {
	Base() *Stage
	// Whole waits until nothing is left of the parts before.
	Whole(ctx context.Context) error
	// Leave ends what the world itself has begun; the stack stays.
	Leave(ctx context.Context) error
}

// Open makes a world of a stage.
type Open[W World] func(ctx context.Context, s *Stage) (W, error)

// Room is a swarm in which parts are played, one after the other.
type Room[W World] struct {
	Name    string
	Options stack.Options
	Parts   []Part[W]
}

// Part is one thing that is done. An error says that it could not be done to its end.
type Part[W World] struct {
	Name, What string
	Play       func(W, context.Context) error
}

// Names are those of all parts, in their order.
func Names[W World](rooms []Room[W]) []string {
	var names []string
	for _, r := range rooms {
		for _, p := range r.Parts {
			names = append(names, p.Name)
		}
	}
	return names
}

// known says which of the names is that of no part.
func known(all, names []string) error {
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("there is no part %q; the parts are %s", name, strings.Join(all, ", "))
		}
	}
	return nil
}

// ErrFailed says that something that is promised does not hold; the output says what.
var ErrFailed = errors.New("what is promised does not hold")

// verdict is an error that names the parts that failed, if any has.
func verdict(failed []string) error {
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(failed, ", "), ErrFailed)
}

// Limit is how long one part may take.
const Limit = 10 * time.Minute

// Run plays the parts of all rooms, each room in a swarm of its own. A part that fails does
// not keep the others from being played.
func Run[W World](ctx context.Context, c Config, rooms []Room[W], open Open[W]) error {
	if err := known(Names(rooms), c.Only); err != nil {
		return err
	}
	var failed []string
	for _, r := range rooms {
		r.Parts = slices.DeleteFunc(r.Parts, func(p Part[W]) bool { return len(c.Only) > 0 && !slices.Contains(c.Only, p.Name) })
		if len(r.Parts) == 0 {
			continue
		}
		r.Options.Images, r.Options.Tag, r.Options.Log = c.Images, c.Tag, c.Log
		bad, err := r.run(ctx, c, open)
		failed = append(failed, bad...)
		if err != nil {
			return errors.Join(err, verdict(failed))
		}
	}
	return verdict(failed)
}

// run plays the parts of a room and returns the names of those that failed.
func (r Room[W]) run(ctx context.Context, c Config, open Open[W]) (failed []string, err error) {
	fmt.Fprintf(c.Out, "\n# %s\n", r.Name)
	s, err := deploy(ctx, r.Options, c)
	if err != nil {
		return nil, err
	}
	w, err := open(ctx, s)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	defer func() {
		if c.Hold != nil {
			c.Hold(s.Stack)
		}
		err = errors.Join(err, w.Leave(context.WithoutCancel(ctx)), s.Close())
	}()
	for i, p := range r.Parts {
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		if i > 0 {
			p.Play = after(p.Play)
		}
		if !play(ctx, w, p) {
			failed = append(failed, p.Name)
		}
	}
	return failed, nil
}

func deploy(ctx context.Context, o stack.Options, c Config) (*Stage, error) {
	// Half a minute is usual; a machine that does much else takes far longer to load images.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	began := time.Now()
	deployed, err := stack.Deploy(ctx, o)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.Out, "\nWaggle was healthy on %d nodes after %d s.\n", len(deployed.Nodes()), int(time.Since(began).Seconds()))
	s := NewStage(deployed, c.Out)
	s.logs = c.Logs
	return s, nil
}

// after plays a part when nothing is left of those before, so that it has no faults but
// its own.
func after[W World](part func(W, context.Context) error) func(W, context.Context) error {
	return func(w W, ctx context.Context) error {
		if err := w.Whole(ctx); err != nil {
			return err
		}
		return part(w, ctx)
	}
}

// On plays parts on a Waggle that is deployed already, which stays.
func On[W World](ctx context.Context, s *Stage, names []string, rooms []Room[W], open Open[W]) error {
	if err := known(Names(rooms), names); err != nil {
		return err
	}
	w, err := open(ctx, s)
	if err != nil {
		return err
	}
	var failed []string
	for _, r := range rooms {
		for _, p := range r.Parts {
			if slices.Contains(names, p.Name) && !play(ctx, w, p) {
				failed = append(failed, p.Name)
			}
		}
	}
	return errors.Join(w.Leave(context.WithoutCancel(ctx)), verdict(failed))
}
