package render

import (
	"slices"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// originsPerLine keeps a line within HAProxy's 64 words.
const originsPerLine = 40

// corsRules keep the origin of a page that may use the service, and answer a
// browser that asks before it sends what it is about.
func corsRules(rule func(models.HTTPRequestRule), c *route.CORS) {
	set := func(name, expression, test string) {
		rule(models.HTTPRequestRule{Type: "set-var", VarScope: "txn", VarName: name, VarExpr: expression, Cond: "if", CondTest: test})
	}
	if c.Origins == route.AnyOrigin {
		set("origin", "str(*)", "{ req.fhdr(origin) -m found }")
	} else {
		for part := range slices.Chunk(strings.Fields(c.Origins), originsPerLine) {
			set("origin", "req.fhdr(origin)", "{ req.fhdr(origin) -m str -- "+strings.Join(part, " ")+" }")
		}
	}
	set("preflight", "bool(true)", "{ method OPTIONS } { req.fhdr(origin) -m found } { req.fhdr(access-control-request-method) -m found }")
	rule(models.HTTPRequestRule{Type: "return", ReturnStatusCode: pointer(int64(204)), Cond: "if", CondTest: "{ var(txn.preflight) -m found }"})
}

// corsAnswers write the headers that browsers look at. The task's own are replaced:
// only one of the two can be in charge.
func corsAnswers(add func(action, test string), c *route.CORS) {
	const known = "{ var(txn.origin) -m found }"
	const asked = known + " { var(txn.preflight) -m found }"
	add("del-header Access-Control-Allow-Origin", "unless "+known)
	add("set-header Access-Control-Allow-Origin %[var(txn.origin)]", "if "+known)
	if c.Credentials {
		add("set-header Access-Control-Allow-Credentials true", "if "+known)
	} else {
		add("del-header Access-Control-Allow-Credentials", "")
	}
	if c.Origins != route.AnyOrigin {
		add("add-header Vary Origin", "")
	}
	add("set-header Access-Control-Allow-Methods "+quote(c.Methods), "if "+asked)
	if c.Headers != "" {
		add("set-header Access-Control-Allow-Headers "+quote(c.Headers), "if "+asked)
	}
	if c.MaxAge > 0 {
		add("set-header Access-Control-Max-Age "+seconds(c.MaxAge), "if "+asked)
	}
}
