package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// told is how soon whoever asks for what is not his must be told so.
const told = 10 * time.Second

// crook is a service whose labels ask for what it cannot have.
type crook struct {
	// what says what it tries.
	what   string
	labels map[string]string
	// component is who must refuse it, the proxy if empty, and state what it must say,
	// rejected if empty.
	component string
	state     catalog.State
	// says are words that the verdict must have.
	says []string
	// once says that it is enough if one replica refuses it, because it depends on the
	// container.
	once bool
	// hosts must not be answered afterwards as if they were its own.
	hosts []string
}

// thief is what every crook's service is called.
const thief = "thief_web"

// demo is the crook's service, which needs no task to ask for something.
func (c crook) demo() stack.Demo { return stack.Demo{Name: thief, Labels: of("thief", c.labels)} }

// refused has one crook after the other come, and wants each to be refused by name while a
// change of the neighbour is live in its usual time.
func (w *world) refused(ctx context.Context, crooks ...crook) error {
	for _, c := range crooks {
		if err := w.comes(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}

func (w *world) comes(ctx context.Context, c crook) error {
	if c.component == "" {
		c.component = "proxy"
	}
	if c.state == "" {
		c.state = catalog.StateRejected
	}
	began := time.Now()
	if err := w.Create(ctx, c.demo()); err != nil {
		return err
	}
	var live, after time.Duration
	var verdict error
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		both, cancel := context.WithTimeout(both, told)
		defer cancel()
		live, err = w.move(both)
		return err
	})
	g.Go(func() error {
		verdict = poll(both, told, "the verdict", func(ctx context.Context) error { return w.verdict(ctx, c) })
		after = time.Since(began)
		return nil
	})
	if err := g.Wait(); err != nil {
		w.Fault("%s: the neighbour's change: %v", c.what, err)
	}
	if verdict != nil {
		w.Fault("%s: %v", c.what, verdict)
	} else {
		w.Say("%s: %s after %s; the neighbour's change was live after %s", c.what, c.state, milliseconds(after), milliseconds(live))
	}
	if most := w.patience(); live > most {
		w.Fault("%s: the neighbour's change was live after %s, want %s", c.what, milliseconds(live), milliseconds(most))
	}
	for _, host := range c.hosts {
		for _, node := range w.Nodes() {
			if status, body, err := w.from(ctx, node, host, "/healthz"); err != nil || status/100 == 2 {
				w.Fault("%s: %s on %s is answered %d %q (%v)", c.what, host, node, status, body, err)
			}
		}
	}
	return w.gone(ctx)
}

// patience is how long a change may take that others make meanwhile. On the busy machine of
// a test it is what tests there allow; it is far below the time after which everything is
// looked at again.
func (w *world) patience() time.Duration {
	if w.short {
		return 5 * time.Second
	}
	return 2*w.usual + time.Second
}

// gone removes the crook's service and waits until the listener knows of it no more, so that
// the next one is not taken for it.
func (w *world) gone(ctx context.Context) error {
	if err := w.Remove(ctx, thief); err != nil {
		return err
	}
	return poll(ctx, 30*time.Second, thief+" to be forgotten", func(ctx context.Context) error {
		if statuses, err := w.Verdicts(ctx, w.listener, thief); err == nil {
			return fmt.Errorf("it is known: %+v", statuses)
		}
		return nil
	})
}

// verdict is an error unless every replica of the component says of the crook what it must.
func (w *world) verdict(ctx context.Context, c crook) error {
	statuses, err := w.Verdicts(ctx, w.listener, thief)
	if err != nil {
		return err
	}
	said, want := 0, w.replicas(c.component)
	if c.once {
		want = 1
	}
	for _, s := range statuses {
		if s.Component == c.component && s.State == c.state && says(s, c.says...) {
			said++
		}
	}
	if said < want {
		return fmt.Errorf("%d replicas of the %s call it %s and say %q, want %d: %+v", said, c.component, c.state, c.says, want, statuses)
	}
	return nil
}

// says reports whether a verdict has all these words, in whatever part.
func says(s catalog.Status, words ...string) bool {
	text := fmt.Sprintf("%+v", s)
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// replicas is how many there are of a component, of which each has a verdict of its own.
func (w *world) replicas(component string) int {
	if component == "proxy" {
		return len(w.Nodes())
	}
	return 1
}
