package render

import (
	"cmp"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// The words of http-reuse that are defaults.
const (
	reuseAlways = "always"
	reuseSafe   = "safe"
)

// reuse is the word of http-reuse for services that do not choose. HAProxy before 3.4 cannot
// keep connections on which somebody is known apart.
func (s Settings) reuse() string {
	if s.Older {
		return cmp.Or(s.HTTPReuse, reuseSafe)
	}
	return cmp.Or(s.HTTPReuse, reuseAlways)
}

// reuseOf is that of a service, empty for the default. Clients that share a connection of
// HTTP/2 hold each other up, so each has one of its own.
func (s Settings) reuseOf(h route.Handling) string {
	if h.HTTP2 && h.Spread.HTTPReuse == "" && s.HTTPReuse == "" && !s.Older {
		return reuseSafe
	}
	return h.Spread.HTTPReuse
}

// purgeDelay is how often HAProxy closes idle connections to a task: half of those that it
// did not need lately, so that one is idle for a third of a second and one of a thousand
// for a second or two. Tasks close them after two seconds and more, most of them after five,
// and a request that is sent at that moment is lost unless it may be sent again.
const purgeDelay = "100ms"

// own is the name, in a variable of the client's connection, of the connections to tasks
// that are this client's alone.
const own = "own"

// keepsApart gives connections of its own to a client that proves itself once for a whole
// connection. HAProxy does so by itself only if the task has asked for that.
func (r *rules) keepsApart(s Settings) {
	if s.Older {
		return
	}
	r.onRequest(models.HTTPRequestRule{Type: "set-var", VarScope: "sess", VarName: own, VarExpr: "uuid"}, file.If(
		file.Is(file.OfRequest("req.fhdr(authorization)"), bare("-m", "beg", "-i", "negotiate", "ntlm")...),
		file.Not(file.Found(file.Always("var(sess."+own+")")))))
}

// poolOptions are the words of a server about its idle connections.
func (s Settings) poolOptions() []file.Word {
	out := bare("pool-purge-delay", purgeDelay)
	if !s.Older {
		out = append(out, bare("pool-conn-name", "var(sess."+own+")")...)
	}
	return out
}
