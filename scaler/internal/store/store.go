// Package store keeps signals, requests by hand and the last step of every
// service in the bus's bucket of signals, so that they outlive the process and
// are the same for every instance.
//
// The keys are <service>.<direction> for what alerts ask, _request.<id> for a
// request by hand, _step.<service id> for the last step, _number.<service id>
// for its number of replicas, _move.<service id> for the wish to spread its tasks anew,
// _nodes for the nodes that can take tasks and _stop for the operator's stop. No service can be
// called so, because names in Swarm begin with a letter or digit. What proxies say is in a bucket
// of theirs, see pkg/scaling.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

const (
	requestPrefix = "_request."
	stepPrefix    = "_step."
	stopKey       = "_stop"
	numberPrefix  = "_number."

	// answeredTTL is how long an answered request is remembered, to answer a repetition alike.
	answeredTTL = 10 * time.Minute
	// pendingTTL is longer than signal.Patience, so that whoever asked still
	// finds the request when it gives up.
	pendingTTL = 2 * signal.Patience
	// stepTTL is longer than the longest cooldown.
	stepTTL = 48 * time.Hour
	// attempts bounds how often a write is tried again because another instance was faster.
	attempts = 10
)

// MinTTL is the shortest time to live that the bus can keep.
const MinTTL = time.Second

// Errors of the store.
var (
	// ErrConflict says that another instance wrote meanwhile.
	ErrConflict = errors.New("store: written by another instance meanwhile")
	// ErrUnderWay says that a request was claimed, but has no answer yet.
	ErrUnderWay = errors.New("a step was claimed and not yet confirmed")
	// ErrUnreadable says that a step is there that cannot be read.
	ErrUnreadable = errors.New("store: the last step cannot be read")
	// ErrDuplicate says that the ID of a request was used for another one.
	ErrDuplicate = errors.New("the ID was used for another request already")
)

// Store is the bucket of signals.
type Store struct {
	ttl    time.Duration
	bucket *bus.Bucket
	mirror *bus.Mirror
	// wakes is what proxies say, whose keys are none of the other bucket's.
	wakes *bus.Mirror

	// mu guards the rest, which the mirror's goroutine and those who wait share.
	mu      sync.Mutex
	changed chan struct{}
	// told is the digest of what the last poke was about.
	told [sha256.Size]byte
	// words are what the digest knows of entries, and sum is that of all.
	words map[string]word
	sum   [sha256.Size]byte

	signals texts[signal.Signal]
	steps   texts[signal.Step]
	numbers texts[signal.Number]
}

// word is the digest of one entry, and since when that which ends unless it is said again
// stands: alerts by their fingerprints, and what a proxy says.
type word struct {
	sum    [sha256.Size]byte
	stands map[string]stretch
}

// stretch is a time in which something was said again and again, before it would have ended.
type stretch struct{ began, heard time.Time }

// longer is the stretch after a word that is said at a time and stands for ttl.
func (s stretch) longer(at time.Time, ttl time.Duration) stretch {
	if s.heard.IsZero() || at.Sub(s.heard) >= ttl {
		return stretch{at, at}
	}
	return stretch{s.began, at}
}

// New returns the store on a bus. A signal that is not heard of for ttl is
// forgotten. poke is called after every change, but not for the delivery of an alert that
// says what the last one said, unless that one has ended meanwhile.
func New(b *bus.Bus, ttl time.Duration, poke func()) *Store {
	s := &Store{ttl: ttl, bucket: b.Bucket(bus.SignalsBucket), changed: make(chan struct{}), words: map[string]word{}}
	changed := func() {
		if s.wake() {
			poke()
		}
	}
	s.mirror, s.wakes = s.bucket.Mirror(">", changed), b.Bucket(bus.WakesBucket).Mirror(">", changed)
	s.mirror.Follow(s.changes(func(key string) bool { return !isProxys(key) }))
	s.wakes.Follow(s.changes(isProxys))
	return s
}

