package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// spreadOf is how requests or connections are spread over the servers of a backend.
func spreadOf(b route.Backend) route.Spread {
	if b.Stream != nil {
		return b.Stream.Spread
	}
	return b.Handling.Spread
}

// spread adds to a backend how requests are spread over its servers.
func spread(base *models.BackendBase, s route.Spread) {
	switch s.Balance {
	case "":
	case "hdr":
		base.Balance = &models.Balance{Algorithm: pointer("hdr(" + s.Header + ")")}
	default:
		base.Balance = &models.Balance{Algorithm: pointer(s.Balance)}
	}
	if hashes(s.Balance) {
		// HAProxy changes the servers of a backend while it runs only if the hash is consistent.
		base.HashType = &models.HashType{Method: "consistent"}
	}
	if s.Check != nil {
		base.AdvCheck = "tcp-check"
		if s.Check.Path != "" {
			base.AdvCheck = "httpchk"
		}
		if s.Check.Timeout > 0 {
			base.CheckTimeout = millis(s.Check.Timeout)
		}
	}
	if s.TimeoutQueue > 0 {
		base.QueueTimeout = millis(s.TimeoutQueue)
	}
	if s.TimeoutConnect > 0 {
		base.ConnectTimeout = millis(s.TimeoutConnect)
	}
	if n, err := strconv.ParseInt(s.Retries, 10, 64); err == nil {
		base.Retries = pointer(n)
	}
	base.RetryOn = strings.Join(s.RetryOn, " ")
	switch s.Redispatch {
	case "yes":
		base.Redispatch = &models.Redispatch{Enabled: pointer(enabled), Interval: pointer(int64(1))}
	case "no":
		base.Redispatch = &models.Redispatch{Enabled: pointer("disabled")}
	}
}

// hashes reports whether an algorithm finds the server by a hash.
func hashes(balance string) bool { return balance == "source" || balance == "uri" || balance == "hdr" }

// checkBy writes what a check by HTTP asks, and which answers are good.
func (r *rules) checkBy(c *route.Check) {
	if c == nil || c.Path == "" {
		return
	}
	host := file.Q(c.Host).String()
	r.add(
		r.httpCheck(models.HTTPCheck{
			Type: "send", Method: "GET", URI: file.Q(c.Path).String(), Version: "HTTP/1.1",
			CheckHeaders: []*models.ReturnHeader{{Name: pointer("host"), Fmt: &host}},
		}),
		r.httpCheck(models.HTTPCheck{Type: "expect", Match: "status", Pattern: c.Status}),
	)
}

// spreadOptions are the words behind the address of a server that say how many
// requests it gets, and that HAProxy cannot change while it runs.
func spreadOptions(s route.Spread, sni string) []file.Word {
	var out []file.Word
	number := func(word string, n int) {
		if n > 0 {
			out = append(out, bare(word, strconv.Itoa(n))...)
		}
	}
	duration := func(word string, d time.Duration) {
		if d > 0 {
			out = append(out, bare(word, strconv.FormatInt(d.Milliseconds(), 10)+"ms")...)
		}
	}
	number("maxqueue", s.MaxQueue)
	duration("slowstart", s.SlowStart)
	if hashes(s.Balance) {
		// The usual key is a number that depends on the order in which servers were added.
		out = append(out, bare("hash-key", "addr-port")...)
	}
	if c := s.Check; c != nil {
		out = append(out, file.W("check"))
		duration("inter", c.Interval)
		number("fall", c.Fall)
		number("rise", c.Rise)
		if sni != "" {
			out = append(out, bare("check-sni", sni)...)
		}
	}
	return out
}
