package sleep

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// again is when a socket that could not be made is tried once more.
const again = time.Second

// atOnce bounds how many are heard at the same time, longest what one may say.
const (
	atOnce  = 32
	longest = 1024
)

// Listen hears from HAProxy that requests wait, until the context ends. Without the socket,
// whose folder may not be there yet, requests are held and nobody is woken.
func (w *Watch) Listen(ctx context.Context) error {
	told := ""
	for ctx.Err() == nil {
		if err := w.listen(ctx); err != nil && err.Error() != told {
			told = err.Error()
			w.o.Log.Warn("services that sleep are not woken", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

func (w *Watch) listen(ctx context.Context) error {
	if err := os.Remove(w.o.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("socket of requests that wait: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "unix", w.o.Socket)
	if err != nil {
		return fmt.Errorf("socket of requests that wait: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	// HAProxy is of the controller's group.
	if err := os.Chmod(w.o.Socket, 0o660); err != nil {
		return errors.Join(err, ln.Close())
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for {
		conn, err := ln.Accept()
		if err != nil {
			_ = g.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(fmt.Errorf("socket of requests that wait: %w", err), ln.Close())
		}
		g.Go(func() error {
			w.hear(ctx, conn)
			return nil
		})
	}
}

// hear takes the names of backends, one on a line.
func (w *Watch) hear(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if conn.SetDeadline(time.Now().Add(patience)) != nil {
		return
	}
	lines := bufio.NewScanner(io.LimitReader(conn, longest))
	for lines.Scan() {
		w.waits(ctx, strings.TrimSpace(lines.Text()))
	}
}
