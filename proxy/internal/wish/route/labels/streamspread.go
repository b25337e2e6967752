package labels

import (
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// algorithms of balanceGroup. The word static-rr of old means roundrobin, because
// HAProxy can change the servers of a static algorithm by a reload alone.
func algorithms() []string {
	return []string{"roundrobin", "leastconn", "first", "random", "source", staticRR}
}

const staticRR = "static-rr"

// balanceLabel is the label that says how connections are balanced.
func balanceLabel(g label.Group) string {
	if g.Has("balance") {
		return "balance"
	}
	return "balanceGroup"
}

// streamSpread reads how connections that are not HTTP are spread over tasks.
func streamSpread(g label.Group) route.Spread {
	s := limits(g)
	if s.Balance = g.OneOf(balanceLabel(g), "", algorithms()...); s.Balance == staticRR {
		s.Balance = "roundrobin"
	}
	s.Check = connectionCheck(g)
	return s
}

// spreadTerms adds what is said about how connections are spread.
func spreadTerms(t *route.Terms, s route.Spread) {
	t.Text("balanceGroup", s.Balance)
	t.Text("retries", s.Retries)
	t.Text("redispatch", map[string]string{"yes": "true", "no": "false"}[s.Redispatch])
	t.Duration("timeoutQueue", s.TimeoutQueue)
	t.Duration("timeoutConnect", s.TimeoutConnect)
	t.Duration("slowStart", s.SlowStart)
	t.Number("maxConn", s.MaxConn)
	t.Number("maxQueue", s.MaxQueue)
	if c := s.Check; c != nil {
		t.Duration("checkInterval", c.Interval)
		t.Duration("checkTimeout", c.Timeout)
		t.Number("checkFall", c.Fall)
		t.Number("checkRise", c.Rise)
	}
}
