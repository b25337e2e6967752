package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"golang.org/x/sync/errgroup"
)

// portsUpdates is how many updates of the proxy are looked at.
const portsUpdates = 5

// ports is for how long nobody has the ports of a node while its proxy is updated, where
// that time goes, and what becomes of requests: where the node refuses connections that
// nobody listens for, and where its firewall drops them, so that clients try again.
func (m *swarm) ports(ctx context.Context) error {
	return m.with(ctx, stack.Demo{Name: "steady", Replicas: 1, Node: stack.Manager, Labels: stack.Labels("/steady")}, func() error {
		if err := m.portsTable(ctx, "refuses"); err != nil {
			return err
		}
		if _, err := m.Node(stack.Manager).Run(ctx, "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "80", "-j", "DROP"); err != nil {
			return err
		}
		return m.portsTable(ctx, "drops")
	})
}

func (m *swarm) portsTable(ctx context.Context, does string) error {
	m.Table("200 requests/s kept alive, 200 on connections of their own, and 5 connections that stay silent, to one node whose proxy gets update --force and that "+does+" what nobody listens for",
		"update", "closed", "worst answer", "SIGTERM to the end", "end to created", "created to started", "started to answered", "kept alive", "one each", "machine busy")
	times := make([][]time.Duration, 6)
	failed, sent := 0, 0
	for n := range portsUpdates {
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
	u, began := &portsUpdate{}, time.Now()
	silent, err := m.silent(ctx, 5)
	if err != nil {
		return nil, err
	}
	defer silent()
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
	if err != nil {
		return nil, err
	}
	u.worst = time.Duration(max(u.kept.Max, u.fresh.Max) * float64(time.Millisecond))
	var opened time.Time
	u.closed, opened = closed(u.fresh)
	return u, m.phases(ctx, u, began, opened)
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

// phases asks the manager's engine when it did what.
func (m *swarm) phases(ctx context.Context, u *portsUpdate, since, opened time.Time) error {
	out, err := m.Docker(ctx, "events", "--since", stamp(since), "--until", stamp(time.Now()), "--filter", "type=container", "--format", "{{json .}}")
	if err != nil {
		return err
	}
	at := map[string]time.Time{}
	for line := range strings.Lines(out) {
		var e struct {
			Action string
			Actor  struct{ Attributes map[string]string }
			Nano   int64 `json:"timeNano"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return err
		}
		if e.Actor.Attributes["com.docker.swarm.service.name"] == "waggle_proxy" && slices.Contains([]string{"kill", "die", "create", "start"}, e.Action) && at[e.Action].IsZero() {
			at[e.Action] = time.Unix(0, e.Nano)
		}
	}
	if len(at) != 4 {
		return fmt.Errorf("of an update the engine tells only %v", at)
	}
	u.ending, u.creating, u.starting = at["die"].Sub(at["kill"]), at["create"].Sub(at["die"]), at["start"].Sub(at["create"])
	if !opened.IsZero() {
		u.answering = opened.Sub(at["start"])
	}
	return nil
}

func stamp(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
