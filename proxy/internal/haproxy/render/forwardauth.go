package render

import (
	_ "embed"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

//go:embed forwardauth.lua
var forwardScript string

// forwardResolvers asks the system's DNS, Docker's within a swarm, while HAProxy runs.
const forwardResolvers = "waggle"

// forwardScriptName is the name of its file.
func forwardScriptName() string { return scriptName("forwardauth", forwardScript) }

// forwardLines are what asking elsewhere needs of the global section, forwardSection is the
// section that it needs. Names are looked up for each request that needs one, so that none
// is missing at a check.
func forwardLines() []file.Line {
	return []file.Line{
		lineOf("httpclient.resolvers.id", forwardResolvers),
		lineOf("httpclient.resolvers.prefer", "ipv4"),
		lineOf("httpclient.timeout.connect", "1000"),
		lineOf("httpclient.retries", "1"),
	}
}

func forwardSection(s Settings) *file.Section {
	return file.NewSection(s.Dir, "resolvers", forwardResolvers, "",
		lineOf("parse-resolv-conf"),
		lineOf("resolve_retries", "2"),
		lineOf("timeout", "resolve", "1000"),
		lineOf("timeout", "retry", "1000"),
		lineOf("hold", "valid", "1000"),
	)
}

// askElsewhere asks for a decision. A request goes on only if the script says so: if it
// fails, whatever the reason, the answer is 503.
func (r *rules) askElsewhere(f *route.ForwardAuth) {
	names := strings.Fields(f.Headers)
	for _, name := range names {
		r.delAlike(name)
	}
	list := "-"
	if len(names) > 0 {
		list = strings.Join(names, ",")
	}
	r.onRequest(models.HTTPRequestRule{Type: "lua", LuaAction: "waggle_forward_auth", LuaParams: file.Q(f.URL).String() + " " + list}, always)
	r.deny(503, file.Unless(file.Is(file.Variable("forward_auth"), bare("-m", "str", "in")...)))
}
