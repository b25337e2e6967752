package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"golang.org/x/sync/errgroup"
)

// ports is for how long nobody has the ports of a node while its proxy is updated, where
// that time goes, and what becomes of requests.
func (m *swarm) ports(ctx context.Context) error {
	return m.with(ctx, portsDemo(), func() error { return m.portsTable(ctx, "refuses") })
}

// dropped is the same where the node's firewall drops connections that nobody listens for,
// so that clients try again.
func (m *swarm) dropped(ctx context.Context) error {
	return m.with(ctx, portsDemo(), func() error {
		rule := []string{"INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP"}
		if _, err := m.Node(stack.Manager).Run(ctx, append([]string{"iptables", "-I"}, rule...)...); err != nil {
			return err
		}
		err := m.portsTable(ctx, "drops")
		_, gone := m.Node(stack.Manager).Run(ctx, append([]string{"iptables", "-D"}, rule...)...)
		return errors.Join(err, gone)
	})
}

func portsDemo() stack.Demo {
	return stack.Demo{Name: "steady", Replicas: 1, Node: stack.Manager, Labels: stack.Labels("/steady")}
}

func (m *swarm) portsTable(ctx context.Context, does string) error {
	m.Table("200 requests/s kept alive, 200 on connections of their own, and 5 connections that stay silent, to one node whose proxy gets update --force and that "+does+" what nobody listens for",
		"update", "closed", "worst answer", "SIGTERM to the end", "end to created", "created to started", "started to answered", "kept alive", "one each", "machine busy")
	times := make([][]time.Duration, 6)
	failed, sent := 0, 0
	for n := range m.runs {
		u, err := m.portsDuring(ctx, func(ctx context.Context) error { return m.Force(ctx, "waggle_proxy") })
		if err != nil {
			return err
		}
		for i, took := range u.times() {
			times[i] = append(times[i], took)
		}
		failed, sent = failed+u.kept.Failed+u.fresh.Failed, sent+u.kept.Requests+u.fresh.Requests
		m.Row(u.cells(fmt.Sprint(n + 1))...)
	}
	cells := []any{"median"}
	for _, all := range times {
		cells = append(cells, all)
	}
	m.Row(append(cells, fmt.Sprintf("%d failed of %d", failed, sent), "", "")...)
	return nil
}

// portsUpdate is what was seen of one update.
type portsUpdate struct {
	closed, worst                         time.Duration
	ending, creating, starting, answering time.Duration
	kept, fresh                           load.Report
	busy                                  int
}

func (u *portsUpdate) times() []time.Duration {
	return []time.Duration{u.closed, u.worst, u.ending, u.creating, u.starting, u.answering}
}

func (u *portsUpdate) cells(what string) []any {
	cells := []any{what}
	for _, took := range u.times() {
		cells = append(cells, took)
	}
	return append(cells, failures(u.kept), failures(u.fresh), fmt.Sprintf("%d %%", u.busy))
}

// portsDuring sends requests while f replaces the proxy of the manager.
func (m *swarm) portsDuring(ctx context.Context, f func(context.Context) error) (*portsUpdate, error) {
	if err := m.quiet(ctx); err != nil {
		return nil, err
	}
	u := &portsUpdate{}
	silent, err := m.silent(ctx, 5)
	if err != nil {
		return nil, err
	}
	defer silent()
	told := m.events(ctx)
	u.busy, err = proc.Busy(func() error {
		sending, stop := context.WithCancel(ctx)
		defer stop()
		var flows errgroup.Group
		for keepAlive, sum := range map[bool]*load.Report{true: &u.kept, false: &u.fresh} {
			flows.Go(func() (err error) {
				*sum, err = load.Run(sending, load.Config{
					URL: "http://" + m.Addr(stack.Manager) + "/steady", Rate: 200, Connections: 100, KeepAlive: keepAlive, Duration: 10 * time.Minute, Timeout: 20 * time.Second,
				})
				return err
			})
		}
		err := tooltest.Pause(ctx, 2*time.Second)
		if err == nil {
			err = f(ctx)
		}
		if err == nil {
			_, err = m.Since(ctx, stack.Manager, "/steady", stack.Answered)
		}
		if err == nil {
			err = tooltest.Pause(ctx, 2*time.Second)
		}
		stop()
		return errors.Join(err, flows.Wait())
	})
	events := told()
	if err != nil {
		return nil, err
	}
	u.worst = time.Duration(max(u.kept.Max, u.fresh.Max) * float64(time.Millisecond))
	var opened time.Time
	u.closed, opened = closed(u.fresh)
	return u, u.phases(events, opened)
}

// closed is for how long no new connection was answered, and when that ended.
func closed(r load.Report) (time.Duration, time.Time) {
	var from, to time.Time
	for _, f := range r.Failures {
		if end := f.Began.Add(f.Took); end.After(to) {
			to = end
		}
		if from.IsZero() || f.Began.Before(from) {
			from = f.Began
		}
	}
	return to.Sub(from), to
}

// silent opens connections on which one request is answered and no other follows, as those
// of browsers, and returns what closes them.
func (m *swarm) silent(ctx context.Context, n int) (func(), error) {
	var all []net.Conn
	end := func() {
		for _, c := range all {
			_ = c.Close()
		}
	}
	var d net.Dialer
	for range n {
		c, err := d.DialContext(ctx, "tcp", m.Addr(stack.Manager)+":80")
		if err == nil {
			all = append(all, c)
			err = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		if err == nil {
			_, err = c.Write([]byte("GET /steady HTTP/1.1\r\nHost: x\r\n\r\n"))
		}
		if err == nil {
			_, err = c.Read(make([]byte, 4096))
		}
		if err != nil {
			end()
			return nil, err
		}
	}
	return end, nil
}

// events listens to what the manager's engine does to containers of the proxy, until what it
// returns is called for it: afterwards the engine would tell the last few alone.
func (m *swarm) events(ctx context.Context) (told func() string) {
	ctx, stop := context.WithCancel(ctx)
	all := make(chan string, 1)
	go func() {
		// It ends by being stopped, which counts as an error.
		out, _ := m.Docker(ctx, "events", "--filter", "type=container", "--filter", "event=kill", "--filter", "event=die",
			"--filter", "event=create", "--filter", "event=start", "--filter", "label=com.docker.swarm.service.name=waggle_proxy", "--format", "{{.TimeNano}} {{.Action}}")
		all <- out
	}()
	return func() string { stop(); return <-all }
}

// phases takes apart what the engine did.
func (u *portsUpdate) phases(events string, opened time.Time) error {
	at := map[string]time.Time{}
	for line := range strings.Lines(events) {
		var nano int64
		var action string
		if _, err := fmt.Sscan(line, &nano, &action); err != nil {
			return fmt.Errorf("an event of the engine is %q: %w", line, err)
		}
		if at[action].IsZero() {
			at[action] = time.Unix(0, nano)
		}
	}
	if len(at) != 4 {
		return fmt.Errorf("of an update the engine tells only %q", events)
	}
	u.ending, u.creating, u.starting = at["die"].Sub(at["kill"]), at["create"].Sub(at["die"]), at["start"].Sub(at["create"])
	if !opened.IsZero() {
		u.answering = opened.Sub(at["start"])
	}
	return nil
}
