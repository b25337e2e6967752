package certificates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/proxy/acmetest"
)

// city is what lies around a swarm: an authority that its nodes reach, a name server that leads
// all names to them, and the way by which the authority comes in at port 80.
type city struct {
	// perHour is the limit of orders, life how long certificates are good, a day if 0.
	perHour int
	life    time.Duration

	stack     *stack.Stack
	authority *acmetest.Authority
	front     net.Listener

	mu sync.Mutex // the authority's requests and the parts share the rest
	// trap is what becomes of a request that the authority is asked, until it has sprung.
	trap *trap
	// came is when the authority came in last, inside and most are how many of its requests are
	// dealt with and were at most.
	came         time.Time
	inside, most int
}

// trap springs at the first request below a path, at a moment. spring is called with the address
// from which it came, and the request goes on when it returns.
type trap struct {
	point
	spring func(address string)
}

// errNoCity says that a stack was deployed without an authority.
var errNoCity = errors.New("no authority was opened for this stack")

// prepare opens the authority where the nodes of a swarm reach it, and says how Waggle is deployed
// with it.
func (c *city) prepare(_ context.Context, s *stack.Stack) (stack.Extra, error) {
	for name, value := range acmetest.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return stack.Extra{}, err
		}
	}
	var err error
	if c.front, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // close ends it.
		return stack.Extra{}, err
	}
	resolver, err := acmetest.NameServer()
	if err != nil {
		return stack.Extra{}, err
	}
	c.stack = s
	c.authority, err = acmetest.Open(acmetest.Options{
		Address: net.JoinHostPort(s.Here(), "0"), Port: c.front.Addr().(*net.TCPAddr).Port, Resolver: resolver, Life: c.life, Watch: c.watch,
	})
	if err != nil {
		return stack.Extra{}, err
	}
	if c.life > 0 {
		c.authority.Alter(c.renewal)
	}
	go c.comeIn()
	file := s.Node(stack.Manager).Dir("acme.yml")
	text := fmt.Sprintf("version: \"3.9\"\nservices:\n  proxy:\n    environment:\n      ACME_EMAIL: ops@example.com\n      ACME_DIRECTORY: %s\n      ACME_ORDERS_PER_HOUR: %d\n      ACME_CA: |\n        %s\n",
		c.authority.URL, c.perHour, strings.ReplaceAll(strings.TrimSpace(c.authority.PEM()), "\n", "\n        "))
	return stack.Extra{Env: []string{"ACME_EMAIL=ops@example.com", "ACME_DIRECTORY=" + c.authority.URL}, Files: []string{file}}, os.WriteFile(file, []byte(text), 0o600)
}

// renewal has the authority name times for renewals in the first quarter of a certificate's time:
// Pebble's own are any until its end, whatever happens just before that.
func (c *city) renewal(r *http.Request, answer *httptest.ResponseRecorder) {
	if !strings.HasPrefix(r.URL.Path, acmetest.RenewalInfo) {
		return
	}
	now := time.Now().UTC()
	text := fmt.Sprintf(`{"suggestedWindow": {"start": %q, "end": %q}}`, now.Add(c.life/6).Format(time.RFC3339), now.Add(c.life/4).Format(time.RFC3339))
	answer.Code, answer.Body = http.StatusOK, bytes.NewBufferString(text)
}

func (c *city) close() {
	if c.authority != nil {
		c.authority.Close()
	}
	if c.front != nil {
		_ = c.front.Close() // Nobody comes in any more.
	}
}

// comeIn leads each connection of the authority to any of the nodes that answer.
func (c *city) comeIn() {
	for {
		in, err := c.front.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.came = time.Now()
		c.mu.Unlock()
		go func() {
			defer func() { _ = in.Close() }()
			nodes := c.stack.Nodes()
			for _, i := range rand.Perm(len(nodes)) {
				out, err := net.DialTimeout("tcp", net.JoinHostPort(c.stack.Addr(nodes[i]), "80"), time.Second) //nolint:noctx // both end with the part.
				if err != nil {
					continue
				}
				go func() { _, _ = io.Copy(out, in) }() // It ends when one of both is closed.
				_, _ = io.Copy(in, out)                 // Likewise.
				_ = out.Close()
				return
			}
		}()
	}
}

// cameIn is when the authority came in last.
func (c *city) cameIn() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.came
}

// watch counts the requests of the authority's clients, and springs traps.
func (c *city) watch(r *http.Request, moment acmetest.Moment) {
	c.mu.Lock()
	if moment == acmetest.Asked {
		c.inside++
		c.most = max(c.most, c.inside)
	} else {
		c.inside--
	}
	sprung := c.trap
	if sprung == nil || r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, sprung.path) || moment != sprung.moment {
		c.mu.Unlock()
		return
	}
	c.trap = nil
	c.mu.Unlock()
	address, _, _ := net.SplitHostPort(r.RemoteAddr)
	sprung.spring(address)
}

// set sets a trap, and returns what is closed when it has sprung and spring has returned.
func (c *city) set(p point, spring func(address string)) <-chan struct{} {
	done := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trap = &trap{p, func(address string) {
		defer close(done)
		spring(address)
	}}
	return done
}

// node is that from which a request came.
func (c *city) node(address string) (string, error) {
	for _, node := range c.stack.Nodes() {
		if c.stack.Addr(node) == address {
			return node, nil
		}
	}
	return "", fmt.Errorf("no node has the address %s", address)
}

// orders are those for a host.
func (c *city) orders(host string) (out []acmetest.Order) {
	for _, o := range c.authority.Placed() {
		if o.Host == host {
			out = append(out, o)
		}
	}
	return out
}
