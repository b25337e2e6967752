package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

const (
	// mostAtOnce bounds the requests that are under way to one receiver.
	mostAtOnce = 128
	// writing is how long the bus may take to note something.
	writing = 5 * time.Second
	// parting is how long requests may go on when the listener ends.
	parting = 3 * time.Second
)

// Options are what a Notifier needs.
type Options struct {
	Receivers []Receiver
	// Names returns what there is to tell, false while that is not known, or another listener
	// is the one to tell it.
	Names func() (map[Kind]map[string]Name, bool)
	// Store is what is kept on the bus.
	Store *bus.Mirror
	// Send is that of a Sender.
	Send func(context.Context, URL, map[string]string) (status int, err error)
	// Retries are how many may fail before a message counts as an error, and Pause is the time
	// before the first.
	Retries int
	Pause   time.Duration
	// Wake asks for another pass, at once or after a time.
	Wake    func()
	WakeIn  func(time.Duration)
	Metrics *Metrics
	Log     *slog.Logger
}

// Notifier sends what is due. Its pass is for one loop; Again is for anybody.
type Notifier struct {
	o Options
	// again says that all services are to be told again.
	again atomic.Bool
	// known are the values of the store that were read already. They belong to the pass.
	known map[string]known

	requests sync.WaitGroup
	// mu guards the rest, which the pass and the requests share.
	mu sync.Mutex
	// flying are the names of which a request is under way, by place; atOnce counts them by receiver.
	flying map[string]bool
	atOnce map[string]int
	tries  map[string]try
	// round grows with each time that all is to be told again.
	round int
}

type known struct {
	revision uint64
	told     Told
}

// try is what became of the message that is due to a URL about a name.
type try struct {
	hash   string
	failed int
	next   time.Time
}

// New returns a Notifier that has sent nothing yet.
func New(o Options) *Notifier {
	return &Notifier{o: o, known: map[string]known{}, flying: map[string]bool{}, atOnce: map[string]int{}, tries: map[string]try{}}
}

// Again makes all services due once more.
func (n *Notifier) Again() {
	n.again.Store(true)
	n.o.Wake()
}

// Pass begins to send what is due, and returns without waiting for it.
func (n *Notifier) Pass(ctx context.Context) error {
	names, ok := n.o.Names()
	// A request that ends notes what came of it first, and says then that it is over. So what
	// is read while nobody can say that, is not older than what is taken for over.
	n.mu.Lock()
	defer n.mu.Unlock()
	values, whole := n.o.Store.Values()
	if !ok || !whole {
		return nil // who learns more pokes
	}
	told := n.decode(values)
	if n.again.Swap(false) {
		if err := n.forget(ctx, told); err != nil {
			n.again.Store(true)
			return err
		}
	}
	now, tries := time.Now(), map[string]try{}
	var wait time.Duration
	for _, r := range n.o.Receivers {
		dueTo := 0
		for _, kind := range Kinds() {
			if !r.Wants(kind) {
				continue
			}
			for name, about := range join(names[kind], told, prefix(r, kind)) {
				steps := Due(r, kind, name, about.present, about.told)
				dueTo += len(steps)
				next := n.begin(ctx, r, steps, now, tries)
				if next > 0 && (wait == 0 || next < wait) {
					wait = next
				}
			}
		}
		n.o.Metrics.due.WithLabelValues(r.Host).Set(float64(dueTo))
	}
	n.tries = tries
	if wait > 0 {
		n.o.WakeIn(wait)
	}
	return nil
}

// about is one name.
type about struct {
	present *Name
	told    *Told
}

// join brings together what there is and what a receiver was told.
func join(names map[string]Name, told map[string]Told, prefix string) map[string]about {
	out := make(map[string]about, len(names))
	for name, present := range names {
		out[name] = about{present: &present}
	}
	for key, t := range told {
		if key == prefix+bus.Token(t.Name) {
			one := out[t.Name]
			one.told = &t
			out[t.Name] = one
		}
	}
	return out
}

// prefix is what the keys of a receiver's names begin with.
func prefix(r Receiver, kind Kind) string { return bus.Token(r.Host) + "." + string(kind) + "." }

// decode reads the values of the store. One that cannot be read is as good as none.
func (n *Notifier) decode(values map[string]bus.Value) map[string]Told {
	all, out := make(map[string]known, len(values)), make(map[string]Told, len(values))
	for key, v := range values {
		k, ok := n.known[key]
		if !ok || k.revision != v.Revision {
			k = known{revision: v.Revision}
			if err := json.Unmarshal(v.Data, &k.told); err != nil {
				n.o.Log.Error("what a receiver was told cannot be read, and is told again", "key", key, "error", err)
				continue
			}
		}
		all[key], out[key] = k, k.told
	}
	n.known = all
	return out
}

// forget takes back that creates of services were acknowledged; mu is held.
func (n *Notifier) forget(ctx context.Context, told map[string]Told) error {
	n.round++
	for _, r := range n.o.Receivers {
		for key, t := range told {
			if len(t.Acked) == 0 || key != prefix(r, Service)+bus.Token(t.Name) {
				continue
			}
			t.Acked = nil
			if err := n.note(ctx, key, &t); err != nil {
				return err
			}
			told[key] = t
		}
	}
	return nil
}

