package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// websockets keeps many connections open while another service makes HAProxy reload.
func (m *bench) websockets(ctx context.Context) error {
	// Both ends of each connection are here, and both are in HAProxy, which inherits the limit.
	limit := uint64(2*m.sockets + 200)
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		return err
	}
	if have.Cur < limit {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: max(limit, have.Max)}); err != nil {
			return fmt.Errorf("%d open files are needed, and %d allowed: %w", limit, have.Max, err)
		}
	} else {
		limit = have.Cur
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		return err
	}
	echo := &http.Server{ReadHeaderTimeout: time.Minute, Handler: websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}}
	go func() { _ = echo.Serve(ln) }() // it ends when it is closed
	defer func() { _ = echo.Close() }()
	// A WebSocket server answers a plain request with an error, which ends the wait for a start.
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	w, err := m.startWaggle(ctx, "sockets", m.few, up.port)
	if err != nil {
		return err
	}
	defer w.stop()
	chat := &w.services[0]
	chat.Labels = maps.Clone(chat.Labels)
	chat.Labels[catalog.Prefix+"servicePath"] = "/chat"
	chat.Labels[catalog.Prefix+"port"] = fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
	delete(chat.Labels, catalog.Prefix+"serviceDomain")
	if err := w.write(ctx); err != nil {
		return err
	}
	open := func() (*websocket.Conn, error) {
		config, err := websocket.NewConfig(fmt.Sprintf("ws://127.0.0.1:%d/chat", w.port), "http://localhost/")
		if err != nil {
			return nil, err
		}
		return config.DialContext(ctx)
	}
	if err := tooltest.Poll(ctx, tooltest.Slowly, "the path of the WebSockets", func(context.Context) error {
		c, err := open()
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		return err
	}
	maxconn, err := w.metric(ctx, w.stats, "haproxy_process_max_connections")
	if err != nil {
		return err
	}
	began := time.Now()
	conns, err := openAll(m.sockets, open)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil {
		return err
	}
	took := time.Since(began)
	size, err := proc.Memory(w.pid())
	if err != nil {
		return err
	}
	before, err := w.metric(ctx, w.admin, "waggle_proxy_reloads_total")
	if err != nil {
		return err
	}
	other := &w.services[1]
	other.Labels = maps.Clone(other.Labels)
	other.Labels[catalog.Prefix+"timeoutServer"] = "7"
	if err := w.write(ctx); err != nil {
		return err
	}
	var after float64
	if err := tooltest.Poll(ctx, tooltest.Slowly, "a reload", func(ctx context.Context) error {
		if after, err = w.metric(ctx, w.admin, "waggle_proxy_reloads_total"); err == nil && after == before {
			err = errors.New("none yet")
		}
		return err
	}); err != nil {
		return err
	}
	cut := cutOf(conns)
	m.Table(fmt.Sprintf("%d idle WebSocket connections, opened in %v", m.sockets, took.Round(time.Millisecond)), "what", "result", "goal", "")
	m.Result(fmt.Sprintf("connections cut by a reload for another service (%.0f reload)", after-before), float64(cut), report.AtMost(0, "%.0f"))
	m.Result(fmt.Sprintf("HAProxy's limit of connections with %d open files", limit), maxconn, report.AtLeast(float64(limit)/2-200, "%.0f"))
	m.Row("memory of supervisor, controller and HAProxy", fmt.Sprintf("%d MiB", size>>20), "", "")
	return nil
}

// openAll opens connections, some at a time.
func openAll(n int, open func() (*websocket.Conn, error)) ([]*websocket.Conn, error) {
	var mu sync.Mutex // the workers collect together
	var conns []*websocket.Conn
	var g errgroup.Group
	g.SetLimit(50)
	for range n {
		g.Go(func() error {
			c, err := open()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
			return nil
		})
	}
	err := g.Wait()
	return conns, err
}

// cutOf counts the connections on which nothing comes back any more.
func cutOf(conns []*websocket.Conn) int {
	cut := 0
	for _, c := range conns {
		var got string
		if c.SetDeadline(time.Now().Add(10*time.Second)) != nil || websocket.Message.Send(c, "still there?") != nil ||
			websocket.Message.Receive(c, &got) != nil || got != "still there?" {
			cut++
		}
	}
	return cut
}
