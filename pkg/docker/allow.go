package docker

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Allow is the list of calls that a client may make.
type Allow int

const (
	// AllowRead lets a client read the swarm.
	AllowRead Allow = iota
	// AllowScale lets it update services besides.
	AllowScale
)

// The calls, without the version before them. Identifiers are as Swarm makes
// them, so that no path can lead elsewhere.
var (
	readable  = regexp.MustCompile(`^/(_ping|version|info|events|services(/[A-Za-z0-9][A-Za-z0-9_.-]*)?|nodes|networks|tasks)$`)
	writable  = regexp.MustCompile(`^/services/[A-Za-z0-9][A-Za-z0-9_.-]*/update$`)
	versioned = regexp.MustCompile(`^/v[0-9]+\.[0-9]+/`)
)

// permits reports whether a call with this method and path, without version, is allowed.
func (a Allow) permits(method, path string) bool {
	switch method {
	case http.MethodHead:
		return path == "/_ping"
	case http.MethodGet:
		return readable.MatchString(path)
	case http.MethodPost:
		return a == AllowScale && writable.MatchString(path)
	}
	return false
}

// guard is the one way out: it refuses what is not allowed before anything is sent.
type guard struct {
	allow    Allow
	basePath string
	next     http.RoundTripper
}

// RoundTrip sends the request if it is allowed.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), strings.TrimSuffix(g.basePath, "/"))
	if v := versioned.FindString(path); v != "" {
		path = path[len(v)-1:]
	}
	if !g.allow.permits(r.Method, path) {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the body also when it fails
		}
		return nil, fmt.Errorf("%w: %s %s", ErrNotAllowed, r.Method, path)
	}
	return g.next.RoundTrip(r)
}
