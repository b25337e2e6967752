package labels

import (
	"strconv"
	"time"

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

// terms are what those who share a port or a group must agree on. Who says nothing of
// something takes what others say.
type terms struct {
	scope string
	list  []route.Term
}

func (t *terms) text(label, value string) {
	if value != "" {
		t.list = append(t.list, route.Term{Scope: t.scope, About: label, Value: value, Said: []route.Said{{Label: label, Text: value}}})
	}
}

func (t *terms) number(label string, n int) {
	if n > 0 {
		t.text(label, strconv.Itoa(n))
	}
}

func (t *terms) duration(label string, d time.Duration) {
	if d > 0 {
		t.text(label, d.String())
	}
}

func (t *terms) spread(s route.Spread) {
	t.text("balanceGroup", s.Balance)
	t.text("retries", s.Retries)
	t.text("redispatch", map[string]string{"yes": "true", "no": "false"}[s.Redispatch])
	t.duration("timeoutQueue", s.TimeoutQueue)
	t.duration("timeoutConnect", s.TimeoutConnect)
	t.duration("slowStart", s.SlowStart)
	t.number("maxConn", s.MaxConn)
	t.number("maxQueue", s.MaxQueue)
	if c := s.Check; c != nil {
		t.duration("checkInterval", c.Interval)
		t.duration("checkTimeout", c.Timeout)
		t.number("checkFall", c.Fall)
		t.number("checkRise", c.Rise)
	}
}
