package scaling

import (
	"strings"
	"time"
)

// What proxies say of services that may sleep stands in the bucket of signals, where they
// may write these keys and no others.
const (
	// WakePrefix is followed by the ID of a service for which a request waits.
	WakePrefix = "_wake."
	// OpenPrefix is followed by the name of a proxy's instance, which says there how many
	// connections are open.
	OpenPrefix = "_open."
)

// WakeStands is how long the word counts that a request waits. A proxy repeats it, no more
// often than every 5 s, while one does.
const WakeStands = 30 * time.Second

// OpenEvery is how often a proxy says which connections are open, while there is a service
// that may sleep. One that was not heard of for OpenStands is silent.
const (
	OpenEvery  = 10 * time.Second
	OpenStands = 30 * time.Second
)

// Wake says that a request waits for a service without tasks.
type Wake struct {
	ServiceID string    `json:"serviceId"`
	Service   string    `json:"service"`
	Proxy     string    `json:"proxy"`
	At        time.Time `json:"at"`
}

// Open says how many connections are open through one proxy.
type Open struct {
	Proxy string    `json:"proxy"`
	At    time.Time `json:"at"`
	// Connections are those of services that may sleep, by ID; one that is not there has none.
	Connections map[string]int `json:"connections"`
}

// MaySleep reports whether labels, with their prefix, let the number of a service go to 0.
func MaySleep(prefix string, labels map[string]string) bool {
	for full, text := range labels {
		name, ok := strings.CutPrefix(full, prefix)
		if ok && (name == Min || strings.HasPrefix(name, Min+".")) && strings.TrimSpace(text) == "0" {
			return true
		}
	}
	return false
}
