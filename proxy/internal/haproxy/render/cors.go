package render

import (
	"slices"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// originsPerLine keeps a line within HAProxy's 64 words.
const originsPerLine = 40

// cors keeps the origin of a page that may use the service, and answers a browser that asks
// before it sends what it is about.
func (r *rules) cors(c *route.CORS) {
	origin := file.OfRequest("req.fhdr(origin)")
	if c.Origins == route.AnyOrigin {
		r.set("origin", "str(*)", file.If(file.Found(origin)))
	} else {
		for part := range slices.Chunk(strings.Fields(c.Origins), originsPerLine) {
			r.set("origin", "req.fhdr(origin)", file.If(file.OneOf(origin, bare("-m", "str"), part...)))
		}
	}
	r.set("preflight", "bool(true)", file.If(file.Is(file.Always("method"), file.W("OPTIONS")), file.Found(origin),
		file.Found(file.OfRequest("req.fhdr(access-control-request-method)"))))
	r.onRequest(models.HTTPRequestRule{Type: "return", ReturnStatusCode: pointer(int64(204))}, file.If(found("preflight")))
}

// corsAnswers write the headers that browsers look at. The task's own are replaced:
// only one of the two can be in charge.
func (r *rules) corsAnswers(c *route.CORS) {
	known, asked := file.If(found("origin")), file.If(found("origin"), found("preflight"))
	r.answerHeader("del", "Access-Control-Allow-Origin", file.Word{}, file.Unless(found("origin")))
	r.answerHeader("set", "Access-Control-Allow-Origin", file.W("%[var(txn.origin)]"), known)
	if c.Credentials {
		r.answerHeader("set", "Access-Control-Allow-Credentials", file.W("true"), known)
	} else {
		r.answerHeader("del", "Access-Control-Allow-Credentials", file.Word{}, always)
	}
	if c.Origins != route.AnyOrigin {
		r.answerHeader("add", "Vary", file.W("Origin"), always)
	}
	r.answerHeader("set", "Access-Control-Allow-Methods", file.Q(c.Methods), asked)
	if c.Headers != "" {
		r.answerHeader("set", "Access-Control-Allow-Headers", file.Q(c.Headers), asked)
	}
	if c.MaxAge > 0 {
		r.answerHeader("set", "Access-Control-Max-Age", file.W(seconds(c.MaxAge)), asked)
	}
}
