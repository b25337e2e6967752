// Package pathtest has the paths that tests ask for to get past what guards another one, and
// requests that carry a path exactly as it is written.
package pathtest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Spellings are ways to write a path that some task takes for /admin.
func Spellings() []string {
	return []string{
		"/admin", "/%61dmin", "/%61%64%6d%69%6E", "//admin", "///admin", "/./admin", "/x/../admin", "/x/%2e%2E/admin", "/x/.%2e/admin", "/.//admin",
		"/x//../admin", "/../admin", "/%2e/admin", "/%2fadmin", "/%5Cadmin", `/\admin`, `/x\..\admin`, "/x%2f..%2fadmin", "/;/admin", "/;a=b/admin", "/x/..;/admin",
		"/x%2Fy/../../admin", "/a/b%2fc/../../../admin", "/admin;x", "/admin%3Bx", "/x/..;y/admin;a=b", "/;%2fx/admin", `/;\x/admin`,
	}
}

// Harmless are paths that look like such spellings, are none, and must get to the task as they
// are written.
func Harmless() []string {
	return []string{"/public", "/a//b", "/a%2Fb", "/caf%C3%A9", "/a/%7Eb", "/a;b=c", "/100%25", "/a/../b", "/.hidden", `/a\b`}
}

// Request asks a server (https://host:port) for a path as it is written; HTTP clients would
// put many of them right. A path for which there is no way to do so is an error.
func Request(ctx context.Context, server, path string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server, nil)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, "//") {
		// An opaque text that begins like this would be sent with the scheme in front.
		req.URL.RawPath = path
		if req.URL.Path, err = url.PathUnescape(path); err != nil {
			return nil, err
		}
	} else {
		req.URL.Opaque = path
	}
	if sent := req.URL.RequestURI(); sent != path {
		return nil, fmt.Errorf("the path %s would be sent as %s", path, sent)
	}
	return req, nil
}
