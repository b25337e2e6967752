package render

import (
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// forwarding are the names, which HAProxy keeps in small letters, by which proxies and what
// stands behind them tell each other who the client is, and what it asked for: X-Forwarded-*,
// Forwarded (RFC 7239), and what products have besides. Languages that make variables of
// headers read a dash and an underscore alike.
const forwarding = "x[-_](forwarded.*|real[-_]ip|rewrite[-_]url|host|originating[-_]ip|(cluster[-_])?client[-_]ip|proxyuser[-_]ip|remote[-_](ip|addr)" +
	"|original[-_](ur[il]|host|method|proto|scheme|port|for|forwarded.*|remote.*))" +
	"|forwarded([-_].*)?|((true|fastly|(wl[-_])?proxy)[-_])?client[-_]ip|cf[-_]connecting[-_]ip(v6)?"

// handled are the names of the other headers that rules behind the first look-up are about.
const handled = "connection|keep-alive|proxy-connection|authorization"

// named holds for requests with a header whose name begins with what a regular expression
// fits. All names are looked through at once, with commas between them, which costs a tenth
// of a look at each; with two expressions, because one that begins with a comma is searched
// for many bytes at a time.
func named(expression string) file.Test {
	return file.OneOf(file.OfRequest("req.hdr_names"), bare("-m", "reg"), "^("+expression+")", ",("+expression+")")
}

// forwarded tells tasks who asked, and how. Of what strangers say about that nothing is left.
// That a request has headers to look at, here or further down, is kept in a variable; most
// have none.
func (r *rules) forwarded(s Settings) {
	odd := func(tests ...file.Test) { r.set("odd", "bool(true)", file.If(tests...)) }
	strangers, strange := always, []file.Test{found("odd")}
	if len(s.TrustedProxies) == 0 {
		odd(named(forwarding + "|" + handled))
	} else {
		stranger := found("stranger")
		r.set("stranger", "bool(true)", file.Unless(s.trusted(file.Always("src"))...))
		odd(named(handled))
		odd(stranger, named(forwarding))
		strangers, strange = file.If(stranger), append(strange, stranger)
	}
	r.delLike("^("+forwarding+")$", file.If(strange...))
	if len(s.TrustedProxies) == 0 {
		r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-for", HdrFormat: "%[src]"}, always)
	} // else HAProxy adds it, behind what the trusted say
	r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-proto", HdrFormat: "%[ssl_fc,iif(https,http)]"}, strangers)
}

// ofConnection keeps from tasks what the client's header Connection names: the next proxy would
// drop these headers (RFC 9110, 7.6.1), also those by which this one tells it who asks. What
// HAProxy itself needs of it, it has read before. Two others belong to the connection whether
// they are named or not.
func (r *rules) ofConnection() {
	named, upgrade := file.Found(file.OfRequest("req.fhdr(connection)")), file.Found(file.OfRequest("req.fhdr(upgrade)"))
	r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: "connection", HdrFormat: "upgrade"}, file.If(named, upgrade))
	r.del("connection", file.If(named, file.Not(upgrade)))
	for _, older := range []string{"keep-alive", "proxy-connection"} {
		r.del(older, always)
	}
}
