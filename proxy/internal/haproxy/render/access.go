package render

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// mostHops is how many trusted proxies in a row are looked through.
const mostHops = 4

// client writes the client's address into a variable, for the backends that ask for it. Behind trusted proxies each
// added the address that it saw at the end of X-Forwarded-For, so that the list is
// read from its end, and no further than it was written by somebody trusted: a hop
// counts only if the one before it is known, and trusted.
func client(rule func(models.HTTPRequestRule), trusted []netip.Prefix) {
	set := func(name, expression, test string) {
		r := models.HTTPRequestRule{Type: "set-var", VarScope: "txn", VarName: name, VarExpr: expression}
		if test != "" {
			r.Cond, r.CondTest = "if", test
		}
		rule(r)
	}
	set("client", "src", "")
	if len(trusted) == 0 {
		return
	}
	before := "src"
	for i := 1; i <= mostHops; i++ {
		hop := fmt.Sprintf("hop%d", i)
		set(hop, fmt.Sprintf("req.hdr_ip(x-forwarded-for,-%d)", i), "{ "+before+" -m ip "+addressWords(trusted)+" }")
		before = "var(txn." + hop + ")"
		set("client", before, "{ "+before+" -m found }")
	}
}

func addressWords(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

// addressRules refuse clients by their addresses.
func addressRules(w *scratch, s Settings, name string, a route.Access) {
	for _, l := range lists(name, a) {
		not := ""
		if l.allowed {
			not = "!"
		}
		w.rule(parser.Backends, name, models.HTTPRequestRule{
			Type: "deny", DenyStatus: pointer(int64(403)), Cond: "if", CondTest: not + "{ var(txn.client) -m ip -f " + s.MapPath(l.name) + " }",
		})
	}
}

// tableSize is how many clients of one backend are counted at a time; it must not
// be a multiple of 1024, which the library would shorten to a word that HAProxy 3.0
// misreads.
const tableSize = 100_000

// admission writes the rules of a backend that decide about a request whose address
// and method are admitted: how often, from which pages, by whom.
func admission(w *scratch, name string, a route.Access) {
	rule := func(r models.HTTPRequestRule) { w.rule(parser.Backends, name, r) }
	if l := a.Limit; l != nil {
		per := seconds(l.Per) + "s"
		w.add(parser.Backends, name, "stick-table", &types.StickTable{
			Type: "ipv6", Size: strconv.Itoa(tableSize), Expire: per, Peers: peersSection, Store: "http_req_rate(" + per + ")",
		})
		// One client has a whole network of 64 bits with IPv6.
		rule(models.HTTPRequestRule{Type: "track-sc", TrackScStickCounter: pointer(int64(0)), TrackScKey: "var(txn.client),ipmask(32,64)"})
		rule(models.HTTPRequestRule{Type: "deny", DenyStatus: pointer(int64(429)), Cond: "if", CondTest: overLimit(l)})
	}
	if a.CORS != nil {
		corsRules(rule, a.CORS)
	}
	if u := a.Users; u != nil {
		rule(models.HTTPRequestRule{Type: "auth", AuthRealm: quote(u.Realm), Cond: "unless", CondTest: "{ http_auth(" + u.List + ") }"})
		rule(models.HTTPRequestRule{Type: "del-header", HdrName: "authorization"})
	}
	if a.Forward != nil {
		forwardRules(rule, a.Forward)
	}
}

// counts reports whether a backend has a table of clients, which keeps HAProxy from
// removing it while it runs.
func (b Backend) counts() bool { return strings.Contains(b.Text, "\n  stick-table ") }

func overLimit(l *route.Limit) string {
	return "{ sc_http_req_rate(0) gt " + strconv.Itoa(l.Requests) + " }"
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// answerLines are the rules for all answers of a backend, HAProxy's own too, for
// which the library has no model.
func answerLines(a route.Access) []string {
	var out []string
	add := func(action, test string) {
		out = append(out, strings.TrimRight("http-after-response "+action+" "+test, " "))
	}
	if l := a.Limit; l != nil {
		add("set-header Retry-After "+seconds(l.Per), "if { status 429 } "+overLimit(l))
	}
	if c := a.CORS; c != nil {
		corsAnswers(add, c)
	}
	if a.SecurityHeaders {
		for _, h := range []struct{ name, value, test string }{
			{"Strict-Transport-Security", "max-age=31536000", "{ ssl_fc } "},
			{"X-Content-Type-Options", "nosniff", ""},
			{"X-Frame-Options", "SAMEORIGIN", ""},
			{"Referrer-Policy", "strict-origin-when-cross-origin", ""},
		} {
			add("set-header "+h.name+" "+h.value, "if "+h.test+"!{ res.hdr("+strings.ToLower(h.name)+") -m found }")
		}
	}
	return out
}

// accessOptions are the words of servers.
func accessOptions(a route.Access) []string {
	switch a.SendProxy {
	case 1:
		return []string{"send-proxy"}
	case 2:
		return []string{"send-proxy-v2"}
	}
	return nil
}

// peersSection hands the counts of clients on from a worker to the next: HAProxy
// teaches them at a reload through a peer that is itself.
const peersSection = "waggle"

// Peers are the lines of that, for the global section and after it. HAProxy teaches
// nothing if they were not there when its master started, so that they are part of
// every configuration, whether anything is counted or not. The line of the peer must
// not be taken for one of a task, which begins with the word server.
func Peers(statsSocket string) (global, section string) {
	return "localpeer " + peersSection,
		"peers " + peersSection + "\n  peer " + peersSection + " " + quote("unix@"+path.Join(path.Dir(statsSocket), "peers.sock")) + "\n"
}

// needs is what services need of the sections that all share.
type needs struct {
	users        []route.Users
	askElsewhere bool
}

// needsOf collects them, user lists in the order of the services, each once.
func needsOf(services []route.Service) needs {
	var n needs
	seen := map[string]bool{}
	for _, svc := range services {
		for _, b := range svc.Backends {
			a := b.Handling.Access
			n.askElsewhere = n.askElsewhere || a.Forward != nil
			if a.Users != nil && !seen[a.Users.List] {
				seen[a.Users.List] = true
				n.users = append(n.users, *a.Users)
			}
		}
	}
	return n
}

// withNeeds adds to a frame what the services need, and says what is wrong with
// their users.
func (r *Renderer) withNeeds(frame string, n needs) (text string, faults []string) {
	local, peers := Peers(r.settings.StatsSocket)
	global, sections := []string{local}, []string{peers}
	if n.askElsewhere {
		g, s := forwardNeeds(r.settings)
		global, sections = append(global, g...), append(sections, s)
	}
	for _, u := range n.users {
		section, wrong := r.userList(u)
		sections, faults = append(sections, section), append(faults, wrong...)
	}
	frame = strings.Replace(frame, "\n\ndefaults ", "\n  "+strings.Join(global, "\n  ")+"\n\ndefaults ", 1)
	none := "\nbackend " + NoBackend + " from "
	return strings.Replace(frame, none, "\n"+strings.Join(sections, "\n")+none, 1), faults
}
