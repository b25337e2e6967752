package bus

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// The times of a lease.
const (
	// leaseTTL is how long the bus keeps a lease that is not renewed, unless its holder has
	// chosen another time.
	leaseTTL = 3 * time.Second
	// leaseMargin is how much earlier its holder stops believing in it.
	leaseMargin = 500 * time.Millisecond
	// leaseEvery is how often it is looked for, or looked at: one that lasts three seconds is
	// renewed each time, any other one when a third of its time has passed.
	leaseEvery = time.Second
)

// LeaseOptions say who wants which lease.
type LeaseOptions struct {
	// Bucket is where it lies; LeaseBucket if it is empty, which is the listener's alone.
	Bucket string
	// Key names the lease in the bucket.
	Key string
	// Holder is the name of the one who wants it. One who starts under the name of the
	// present holder takes its lease over at once: it is the same, started again.
	Holder string
	// TTL is how long the bus keeps the lease if its holder has gone; 3 s if it is 0. It is
	// for whoever needs no heir: each renewal is a write to a disk, for ever.
	TTL time.Duration
	// Willing is asked before each attempt; a holder that is not willing any more lets
	// go. It must not block.
	Willing func() bool
	// Changed is called by Run's goroutine after the lease was taken or lost; nil if
	// nobody wants to know.
	Changed func(held bool)
}

// Lease is held by at most one of those who want it, as far as clocks agree on how long
// its time is. It is no fence: a process that was stopped may still act on
// what it believed. What it writes must be protected by compare and set.
type Lease struct {
	o      LeaseOptions
	b      *Bus
	mirror *Mirror
	// own is what is written; its nonce tells this process from another one of the same name.
	own   leaseValue
	poked chan struct{}

	// mu guards until, because Held may be called by anybody.
	mu sync.Mutex
	// until is how long the lease is believed in; zero if it is not held.
	until time.Time

	// The rest belongs to Run. revision is that of the own lease.
	revision uint64
	wasHeld  bool
	isTold   bool
	// seen is another's lease, and seenAt when it was found.
	seen   uint64
	seenAt time.Time
}

// leaseValue is what lies on the bus.
type leaseValue struct {
	Holder string `json:"holder"`
	Nonce  string `json:"nonce"`
	// Seconds is how long it lasts; 3 s if it is 0.
	Seconds int `json:"seconds,omitempty"`
}

// ttl is how long the lease lasts.
func (v leaseValue) ttl() time.Duration {
	return cmp.Or(time.Duration(v.Seconds)*time.Second, leaseTTL)
}

// Lease returns a lease that Run tries to take and to keep.
func (b *Bus) Lease(o LeaseOptions) *Lease {
	l := &Lease{o: o, b: b, poked: make(chan struct{}, 1)}
	l.own = leaseValue{Holder: o.Holder, Nonce: rand.Text(), Seconds: int(o.TTL / time.Second)}
	l.mirror = b.Bucket(cmp.Or(o.Bucket, LeaseBucket)).Mirror(o.Key, l.Poke)
	return l
}

// Held reports whether the lease is held at this moment.
func (l *Lease) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// Holder returns who holds the lease, as far as is known, and false if nobody does or
// the bus has not been read.
func (l *Lease) Holder() (string, bool) {
	v, ok := l.mirror.Value(l.o.Key)
	if !ok || !l.mirror.Synced() {
		return "", false
	}
	value, ok := parseLease(v.Data)
	return value.Holder, ok && value.Holder != ""
}

// Poke says that whether this process is willing may have changed. It may be called by anybody.
func (l *Lease) Poke() {
	select {
	case l.poked <- struct{}{}:
	default:
	}
}

func parseLease(data []byte) (leaseValue, bool) {
	var v leaseValue
	return v, json.Unmarshal(data, &v) == nil && v.Holder != ""
}

// Run takes and keeps the lease, whenever it is willing and may, until the context ends;
// then it releases it.
func (l *Lease) Run(ctx context.Context) error {
	return both(ctx, l.mirror.Run, l.keep)
}

