package render

import (
	_ "embed"
	"net/netip"
	"slices"
	"strconv"
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

// forwardForbidden is the list of the networks in which nobody may be whom a label has asked.
// It changes while HAProxy runs, as the swarm does.
const forwardForbidden = "forwardauth.forbidden" + file.ListEnd

// forwardLines are what asking elsewhere needs of the global section, forwardSection is the
// section that it needs. Names are looked up for each request that needs one, so that none
// is missing at a check.
func forwardLines() []file.Line {
	return []file.Line{
		lineOf("httpclient.timeout.connect", "1000"),
		lineOf("httpclient.retries", "1"),
	}
}

func forwardSection(s Settings) *file.Section {
	servers := lineOf("parse-resolv-conf")
	if s.NameServer.IsValid() {
		servers = lineOf("nameserver", "one", s.NameServer.String())
	}
	return file.NewSection(s.Dir, "resolvers", forwardResolvers, "",
		servers,
		lineOf("resolve_retries", "2"),
		lineOf("timeout", "resolve", "1000"),
		lineOf("timeout", "retry", "1000"),
		lineOf("hold", "valid", "1000"),
	)
}

// askElsewhere asks for a decision. A request goes on only if the script says so: if it
// fails, whatever the reason, the answer is 503. It asks the very address that was judged, so
// that a name that means something else a moment later leads nowhere.
func (r *rules) askElsewhere(s Settings, f *route.ForwardAuth) {
	to, host := file.Variable("forward_to"), "str("+f.Host+")"
	if _, err := netip.ParseAddr(f.Host); err == nil {
		r.set("forward_to", host, always)
	} else {
		r.onRequest(models.HTTPRequestRule{Type: "do-resolve", VarName: "txn.forward_to", Resolvers: forwardResolvers, Protocol: "ipv4", Expr: host}, always)
	}
	if !f.Anywhere {
		r.deny(503, file.If(file.Is(to, bare("-m", "ip", "-f", s.MapPath(forwardForbidden))...)))
	}
	if f.Only != "" {
		for part := range slices.Chunk(strings.Fields(f.Only), mostNetworks) {
			r.set("forward_may", "bool(true)", file.If(file.Is(to, bare(append([]string{"-m", "ip"}, part...)...)...)))
		}
		r.deny(503, file.Unless(found("forward_may")))
	}
	names := strings.Fields(f.Headers)
	for _, name := range names {
		r.delAlike(name)
	}
	list := "-"
	if len(names) > 0 {
		list = strings.Join(names, ",")
	}
	r.onRequest(models.HTTPRequestRule{Type: "lua", LuaAction: "waggle_forward_auth", LuaParams: file.Q(f.URL).String() + " " + strconv.Itoa(f.Port) + " " + list}, always)
	r.deny(503, file.Unless(file.Is(file.Variable("forward_auth"), bare("-m", "str", "in")...)))
}
