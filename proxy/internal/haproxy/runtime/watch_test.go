package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// worker answers at a socket as HAProxy's process of that number does, and tells of each
// question.
func worker(t *testing.T, path string, pid int, asked chan<- int) (end func()) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go tooltest.Accept(ln, func(c net.Conn) {
		in := bufio.NewScanner(c)
		for in.Scan() && !strings.HasPrefix(in.Text(), "show info") {
		}
		asked <- pid
		_, _ = fmt.Fprintf(c, "%sName: HAProxy\nVersion: 3.4.7\nPid: %d\nMaxconn: 1\nCurrConns: 1\n\n> ", greeting, pid)
		for in.Scan() { // until the client has gone
		}
	})
	return func() { _ = ln.Close() } // which removes the socket
}

// TestWatchIsToldOfAnotherSocket: it does not wait until it would look by itself.
func TestWatchIsToldOfAnotherSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	seen, ended := make(chan int, 10), make(chan error, 1)
	// Like HAProxy, it takes the name when it is ready to answer.
	start := func(pid int) (end func()) {
		t.Helper()
		end = worker(t, path+".new", pid, make(chan int, 100))
		tooltest.Must(t, os.Rename(path+".new", path))
		return end
	}
	end := start(1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- New(path).Watch(ctx, time.Hour, func(i Info) { seen <- i.Pid }) }()
	for pid := 1; pid <= 3; pid++ {
		select {
		case got := <-seen:
			if got != pid {
				t.Errorf("the process is %d, want %d", got, pid)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody has seen process %d", pid)
		}
		end()
		end = start(pid + 1)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWatchLooksByItself where the kernel tells it nothing, as of a folder that is not there yet.
func TestWatchLooksByItself(t *testing.T) {
	folder := filepath.Join(shortDir(t), "later")
	path := filepath.Join(folder, "s")
	seen, ended := make(chan int, 10), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- New(path).Watch(ctx, 5*time.Millisecond, func(i Info) { seen <- i.Pid }) }()
	tooltest.Must(t, os.Mkdir(folder, 0o700))
	end := worker(t, path, 1, make(chan int, 1000))
	for pid := 1; pid <= 2; pid++ {
		select {
		case got := <-seen:
			if got != pid {
				t.Errorf("the process is %d, want %d", got, pid)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody has seen process %d", pid)
		}
		end()
		end = worker(t, path, pid+1, make(chan int, 1000))
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWatchAsksSeldomWhileTheSocketIsTheSame, and another one at once.
func TestWatchAsksSeldomWhileTheSocketIsTheSame(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	asked, seen, ended := make(chan int, 100), make(chan int, 10), make(chan error, 1)
	end := worker(t, path, 7, asked)
	ctx, cancel := context.WithCancel(t.Context())
	const interval = 5 * time.Millisecond
	go func() { ended <- New(path).Watch(ctx, interval, func(i Info) { seen <- i.Pid }) }()
	next := func(what string, from <-chan int) int {
		t.Helper()
		select {
		case pid := <-from:
			return pid
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody %s", what)
			return 0
		}
	}
	if pid := next("is seen", seen); pid != 7 {
		t.Errorf("the first is %d", pid)
	}
	next("was asked", asked)
	// A slow machine asks later, never sooner.
	began := time.Now()
	const times = 4
	for range times {
		next("is asked", asked)
	}
	if took, least := time.Since(began), (times-1)*patience*interval; took < least {
		t.Errorf("asked %d times in %v, which wants at least %v", times, took, least)
	}
	end()
	worker(t, path, 8, asked)
	if pid := next("is seen", seen); pid != 8 {
		t.Errorf("the next is %d", pid)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
