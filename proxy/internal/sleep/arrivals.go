package sleep

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// How tasks are tried that do not listen yet. Docker's DNS names a task when its container has
// started, which is before its process listens.
const (
	// tryEvery is how often at first, and tryLeast how often at the least: the longer a task
	// takes to start, the less a moment matters.
	tryEvery, tryLeast = 20 * time.Millisecond, 100 * time.Millisecond
	// tryFor bounds one try, of which triesAtOnce are under way, and triesOfKey of one key: who
	// has many tasks or ports that never answer keeps nobody else waiting.
	tryFor      = time.Second
	triesAtOnce = 64
	triesOfKey  = 8
	// arrivedAnyway is after how long a task is used although it does not listen: whoever
	// waited for it has been answered by then, and the next shall be told what is wrong.
	arrivedAnyway = render.HoldFor
)

// Arrivals keeps back the tasks of services that have slept until they listen. HAProxy would let
// those go who wait, be refused, wait a second before it tries again, and give up after three
// times; while it has no server they wait for their task instead, without a loss.
//
// Those that came before the first one listened are used as each of them listens. Once a service
// has a task that does, further ones are used at once: whoever is refused by one is sent to another.
type Arrivals struct {
	dial    func(context.Context, netip.AddrPort) error
	changed func()

	mu    sync.Mutex
	doors map[Door]*door
	poke  chan struct{}
}

// Door is a port of the tasks that have a key of the caller's.
type Door struct {
	Key  string
	Port int
}

// door is what is known of one.
type door struct {
	// used are the addresses that were given out last, and coming those that do not listen
	// yet.
	used   []netip.Addr
	coming map[netip.Addr]*coming
}

// coming is a task that is tried.
type coming struct {
	since, next time.Time
	// flying says that a try is under way, listens that one has succeeded, and late that it is
	// not awaited any more.
	flying, listens, late bool
}

// NewArrivals returns Arrivals, whose loop is Run. changed is called when a task is no longer kept
// back; it must not block.
func NewArrivals(changed func()) *Arrivals {
	return &Arrivals{dial: dial, changed: changed, doors: map[Door]*door{}, poke: make(chan struct{}, 1)}
}

// Admit returns those of the addresses that are to be used at a door, in the same order. All are
// if the door is new here: then HAProxy may have them already.
func (a *Arrivals) Admit(at Door, addrs []netip.Addr) []netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	d, seen := a.doors[at]
	if !seen {
		d = &door{}
		a.doors[at] = d
	}
	isAwake := slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return slices.Contains(d.used, addr) })
	var admitted []netip.Addr
	kept := map[netip.Addr]*coming{}
	for _, addr := range addrs {
		c, isComing := d.coming[addr]
		switch {
		case isComing && (c.listens || c.late), !isComing && (isAwake || !seen):
			admitted = append(admitted, addr)
			continue
		case !isComing:
			c = &coming{since: now, next: now}
		}
		kept[addr] = c
	}
	d.used, d.coming = admitted, kept
	if len(kept) > 0 {
		a.wake()
	}
	return admitted
}

// Keep forgets all doors but those that are present.
func (a *Arrivals) Keep(isPresent func(Door) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.doors, func(at Door, _ *door) bool { return !isPresent(at) })
}

func (a *Arrivals) wake() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// Run tries those who are kept back until the context ends.
func (a *Arrivals) Run(ctx context.Context) error {
	var flying sync.WaitGroup
	defer flying.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	turns := make(chan struct{}, triesAtOnce)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.poke:
		case <-timer.C:
		}
		due, again := a.due(time.Now())
		for _, t := range due {
			select {
			case <-ctx.Done():
				return nil
			case turns <- struct{}{}:
			}
			flying.Go(func() {
				defer func() { <-turns }()
				a.try(ctx, t)
			})
		}
		timer.Reset(again)
	}
}

// try is one task that is tried at a port.
type try struct {
	addr netip.AddrPort
	of   *coming
}

// due returns whom to try now, and how long to wait if nobody arrives.
func (a *Arrivals) due(now time.Time) (tries []try, again time.Duration) {
	again = time.Hour
	late := false
	a.mu.Lock()
	defer a.mu.Unlock()
	flying := map[string]int{}
	for at, d := range a.doors {
		for _, c := range d.coming {
			if c.flying {
				flying[at.Key]++
			}
		}
	}
	for at, d := range a.doors {
		for addr, c := range d.coming {
			age := now.Sub(c.since)
			switch {
			case age >= arrivedAnyway:
				late = late || !c.late
				c.late = true
				continue
			case c.listens || c.flying:
				continue
			case !c.next.After(now) && flying[at.Key] >= triesOfKey:
				// It has its turn when one of these ends.
				again = min(again, arrivedAnyway-age)
				continue
			case !c.next.After(now):
				flying[at.Key]++
				c.flying, c.next = true, now.Add(min(max(tryEvery, age/20), tryLeast))
				tries = append(tries, try{netip.AddrPortFrom(addr, uint16(at.Port)), c})
			}
			again = min(again, c.next.Sub(now), arrivedAnyway-age)
		}
	}
	if late {
		a.changed()
	}
	return tries, again
}

func (a *Arrivals) try(ctx context.Context, t try) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	err := a.dial(ctx, t.addr)
	a.mu.Lock()
	t.of.flying, t.of.listens = false, err == nil
	a.mu.Unlock()
	if err == nil {
		a.changed()
	}
	a.wake()
}

// dial opens a connection and closes it.
func dial(ctx context.Context, addr netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
