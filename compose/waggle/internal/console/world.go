package console

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/view"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/picture"
)

// The times of asking the listener.
const (
	// wait is how long it is asked to wait for a change while somebody looks, and idle how
	// often it is asked while nobody does.
	wait = 20 * time.Second
	idle = 15 * time.Second
	// pause keeps a storm of changes cheap; nobody reads faster.
	pause = 100 * time.Millisecond
	// blindly is how often a listener is asked that cannot wait, or does not answer.
	blindly = 500 * time.Millisecond
	// fresh is how old what is known may be for a new page.
	fresh = 250 * time.Millisecond
)

// mostSamples is how many numbers of replicas are remembered of one service.
const mostSamples = 500

// world is what is known, kept up to date.
type world struct {
	listener Listener
	now      func() time.Time

	// asking lets one new page ask at a time, so that several at once cost one question.
	asking sync.Mutex

	// judging lets one picture be judged at a time, in a court that remembers the one before.
	judging sync.Mutex
	court   why.Court

	// mu guards the rest, which requests read.
	mu       sync.Mutex
	known    *view.Known
	tag      string
	failure  string
	turn     int
	asked    time.Time
	watchers int
	changed  chan struct{}
	wake     chan struct{}
	samples  map[string][]view.Sample
}

func newWorld(l Listener) *world {
	return &world{listener: l, now: time.Now, changed: make(chan struct{}), wake: make(chan struct{}, 1), samples: map[string][]view.Sample{}}
}

// state is what is known at one moment.
type state struct {
	// known is nil if the listener has never answered; failure says why it does not now.
	known   *view.Known
	failure string
	// turn is another one after each change, of which changed tells.
	turn    int
	changed <-chan struct{}
}

func (w *world) state() state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return state{w.known, w.failure, w.turn, w.changed}
}

// fresh is what is known, asked for anew if nobody has been doing that.
func (w *world) fresh(ctx context.Context) state {
	w.mu.Lock()
	isFresh := w.known != nil && (w.watchers > 0 || w.now().Sub(w.asked) < fresh)
	w.mu.Unlock()
	if !isFresh {
		w.refresh(ctx, 0)
	}
	return w.state()
}

// mostWatchers is how many may have a page open that changes; those of others stay as they are.
const mostWatchers = 250

// watch says that somebody looks, until done is called; false if too many do.
func (w *world) watch() (done func(), ok bool) {
	w.mu.Lock()
	if w.watchers >= mostWatchers {
		w.mu.Unlock()
		return nil, false
	}
	w.watchers++
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return func() {
		w.mu.Lock()
		w.watchers--
		w.mu.Unlock()
	}, true
}

func (w *world) watched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watchers > 0
}

// follow keeps what is known up to date until the context ends.
func (w *world) follow(ctx context.Context) {
	for ctx.Err() == nil {
		rest := idle
		if w.watched() {
			rest = pause
			if !w.refresh(ctx, wait) {
				rest = blindly
			}
		} else {
			w.refresh(ctx, 0)
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-time.After(rest):
		}
	}
}

// refresh asks the listener, and reports whether it has answered and is one that can wait.
func (w *world) refresh(ctx context.Context, wait time.Duration) bool {
	if wait == 0 {
		w.asking.Lock()
		defer w.asking.Unlock()
	}
	p, a, err := w.listener.picture(ctx, w.lastTag(), wait)
	if ctx.Err() != nil {
		return false // whoever asked has gone
	}
	var known *view.Known
	if err == nil && !a.same {
		w.judging.Lock()
		known, err = view.Know(&w.court, p)
		w.judging.Unlock()
	}
	w.take(known, a.tag, err)
	return err == nil && a.tag != ""
}

// lastTag is that of what is known, empty if that is not the last word.
func (w *world) lastTag() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil || w.failure != "" {
		return ""
	}
	return w.tag
}

// take notes what was learned: known is nil if that is nothing new.
func (w *world) take(known *view.Known, tag string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	isOlder := known != nil && w.known != nil && known.Picture().Time.Before(w.known.Picture().Time)
	isNews := known != nil && !isOlder || failure != w.failure
	w.failure, w.asked = failure, w.now()
	if known != nil && !isOlder {
		w.known, w.tag = known, tag
		w.sample(known.Picture())
	}
	if isNews {
		w.turn++
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// sample remembers how many replicas there are where that is news.
func (w *world) sample(p picture.Picture) {
	for _, svc := range p.Services {
		s := view.Sample{Time: p.Time, Asked: svc.Replicas}
		for _, t := range p.Tasks[svc.ID] {
			if t.Running() {
				s.Running++
			}
		}
		all := w.samples[svc.Name]
		if n := len(all); n > 0 && all[n-1].Asked == s.Asked && all[n-1].Running == s.Running {
			continue
		}
		if len(all) >= mostSamples {
			all = all[1:]
		}
		w.samples[svc.Name] = append(all, s)
	}
	if len(w.samples) > 2*len(p.Services)+mostSamples {
		clear(w.samples) // most of them are of services that are gone
	}
}

// seen are the numbers of replicas of a service since the console looks.
func (w *world) seen(service string) []view.Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.samples[service])
}
