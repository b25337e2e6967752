package labels

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// The hosts and codes of checks that do not say them.
const (
	defaultCheckHost   = "localhost"
	defaultCheckStatus = "200-399"
)

// The words of balance, besides hdr(Name).
func balanceWords() []string {
	return []string{"roundrobin", "leastconn", "random", "source", "uri", "first"}
}

// reuseWords are those of httpReuse.
func reuseWords() []string { return []string{"never", "safe", "aggressive", "always"} }

// HTTPReuse reports whether a text is a value of httpReuse.
func HTTPReuse(text string) bool { return slices.Contains(reuseWords(), text) }

// retryWords are what retryOn may name; HAProxy has the same.
func retryWords() []string {
	return []string{
		"none", "conn-failure", "empty-response", "junk-response", "response-timeout", "0rtt-rejected", "all-retryable-errors",
		"401", "403", "404", "408", "425", "429", "500", "501", "502", "503", "504",
	}
}

var (
	headerBalance = regexp.MustCompile(`^hdr\(([A-Za-z0-9_-]{1,64})\)$`)
	statusCodes   = regexp.MustCompile(`^[1-5][0-9]{2}(-[1-5][0-9]{2})?(,[1-5][0-9]{2}(-[1-5][0-9]{2})?){0,19}$`)
)

// spread reads how requests of HTTP are spread over tasks.
func spread(g label.Group) route.Spread {
	s := limits(g)
	if g.Has("balance") {
		word := strings.TrimSpace(g.Text("balance", ""))
		if m := headerBalance.FindStringSubmatch(word); m != nil {
			s.Balance, s.Header = "hdr", m[1]
		} else if s.Balance = strings.ToLower(word); !slices.Contains(balanceWords(), s.Balance) {
			g.Reject("balance", "one of "+strings.Join(balanceWords(), ", ")+", or hdr(Name)")
		}
	}
	s.Check = httpCheck(g)
	for _, word := range g.List("retryOn") {
		if word = strings.ToLower(word); !slices.Contains(retryWords(), word) {
			g.RejectText("retryOn", word, "some of "+strings.Join(retryWords(), ", "))
			continue
		}
		s.RetryOn = append(s.RetryOn, word)
	}
	s.RetryOn = unique(s.RetryOn)
	if len(s.RetryOn) > 1 && slices.Contains(s.RetryOn, "none") {
		g.Reject("retryOn", "none alone, or something else")
	}
	s.HTTPReuse = g.OneOf("httpReuse", "", reuseWords()...)
	return s
}

// limits reads what holds for HTTP and for other connections alike.
func limits(g label.Group) route.Spread {
	s := route.Spread{
		SlowStart:    g.Seconds("slowStart", 0, time.Second, time.Hour),
		MaxConn:      g.Int("maxConn", 0, 1, 1000000),
		MaxQueue:     g.Int("maxQueue", 0, 1, 1000000),
		TimeoutQueue: timeout(g, "timeoutQueue"), TimeoutConnect: timeout(g, "timeoutConnect"),
	}
	if g.Has("maxQueue") && !g.Has("maxConn") {
		g.Reject("maxQueue", "a com.df.maxConn beside it, without which nothing waits")
	}
	if g.Has("retries") {
		s.Retries = strconv.Itoa(g.Int("retries", 0, 0, 20))
	}
	if g.Has("redispatch") {
		s.Redispatch = "no"
		if g.Bool("redispatch", true) {
			s.Redispatch = "yes"
		}
	}
	return s
}

// httpCheck reads the check by a path.
func httpCheck(g label.Group) *route.Check {
	if !g.Has("checkPath") {
		for _, name := range []string{"checkInterval", "checkTimeout", "checkFall", "checkRise", "checkStatus", "checkHost"} {
			if g.Has(name) {
				g.Reject(name, "a com.df.checkPath beside it")
			}
		}
		return nil
	}
	c := checkTimes(g)
	c.Path, c.Host, c.Status = g.Word("checkPath", ""), g.Word("checkHost", defaultCheckHost), strings.ReplaceAll(g.Text("checkStatus", defaultCheckStatus), " ", "")
	if !strings.HasPrefix(c.Path, "/") || !route.Visible(c.Path) || len(c.Path) > 1024 {
		g.Reject("checkPath", "a path such as /health")
	}
	if !route.ValidHost(strings.ToLower(c.Host)) {
		g.Reject("checkHost", "a host name")
	}
	if !statusCodes.MatchString(c.Status) {
		g.Reject("checkStatus", "status codes such as 200-399 or 200,204")
	}
	return c
}

// checkTimes reads how often is checked, and what counts.
func checkTimes(g label.Group) *route.Check {
	return &route.Check{
		Interval: g.Seconds("checkInterval", 0, 100*time.Millisecond, time.Hour), Timeout: g.Seconds("checkTimeout", 0, 10*time.Millisecond, time.Hour),
		Fall: g.Int("checkFall", 0, 1, 1000), Rise: g.Int("checkRise", 0, 1, 1000),
	}
}

// connectionCheck reads the check of what is not HTTP.
func connectionCheck(g label.Group) *route.Check {
	if !g.Bool("checkTcp", false) {
		for _, name := range []string{"checkInterval", "checkTimeout", "checkFall", "checkRise"} {
			if g.Has(name) {
				g.Reject(name, "com.df.checkTcp=true beside it")
			}
		}
		return nil
	}
	return checkTimes(g)
}