// begin begins the first of the steps that need not wait, and returns for how long the others
// do; mu is held. Tries that still count go into the new ones.
func (n *Notifier) begin(ctx context.Context, r Receiver, steps []Step, now time.Time, tries map[string]try) (wait time.Duration) {
	if len(steps) == 0 {
		return 0
	}
	place := prefix(r, steps[0].Kind) + bus.Token(steps[0].Name)
	for _, s := range steps {
		if t, ok := n.tries[s.to(place)]; ok && t.hash == s.hash {
			tries[s.to(place)] = t
		}
	}
	if n.flying[place] {
		return 0 // its end pokes
	}
	for _, s := range steps {
		t := tries[s.to(place)]
		if left := t.next.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if n.atOnce[r.Host] >= mostAtOnce {
			return 0 // the end of another one pokes
		}
		n.flying[place] = true
		n.atOnce[r.Host]++
		round := n.round
		n.requests.Go(func() { n.do(ctx, r, place, s, round) })
		return 0
	}
	return wait
}

// to names the URL of a step, for the name at a place.
func (s Step) to(place string) string {
	if s.URL == nil {
		return place
	}
	return place + "." + s.URL.id
}

// do does a step and notes what came of it.
func (n *Notifier) do(ctx context.Context, r Receiver, place string, s Step, round int) {
	// What is under way is not cut off by the end of the loop, but does not hold it up for long.
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(parting, cancel) })()
	err := n.send(request, r, place, s, round)
	n.mu.Lock()
	delete(n.flying, place)
	n.atOnce[r.Host]--
	if err == nil {
		delete(n.tries, s.to(place))
	}
	n.mu.Unlock()
	n.o.Wake()
}

func (n *Notifier) send(ctx context.Context, r Receiver, place string, s Step, round int) error {
	if s.URL == nil {
		return n.noted(ctx, r, place, s, s.After, round)
	}
	if err := n.noted(ctx, r, place, s, s.Before, round); err != nil {
		return err
	}
	began := time.Now()
	status, err := n.o.Send(ctx, *s.URL, s.Parameters)
	n.o.Metrics.sent(r.Host, s, err)
	if err != nil {
		n.failed(r, place, s, status, err)
		return err
	}
	n.o.Log.Info("Sending "+s.word()+" notification", "receiver", r.Host, s.subject(), s.Name, "status", status, "took", time.Since(began))
	return n.noted(ctx, r, place, s, s.After, round)
}

// word says what is sent, as those who know Docker Flow look for it.
func (s Step) word() string {
	if s.IsRemove {
		return string(s.Kind) + " removed"
	}
	return string(s.Kind) + " created"
}

// subject is what the name is called in logs, where "service" is the program.
func (s Step) subject() string { return "swarm_" + string(s.Kind) }

// noted writes what is to be on the bus about a name; without that, nothing is sent.
func (n *Notifier) noted(ctx context.Context, r Receiver, place string, s Step, told *Told, round int) error {
	isLate := n.isLate(round)
	err := n.note(ctx, place, told.unless(isLate))
	if err == nil && !isLate && n.isLate(round) {
		err = n.note(ctx, place, told.unless(true))
	}
	if err != nil {
		n.o.Log.Warn("what a receiver is told cannot be noted on the bus", "receiver", r.Host, s.subject(), s.Name, "error", err)
		n.later(place, s)
	}
	return err
}

// isLate reports whether all was to be told again since a round.
func (n *Notifier) isLate(round int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.round != round
}

// note writes to the bus what a receiver was told, and nothing if told is nil.
func (n *Notifier) note(ctx context.Context, place string, told *Told) error {
	ctx, cancel := context.WithTimeout(ctx, writing)
	defer cancel()
	if told == nil {
		return n.o.Store.Delete(ctx, place)
	}
	value, err := catalog.Encode(*told)
	if err != nil {
		return err
	}
	_, err = n.o.Store.Put(ctx, place, value)
	return err
}

// later notes that a step failed, and returns how often it did and when it is tried again.
func (n *Notifier) later(place string, s Step) (failed int, pause time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.tries[s.to(place)]
	if t.hash != s.hash {
		t = try{hash: s.hash}
	}
	t.failed++
	pause = Pause(n.o.Pause, t.failed, rand.Float64())
	t.next = time.Now().Add(pause)
	n.tries[s.to(place)] = t
	return t.failed, pause
}

// failed notes and tells that a request failed.
func (n *Notifier) failed(r Receiver, place string, s Step, status int, err error) {
	failed, pause := n.later(place, s)
	level, text := slog.LevelDebug, "Retrying "+s.word()+" notification"
	switch failed {
	case n.o.Retries + 1:
		n.o.Metrics.failed(s)
		level, text = slog.LevelError, "ERROR: "+s.word()+" notification failed; trying goes on"
	case 1:
		level = slog.LevelWarn
	}
	n.o.Log.Log(context.Background(), level, text, "receiver", r.Host, s.subject(), s.Name, "status", status, "error", err,
		"failed", failed, "retry_in", pause.Round(time.Millisecond))
}

// Wait waits for the requests that are under way. It is called after the last pass.
func (n *Notifier) Wait() { n.requests.Wait() }

// operation is the value of the label operation of docker_flow_error that a message has.
func operation(s Step) string {
	verb := "Create"
	if s.IsRemove {
		verb = "Remove"
	}
	return "notificationSend" + verb + string(s.Kind) + "Request"
}

// operations are all of them.
func operations() []string {
	var out []string
	for _, kind := range Kinds() {
		for _, isRemove := range []bool{false, true} {
			out = append(out, operation(Step{Kind: kind, IsRemove: isRemove}))
		}
	}
	return slices.Sorted(slices.Values(out))
}
