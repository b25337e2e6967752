package route

import (
	"cmp"
	"strconv"

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

// spreadSettings enters what the members of a group must agree on.
func (s *Stream) spreadSettings(scope string, spread Spread) {
	text := func(label, value string) {
		if value != "" {
			s.settings = append(s.settings, setting{scope, label, value})
		}
	}
	number := func(label string, n int) {
		if n > 0 {
			text(label, strconv.Itoa(n))
		}
	}
	text("balanceGroup", spread.Balance)
	text("retries", spread.Retries)
	text("redispatch", map[string]string{"yes": "true", "no": "false"}[spread.Redispatch])
	s.setting(scope, "timeoutQueue", spread.TimeoutQueue)
	s.setting(scope, "timeoutConnect", spread.TimeoutConnect)
	s.setting(scope, "slowStart", spread.SlowStart)
	number("maxConn", spread.MaxConn)
	number("maxQueue", spread.MaxQueue)
	if c := spread.Check; c != nil {
		s.setting(scope, "checkInterval", c.Interval)
		s.setting(scope, "checkTimeout", c.Timeout)
		number("checkFall", c.Fall)
		number("checkRise", c.Rise)
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
