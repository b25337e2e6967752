// Package routetest is for tests of routes: services made of pairs, and how a request is
// found.
package routetest

import "github.com/wagglehq/waggle/proxy/internal/wish/route"

// Request is what a route is found by.
type Request = route.Request

// Find returns the backend of a request as HAProxy finds it in the tables.
func Find(t route.Tables, r Request) (backend string, ok bool) { return t.Find(r) }

// Holds reports whether a condition is true of a request.
func Holds(c route.Condition, r Request) bool { return c.Holds(r) }
