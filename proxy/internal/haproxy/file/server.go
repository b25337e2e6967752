package file

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Server is one task.
type Server struct {
	// Name is the address's text; it is unique within its backend.
	Name string
	Addr netip.AddrPort
	// weight is one more than how much the server counts, 0 if nothing is said about it.
	weight int
	// MaxConn is how many connections it gets at a time, 0 for any number. It and the weight
	// can be changed while HAProxy runs.
	MaxConn int
	// Options are the words behind all that.
	Options []Word
}

// The words of a server that HAProxy can change while it runs. They come first, in this
// order.
const (
	weightWord  = "weight"
	maxConnWord = "maxconn"
	// checkWord has HAProxy check a server.
	checkWord = "check"
)

// Weight is how much a server counts.
func (s Server) Weight() int {
	if s.weight == 0 {
		return 1
	}
	return s.weight - 1
}

// Weighted returns the server with a weight, which is said even if it is the usual one.
func (s Server) Weighted(weight int) Server {
	s.weight = weight + 1
	return s
}

// WithWeight returns the server with another weight, or as it is if it has that.
func (s Server) WithWeight(weight int) Server {
	if s.Weight() == weight {
		return s
	}
	return s.Weighted(weight)
}

// Words are those behind the address.
func (s Server) Words() []Word {
	var out []Word
	if s.weight > 0 {
		out = append(out, W(weightWord), W(strconv.Itoa(s.weight-1)))
	}
	if s.MaxConn > 0 {
		out = append(out, W(maxConnWord), W(strconv.Itoa(s.MaxConn)))
	}
	return append(out, s.Options...)
}

// line is the server's in its backend.
func (s Server) line() Line {
	return Line{Words: append([]Word{W(serverWord), W(s.Name), W(s.Addr.String())}, s.Words()...), Flags: Local}
}

// Checked reports whether HAProxy checks a server's health.
func (s Server) Checked() bool {
	return slices.ContainsFunc(s.Options, func(w Word) bool { return w.text == checkWord })
}

// Equal reports whether two servers are the same in everything.
func (s Server) Equal(other Server) bool {
	return s.weight == other.weight && s.MaxConn == other.MaxConn && s.Becomes(other)
}

// Becomes reports whether a running server can be made another one without being added
// anew.
func (s Server) Becomes(other Server) bool {
	return s.Name == other.Name && s.Addr == other.Addr && slices.Equal(s.Options, other.Options)
}

// numbers takes off the words that can be changed while HAProxy runs.
func (s *Server) numbers(options []Word) {
	take := func(word string) (int, bool) {
		if len(options) < 2 || options[0].text != word {
			return 0, false
		}
		n, err := strconv.Atoi(options[1].text)
		if err != nil {
			return 0, false
		}
		options = options[2:]
		return n, true
	}
	if n, ok := take(weightWord); ok {
		s.weight = n + 1
	}
	s.MaxConn, _ = take(maxConnWord)
	if len(options) > 0 {
		s.Options = options
	}
}

// Backend is one backend with its servers.
type Backend struct {
	*Section
	// Servers are sorted by name.
	Servers []Server
}

// Plain is whether a backend has no lines of its own, so that HAProxy 3.4 can be told of it
// while it runs.
func (b Backend) Plain() bool { return len(b.Lines) == 0 }

// ServerName is the name of the server of an address within a backend. In one
// that several services share it tells whose it is.
func ServerName(b route.Backend, a netip.Addr) string {
	if b.Share.Group != "" {
		return b.Share.Member + ":" + a.String()
	}
	return a.String()
}
