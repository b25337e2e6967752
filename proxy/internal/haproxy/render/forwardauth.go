package render

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

//go:embed forwardauth.lua
var forwardScript string

// forwardResolvers asks the system's DNS, Docker's within a swarm, while HAProxy runs.
const forwardResolvers = "waggle"

// ScriptEnd is how the names of scripts end.
const ScriptEnd = ".lua"

// forwardScriptName tells versions of the script apart, so that another one is
// another frame.
func forwardScriptName() string {
	sum := sha256.Sum256([]byte(forwardScript))
	return "forwardauth-" + hex.EncodeToString(sum[:4]) + ScriptEnd
}

// scripts are those that the services need, by file name.
func (n needs) scripts() map[string]string {
	if !n.askElsewhere {
		return nil
	}
	return map[string]string{forwardScriptName(): forwardScript}
}

// forwardNeeds are lines of the global section, and a section of its own. Names are
// looked up for each request that needs one, so that none is missing at a check.
func forwardNeeds(s Settings) (global []string, section string) {
	return []string{
			"lua-load-per-thread " + s.MapPath(forwardScriptName()),
			"httpclient.resolvers.id " + forwardResolvers,
			"httpclient.resolvers.prefer ipv4",
			"httpclient.timeout.connect 1000",
			"httpclient.retries 1",
		}, "resolvers " + forwardResolvers + `
  parse-resolv-conf
  resolve_retries 2
  timeout resolve 1000
  timeout retry 1000
  hold valid 1000
`
}

// forwardRules ask for a decision. A request goes on only if the script says so: if it
// fails, whatever the reason, the answer is 503.
func forwardRules(rule func(models.HTTPRequestRule), f *route.ForwardAuth) {
	names := strings.Fields(f.Headers)
	for _, name := range names {
		rule(models.HTTPRequestRule{Type: "del-header", HdrName: name})
	}
	list := "-"
	if len(names) > 0 {
		list = strings.Join(names, ",")
	}
	rule(models.HTTPRequestRule{Type: "lua", LuaAction: "waggle_forward_auth", LuaParams: quote(f.URL) + " " + list})
	rule(models.HTTPRequestRule{Type: "deny", DenyStatus: pointer(int64(503)), Cond: "unless", CondTest: "{ var(txn.forward_auth) -m str in }"})
}
