package route

import (
	"time"
)

// DefaultRetries is how often a request is tried again unless a label says otherwise.
// Each try goes to another task, and one at a dead node takes 1.2 s, so that all together
// they last until DNS drops the node's tasks, after some six seconds.
const DefaultRetries = 5

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
