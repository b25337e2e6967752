package bus

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// stalled answers nothing until the context ends, like a resolver that was asked
// for a name that nobody knows.
type stalled struct{}

func (stalled) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type known map[string]netip.Addr

func (k known) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return []netip.Addr{k[host]}, nil
}

func TestDialDoesNotWaitForAResolverThatStalls(t *testing.T) {
	d := &dialer{resolver: stalled{}}
	start := time.Now()
	if _, err := d.Dial("tcp", "waggle_listener:4222"); err == nil {
		t.Fatal("connected to nothing")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("gave up after %v, want about %v", took, lookupTimeout)
	}
}

func TestDialAsksForTheAbsoluteName(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := &dialer{resolver: known{"waggle_listener.": netip.MustParseAddr("127.0.0.1")}}
	conn, err := d.Dial("tcp", "waggle_listener:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// coming answers nothing until the service has come.
type coming struct {
	come chan struct{}
	at   netip.Addr
}

func (c coming) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	select {
	case <-c.come:
		return []netip.Addr{c.at}, nil
	default:
		return nil, errors.New("no such host")
	}
}

func TestAPatientAttemptSeesAServiceThatComes(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := coming{make(chan struct{}), netip.MustParseAddr("127.0.0.1")}
	d := &dialer{resolver: c}
	d.attempts.Store(patientEvery - 1)
	time.AfterFunc(300*time.Millisecond, func() { close(c.come) })
	start := time.Now()
	conn, err := d.Dial("tcp", "a-name-that-is-nowhere.invalid:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("connected after %v", took)
	}
}
