package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// idleTime is how long the tasks of posts keep idle connections, as many servers do.
const idleTime = 5 * time.Second

// posts sends each POST when the connection of the last one to the task, if it was kept, is
// about to be closed by the task.
func (m *bench) posts(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		return err
	}
	task := &http.Server{IdleTimeout: idleTime, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	})}
	go func() { _ = task.Serve(ln) }() // it ends when it is closed
	defer func() { _ = task.Close() }()
	port := ln.Addr().(*net.TCPAddr).Port
	w, err := m.startWaggle(ctx, "posts", m.few, port)
	if err != nil {
		return err
	}
	defer w.stop()
	// Each client has a service, and thus connections to a task, of its own.
	clients := max(2, min(400, m.posted/5))
	w.services = w.services[:0]
	for i := range clients {
		name := fmt.Sprint("posts", i)
		w.services = append(w.services, catalog.Service{ID: name, Name: name, Networks: []string{"waggle"}, CreatedAt: time.Unix(int64(i), 0), Labels: map[string]string{
			catalog.Notify: "true", catalog.Prefix + "servicePath": "/" + name + "/",
			catalog.Prefix + "outboundHostname": "127.0.0.1", catalog.Prefix + "port": fmt.Sprint(port),
		}})
	}
	if err := w.write(ctx); err != nil {
		return err
	}
	for i := range clients {
		if err := tooltest.Poll(ctx, tooltest.Slowly, "the services", func(ctx context.Context) error { return get(ctx, w.url(fmt.Sprintf("/posts%d/", i)), "", nil) }); err != nil {
			return err
		}
	}
	var sent, failed [2]atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for i := range clients {
		g.Go(func() error {
			kind := i % 2
			client := &http.Transport{DisableKeepAlives: kind == 0}
			defer client.CloseIdleConnections()
			pause := time.Duration(i) * idleTime / time.Duration(clients)
			for round := range (m.posted + clients - 1) / clients {
				if err := tooltest.Pause(ctx, pause); err != nil {
					return err
				}
				sent[kind].Add(1)
				if err := post(ctx, client, w.url(fmt.Sprintf("/posts%d/", i))); err != nil {
					failed[kind].Add(1)
					_, _ = fmt.Fprintf(m.log, "client %d, POST %d: %v\n", i, round, err)
				}
				// Two milliseconds before and after.
				pause = idleTime + time.Duration((i*37+round*101)%41-20)*100*time.Microsecond
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.Table(fmt.Sprintf("POSTs when a task closes connections that were idle for %v, by %d clients", idleTime, clients), "what", "sent", "failed", "goal", "")
	for kind, name := range []string{"with a new connection each", "kept alive"} {
		m.Result(name, float64(failed[kind].Load()), report.AtMost(0, "%.0f"), sent[kind].Load())
	}
	return nil
}

// post sends a POST, which no client sends again by itself.
func post(ctx context.Context, client *http.Transport, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))
	if err != nil {
		return err
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return errors.Join(err, res.Body.Close())
}
