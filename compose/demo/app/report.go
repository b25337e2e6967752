package main

import (
	"io"
	"net/http"
)

// reporting tells of each request that has an X-Request-Id before it is served, so that
// somebody who outlives this process can say whether one arrived twice.
func reporting(to io.Writer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Request-Id"); id != "" {
			_, _ = to.Write([]byte(id)) // Who listens has gone; requests do not depend on that.
		}
		next.ServeHTTP(w, r)
	})
}
