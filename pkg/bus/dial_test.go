package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
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

// The other servers are tried soon, although nothing says that this one is not there.
func TestAnAddressThatSaysNothingIsGivenUpSoon(t *testing.T) {
	address := silent(t)
	d := &dialer{}
	start := time.Now()
	if _, err := d.Dial("tcp", address); err == nil {
		t.Fatal("connected to who accepts nobody")
	}
	if took := time.Since(start); took < connTimeout/2 || took > 3*connTimeout {
		t.Errorf("gave up after %v, want about %v", took, connTimeout)
	}
}

// silent returns an address at which connecting is neither accepted nor refused: as many wait
// already as the system lets wait.
func silent(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	tooltest.Must(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	tooltest.Must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	tooltest.Must(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	tooltest.Must(t, err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 10 {
		conn, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("whoever waits is let in")
	return ""
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

// zone answers by name, and remembers what it was asked.
type zone struct {
	mu    sync.Mutex
	names map[string]netip.Addr
	asked []string
}

func (z *zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, host)
	if a, ok := z.names[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, errors.New("no such host")
}

// serve accepts connections at an address, with TLS of those keys, or silently.
func serve(t *testing.T, address string, keys map[string]string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var config *tls.Config
	if keys != nil {
		if config, err = ServerTLS(keys); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if config != nil {
					server := tls.Server(conn, config)
					if server.HandshakeContext(context.Background()) != nil {
						conn.Close()
					}
				}
			}()
		}
	}()
	return l
}

func TestAStrangerUnderTheNameCostsMilliseconds(t *testing.T) {
	keys := map[string]string{"proxy": "the-key-of-the-proxy"}
	ids, err := identities("proxy", keys["proxy"])
	if err != nil {
		t.Fatal(err)
	}
	own := serve(t, "127.0.0.1:0", keys)
	_, port, err := net.SplitHostPort(own.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serve(t, "127.0.0.2:"+port, map[string]string{"proxy": "a-key-of-a-stranger"})
	serve(t, "127.0.0.3:"+port, nil) // says nothing at all
	at := netip.MustParseAddr
	for name, c := range map[string]struct {
		names map[string]netip.Addr
		peers []string
		limit time.Duration
	}{
		"the name on the control network comes first": {names: map[string]netip.Addr{"waggle_listener.": at("127.0.0.2"), "waggle_listener.waggle_control.": at("127.0.0.1")}, limit: time.Second},
		"a peer comes before the bare name":           {names: map[string]netip.Addr{"waggle_listener.": at("127.0.0.2")}, peers: []string{"127.0.0.1:" + port}, limit: time.Second},
		"a stranger on the control network":           {names: map[string]netip.Addr{"waggle_listener.": at("127.0.0.1"), "waggle_listener.waggle_control.": at("127.0.0.2")}, limit: time.Second},
		"one that is silent":                          {names: map[string]netip.Addr{"waggle_listener.": at("127.0.0.1"), "waggle_listener.waggle_control.": at("127.0.0.3")}, limit: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			z := &zone{names: c.names}
			d := &dialer{resolver: z, network: "waggle_control", tls: pinned(ids), log: slog.New(slog.DiscardHandler)}
			if c.peers != nil {
				d.peers = func() []string { return c.peers }
			}
			start := time.Now()
			conn, err := d.Dial("tcp", "waggle_listener:"+port)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if took := time.Since(start); took > c.limit {
				t.Errorf("it took %v", took)
			}
			if host, _, _ := net.SplitHostPort(conn.RemoteAddr().String()); host != "127.0.0.1" {
				t.Errorf("connected to %s", host)
			}
			if !slices.Contains(z.asked, "waggle_listener.waggle_control.") || !slices.Contains(z.asked, "waggle_listener.") {
				t.Errorf("asked for %v", z.asked)
			}
		})
	}
	d := &dialer{resolver: &zone{names: map[string]netip.Addr{"waggle_listener.": at("127.0.0.2")}}, tls: pinned(ids), log: slog.New(slog.DiscardHandler)}
	if _, err := d.Dial("tcp", "waggle_listener:"+port); err == nil {
		t.Error("a stranger alone is believed")
	}
}
