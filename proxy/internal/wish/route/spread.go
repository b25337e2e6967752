package route

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
)

// Spread is how requests, or connections, are spread over tasks. Its zero value is
// what the settings say.
type Spread struct {
	// Balance is an algorithm of HAProxy; Header is what "hdr" looks at.
	Balance, Header string
	// Check is nil without health checks.
	Check *Check
	// SlowStart is how long a task that comes back takes to get its whole share.
	SlowStart time.Duration
	// MaxConn is how many connections a task gets at a time, MaxQueue how many
	// requests wait for it; 0 is no limit.
	MaxConn, MaxQueue int
	// TimeoutQueue and TimeoutConnect are 0 for the default.
	TimeoutQueue, TimeoutConnect time.Duration
	// Retries is empty for the default, RetryOn too.
	Retries string
	RetryOn []string
	// Redispatch is "yes" or "no", empty for the default.
	Redispatch string
	// HTTPReuse is a word of HAProxy, empty for the default.
	HTTPReuse string
}

// Check is an active health check.
type Check struct {
	// Path is asked for by HTTP; if it is empty, a connection is enough.
	Path, Host string
	// Status are the codes of a healthy task ("200-399").
	Status string
	// Interval, Timeout, Fall and Rise are 0 for HAProxy's defaults.
	Interval, Timeout time.Duration
	Fall, Rise        int
}

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
func spread(g label.Group) Spread {
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
func limits(g label.Group) Spread {
	s := Spread{
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
func httpCheck(g label.Group) *Check {
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
	if !strings.HasPrefix(c.Path, "/") || !visible(c.Path) || len(c.Path) > 1024 {
		g.Reject("checkPath", "a path such as /health")
	}
	if !validHost(strings.ToLower(c.Host)) {
		g.Reject("checkHost", "a host name")
	}
	if !statusCodes.MatchString(c.Status) {
		g.Reject("checkStatus", "status codes such as 200-399 or 200,204")
	}
	return c
}

// checkTimes reads how often is checked, and what counts.
func checkTimes(g label.Group) *Check {
	return &Check{
		Interval: g.Seconds("checkInterval", 0, 100*time.Millisecond, time.Hour), Timeout: g.Seconds("checkTimeout", 0, 10*time.Millisecond, time.Hour),
		Fall: g.Int("checkFall", 0, 1, 1000), Rise: g.Int("checkRise", 0, 1, 1000),
	}
}

// connectionCheck reads the check of what is not HTTP.
func connectionCheck(g label.Group) *Check {
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
