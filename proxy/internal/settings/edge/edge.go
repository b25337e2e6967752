// Package edge reads the texts in which the operator says by which ports, by which TLS and
// with which further lines requests come in. Their forms are those of Docker Flow Proxy's
// settings. It is pure.
package edge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Bind is one port on which requests come in.
type Bind struct {
	Port int
	// TLS: the port speaks TLS, and is open only while there are certificates.
	TLS bool
	// AcceptProxy: connections begin with a header of the PROXY protocol, if there are
	// trusted proxies those of them.
	AcceptProxy bool
}

// ParseBinds reads ports as Docker Flow's settings write them, separated by commas:
// "80", "443:ssl", "80 accept-proxy". The result is sorted by port.
func ParseBinds(text string) ([]Bind, error) {
	byPort := map[int]Bind{}
	for word := range strings.SplitSeq(text, ",") {
		f := strings.Fields(word)
		if len(f) == 0 {
			continue
		}
		number, tls := strings.CutSuffix(f[0], ":ssl")
		port, err := strconv.Atoi(number)
		if err != nil || port < 1 || port > 65535 || len(f) > 2 || len(f) == 2 && f[1] != "accept-proxy" {
			return nil, fmt.Errorf("%q: want ports such as 80, 443:ssl or 80 accept-proxy, separated by commas", strings.TrimSpace(word))
		}
		b := Bind{Port: port, TLS: tls, AcceptProxy: len(f) == 2}
		if first, ok := byPort[port]; ok && first != b {
			return nil, fmt.Errorf("port %d is there twice, in two ways", port)
		}
		byPort[port] = b
	}
	out := make([]Bind, 0, len(byPort))
	for _, b := range byPort {
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b Bind) int { return a.Port - b.Port })
	return out, nil
}

// Capture is a header of requests that the log shows, cut to Len bytes.
type Capture struct {
	Header string
	Len    int
}

// ParseCaptures reads "Name:length", several separated by commas.
func ParseCaptures(text string) ([]Capture, error) {
	var out []Capture
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		name, number, _ := strings.Cut(word, ":")
		n, err := strconv.Atoi(number)
		if !route.Token(name) || err != nil || n < 1 || n > 8192 {
			return nil, fmt.Errorf("%q: want header and maximum length such as User-Agent:64, several separated by commas", word)
		}
		out = append(out, Capture{name, n})
	}
	return out, nil
}

// ErrorStatuses are those whose answers HAProxy lets replace in all its versions.
func ErrorStatuses() []int {
	return []int{400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504}
}

// RawLines splits raw text, in which a comma begins a new line, as it did in Docker
// Flow Proxy.
func RawLines(text string) []string {
	var out []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
