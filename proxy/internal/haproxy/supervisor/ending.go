package supervisor

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

const (
	// drainPoll is how often the end of a drain is looked for.
	drainPoll = 50 * time.Millisecond
	// Clients that keep their connection are told by the answer to their next request that it
	// ends. settle is how long none has left before those that stay count as silent, and
	// patience how long this may go on.
	settle, patience = 250 * time.Millisecond, time.Second
	// grace is what follows Drain: first SIGTERM, and that much later SIGKILL.
	grace = 2 * time.Second
	// asking bounds a question to HAProxy, which has little to do by then.
	asking = time.Second
)

// ending is how both end. Nobody else can have HAProxy's ports before, so they stay open while
// there is something to wait for: a reload gives them to a new worker, and the old one lets
// its clients go, while the controller goes on following the swarm. The controller ends next.
// Only then the ports are closed, and what came last is waited for, but not connections on
// which nothing is under way: browsers keep these for minutes.
type ending struct {
	haproxy, controller *child
	master              *runtime.Master
	// listens are the ports, and old the workers from before the reload.
	listens map[uint64]bool
	old     []int
	// until is when the present step ends at the latest, and closed when the ports were.
	until, closed time.Time
	// left are the connections, and still is since when there are so many.
	left  int
	still time.Time
	step  func(e *ending) (done bool)
}

// begin lets clients go, if there are any.
func (e *ending) begin(drain time.Duration) {
	_ = e.haproxy.user.Do(func() error { e.listens = listensOn(e.haproxy.group); return nil })
	if connected(e.listens) == 0 {
		e.forget()
		return
	}
	// What the new worker begins is to have time as well.
	e.step, e.until = (*ending).serve, time.Now().Add(drain/2)
	e.old = workers(e.haproxy.pid)
	e.haproxy.signal(syscall.SIGUSR2)
}

// look takes the next step when it is time to, and reports whether nothing is left to wait for.
func (e *ending) look() bool { return e.step(e) }

// serve waits for the clients from before.
func (e *ending) serve() bool {
	now := workers(e.haproxy.pid)
	there := slices.ContainsFunc(e.old, func(pid int) bool { return slices.Contains(now, pid) })
	if !there || time.Now().After(e.until) {
		e.forget()
	}
	return false
}

// forget ends the controller.
func (e *ending) forget() {
	e.step, e.until = (*ending).forgotten, time.Now().Add(grace)
	e.controller.signal(syscall.SIGTERM)
}

// forgotten closes the ports when nothing else is left to end.
func (e *ending) forgotten() bool {
	if e.controller.pid == 0 || time.Now().After(e.until) {
		e.step, e.closed = (*ending).finish, time.Now()
		e.haproxy.signal(syscall.SIGUSR1)
	}
	return false
}

// finish waits for what came last: while clients leave, and then while a request is under way.
// HAProxy takes its time to end although nobody is connected any more, seconds if it counts
// clients.
func (e *ending) finish() bool {
	now, n := time.Now(), connected(e.listens)
	if n < e.left || e.left == 0 {
		e.left, e.still = n, now
	}
	still := now.Sub(e.still) >= settle || now.Sub(e.closed) >= patience
	return n == 0 || still && e.idle()
}

// idle reports whether no request is under way.
func (e *ending) idle() bool {
	for _, pid := range workers(e.haproxy.pid) {
		n, err := 0, error(nil)
		_ = e.haproxy.user.Do(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), asking)
			defer cancel()
			n, err = e.master.Streams(ctx, pid)
			return nil
		})
		if err != nil || n > 0 {
			return false
		}
	}
	return true
}

// workers are the children of HAProxy's master.
func workers(master int) []int {
	if master == 0 {
		return nil
	}
	var out []int
	all, _ := procfs.AllProcs() // what cannot be read counts as none
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PPID == master && stat.State != "Z" {
			out = append(out, p.PID)
		}
	}
	return out
}
