package render

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Settings are the operator's part of the configuration.
type Settings struct {
	// Dir is where the look-up tables lie; the configuration names it.
	Dir string
	// StatsSocket is the runtime API's socket.
	StatsSocket string
	// Binds are where requests come in; those with TLS are open while CertList, the
	// path of a crt-list, is not empty, so that their ports never speak clear text.
	Binds    []Bind
	CertList string
	TLS      TLS
	// Statistics are offered on a port of their own.
	Statistics Statistics
	// MaxConn is the number of connections at a time; 0 lets HAProxy follow the
	// limit of open files.
	MaxConn int
	// HTTPReuse says which connections to tasks may be used again; "safe" if empty.
	HTTPReuse string
	// TrustedProxies are addresses whose X-Forwarded-For is kept and added to.
	TrustedProxies []netip.Prefix
	// HardStopAfter ends old workers after a reload; 0 lets them finish.
	HardStopAfter time.Duration
	// MaxReloads is how many reloads an old worker may live through; 0 is no limit.
	MaxReloads int
	// AccessLog logs every request, not only failed ones. LogFormat is HAProxy's
	// log-format of requests, TCPLogFormat that of connections that are not HTTP; JSON
	// if empty. Captures are headers that JSON shows.
	AccessLog    bool
	LogFormat    string
	TCPLogFormat string
	Captures     []Capture
	// ConnectionMode and Compression are those of services that do not choose.
	ConnectionMode string
	Compression    Compression
	// ErrorFiles are sorted by status.
	ErrorFiles []ErrorFile
	// ExtraGlobal and ExtraFrontend are the operator's raw lines.
	ExtraGlobal, ExtraFrontend []string
	// SecretsDir is where the authorities of TLS to tasks lie.
	SecretsDir string
	// Users are those of the operator, who get into services that name none.
	Users []route.User
	// Separator is that of lists, in secrets too.
	Separator string
	Timeouts  Timeouts
}

// Timeouts are HAProxy's; zero values are not allowed.
type Timeouts struct {
	Connect, Client, Server, Queue, Tunnel, HTTPRequest, HTTPKeepAlive time.Duration
}

// DefaultTimeouts are those of Docker Flow Proxy, but for that of connecting: tasks are
// near, and one that does not answer is dead. The kernel sends a lost first packet again
// after a second, for which there is just time.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect: 1200 * time.Millisecond, Client: 20 * time.Second, Server: 20 * time.Second, Queue: 30 * time.Second,
		Tunnel: time.Hour, HTTPRequest: 5 * time.Second, HTTPKeepAlive: 15 * time.Second,
	}
}

// MapPath is the path of a table or another file of ours, by which the runtime API knows it.
func (s Settings) MapPath(name string) string { return path.Join(s.Dir, name) }

// Bind is one port on which requests come in.
type Bind struct {
	Port int
	// TLS: the port speaks TLS, and is open only while there are certificates.
	TLS bool
	// AcceptProxy: every connection begins with a header of the PROXY protocol.
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

// TLS says how clients are spoken to on ports with TLS.
type TLS struct {
	// H2 offers HTTP/2 besides HTTP/1.1.
	H2 bool
	// H3 offers HTTP/3 on the same ports by UDP. H3Port is the port that clients are told
	// of, 0 that by which they came.
	H3     bool
	H3Port int
	// MinVer and MaxVer are versions such as "TLSv1.2"; without MaxVer the newest.
	MinVer, MaxVer string
	// Options are further words of ssl-default-bind-options.
	Options []string
	// Ciphers are those up to TLS 1.2, Ciphersuites those of TLS 1.3.
	Ciphers, Ciphersuites string
	// CAFile holds the authorities of client certificates; empty: none are asked for.
	CAFile string
}

// The defaults are Mozilla's intermediate ones: every client of the last ten years,
// authenticated encryption and forward secrecy only.
const (
	DefaultMinVer       = "TLSv1.2"
	DefaultCiphers      = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
	DefaultCiphersuites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)

// tlsVersions are in ascending order.
func tlsVersions() []string { return []string{"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"} }

var cipherRE = regexp.MustCompile(`^[A-Za-z0-9:+!@=_.-]*$`)

// ParseTLS reads the floor, the words of ssl-bind-options and the ciphers. HAProxy
// ignores the older words no-sslv3 and no-tlsv1x beside a floor, so they become
// part of the range here.
func ParseTLS(minVer, options, ciphers, ciphersuites string) (TLS, error) {
	t := TLS{MinVer: minVer, Ciphers: ciphers, Ciphersuites: ciphersuites}
	if !cipherRE.MatchString(ciphers) || !cipherRE.MatchString(ciphersuites) {
		return t, errors.New("ciphers: want names as OpenSSL lists them, separated by colons")
	}
	versions := tlsVersions()
	floor, top := slices.Index(versions, minVer), len(versions)-1
	if floor < 0 {
		return t, fmt.Errorf("ssl-min-ver: %q: want one of %s", minVer, strings.Join(versions, ", "))
	}
	words := strings.FieldsFunc(options, func(r rune) bool { return r == ' ' || r == ',' })
	for i := 0; i < len(words); i++ {
		word := words[i]
		verb, old, _ := strings.Cut(word, "-")
		at := slices.IndexFunc(versions, func(v string) bool { return strings.EqualFold(strings.ReplaceAll(v, ".", ""), old) })
		switch {
		case word == "no-sslv3": // below every floor
		case verb == "no" && at == len(versions)-1:
			top = min(top, at-1)
		case verb == "no" && at >= 0:
			floor = max(floor, at+1)
		case verb == "force" && at >= 0:
			floor, top = at, at
		case (word == "ssl-min-ver" || word == "ssl-max-ver") && i+1 < len(words) && slices.Contains(versions, words[i+1]):
			at, i = slices.Index(versions, words[i+1]), i+1
			if word == "ssl-min-ver" {
				floor = at
			} else {
				top = at
			}
		case word == "no-tls-tickets" || word == "prefer-client-ciphers":
			t.Options = append(t.Options, word)
		default:
			return t, fmt.Errorf("ssl-bind-options: %q: want ssl-min-ver VERSION, ssl-max-ver VERSION, no-tls-tickets, prefer-client-ciphers, no-sslv3, no-tlsv10 to no-tlsv13 or force-tlsv10 to force-tlsv13", word)
		}
	}
	if floor > top {
		return t, errors.New("ssl-bind-options: no version of TLS is left")
	}
	t.MinVer = versions[floor]
	if top < len(versions)-1 {
		t.MaxVer = versions[top]
	}
	return t, nil
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
			return nil, fmt.Errorf("%q: want header and greatest length such as User-Agent:64, several separated by commas", word)
		}
		out = append(out, Capture{name, n})
	}
	return out, nil
}

// Statistics is HAProxy's own page. Its metrics, at /metrics of the same port, need
// no password.
type Statistics struct {
	// Port is 0 if there is none.
	Port int
	// URI is what the page's path begins with.
	URI string
	// User and Password are empty if everybody may see it.
	User, Password string
}

// Compression is what services get that do not choose.
type Compression struct {
	Algo  string
	Types []string
}

// ErrorFile is the answer that replaces HAProxy's own to a status.
type ErrorFile struct {
	Status int
	Path   string
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
