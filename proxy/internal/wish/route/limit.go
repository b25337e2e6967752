package route

import (
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
)

// Limit is how many requests a client may make in a time.
type Limit struct {
	Requests int
	Per      time.Duration
}

// The bounds of a rateLimit.
const (
	mostRequests = 1_000_000
	leastPer     = time.Second
	mostPer      = 24 * time.Hour
)

// limit reads rateLimit, "100/10s".
func limit(g label.Group) *Limit {
	if !g.Has("rateLimit") {
		return nil
	}
	count, per, _ := strings.Cut(g.Text("rateLimit", ""), "/")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	per = strings.TrimSpace(per)
	d, errTime := time.ParseDuration(per)
	if errTime != nil {
		// "100/s" is 100 in one second.
		d, errTime = time.ParseDuration("1" + per)
	}
	if err != nil || errTime != nil || n < 1 || n > mostRequests || d < leastPer || d > mostPer || d%time.Second != 0 {
		g.Reject("rateLimit", "requests and whole seconds, minutes or hours, such as 100/10s or 20/1m, up to 1000000 requests and 24h")
		return nil
	}
	return &Limit{n, d}
}
