package runtime

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAFullQueueIsWaitedFor: HAProxy has not accepted those who came before, so that Linux
// refuses the next at once.
func TestAFullQueueIsWaitedFor(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.end()

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dial(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a queue that stays full: %v, want the end of the context", err)
	}

	ended := make(chan error, 1)
	go func() {
		second, err := dial(t.Context(), path)
		if err == nil {
			second.end()
		}
		ended <- err
	}()
	taken, _, err := syscall.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(taken) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
