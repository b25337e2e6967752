package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// chat stands in for Slack: it takes what Alertmanager sends to a webhook of Slack's, and
// keeps it.
type chat struct {
	// jobs wait outside of the swarm, by which services are scaled.
	jobs     atomic.Int64
	mu       sync.Mutex // Alertmanager sends while scenarios read
	messages []message
	// alive is when the sign of life came last.
	alive   time.Time
	server  *http.Server
	address string
	// names knows none; nil if nobody asks.
	names *dns.Server
	// below is the path before all of Prometheus' on the swarm that was prepared last.
	below string
}

// over is the colour of a message that something is well again.
const over = "good"

// message is what people read, of one that has come.
type message struct {
	Title string `json:"title"`
	Link  string `json:"title_link"`
	Text  string `json:"text"`
	Color string `json:"color"`
	// at is when it came.
	at time.Time
}

// prepare begins to listen where the tasks of a swarm reach this process, and says how Waggle
// is deployed with it.
func (c *chat) prepare(ctx context.Context, s *stack.Stack) (stack.Extra, error) {
	if err := c.listen(ctx, s.Here()); err != nil {
		return stack.Extra{}, err
	}
	c.below = below
	return deployment(ctx, s, c.address)
}

// listen begins to take messages at a free port of an address; whom it heard before it hears no
// more.
func (c *chat) listen(ctx context.Context, host string) error {
	c.close()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return err
	}
	c.address = ln.Addr().String()
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = c.server.Serve(ln) }() // It ends when it is closed.
	return nil
}

// Chat is the same stand-in for others who deploy Waggle.
type Chat struct{ chat }

// Listen begins to take messages at a free port of an address, and returns the URL for Slack.
func (c *Chat) Listen(ctx context.Context, host string) (url string, err error) {
	err = c.listen(ctx, host)
	return "http://" + c.address + "/services/T0/B0/KEY", err
}

// Close ends it.
func (c *Chat) Close() { c.close() }

// Told is a condition: a message with these words has come.
func (c *Chat) Told(words ...string) error {
	w := world{chat: &c.chat}
	return w.says(0, false, words...)(context.Background())
}

func (c *chat) close() {
	if c.server != nil {
		_ = c.server.Close() // Nobody listens any more.
	}
	if c.names != nil {
		_ = c.names.Shutdown() // Nobody asks any more.
	}
}

// ServeHTTP takes messages, and has a metric besides for who scrapes a target outside of the
// swarm.
func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/metrics" {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, "outside 1\njobs %d\n", c.jobs.Load()) // The client has gone; there is nobody to tell.
		return
	}
	if r.URL.Path == signOfLife {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.alive = time.Now()
		return
	}
	c.take(r)
	// Without these words Alertmanager takes a message for lost, and never says that it is over.
	_, _ = w.Write([]byte("ok"))
}

// take keeps the attachments of a message.
func (c *chat) take(r *http.Request) {
	var body struct {
		Attachments []message `json:"attachments"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Attachments) == 0 {
		body.Attachments = []message{{Title: "what Slack does not take", Text: r.URL.Path}}
	}
	now := time.Now()
	for i := range body.Attachments {
		body.Attachments[i].at = now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, body.Attachments...)
}

// signOfLife is where a service outside of the cluster would hear that alerts are evaluated
// and sent.
const signOfLife = "/alive"

// lived is when the sign of life came last.
func (c *chat) lived() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive
}

// since returns the messages that have come after the first n.
func (c *chat) since(n int) []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]message(nil), c.messages[n:]...)
}

// count is how many have come.
func (c *chat) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.messages)
}
