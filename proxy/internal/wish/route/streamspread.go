package route

import (
	"cmp"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
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
func streamSpread(g label.Group) Spread {
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
	list  []Term
}

func (t *terms) text(label, value string) {
	if value != "" {
		t.list = append(t.list, Term{Scope: t.scope, About: label, Value: value, Said: []Said{{Label: label, Text: value}}})
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

func (t *terms) spread(s Spread) {
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

// mergeSpread adds to what one member of a group says what another says; they do
// not contradict each other.
func mergeSpread(a, b Spread) Spread {
	a.Balance = cmp.Or(a.Balance, b.Balance)
	a.Retries = cmp.Or(a.Retries, b.Retries)
	a.Redispatch = cmp.Or(a.Redispatch, b.Redispatch)
	a.TimeoutQueue = cmp.Or(a.TimeoutQueue, b.TimeoutQueue)
	a.TimeoutConnect = cmp.Or(a.TimeoutConnect, b.TimeoutConnect)
	a.SlowStart = cmp.Or(a.SlowStart, b.SlowStart)
	a.MaxConn = cmp.Or(a.MaxConn, b.MaxConn)
	a.MaxQueue = cmp.Or(a.MaxQueue, b.MaxQueue)
	switch {
	case b.Check == nil:
	case a.Check == nil:
		a.Check = b.Check
	default:
		a.Check = &Check{
			Interval: cmp.Or(a.Check.Interval, b.Check.Interval), Timeout: cmp.Or(a.Check.Timeout, b.Check.Timeout),
			Fall: cmp.Or(a.Check.Fall, b.Check.Fall), Rise: cmp.Or(a.Check.Rise, b.Check.Rise),
		}
	}
	return a
}