// isProxys reports whether a key is one of those of proxies.
func isProxys(key string) bool {
	return strings.HasPrefix(key, scaling.WakePrefix) || strings.HasPrefix(key, scaling.OpenPrefix)
}

// Reached reports whether all up to a number of each of the buckets' streams is known.
func (s *Store) Reached(signals, wakes uint64) bool {
	return s.mirror.Reached(signals) && s.wakes.Reached(wakes)
}

// Run follows the buckets until the context ends.
func (s *Store) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.wakes.Run(ctx) }()
	err := s.mirror.Run(ctx)
	return errors.Join(err, <-ended)
}

// values are those of both buckets, and whether these are all.
func (s *Store) values() (map[string]bus.Value, bool) {
	values, isWhole := s.mirror.Values()
	said, isHeard := s.wakes.Values()
	for key, v := range said {
		if isProxys(key) {
			values[key] = v
		}
	}
	return values, isWhole && isHeard
}

// wake wakes those who wait, and reports whether there is something to decide.
func (s *Store) wake() bool {
	now := s.digest()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	isNews := now != s.told
	s.told = now
	return isNews
}

// digest is the same as long as the bucket says the same, whenever it was heard.
func (s *Store) digest() [sha256.Size]byte {
	isWhole := s.mirror.Synced() && s.wakes.Synced()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.sum
	if isWhole {
		// Without it the end of the first reading would be no news, and nobody would decide.
		out[0] ^= 1
	}
	return out
}

