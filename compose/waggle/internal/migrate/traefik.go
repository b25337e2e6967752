package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// traefik reads the labels of Traefik 2 and 3, and the frontends and segments of Traefik 1.
func traefik(service string, labels, shared map[string]string) (Result, bool) {
	t := &traefikDraft{draft: draft{service: service, whole: map[string]string{}}, routers: groups{}, services: groups{}, middlewares: groups{}, tcp: groups{}, tcpServices: groups{}, segments: groups{}}
	isFound := false
	for _, full := range slices.Sorted(maps.Keys(labels)) {
		if name, ok := strings.CutPrefix(full, "traefik."); ok {
			isFound = true
			t.sort(name, labels[full])
		}
	}
	if !isFound || strings.EqualFold(labels["traefik.enable"], "false") {
		return Result{}, false
	}
	for full, text := range shared {
		// Labels of another service may define a middleware that this one uses.
		name, ok := strings.CutPrefix(full, "traefik.")
		if ok && strings.HasPrefix(strings.ToLower(name), "http.middlewares.") && strings.Count(name, ".") > 2 {
			t.sort(name, text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.routers)) {
		t.route(name, t.routers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.tcp)) {
		t.stream(name, t.tcp[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.segments)) {
		t.frontend(name, t.segments[name])
	}
	if len(t.routes) == 0 && !t.own {
		t.lose("traefik.enable", "Traefik makes a rule of the service's name by its own default; set com.df.serviceDomain")
	}
	return t.result(), true
}

// groups are what labels say, by the name of a router, service or middleware, and by the rest of their own.
type groups map[string]map[string]string

func (g groups) set(name, rest, text string) {
	if g[name] == nil {
		g[name] = map[string]string{}
	}
	g[name][rest] = text
}

type traefikDraft struct {
	draft
	routers, services, middlewares groups
	tcp, tcpServices               groups
	// segments are those of Traefik 1; the one without a name is "".
	segments groups
	// own says that a router needs no counterpart.
	own bool
}

func (t *traefikDraft) sort(name, text string) {
	parts := strings.Split(name, ".")
	rest := func(from int) string { return strings.ToLower(strings.Join(parts[from:], ".")) }
	kind := strings.ToLower(strings.Join(parts[:min(2, len(parts))], "."))
	switch {
	case len(parts) > 3 && kind == "http.middlewares":
		t.middlewares.set(parts[2], strings.ToLower(parts[3])+"."+strings.Join(parts[4:], "."), text)
	case len(parts) > 3 && kind == "http.routers":
		t.routers.set(parts[2], rest(3), text)
	case len(parts) > 3 && kind == "http.services":
		t.services.set(parts[2], rest(3), text)
	case len(parts) > 3 && kind == "tcp.routers":
		t.tcp.set(parts[2], rest(3), text)
	case len(parts) > 3 && kind == "tcp.services":
		t.tcpServices.set(parts[2], rest(3), text)
	case kind == "tcp.middlewares":
		// A router that uses one is left out.
	case strings.HasPrefix(name, "udp."):
		t.lose("traefik."+name, "there is no UDP")
	case name == "enable", name == "docker.network", name == "docker.lbswarm", name == "swarm.network", name == "swarm.lbswarm":
		// To opt in, and to be on the proxy's network, is what com.df.notify and networks say.
	case name == "tags", name == "constraint", name == "constraint-label":
		t.lose("traefik."+name, "a proxy of several is chosen by com.df.proxyInstanceName")
	case slices.Contains([]string{"port", "protocol", "weight", "backend"}, strings.ToLower(parts[0])), strings.EqualFold(parts[0], "frontend"):
		t.segments.set("", strings.ToLower(name), text)
	case len(parts) > 1 && (strings.EqualFold(parts[1], "frontend") || strings.EqualFold(parts[1], "port")):
		t.segments.set(parts[0], rest(1), text)
	default:
		t.lose("traefik."+name, "no counterpart")
	}
}

// conditions makes a route for each alternative of a rule; alternatives that differ in hosts or in paths alone are one.
func (t *traefikDraft) conditions(label, rule string) []map[string]string {
	alternatives, err := parseRule(rule)
	if err != nil {
		t.lose(label, err.Error())
		return nil
	}
	var out []map[string]string
	for _, all := range alternatives {
		route := map[string]string{}
		for _, c := range all {
			t.condition(label, route, c)
		}
		if route["servicePathExclude"] != "" && route["servicePath"] == "" && route["pathType"] == "path" {
			// Compared whole, "/" would be the only path that is not left out.
			route["pathType"], route["servicePathExclude"] = "path_reg", literally(route["servicePathExclude"])
		}
		out = merge(out, route)
	}
	return out
}

// literally writes paths as regular expressions for the whole of them. A stack file has two dollars
// for one.
func literally(paths string) string {
	all := strings.Split(paths, ",")
	for i, path := range all {
		all[i] = "^" + strings.ReplaceAll(regexp.QuoteMeta(path), "$", "$$") + "$$"
	}
	return strings.Join(all, ",")
}

// merge adds a route to others, or its hosts or paths to one that is else the same.
func merge(routes []map[string]string, route map[string]string) []map[string]string {
	for _, r := range routes {
		for _, list := range []string{"serviceDomain", "servicePath"} {
			a, b := maps.Clone(r), maps.Clone(route)
			delete(a, list)
			delete(b, list)
			if r[list] != "" && route[list] != "" && maps.Equal(a, b) {
				add(r, list, route[list])
				return routes
			}
		}
	}
	return append(routes, route)
}

func (t *traefikDraft) condition(label string, route map[string]string, c call) {
	kinds := map[string]string{"pathprefix": "path_beg", "path": "path", "pathregexp": "path_reg"}
	switch name := strings.ToLower(c.name); {
	case c.not && name == "clientip":
		add(route, Refuse, strings.Join(c.args, ","))
		t.lose(label, "these clients are answered 403, and do not get to another service")
	case c.not && name == "method":
		add(route, "deniedMethods", strings.Join(c.args, ","))
		t.lose(label, "these methods are answered 403, and do not get to another service")
	case c.not && kinds[name] != "" && (route["pathType"] == "" || route["pathType"] == kinds[name]):
		route["pathType"] = kinds[name]
		for _, path := range c.args {
			add(route, "servicePathExclude", path)
		}
	case c.not:
		t.shut(label, route, "what !"+c.name+" keeps away would get in; no condition is the opposite of it")
	case name == "host", name == "hostheader", name == "hostsni":
		for _, host := range c.args {
			if host != "*" {
				add(route, "serviceDomain", host)
			}
		}
	case name == "hostregexp" && len(c.args) == 1:
		route["serviceDomain"], route["serviceDomainAlgo"] = c.args[0], "hdr_reg(host)"
		if strings.Contains(c.args[0], "{") {
			t.lose(label, "the named pattern of HostRegexp must be written as a plain regular expression")
		}
	case kinds[name] != "":
		if kind := route["pathType"]; kind != "" && kind != kinds[name] || route["servicePath"] != "" {
			t.shut(label, route, "a route compares its paths in one way and with one list: without "+c.name+" it would be wider")
			return
		}
		route["pathType"] = kinds[name]
		for _, path := range c.args {
			if strings.Contains(path, "{") {
				t.lose(label, "the pattern in "+path+" must be written with com.df.pathType=path_reg")
			}
			add(route, "servicePath", path)
		}
	case name == "header" && len(c.args) == 2 || name == "headers" && len(c.args) == 2:
		add(route, "serviceHeader", c.args[0]+":"+escaped(c.args[1]))
	case name == "clientip":
		t.guard(label, route, "allowedAddresses", strings.Join(c.args, ","))
		t.lose(label, "other clients are answered 403, and do not get to another service")
	case name == "method":
		t.guard(label, route, "allowedMethods", strings.Join(c.args, ","))
		t.lose(label, "other methods are answered 403, and do not get to another service")
	default:
		t.shut(label, route, c.name+" has no counterpart: without it more would get in")
	}
}

func (t *traefikDraft) route(name string, r map[string]string) {
	label := func(rest string) string { return "traefik.http.routers." + name + "." + rest }
	switch {
	case strings.HasSuffix(r["service"], "@internal"):
		t.own = true
		t.lose(label("service"), "it is a page of Traefik's own, which goes with it; the console of Waggle takes its place")
		return
	case t.redirectsAll(r):
		t.own = true
		t.lose(label("rule"), "it redirects what comes for any host; com.df.httpsOnly=true does so for one service, and the setting HTTPS_ONLY for all")
		return
	}
	routes := []map[string]string{}
	if rule := r["rule"]; rule != "" {
		routes = t.conditions(label("rule"), rule)
	} else {
		t.lose(label("rule"), "it is missing, and Traefik makes one of the service's name")
	}
	var all []map[string]string
	for _, route := range routes {
		if route["pathType"] == "path_beg" {
			delete(route, "pathType") // as it is without
		}
		t.backend(route, t.services, "traefik.http.services.", r["service"])
		for _, m := range strings.Split(r["middlewares"], ",") {
			if m = strings.TrimSpace(m); m != "" {
				t.middleware(label("middlewares"), route, m, 0)
			}
		}
		all = append(all, route)
	}
	for _, rest := range slices.Sorted(maps.Keys(r)) {
		switch text := r[rest]; {
		case rest == "rule", rest == "service", rest == "middlewares":
		case rest == "entrypoints" && !arePublic(text):
			for _, route := range all {
				t.shut(label(rest), route, fmt.Sprintf("set the number of the proxy's port for %q by com.df.srcPort, or it would be reached by all ports", text))
			}
		case rest == "entrypoints":
			if areTLS(text) {
				for _, route := range all {
					route["httpsOnly"] = "true"
				}
			}
		case rest == "tls":
		case rest == "tls.certresolver":
			t.whole["acme"] = "true"
		case strings.HasPrefix(rest, "tls.domains"):
			t.lose(label(rest), "com.df.acme asks for a certificate for each host of com.df.serviceDomain")
		case rest == "tls.options" && text == "default":
		case rest == "tls.options":
			for _, route := range all {
				t.shut(label(rest), route, "if these options ask for certificates of clients, set com.df.verifyClientSsl=true in its place; versions and ciphers are set for all of the proxy")
			}
		case strings.HasPrefix(rest, "tls."):
			t.lose(label(rest), "set for all of the proxy")
		case rest == "priority":
			t.lose(label(rest), "longer paths and services with hosts come first; an order of its own is given by com.df.aclName")
		default:
			t.lose(label(rest), "no counterpart")
		}
	}
	t.routes = append(t.routes, all...)
}

// redirectsAll reports whether a router does nothing but redirect to https whatever comes.
func (t *traefikDraft) redirectsAll(r map[string]string) bool {
	alternatives, err := parseRule(r["rule"])
	if err != nil || len(alternatives) != 1 || len(alternatives[0]) != 1 || r["service"] != "" {
		return false
	}
	c := alternatives[0][0]
	if !strings.EqualFold(c.name, "hostregexp") || c.not || len(c.args) != 1 || !slices.Contains([]string{"{host:.+}", "{any:.+}", "{host:.*}", "{any:.*}", ".+", ".*", "^.+$", "^.*$", "^.+$$", "^.*$$"}, c.args[0]) {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimSpace(r["middlewares"]), "@")
	return strings.EqualFold(t.middlewares[name]["redirectscheme.scheme"], "https")
}

// entries are the entry points of a list.
func entries(text string) []string { return strings.Split(strings.ReplaceAll(text, " ", ""), ",") }

// arePublic reports whether entry points are no others than those for everybody.
func arePublic(text string) bool {
	return !slices.ContainsFunc(entries(text), func(one string) bool {
		return !slices.Contains([]string{"web", "websecure", "http", "https"}, one)
	})
}

// areTLS reports whether all of them speak TLS.
func areTLS(text string) bool {
	return !slices.ContainsFunc(entries(text), func(one string) bool { return one != "websecure" && one != "https" })
}

// backend adds what is said of the port and the tasks.
func (t *traefikDraft) backend(route map[string]string, services groups, prefix, name string) {
	if name == "" && len(services) == 1 {
		for only := range services {
			name = only
		}
	}
	name, _, _ = strings.Cut(name, "@")
	s := services[name]
	for _, rest := range slices.Sorted(maps.Keys(s)) {
		text := s[rest]
		switch strings.TrimPrefix(rest, "loadbalancer.") {
		case "server.port":
			route["port"] = text
		case "server.scheme":
			switch text {
			case "https":
				t.speakTLS(prefix+name+"."+rest, route)
			case "h2c":
				route["proto"] = "h2"
			}
		case "sticky", "sticky.cookie":
			if strings.EqualFold(text, "true") {
				route["sessionType"] = "sticky-server"
			}
		case "sticky.cookie.name":
			route["sessionType"] = "sticky-server"
			t.lose(prefix+name+"."+rest, "the cookie is named after the service")
		case "sticky.cookie.secure", "sticky.cookie.httponly", "sticky.cookie.samesite":
			t.lose(prefix+name+"."+rest, "see com.df.sessionSecure and com.df.sessionSameSite; scripts never read the cookie")
		case "healthcheck.path":
			route["checkPath"] = text
		case "healthcheck.interval", "healthcheck.timeout":
			if s["loadbalancer.healthcheck.path"] == "" {
				break // nothing is checked
			}
			into := "checkInterval"
			if strings.HasSuffix(rest, "timeout") {
				into = "checkTimeout"
			}
			route[into] = text
		case "responseforwarding.flushinterval":
			t.lose(prefix+name+"."+rest, "answers are passed on as they come")
		case "passhostheader":
			if !strings.EqualFold(text, "true") {
				t.lose(prefix+name+"."+rest, "the Host is passed on as it came; see com.df.setReqHeader")
			}
		default:
			t.lose(prefix+name+"."+rest, "no counterpart")
		}
	}
	if route["port"] == "" {
		t.lose(prefix+cmp.Or(name, t.service)+".loadbalancer.server.port", "Traefik takes the port that the image exposes; set com.df.port")
	}
}

// mostNested is how deep chains of middlewares are followed.
const mostNested = 5

func (t *traefikDraft) middleware(from string, route map[string]string, name string, depth int) {
	name, provider, _ := strings.Cut(name, "@")
	m, ok := t.middlewares[name]
	if !ok || depth > mostNested {
		if provider == "" {
			provider = "another service or file"
		}
		t.shut(from, route, fmt.Sprintf("the middleware %s stands elsewhere (%s), and may keep somebody out; put labels in its place", name, provider))
		return
	}
	prefix := "traefik.http.middlewares." + name + "."
	rates := map[string]string{}
	for _, rest := range slices.Sorted(maps.Keys(m)) {
		text := m[rest]
		kind, detail, _ := strings.Cut(rest, ".")
		switch low := kind + "." + strings.ToLower(detail); low {
		case "basicauth.users":
			t.guard(prefix+rest, route, "users", text)
			route["usersPassEncrypted"] = "true"
		case "basicauth.usersfile":
			t.shut(prefix+rest, route, "make it a secret dfp_users_NAME, and set com.df.usersSecret=NAME and com.df.usersPassEncrypted=true")
		case "basicauth.headerfield":
			route["userHeader"] = text
		case "basicauth.realm", "basicauth.removeheader":
			t.lose(prefix+rest, "the realm is that of the service, and the task does not see the header")
		case "redirectscheme.scheme":
			route["httpsOnly"] = "true"
		case "redirectscheme.permanent", "redirectscheme.port":
		case "stripprefix.prefixes":
			for _, path := range strings.Split(text, ",") {
				route["reqPathSearchReplace"] = strings.TrimPrefix(route["reqPathSearchReplace"]+":^"+strings.TrimSuffix(strings.TrimSpace(path), "/")+",", ":")
			}
		case "stripprefix.forceslash":
		case "stripprefixregex.regex":
			if strings.ContainsAny(text, "|,:") {
				t.lose(prefix+rest, "what an expression finds is taken away by com.df.reqPathSearchReplace; a list of them is written by hand")
				break
			}
			route["reqPathSearchReplace"] = "^" + strings.TrimPrefix(text, "^") + ","
		case "addprefix.prefix":
			route["reqPathSearchReplace"] = "^/," + text + "/"
		case "replacepathregex.regex":
			route["reqPathSearchReplace"] = escaped(text) + "," + backward(m["replacepathregex.replacement"])
		case "replacepathregex.replacement":
		case "ipwhitelist.sourcerange", "ipallowlist.sourcerange":
			t.guard(prefix+rest, route, "allowedAddresses", text)
		case "ipwhitelist.ipstrategy.depth", "ipwhitelist.ipstrategy.excludedips", "ipallowlist.ipstrategy.depth", "ipallowlist.ipstrategy.excludedips":
			t.shut(prefix+rest, route, "whose address counts behind other proxies is set for all of the proxy by TRUSTED_PROXIES")
		case "ratelimit.average", "ratelimit.period":
			rates[strings.TrimPrefix(low, "ratelimit.")] = text
		case "ratelimit.burst":
			t.lose(prefix+rest, "com.df.rateLimit counts in windows, without a burst")
		case "ratelimit.sourcecriterion.ipstrategy.depth", "ratelimit.sourcecriterion.ipstrategy.excludedips", "ratelimit.sourcecriterion.requestheadername", "ratelimit.sourcecriterion.requesthost":
			t.lose(prefix+rest, "com.df.rateLimit counts by the client's address")
		case "inflightreq.amount":
			route["maxConn"] = text
			t.lose(prefix+rest, "com.df.maxConn is for each task, and further requests wait")
		case "buffering.maxrequestbodybytes":
			t.guard(prefix+rest, route, "maxBody", text)
		case "compress.":
			if strings.EqualFold(text, "true") {
				route["compressionAlgo"] = "gzip"
			}
		case "forwardauth.address":
			if strings.HasPrefix(text, "https:") {
				t.shut(prefix+rest, route, "com.df.forwardAuth asks by http://; set it to such an address of the same service")
				break
			}
			t.guard(prefix+rest, route, "forwardAuth", text)
		case "forwardauth.trustforwardheader", "forwardauth.authrequestheaders", "forwardauth.authresponseheadersregex":
			t.lose(prefix+rest, "the service is asked with all headers of the request, and com.df.forwardAuthHeaders names those of its answer")
		case "forwardauth.authresponseheaders":
			route["forwardAuthHeaders"] = text
		case "retry.attempts":
			route["retries"] = text
		case "chain.middlewares":
			for _, one := range strings.Split(text, ",") {
				t.middleware(prefix+rest, route, strings.TrimSpace(one), depth+1)
			}
		case "headers.accesscontrolalloworiginlist":
			route["corsOrigins"] = text
		case "headers.framedeny", "headers.contenttypenosniff", "headers.stsseconds", "headers.sslredirect":
			route["securityHeaders"] = "true"
		case "headers.contentsecuritypolicy":
			add(route, "setResHeader", "Content-Security-Policy "+escaped(text))
		case "redirectregex.regex":
			// What was redirected got to no task, and so past no guard of the route that it led to.
			t.shut(prefix+rest, route, "the hosts that it leads away from are com.df.redirectFromDomain of the route that it leads to; take this one out then")
		case "redirectregex.replacement", "redirectregex.permanent":
		case "headers.stsincludesubdomains", "headers.stspreload", "headers.browserxssfilter", "headers.forcestsheader":
			t.lose(prefix+rest, "com.df.securityHeaders sets what it sets; other headers by com.df.setResHeader")
		default:
			t.header(prefix, route, rest, text)
		}
	}
	if average := rates["average"]; average != "" && average != "0" { // Traefik takes 0 for no limit
		t.guard(prefix+"ratelimit.average", route, "rateLimit", average+"/"+period(cmp.Or(rates["period"], "1s")))
	}
}

// header is a middleware that sets a header, or one without a counterpart.
func (t *traefikDraft) header(prefix string, route map[string]string, rest, text string) {
	for kind, names := range map[string][2]string{"headers.customrequestheaders.": {"setReqHeader", "delReqHeader"}, "headers.customresponseheaders.": {"setResHeader", "delResHeader"}} {
		if len(rest) > len(kind) && strings.EqualFold(rest[:len(kind)], kind) {
			if name := rest[len(kind):]; text == "" {
				add(route, names[1], name)
			} else {
				add(route, names[0], name+" "+escaped(text))
			}
			return
		}
	}
	if kind, _, _ := strings.Cut(rest, "."); !harmless(kind) || strings.HasPrefix(strings.ToLower(rest), "headers.allowedhosts") {
		t.shut(prefix+rest, route, "it has no counterpart, and may keep somebody out; put labels in its place, or leave it out knowingly")
		return
	}
	t.lose(prefix+rest, "no counterpart")
}

// harmless reports whether no middleware of a kind decides who gets in.
func harmless(kind string) bool {
	return slices.Contains([]string{
		"addprefix", "buffering", "circuitbreaker", "compress", "contenttype", "errors", "grpcweb", "headers", "passtlsclientcert", "redirectscheme",
		"replacepath", "replacepathregex", "retry", "stripprefix", "stripprefixregex",
	}, kind)
}

// backward writes the groups of a replacement in HAProxy's way.
func backward(text string) string {
	for i := 9; i > 0; i-- {
		n := strconv.Itoa(i)
		text = strings.NewReplacer("$${"+n+"}", `\`+n, "${"+n+"}", `\`+n, "$$"+n, `\`+n, "$"+n, `\`+n).Replace(text)
	}
	return text
}

// period is a time as com.df.rateLimit has it.
func period(text string) string {
	if _, err := strconv.Atoi(text); err == nil {
		return text + "s"
	}
	if d, err := time.ParseDuration(text); err == nil {
		return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
	}
	return text
}

func (t *traefikDraft) stream(name string, r map[string]string) {
	label := "traefik.tcp.routers." + name + "."
	for _, route := range t.conditions(label+"rule", r["rule"]) {
		route["reqMode"] = "sni"
		if route["serviceDomain"] == "" {
			route["reqMode"] = "tcp"
		}
		if text, isTLS := r["tls"]; isTLS && !strings.EqualFold(text, "false") && !strings.EqualFold(r["tls.passthrough"], "true") {
			t.lose(label+"tls", "TLS below HTTP is passed on, and ends at the task")
		}
		if r["entrypoints"] != "" {
			t.lose(label+"entrypoints", fmt.Sprintf("set com.df.srcPort to the number of the port %q, and publish it", r["entrypoints"]))
		}
		// Below HTTP no label refuses anybody, so that a route without its guard is left out.
		if missing := t.guards(r, route); len(missing) > 0 {
			// What would be answered there is answered by HTTP alone.
			t.lost = slices.DeleteFunc(t.lost, func(one string) bool { return strings.HasPrefix(one, label+"rule: ") })
			for _, rest := range missing {
				t.closed = append(t.closed, label+rest+": it has no counterpart below HTTP, and may keep somebody out; this route is left out")
			}
			continue
		}
		t.backend(route, t.tcpServices, "traefik.tcp.services.", r["service"])
		t.routes = append(t.routes, route)
	}
}

// guards are what keeps somebody out of a stream, by the ends of their labels.
func (t *traefikDraft) guards(r, route map[string]string) []string {
	var out []string
	for _, rest := range []string{"middlewares", "tls.options"} {
		if r[rest] != "" && r[rest] != "default" {
			out = append(out, rest)
		}
	}
	if route[Refuse] != "" || route["allowedAddresses"] != "" {
		out = append(out, "rule")
	}
	return out
}

// frontend is a frontend or a segment of Traefik 1.
func (t *traefikDraft) frontend(segment string, s map[string]string) {
	prefix := "traefik."
	if segment != "" {
		prefix += segment + "."
	}
	if segment == "" && len(t.segments) > 1 {
		return // it makes no frontend, and holds for all segments that do not say otherwise
	}
	all := maps.Clone(t.segments[""])
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, s)
	route := map[string]string{}
	for _, rest := range slices.Sorted(maps.Keys(all)) {
		text := all[rest]
		switch rest {
		case "port":
			route["port"] = text
		case "protocol":
			if text == "https" {
				t.speakTLS(prefix+rest, route)
			}
		case "backend":
		case "frontend.rule":
			t.oldRule(prefix+rest, route, text)
		case "frontend.entrypoints":
			switch {
			case areTLS(text):
				route["httpsOnly"] = "true"
			case arePublic(text):
			default:
				t.shut(prefix+rest, route, fmt.Sprintf("set the number of the proxy's port for %q by com.df.srcPort, or it would be reached by all ports", text))
			}
		case "frontend.passhostheader":
		case "frontend.auth.basic", "frontend.auth.basic.users":
			t.guard(prefix+rest, route, "users", text)
			route["usersPassEncrypted"] = "true"
		case "frontend.auth.basic.removeheader":
		case "frontend.auth.forward.address":
			if strings.HasPrefix(text, "https:") {
				t.shut(prefix+rest, route, "com.df.forwardAuth asks by http://; set it to such an address of the same service")
				break
			}
			t.guard(prefix+rest, route, "forwardAuth", text)
		case "frontend.auth.forward.authresponseheaders":
			route["forwardAuthHeaders"] = text
		case "frontend.auth.forward.trustforwardheader":
		case "frontend.redirect.entrypoint", "frontend.headers.sslredirect":
			route["httpsOnly"] = "true"
		case "frontend.whitelist.sourcerange", "frontend.whitelistsourcerange":
			t.guard(prefix+rest, route, "allowedAddresses", text)
		case "frontend.headers.customrequestheaders", "frontend.headers.customresponseheaders":
			name := map[bool]string{true: "setReqHeader", false: "setResHeader"}[strings.Contains(rest, "request")]
			for _, one := range strings.Split(text, "||") {
				header, value, _ := strings.Cut(one, ":")
				add(route, name, header+" "+escaped(value))
			}
		case "backend.loadbalancer.sticky", "backend.loadbalancer.stickiness":
			route["sessionType"] = "sticky-server"
		case "backend.healthcheck.path":
			route["checkPath"] = text
		case "backend.loadbalancer.swarm":
		default:
			kind, detail, _ := strings.Cut(rest, ".")
			detail, _, _ = strings.Cut(detail, ".")
			if kind == "frontend" && (!slices.Contains([]string{"errors", "headers", "passtlscert", "passtlsclientcert", "priority", "redirect"}, detail) || rest == "frontend.headers.allowedhosts") {
				t.shut(prefix+rest, route, "it has no counterpart, and may keep somebody out; put labels in its place, or leave it out knowingly")
				break
			}
			t.lose(prefix+rest, "no counterpart")
		}
	}
	if route["port"] == "" {
		t.lose(prefix+"port", "it is missing; set com.df.port")
	}
	t.routes = append(t.routes, route)
}

// oldRule is a rule such as Host:a.example,b.example;PathPrefixStrip:/x.
func (t *traefikDraft) oldRule(label string, route map[string]string, rule string) {
	for _, one := range strings.Split(rule, ";") {
		name, text, _ := strings.Cut(strings.TrimSpace(one), ":")
		args := []string{}
		for _, arg := range strings.Split(text, ",") {
			args = append(args, strings.TrimSpace(arg))
		}
		if slices.Contains([]string{"addprefix", "replacepath", "replacepathregex"}, strings.ToLower(name)) {
			t.lose(label, name+" is com.df.reqPathSearchReplace")
			continue
		}
		base, isStripped := strings.CutSuffix(name, "Strip")
		if strings.EqualFold(name, "Headers") && len(args) == 2 || !isStripped {
			t.condition(label, route, call{name: name, args: args})
			continue
		}
		t.condition(label, route, call{name: base, args: args})
		for _, path := range args {
			route["reqPathSearchReplace"] = strings.TrimPrefix(route["reqPathSearchReplace"]+":^"+strings.TrimSuffix(path, "/")+",", ":")
		}
	}
	if route["pathType"] == "path_beg" {
		delete(route, "pathType")
	}
}
