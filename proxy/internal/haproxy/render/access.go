package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// mostHops is how many trusted proxies in a row are looked through.
const mostHops = 4

// client writes the client's address into a variable, for the backends that ask for it. Behind trusted proxies each
// added the address that it saw at the end of X-Forwarded-For, so that the list is
// read from its end, and no further than it was written by somebody trusted: a hop
// counts only if the one before it is known, and trusted.
//
// Some write a port behind the address, and brackets around one of IPv6.
func (r *rules) client(s Settings) {
	r.set("client", "src", always)
	if len(s.TrustedProxies) == 0 {
		return
	}
	before := file.Always("src")
	for i := 1; i <= mostHops; i++ {
		hop, at := hop(i), fmt.Sprintf("(x-forwarded-for,-%d)", i)
		r.set(hop, "req.hdr_ip"+at, file.If(s.trusted(before)...))
		r.set(hop, "req.hdr"+at+",host_only,ltrim([),rtrim(]),ipmask(32,128)", file.If(append(s.trusted(before), file.Not(found(hop)))...))
		before = file.Variable(hop)
		r.set("client", "var(txn."+hop+")", file.If(file.Found(before)))
	}
}

func hop(i int) string { return fmt.Sprintf("hop%d", i) }

// legible refuses requests of which a trusted proxy says something that is no address: who
// the client is decides about them, and nobody knows.
func (r *rules) legible(s Settings) {
	if len(s.TrustedProxies) == 0 {
		return
	}
	before := file.Always("src")
	for i := 1; i <= mostHops; i++ {
		said := file.Found(file.OfRequest(fmt.Sprintf("req.hdr(x-forwarded-for,-%d)", i)))
		r.deny(403, file.If(append(s.trusted(before), said, file.Not(found(hop(i))))...))
		before = file.Variable(hop(i))
	}
}

// addresses refuses clients by their addresses.
func (r *rules) addresses(s Settings, backend string, a route.Access) {
	all := lists(backend, a)
	if len(all) > 0 {
		r.legible(s)
	}
	for _, l := range all {
		listed := file.Is(file.Variable("client"), bare("-m", "ip", "-f", s.MapPath(l.name))...)
		if l.allowed {
			listed = file.Not(listed)
		}
		r.deny(403, file.If(listed))
	}
}

// tableSize is how many clients of one backend are counted at a time. Where there are more,
// those are forgotten that have asked for nothing for the longest time, so that whoever asks
// too often stays. What all tables together take is bounded by how many there may be
// (budget.Tables). It must not be a multiple of 1024, which the library would shorten to a
// word that HAProxy 3.0 misreads.
const tableSize = 20_000

// tables is the data of a backend that counts.
func tables(l *route.Limit) []data {
	if l == nil {
		return nil
	}
	per := seconds(l.Per) + "s"
	return []data{{"stick-table", &types.StickTable{
		Type: "ipv6", Size: strconv.Itoa(tableSize), Expire: per, Peers: peersName, Store: "http_req_rate(" + per + ")",
	}}}
}

// admission writes the rules of a backend that decide about a request whose address
// and method are admitted: how often, from which pages, by whom.
func (r *rules) admission(s Settings, a route.Access) {
	if l := a.Limit; l != nil {
		// One client has a whole network of 64 bits with IPv6.
		r.onRequest(models.HTTPRequestRule{Type: "track-sc", TrackScStickCounter: pointer(int64(0)), TrackScKey: "var(txn.client),ipmask(32,64)"}, always)
		r.deny(429, file.If(overLimit(l)))
	}
	if a.CORS != nil {
		r.cors(a.CORS)
	}
	r.signIn(s, a)
	if a.Forward != nil {
		r.askElsewhere(s, a.Forward)
	}
}

func overLimit(l *route.Limit) file.Test {
	return file.Is(file.Always("sc_http_req_rate(0)"), bare("gt", strconv.Itoa(l.Requests))...)
}

// answers are the rules for all answers of a backend, HAProxy's own too.
func (r *rules) answers(a route.Access) {
	if l := a.Limit; l != nil {
		r.answerHeader("set", "Retry-After", file.W(seconds(l.Per)), file.If(file.Is(file.OfResponse("status"), file.W("429")), overLimit(l)))
	}
	if c := a.CORS; c != nil {
		r.corsAnswers(c)
	}
	if !a.SecurityHeaders {
		return
	}
	for _, h := range []struct {
		name, value string
		tests       []file.Test
	}{
		{"Strict-Transport-Security", "max-age=31536000", []file.Test{withTLS()}},
		{"X-Content-Type-Options", "nosniff", nil},
		{"X-Frame-Options", "SAMEORIGIN", nil},
		{"Referrer-Policy", "strict-origin-when-cross-origin", nil},
	} {
		missing := file.Not(file.Found(file.OfResponse("res.hdr(" + strings.ToLower(h.name) + ")")))
		r.answerHeader("set", h.name, file.W(h.value), file.If(append(h.tests, missing)...))
	}
}