// changes keep the digest: with a thousand alerts it is too dear to look at all of them
// whenever one is delivered again.
func (s *Store) changes(isOf func(key string) bool) bus.Changes {
	return bus.Changes{
		Put: func(key string, v bus.Value) {
			if !isOf(key) {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			before := s.words[key]
			now := before.then(key, v.Data, s.ttl)
			s.mix(before.sum)
			s.mix(now.sum)
			s.words[key] = now
		},
		Removed: func(key string) {
			if !isOf(key) {
				return
			}
			s.forget(key)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.mix(s.words[key].sum)
			delete(s.words, key)
		},
		Cleared: func() {
			s.signals.clear()
			s.steps.clear()
			s.numbers.clear()
			s.mu.Lock()
			defer s.mu.Unlock()
			for key, w := range s.words {
				if isOf(key) {
					s.mix(w.sum)
					delete(s.words, key)
				}
			}
		},
	}
}

// mix takes the digest of an entry into that of all, or out of it.
func (s *Store) mix(sum [sha256.Size]byte) {
	for i := range s.sum {
		s.sum[i] ^= sum[i]
	}
}

// then is the word after an entry has another text. It is the same one if the text differs
// only in when that was said, and what was said before still stood then: what has ended for
// whoever decides, while the bus still has it, is news when it is said again.
func (w word) then(key string, data []byte, ttl time.Duration) word {
	out := word{stands: map[string]stretch{}}
	var sig signal.Signal
	var open scaling.Open
	switch {
	case strings.HasPrefix(key, scaling.OpenPrefix) && json.Unmarshal(data, &open) == nil:
		stands := w.stands[open.Proxy].longer(open.At, scaling.OpenStands)
		out.stands[open.Proxy] = stands
		open.At = stands.began
		data = fmt.Appendf(nil, "%v", open)
	case !strings.HasPrefix(key, "_") && json.Unmarshal(data, &sig) == nil:
		data = fmt.Appendf(nil, "%q %d %s", sig.ServiceID, sig.By, sig.Settle)
		for _, a := range sig.Alerts {
			stands := w.stands[a.Fingerprint].longer(a.ReceivedAt, ttl)
			out.stands[a.Fingerprint] = stands
			data = fmt.Appendf(data, " %q %d", a.Fingerprint, stands.began.UnixNano())
		}
	}
	out.sum = sha256.Sum256(fmt.Appendf(nil, "%q %q", key, data))
	return out
}

// Asked is everything that is asked for at one moment.
type Asked struct {
	// Signals are those that stand, by service name, then direction: down before up.
	Signals []signal.Signal
	// Requests are those that wait for their decision, oldest first.
	Requests []signal.Request
	// Stop is the operator's, nil if there is none.
	Stop *signal.Stop
	// Moves are the services whose tasks are to be spread anew, by name.
	Moves []signal.Move
	// Wakes are until when a request is known to wait for a service, by its ID.
	Wakes map[string]time.Time
	// Open is what each proxy says, by its name.
	Open map[string]scaling.Open
	// Next is when the first of all that will have ended, zero if nothing ends by itself.
	Next time.Time

	// of are the places among Signals of those of a service, by its ID.
	of map[string][]int
}

// Of returns the signals of a service: up before down.
func (a *Asked) Of(serviceID string) []signal.Signal {
	var out []signal.Signal
	for _, i := range slices.Backward(a.of[serviceID]) {
		out = append(out, a.Signals[i])
	}
	return out
}

// ends notes when something ends by itself.
func (a *Asked) ends(at time.Time) {
	if a.Next.IsZero() || at.Before(a.Next) {
		a.Next = at
	}
}

// takeWake takes in that a request waits, if that was said not long ago. A word from the
// future is one of now, because clocks differ.
func (a *Asked) takeWake(data []byte, now time.Time) {
	var w scaling.Wake
	if json.Unmarshal(data, &w) != nil || now.Sub(w.At) >= scaling.WakeStands {
		return
	}
	until := now.Add(scaling.WakeStands - max(now.Sub(w.At), 0))
	a.Wakes[w.ServiceID] = until
	a.ends(until)
}

// Asked returns what is asked for now. It is false until the bucket has been
// read whole. Entries that cannot be read are passed over.
func (s *Store) Asked(now time.Time) (Asked, bool) {
	values, ok := s.values()
	if !ok {
		return Asked{}, false
	}
	out := Asked{Wakes: map[string]time.Time{}, Open: map[string]scaling.Open{}}
	for key, v := range values {
		switch {
		case key == stopKey:
			var stop signal.Stop
			if json.Unmarshal(v.Data, &stop) != nil {
				stop.Reason = "for a reason that cannot be read"
			}
			out.Stop = &stop
		case strings.HasPrefix(key, scaling.WakePrefix):
			out.takeWake(v.Data, now)
		case strings.HasPrefix(key, scaling.OpenPrefix):
			var open scaling.Open
			if json.Unmarshal(v.Data, &open) == nil {
				out.Open[key] = open
			}
		case strings.HasPrefix(key, movePrefix):
			out.takeMove(v.Data, v.Revision)
		case key == nodesKey, strings.HasPrefix(key, stepPrefix), strings.HasPrefix(key, numberPrefix):
		case strings.HasPrefix(key, requestPrefix):
			var r signal.Request
			if json.Unmarshal(v.Data, &r) == nil && r.Open(now) {
				out.Requests = append(out.Requests, r)
			}
		default:
			read, err := s.signals.read(key, v.Data)
			if err != nil {
				continue
			}
			if sig := read.Alive(now, s.ttl); sig.Stands() {
				out.Signals = append(out.Signals, sig)
				out.ends(sig.Expires(s.ttl))
			}
		}
	}
	slices.SortFunc(out.Requests, signal.Earlier)
	slices.SortFunc(out.Moves, func(a, b signal.Move) int { return strings.Compare(a.Service, b.Service) })
	slices.SortFunc(out.Signals, func(a, b signal.Signal) int {
		if c := strings.Compare(a.Service, b.Service); c != 0 {
			return c
		}
		return strings.Compare(string(a.Direction), string(b.Direction))
	})
	out.of = make(map[string][]int, len(out.Signals))
	for i, sig := range out.Signals {
		out.of[sig.ServiceID] = append(out.of[sig.ServiceID], i)
	}
	return out, true
}

func signalKey(service string, d signal.Direction) string {
	return bus.Token(service) + "." + string(d)
}

// Take brings news of alerts to the bucket and returns the signal as it is then.
func (s *Store) Take(ctx context.Context, n signal.News, now time.Time) (signal.Signal, error) {
	key := signalKey(n.Service, n.Direction)
	for try := range attempts {
		var old signal.Signal
		data, revision, err := s.latest(ctx, key, try == 0)
		known := err == nil
		switch {
		case errors.Is(err, bus.ErrNotFound):
		case err != nil:
			return signal.Signal{}, err
		default:
			// A value of an unknown form is written anew.
			_ = json.Unmarshal(data, &old)
		}
		sig := signal.Take(old, n, now, s.ttl)
		if !sig.Stands() && len(sig.Ended) == 0 && !known {
			if try == 0 {
				continue // the bus may know of one
			}
			return sig, nil
		}
		if sig.Stands() || len(sig.Ended) > 0 {
			err = s.put(ctx, key, sig, revision, s.ttl)
		} else {
			err = conflict(s.bucket.Delete(ctx, key, bus.IfRevision(revision)))
		}
		if !errors.Is(err, ErrConflict) {
			return sig, err
		}
	}
	return signal.Signal{}, fmt.Errorf("%s: %w", key, ErrConflict)
}

// latest returns what the bucket says, or what is known of it here: that is cheaper, and who
// writes by it learns if it is behind.
func (s *Store) latest(ctx context.Context, key string, isKnownEnough bool) ([]byte, uint64, error) {
	if !isKnownEnough || !s.mirror.Synced() {
		return s.bucket.Get(ctx, key)
	}
	if v, ok := s.mirror.Value(key); ok {
		return v.Data, v.Revision, nil
	}
	deleted, _ := s.mirror.Deleted(key)
	return nil, deleted, bus.ErrNotFound
}

// Stop puts the operator's stop, which lasts until Resume.
func (s *Store) Stop(ctx context.Context, stop signal.Stop) error {
	value, err := catalog.Encode(stop)
	if err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, stopKey, value)
	return err
}

