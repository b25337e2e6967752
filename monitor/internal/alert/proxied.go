package alert

import (
	"strconv"
	"time"
)

// Proxies are who counts and measures the requests for every service.
type Proxies struct {
	// Job is their job in Prometheus; empty: they are not scraped.
	Job string
	// Interval is how often they are scraped; 0 if that is not known.
	Interval time.Duration
}

// unscraped says why what they count cannot be had.
const unscraped = "which needs the metrics of the proxies: they are not scraped, because monitor runs with an empty own-stack"

// The values that shortcuts of the proxies' metrics take beside those of the others.
const (
	quantile     valueKind = "a quantile above 0 and below 1, such as 0.95"
	latencyBound valueKind = "a number of seconds above 0 and below 10, which is the longest that the proxies tell apart"
)

// longestLatency is the last bound of the proxies' histogram, in seconds.
const longestLatency = 10

// proxied is check for these.
func (k valueKind) proxied(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	below := map[valueKind]float64{quantile: 1, latencyBound: longestLatency}[k]
	return err == nil && numberPattern.MatchString(text) && f > 0 && f < below
}
