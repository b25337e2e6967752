// Package load sends HTTP requests at a steady rate and says truly what became of
// each of them.
//
// It speaks HTTP/1.1 over its own connections, because net/http repeats a request
// by itself when a connection that was kept alive breaks, which would hide the
// very failures that are to be counted. Nothing is ever repeated here.
package load

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config says what to send.
type Config struct {
	// URL is asked; http and https are known.
	URL string
	// Others are further hosts of the same name. Where nobody listens at the first, the next is
	// tried, as by whoever has several addresses from DNS; a request that was sent never is.
	Others []string
	// Method is GET when empty. A request with another one has no body, and an
	// X-Request-Id of its own, by which who gets it can tell one from the other.
	Method string
	// Host is the Host header, that of the URL when empty.
	Host string
	// Rate is the number of requests per second over all connections; 0 means
	// as many as the connections take.
	Rate float64
	// Connections is how many requests are under way at most.
	Connections int
	// KeepAlive sends the next request of a connection over the same one.
	KeepAlive bool
	// Duration is how long requests are begun; those under way then are finished.
	Duration time.Duration
	// Timeout is how long one request may take, connecting included.
	Timeout time.Duration
	// Insecure takes any certificate.
	Insecure bool
	// Every, if not zero, calls Progress that often with what happened since
	// the last call.
	Every    time.Duration
	Progress func(Report)
}

// Kind is what became of a request.
type Kind string

// The kinds of failure. A connection that the server closed while no request was
// on it is none of them: a client is told by that to use another.
const (
	OK      Kind = ""
	Refused Kind = "refused" // nobody listens
	Reset   Kind = "reset"   // the connection was reset
	Cut     Kind = "cut"     // it was closed before the answer was complete
	Timeout Kind = "timeout"
	Status  Kind = "status" // an answer, but not 2xx
	Other   Kind = "other"  // no such name, no route, no HTTP
)

// Run sends requests until the duration has passed or the context has ended, and
// returns the report of them all. An error means that the Config is wrong.
func Run(ctx context.Context, c Config) (Report, error) {
	t, err := newTarget(c)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	start := time.Now()
	all := newTally(start)
	recent := newTally(start)
	var mu sync.Mutex // both tallies are written by every connection
	record := func(o outcome) {
		mu.Lock()
		defer mu.Unlock()
		all.add(o)
		recent.add(o)
	}

	turns := make(chan struct{})
	var workers, others sync.WaitGroup
	for range c.Connections {
		workers.Go(func() {
			var conn connection
			defer conn.close()
			for range turns {
				record(t.request(context.WithoutCancel(ctx), &conn))
			}
		})
	}
	others.Go(func() {
		defer close(turns)
		giveTurns(ctx, c.Rate, turns)
	})
	stop := make(chan struct{})
	if c.Every > 0 && c.Progress != nil {
		others.Go(func() {
			tick := time.NewTicker(c.Every)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				now := time.Now()
				mu.Lock()
				done := recent
				recent = newTally(now)
				mu.Unlock()
				c.Progress(done.report(now))
			}
		})
	}
	workers.Wait()
	close(stop)
	others.Wait()
	return all.report(time.Now()), nil
}

// giveTurns hands out one turn per request. A turn that finds all connections
// busy waits; the rate is kept on average over the next turns.
func giveTurns(ctx context.Context, rate float64, turns chan<- struct{}) {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		if rate > 0 {
			at := begin.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			// Who has fallen behind by more than a second does not make up
			// for it with a burst.
			if late := time.Since(at); late > time.Second {
				begin = begin.Add(late)
			}
			timer.Reset(time.Until(at))
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case turns <- struct{}{}:
		}
	}
}

// target is where the requests go.
type target struct {
	Config
	addresses []string
	// head and tail are what is sent, with the header of the number in between.
	head, tail string
	tls        *tls.Config
	// numbers, if not nil, count the requests that have one.
	numbers *atomic.Uint64
}