func (l *Lease) keep(ctx context.Context) error {
	for {
		next := l.step(ctx)
		l.tell()
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			l.release(context.WithoutCancel(ctx))
			l.tell()
			return nil
		case <-l.poked:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step renews the lease, tries to take it, or lets it go, and returns when to look again.
func (l *Lease) step(ctx context.Context) time.Duration {
	if !l.o.Willing() {
		l.release(ctx)
		return leaseEvery
	}
	if !l.mirror.Synced() && !l.Held() {
		return leaseEvery // the mirror pokes
	}
	v, isTaken := l.mirror.Value(l.o.Key)
	value, _ := parseLease(v.Data)
	switch {
	case isTaken && value.Nonce == l.own.Nonce:
		l.revision = v.Revision
	case isTaken && value.Holder == l.o.Holder && !l.wasHeld:
		l.revision = v.Revision
	case isTaken:
		l.lose()
		if wait := l.overdue(v.Revision, value.ttl()); wait > 0 {
			return min(wait, leaseEvery)
		}
		if !l.ended(ctx, v.Revision) {
			return leaseEvery / 4
		}
	default:
		l.revision, _ = l.mirror.Deleted(l.o.Key)
	}
	if wait := l.early(); wait > 0 {
		return min(wait, leaseEvery)
	}
	return l.renew(ctx)
}

// overdue returns how long it is until another's lease of that time, if it is not renewed, has
// run out: that is later than its holder stops believing in it, because it was seen after it was
// sent.
func (l *Lease) overdue(revision uint64, ttl time.Duration) time.Duration {
	if revision != l.seen {
		l.seen, l.seenAt = revision, time.Now()
	}
	return ttl - time.Since(l.seenAt)
}

// ended reports whether another's lease that is overdue may be taken, and over which
// revision. The bus is asked, because it tells of a value that has run out up to two seconds
// late, and of one that is purged never.
func (l *Lease) ended(ctx context.Context, revision uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	data, last, err := l.mirror.bucket.Get(ctx, l.o.Key)
	switch {
	case errors.Is(err, ErrNotFound):
		l.mirror.noteGone(l.o.Key, max(last, revision))
		if last == 0 {
			l.mirror.forget(l.o.Key, revision)
		}
		l.revision, _ = l.mirror.Deleted(l.o.Key)
		return true
	case err == nil && last == revision:
		l.revision = revision
		return true
	case err == nil:
		l.mirror.note(l.o.Key, Value{Data: data, Revision: last})
	default:
		l.b.log.Debug("lease not read", "key", l.o.Key, "error", err)
	}
	return false
}

// early returns how long it is until the lease, if it is held, is to be renewed.
func (l *Lease) early() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		return 0
	}
	ttl := l.own.ttl()
	return time.Until(l.until) - (ttl - leaseMargin - ttl/3)
}

// renew writes the lease, and returns when to do so again.
func (l *Lease) renew(ctx context.Context) time.Duration {
	data, err := catalog.Encode(l.own)
	if err != nil {
		l.b.log.Error("lease", "error", err)
		return leaseEvery
	}
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	sent := time.Now()
	revision, err := l.mirror.bucket.Put(ctx, l.o.Key, data, IfRevision(l.revision), WithTTL(l.own.ttl()))
	switch {
	case err == nil:
		l.mirror.note(l.o.Key, Value{Data: data, Revision: revision})
		l.mu.Lock()
		l.until = sent.Add(l.own.ttl() - leaseMargin)
		l.mu.Unlock()
		l.wasHeld = true
		return leaseEvery
	case errors.Is(err, ErrConflict):
		// Whoever wrote it is told by the mirror in a moment. It may be this process,
		// if it never got its answer, so the lease is not given up yet.
		l.mirror.forget(l.o.Key, l.revision)
	default:
		l.b.log.Debug("lease not renewed", "key", l.o.Key, "error", err)
	}
	return leaseEvery / 4
}

// lose stops believing in the lease.
func (l *Lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// release gives the lease back, so that another need not wait until it has run out.
func (l *Lease) release(ctx context.Context) {
	l.mu.Lock()
	wasHeld := !l.until.IsZero()
	l.until = time.Time{}
	l.mu.Unlock()
	if !wasHeld {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	v, ok := l.mirror.Value(l.o.Key)
	if value, _ := parseLease(v.Data); !ok || value.Nonce != l.own.Nonce {
		return
	}
	if err := l.mirror.Delete(ctx, l.o.Key, IfRevision(v.Revision)); err != nil {
		l.b.log.Debug("lease is left to run out", "key", l.o.Key, "error", err)
	}
}

// tell tells whoever wants to know, if something has changed.
func (l *Lease) tell() {
	if held := l.Held(); held != l.isTold {
		l.isTold = held
		l.b.log.Info("lease", "key", l.o.Key, "held", held)
		if l.o.Changed != nil {
			l.o.Changed(held)
		}
	}
}
