// Package runtime speaks to a running HAProxy: to its worker through the stats
// socket (Client) and to its master through the master socket (Master).
//
// HAProxy 3.0 and later is supported; dynamic backends need 3.4.
//
// It is longer than others because each command stands with the reading of its answer.
//
// Files from top to bottom: watch.go, change.go, acl.go, certificate.go, master.go, traffic.go, show.go,
// streams.go, client.go, command.go, errors.go.
package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// limit bounds one exchange whose context has no earlier deadline.
const limit = 10 * time.Second

// Client sends commands to the stats socket. It keeps no connection, because an
// open one would keep an old worker alive after a reload. It is safe for
// concurrent use.
type Client struct{ path string }

// New returns a client of the stats socket at path. The socket needs "level admin".
func New(path string) *Client { return &Client{path: path} }

// Do sends the commands in one go and returns their errors joined.
func (c *Client) Do(ctx context.Context, commands ...Command) error {
	return errors.Join(c.Batch(ctx, commands...)...)
}

// Batch sends the commands over one connection without waiting in between, and
// returns one error per command, nil where HAProxy confirmed it. A refusal does
// not stop what comes after it. If an argument is bad, nothing is sent at all.
func (c *Client) Batch(ctx context.Context, commands ...Command) []error {
	answers := c.exchange(ctx, commands)
	errs := make([]error, len(answers))
	for i, a := range answers {
		errs[i] = a.err
	}
	return errs
}

type answer struct {
	text string
	err  error
}

// one sends a single command and returns its text.
func (c *Client) one(ctx context.Context, command Command) (string, error) {
	a := c.exchange(ctx, []Command{command})[0]
	return a.text, a.err
}

func (c *Client) exchange(ctx context.Context, commands []Command) []answer {
	answers := make([]answer, len(commands))
	var bad error
	wait := limit
	for _, cmd := range commands {
		bad = errors.Join(bad, cmd.err)
		wait += cmd.wait
	}
	answered, err := 0, bad
	if bad == nil && len(commands) > 0 {
		answered, err = c.talk(ctx, commands, answers, wait)
	}
	for i := answered; i < len(answers); i++ {
		switch {
		case commands[i].err != nil:
			answers[i].err = commands[i].err
		case bad != nil:
			answers[i].err = fmt.Errorf("haproxy: %s: not sent: %w", commands[i], bad)
		default:
			answers[i].err = fmt.Errorf("haproxy: %s: %w: %w", commands[i], ErrUnanswered, err)
		}
	}
	return answers
}

// talk fills in answers and returns how many are complete.
//
// The interactive mode is used, which is the same in all supported versions: a
// prompt ends each answer, whether it has text or not. The connection is closed
// without "quit", after the last answer.
func (c *Client) talk(ctx context.Context, commands []Command, answers []answer, wait time.Duration) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := dial(ctx, c.path)
	if err != nil {
		return 0, err
	}
	defer conn.end()
	// A time-out shows as a context's error, not as that of a poked deadline.
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()

	opening := []string{"prompt", "set severity-output number"}
	var out strings.Builder
	out.WriteString(strings.Join(opening, "\n") + "\n")
	sent := 0
	for done < len(commands) {
		for sent < len(commands) && (out.Len() == 0 || out.Len()+commands[sent].size() < chunk) {
			commands[sent].write(&out)
			sent++
		}
		if _, err := io.WriteString(conn, out.String()); err != nil {
			return done, err
		}
		out.Reset()
		for _, command := range opening {
			if text, err := conn.answer(); err != nil || text != "" {
				return done, errors.Join(err, fmt.Errorf("answer to %q: %q", command, text))
			}
		}
		opening = nil
		for ; done < sent; done++ {
			text, err := conn.answer()
			if err != nil {
				return done, err
			}
			answers[done].text, answers[done].err = commands[done].judge(text)
		}
	}
	return done, nil
}

// connection is a Unix connection that ends with its context.
type connection struct {
	net.Conn
	in   *bufio.Reader
	stop func() bool
}

// queueWait is how soon a socket is tried again whose queue is full.
const queueWait = 5 * time.Millisecond

// dial connects. Linux refuses a Unix socket at once while more wait for it than HAProxy
// has accepted; that passes.
func dial(ctx context.Context, path string) (*connection, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	for errors.Is(err, syscall.EAGAIN) {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(queueWait):
		}
		conn, err = d.DialContext(ctx, "unix", path)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return &connection{Conn: conn, in: bufio.NewReader(conn), stop: stop}, nil
}

func (c *connection) end() {
	c.stop()
	_ = c.Close() // every answer was read, or the failure is known already
}

// answer reads up to the next prompt.
func (c *connection) answer() (string, error) {
	var text strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", cut(err)
		}
		text.WriteString(line)
		next, err := c.in.Peek(len("> "))
		if err != nil {
			return "", cut(err)
		}
		if string(next) == "> " {
			_, err := c.in.Discard(len(next))
			return strings.TrimRight(text.String(), "\n"), err
		}
	}
}

// cut names the end of the stream where an answer should be.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