func newTarget(c Config) (*target, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("url %q: want http://host/path or https://host/path", c.URL)
	case c.Rate < 0:
		return nil, fmt.Errorf("rate %v: want 0 or more", c.Rate)
	case c.Connections < 1:
		return nil, fmt.Errorf("connections %d: want 1 or more", c.Connections)
	case c.Duration <= 0 || c.Timeout <= 0:
		return nil, fmt.Errorf("duration %v, timeout %v: want more than 0", c.Duration, c.Timeout)
	}
	t := &target{Config: c}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, host := range append([]string{u.Hostname()}, c.Others...) {
		t.addresses = append(t.addresses, net.JoinHostPort(host, port))
	}
	host := c.Host
	if host == "" {
		host = u.Host
	}
	if u.Scheme == "https" {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		t.tls = &tls.Config{ServerName: name, InsecureSkipVerify: c.Insecure, NextProtos: []string{"http/1.1"}}
	}
	t.Method = cmp.Or(c.Method, http.MethodGet)
	t.head = t.Method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: waggle-load\r\nAccept: */*\r\n"
	if !c.KeepAlive {
		t.head += "Connection: close\r\n"
	}
	t.tail = "\r\n"
	if t.Method != http.MethodGet {
		t.head += "Content-Length: 0\r\nX-Request-Id: " + rand.Text() + "-"
		t.tail, t.numbers = "\r\n\r\n", &atomic.Uint64{}
	}
	return t, nil
}

// text is the next request.
func (t *target) text() []byte {
	if t.numbers == nil {
		return []byte(t.head + t.tail)
	}
	return []byte(t.head + strconv.FormatUint(t.numbers.Add(1), 10) + t.tail)
}

// connection is one place for requests, with or without an open connection.
type connection struct {
	net.Conn
	raw    net.Conn // below TLS
	reader *bufio.Reader
	// ended is the error that reading met, which a parser of HTTP hides when
	// it finds the rest malformed.
	ended error
}

// Read is for the reader.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = err
	return n, err
}

func (c *connection) close() {
	if c.Conn != nil {
		_ = c.Conn.Close()
		c.Conn = nil
	}
}

// outcome is what became of one request.
type outcome struct {
	kind   Kind
	status int
	err    error
	began  time.Time
	took   time.Duration
	opened bool
}

// request sends one request, once.
func (t *target) request(ctx context.Context, c *connection) (o outcome) {
	if c.Conn != nil && closedByPeer(c.raw) {
		c.close()
	}
	began := time.Now()
	defer func() { o.began, o.took = began, time.Since(began) }()
	if c.Conn == nil {
		o.opened = true
		if err := t.open(ctx, c); err != nil {
			o.kind, o.err = kindOf(err), err
			return o
		}
	}
	keep := false
	defer func() {
		if !keep {
			c.close()
		}
	}()
	if err := c.SetDeadline(began.Add(t.Timeout)); err != nil {
		o.kind, o.err = Other, err
		return o
	}
	// An answer may come before the request could be written, so the reading
	// says what happened.
	_, writing := c.Write(t.text())
	res, err := http.ReadResponse(c.reader, &http.Request{Method: t.Method})
	if err == nil {
		o.status = res.StatusCode
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	switch {
	case err != nil && writing != nil:
		o.kind, o.err = kindOf(writing), writing
	case err != nil && c.ended != nil:
		o.kind, o.err = kindOf(c.ended), err
	case err != nil:
		o.kind, o.err = kindOf(err), err
	case o.status < 200 || o.status > 299:
		o.kind, o.err = Status, errors.New(res.Status)
		keep = t.KeepAlive && !res.Close
	default:
		keep = t.KeepAlive && !res.Close
	}
	return o
}

func (t *target) open(ctx context.Context, c *connection) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	var d net.Dialer
	var conn net.Conn
	var err error
	for _, address := range t.addresses {
		if conn, err = d.DialContext(ctx, "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
	}
	if err != nil {
		return err
	}
	c.Conn, c.raw = conn, conn
	if t.tls != nil {
		secure := tls.Client(conn, t.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			c.Conn = nil
			return err
		}
		c.Conn = secure
	}
	c.ended = nil
	c.reader = bufio.NewReader(c)
	return nil
}

// closedByPeer reports whether the other side has ended a connection on which
// nothing is under way. Without that look, a request would be sent into it.
func closedByPeer(c net.Conn) bool {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	closed := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		closed = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN)
	})
	return closed || err != nil
}

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Cut
	}
	return Other
}

// Kinds are the kinds of failure in the order in which they are shown.
func Kinds() []Kind { return []Kind{Refused, Reset, Cut, Timeout, Status, Other} }

// Await asks again and again, over a new connection each time, until an answer's
// status is wanted, and returns when that answer was there. Failures other than a
// status count as status 0.
func Await(ctx context.Context, c Config, every time.Duration, wanted func(status int) bool) (time.Time, error) {
	c.Connections, c.KeepAlive = 1, false
	t, err := newTarget(c)
	if err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var conn connection
		o := t.request(context.WithoutCancel(ctx), &conn)
		if o.kind != OK && o.kind != Status {
			o.status = 0
		}
		now := time.Now()
		if wanted(o.status) {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, errors.Join(fmt.Errorf("%s: last answered with status %d: %w", c.URL, o.status, ctx.Err()), o.err)
		case <-tick.C:
		}
	}
}
