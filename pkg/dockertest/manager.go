package dockertest

import (
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// Manager is the daemon of one manager, with its own view of the swarm and its own faults.
type Manager struct {
	swarm    *Swarm
	hostname string
	server   *httptest.Server
	addr     string

	// The swarm's mutex guards the rest.
	calls   map[string]int
	faults  map[string]chan struct{}
	answers map[string]answer
	hooks   map[string]func()
	streams map[chan []byte]struct{}
	// state and control are what the daemon says of itself.
	state   string
	control bool
	// past is what a manager knows that is cut off from the others.
	past *world
	// least and most are the versions of the API that it speaks.
	least, most int
	tls         *tls.Config
}

// answer is what a broken call gets instead of its own.
type answer struct {
	status int
	body   string
	cut    bool
}

func newManager(s *Swarm, hostname string) *Manager {
	return &Manager{
		swarm: s, hostname: hostname, state: "active", control: true, least: 12, most: 41,
		calls: map[string]int{}, faults: map[string]chan struct{}{}, answers: map[string]answer{}, hooks: map[string]func(){},
		streams: map[chan []byte]struct{}{},
	}
}

// Host is what to give to docker.Connect.
func (m *Manager) Host() string { return "tcp://" + m.addr }

// Stop takes the daemon away; the swarm's state stays, as in other managers.
func (m *Manager) Stop() {
	m.Mend()
	m.CutEvents()
	if m.server != nil {
		m.server.CloseClientConnections()
		m.server.Close()
		m.server = nil
	}
}

// StartAgain brings a stopped daemon back at the same address.
func (m *Manager) StartAgain() {
	t := m.swarm.t
	t.Helper()
	addr := m.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	m.addr = ln.Addr().String()
	if m.tls != nil {
		ln = tls.NewListener(ln, m.tls)
	}
	m.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: m.handler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(t.Output(), "", 0)}}
	m.server.Start()
}

// ServeTLS starts the daemon again, at the same address, with TLS.
func (m *Manager) ServeTLS(config *tls.Config) {
	m.swarm.t.Helper()
	m.Stop()
	m.tls = config
	m.StartAgain()
}

// Speaks sets which versions of the API the daemon speaks, as the number behind "1.".
func (m *Manager) Speaks(least, most int) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.least, m.most = least, most
}

// Cut parts the manager from the others: it goes on answering from what it knows, hears of
// nothing more and can change nothing. NoLeader is what follows after a while.
func (m *Manager) Cut() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.past = m.swarm.world.clone()
}

// Heal ends what Cut began. What was missed is not told.
func (m *Manager) Heal() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.past = nil
}

// world is what the manager knows of the swarm.
func (m *Manager) world() *world {
	if m.past != nil {
		return m.past
	}
	return m.swarm.world
}

// tell sends an event to all streams; a stream that does not read is cut.
func (m *Manager) tell(event []byte) {
	for c := range m.streams {
		select {
		case c <- event:
		default:
			close(c)
			delete(m.streams, c)
		}
	}
}

// Calls returns how often a call was made.
func (m *Manager) Calls(call string) int {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	return m.calls[call]
}

// Hang lets a call wait for its answer until Mend.
func (m *Manager) Hang(call string) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	if m.faults[call] == nil {
		m.faults[call] = make(chan struct{})
	}
}

// Fail makes a call answer with an HTTP status and message until Mend.
func (m *Manager) Fail(call string, status int, message string) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.answers[call] = answer{status: status, body: string(encode(map[string]string{"message": message}))}
}

// NoLeader makes the calls that need the swarm answer as they do while it has no leader.
func (m *Manager) NoLeader() {
	for _, call := range []string{Services, Inspect, Update, Nodes, Tasks} {
		m.Fail(call, http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader. "+
			"It's possible that too few managers are online. Make sure more than half of the managers are online.")
	}
}

// Truncate makes a call's answer end in its middle until Mend.
func (m *Manager) Truncate(call string) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.answers[call] = answer{cut: true}
}

// Replace makes a call answer with this body until Mend.
func (m *Manager) Replace(call, body string) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.answers[call] = answer{status: http.StatusOK, body: body}
}

// Before calls f before each answer of a call, until Mend. f may change the swarm.
func (m *Manager) Before(call string, f func()) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.hooks[call] = f
}

// Mend ends what Hang, Fail, Truncate, Replace and Before began.
func (m *Manager) Mend() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	for _, c := range m.faults {
		close(c)
	}
	clear(m.faults)
	clear(m.answers)
	clear(m.hooks)
}

// Leave makes the daemon a worker ("active") or one outside of any swarm ("inactive").
func (m *Manager) Leave(state string) {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	m.state, m.control = state, false
}

// CutEvents ends all streams of events.
func (m *Manager) CutEvents() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	for c := range m.streams {
		close(c)
		delete(m.streams, c)
	}
}

// DeafenEvents lets the present streams of events stay open without telling
// anything more, as a half-dead connection does.
func (m *Manager) DeafenEvents() {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	clear(m.streams)
}

// Listeners returns how many streams of events are open.
func (m *Manager) Listeners() int {
	m.swarm.mu.Lock()
	defer m.swarm.mu.Unlock()
	return len(m.streams)
}