// Resume ends the operator's stop.
func (s *Store) Resume(ctx context.Context) error {
	err := s.bucket.Delete(ctx, stopKey)
	if errors.Is(err, bus.ErrNotFound) {
		return nil
	}
	return err
}

// Stopped returns the operator's stop as the bus knows it, nil if there is none.
func (s *Store) Stopped(ctx context.Context) (*signal.Stop, error) {
	data, _, err := s.bucket.Get(ctx, stopKey)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, nil
	}
	var stop signal.Stop
	if err == nil {
		err = json.Unmarshal(data, &stop)
	}
	return &stop, err
}

// Ask puts a request by hand. If one with that ID is there already and asks for
// the same, that one is returned; otherwise the error is ErrDuplicate.
func (s *Store) Ask(ctx context.Context, r signal.Request) (signal.Request, error) {
	key := requestPrefix + bus.Token(r.ID)
	for range attempts {
		old, revision, err := s.request(ctx, key)
		switch {
		case err == nil && !old.Same(r):
			return old, ErrDuplicate
		case err == nil:
			return old, nil
		case !errors.Is(err, bus.ErrNotFound):
			return r, err
		}
		if err := s.put(ctx, key, r, revision, pendingTTL); !errors.Is(err, ErrConflict) {
			return r, err
		}
	}
	return r, fmt.Errorf("%s: %w", key, ErrConflict)
}

func (s *Store) request(ctx context.Context, key string) (signal.Request, uint64, error) {
	data, revision, err := s.bucket.Get(ctx, key)
	if err != nil {
		return signal.Request{}, revision, err
	}
	var r signal.Request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, revision, fmt.Errorf("store: %s: %w", key, err)
	}
	return r, revision, nil
}

// Pending reports whether a request was neither answered nor withdrawn.
func (s *Store) Pending(ctx context.Context, id string) (bool, error) {
	r, _, err := s.request(ctx, requestPrefix+bus.Token(id))
	if errors.Is(err, bus.ErrNotFound) {
		return false, nil
	}
	return err == nil && len(r.Answer) == 0, err
}

