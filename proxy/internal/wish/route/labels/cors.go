package labels

import (
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// defaultCORSMethods are those that browsers may use if corsMethods does not say.
const defaultCORSMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"

// cors reads the preset, nil if there is none.
func cors(g label.Group) *route.CORS {
	const want = "* or origins such as https://www.acme.com, without a path"
	if !g.Has("corsOrigins") {
		for _, name := range []string{"corsMethods", "corsHeaders", "corsCredentials", "corsMaxAge"} {
			if g.Has(name) {
				g.Reject(name, "a com.df.corsOrigins beside it, without which it means nothing")
			}
		}
		return nil
	}
	var origins []string
	for _, text := range g.List("corsOrigins") {
		if text = strings.ToLower(text); text != route.AnyOrigin && !route.ValidOrigin(text) {
			g.RejectText("corsOrigins", text, want)
			continue
		}
		origins = append(origins, text)
	}
	if g.Blank("corsOrigins") {
		g.Reject("corsOrigins", want)
	}
	c := &route.CORS{
		Methods: strings.Join(methods(g, "corsMethods"), ", "), Credentials: g.Bool("corsCredentials", false),
		MaxAge: g.Seconds("corsMaxAge", 0, 0, 24*time.Hour).Truncate(time.Second),
	}
	if c.Methods == "" {
		c.Methods = defaultCORSMethods
	}
	origins = unique(origins)
	if slices.Contains(origins, route.AnyOrigin) {
		origins = []string{route.AnyOrigin}
		if c.Credentials {
			g.Reject("corsOrigins", "the origins by name, because corsCredentials is true and a browser must not send credentials to a page of anybody")
		}
	}
	c.Origins = strings.Join(origins, " ")
	headers := g.List("corsHeaders")
	for _, h := range headers {
		if !route.Token(h) {
			g.RejectText("corsHeaders", h, "names of headers such as Content-Type")
		}
	}
	c.Headers = strings.Join(headers, ", ")
	return c
}