// Answer puts the answer to a request, unless it has one already.
func (s *Store) Answer(ctx context.Context, id string, answer []byte) error {
	key := requestPrefix + bus.Token(id)
	r, revision, err := s.request(ctx, key)
	if err != nil || len(r.Answer) > 0 {
		return err
	}
	r.Answer = answer
	if err := s.put(ctx, key, r, revision, answeredTTL); !errors.Is(err, ErrConflict) {
		return err
	}
	return nil // it was answered or withdrawn by somebody else
}

// Wait waits for the answer to a request, until the context ends. A request that
// has none by then is withdrawn, so that it is not granted later; the answer is
// nil then. The error is ErrUnderWay if it is being granted at that very moment.
func (s *Store) Wait(ctx context.Context, serviceID, id string) ([]byte, error) {
	key := requestPrefix + bus.Token(id)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if v, ok := s.mirror.Value(key); ok {
			var r signal.Request
			if json.Unmarshal(v.Data, &r) == nil && len(r.Answer) > 0 {
				return r.Answer, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s.withdraw(context.WithoutCancel(ctx), serviceID, id)
		}
	}
}

func (s *Store) withdraw(ctx context.Context, serviceID, id string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	key := requestPrefix + bus.Token(id)
	for range attempts {
		r, revision, err := s.request(ctx, key)
		if err == nil && len(r.Answer) > 0 {
			return r.Answer, nil
		}
		if err == nil {
			err = conflict(s.bucket.Delete(ctx, key, bus.IfRevision(revision)))
		}
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			return nil, err
		}
		step, _, err := s.Step(ctx, serviceID)
		if err == nil && step != nil && (step.Request == id || step.Grants(id) != nil) {
			err = ErrUnderWay
		}
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w", key, ErrConflict)
}

// Step reads the last step of a service from the bus itself, and its revision
// for Claim. The step is nil if there was none; the error is ErrUnreadable, with the
// revision, if it has no form that is known.
func (s *Store) Step(ctx context.Context, serviceID string) (*signal.Step, uint64, error) {
	data, revision, err := s.bucket.Get(ctx, stepPrefix+bus.Token(serviceID))
	switch {
	case errors.Is(err, bus.ErrNotFound):
		return nil, revision, nil
	case err != nil:
		return nil, 0, err
	}
	var step signal.Step
	if err := json.Unmarshal(data, &step); err != nil {
		return nil, revision, fmt.Errorf("%w: %s: %w", ErrUnreadable, serviceID, err)
	}
	return &step, revision, nil
}

// KnownStep is Step as far as the bus has been heard of, which may be behind.
func (s *Store) KnownStep(serviceID string) (*signal.Step, uint64, error) {
	key := stepPrefix + bus.Token(serviceID)
	v, ok := s.mirror.Value(key)
	if !ok {
		deleted, _ := s.mirror.Deleted(key)
		return nil, deleted, nil
	}
	step, err := s.steps.read(key, v.Data)
	if err != nil {
		return nil, v.Revision, fmt.Errorf("%w: %s: %w", ErrUnreadable, serviceID, err)
	}
	return &step, v.Revision, nil
}

// Claim writes a step that is about to be done, or what has become of it, if the last one is still at
// revision; otherwise the error is ErrConflict. It returns the new revision.
func (s *Store) Claim(ctx context.Context, step signal.Step, revision uint64) (uint64, error) {
	value, err := catalog.Encode(step)
	if err != nil {
		return 0, err
	}
	revision, err = s.bucket.Put(ctx, stepPrefix+bus.Token(step.ServiceID), value, bus.IfRevision(revision), bus.WithTTL(stepTTL))
	return revision, conflict(err)
}

func (s *Store) put(ctx context.Context, key string, v any, revision uint64, ttl time.Duration) error {
	value, err := catalog.Encode(v)
	if err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, key, value, bus.IfRevision(revision), bus.WithTTL(ttl))
	return conflict(err)
}

func conflict(err error) error {
	if errors.Is(err, bus.ErrConflict) {
		return errors.Join(ErrConflict, err)
	}
	return err
}
