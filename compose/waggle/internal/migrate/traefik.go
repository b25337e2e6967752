package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// traefik reads the labels of Traefik 2 and 3, and the frontends and segments of Traefik 1.
func traefik(service string, labels map[string]string) (Result, bool) {
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
	for _, name := range slices.Sorted(maps.Keys(t.routers)) {
		t.route(name, t.routers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.tcp)) {
		t.stream(name, t.tcp[name])
	}
	for _, name := range slices.Sorted(maps.Keys(t.segments)) {
		t.frontend(name, t.segments[name])
	}
	if len(t.routes) == 0 {
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
		out = merge(out, route)
	}
	return out
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
	case c.not:
		t.lose(label, "!"+c.name+" has no counterpart: no condition is the opposite of one")
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
		if kind := route["pathType"]; kind != "" && kind != kinds[name] {
			t.lose(label, "one route compares its paths in one way: "+c.name+" is left out")
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
		add(route, "allowedAddresses", strings.Join(c.args, ","))
		t.lose(label, "other clients are answered 403, and do not get to another service")
	default:
		t.lose(label, c.name+" has no counterpart")
	}
}

func (t *traefikDraft) route(name string, r map[string]string) {
	label := func(rest string) string { return "traefik.http.routers." + name + "." + rest }
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
		case rest == "entrypoints" && !slices.Contains([]string{"web", "websecure", "http", "https", "web,websecure", "http,https"}, text):
			t.lose(label(rest), fmt.Sprintf("the proxy's port for %q must be set by com.df.srcPort", text))
		case rest == "entrypoints":
			if text == "websecure" || text == "https" {
				for _, route := range all {
					route["httpsOnly"] = "true"
				}
			}
		case rest == "tls":
		case strings.HasPrefix(rest, "tls.certresolver"), strings.HasPrefix(rest, "tls.domains"):
			t.lose(label(rest), "there is no ACME: give the proxy a certificate")
		case strings.HasPrefix(rest, "tls."):
			t.lose(label(rest), "set for all of the proxy, or com.df.verifyClientSsl")
		case rest == "priority":
			t.lose(label(rest), "longer paths and services with hosts come first; an order of its own is given by com.df.aclName")
		default:
			t.lose(label(rest), "no counterpart")
		}
	}
	t.routes = append(t.routes, all...)
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
		t.lose(from, fmt.Sprintf("the middleware %s stands elsewhere (%s)", name, provider))
		return
	}
	prefix := "traefik.http.middlewares." + name + "."
	rates := map[string]string{}
	for _, rest := range slices.Sorted(maps.Keys(m)) {
		text := m[rest]
		kind, detail, _ := strings.Cut(rest, ".")
		switch low := kind + "." + strings.ToLower(detail); low {
		case "basicauth.users":
			route["users"], route["usersPassEncrypted"] = text, "true"
		case "basicauth.usersfile":
			t.lose(prefix+rest, "make it a secret dfp_users_NAME, and set com.df.usersSecret=NAME and com.df.usersPassEncrypted=true")
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
		case "addprefix.prefix":
			route["reqPathSearchReplace"] = "^/," + text + "/"
		case "replacepathregex.regex":
			route["reqPathSearchReplace"] = escaped(text) + "," + backward(m["replacepathregex.replacement"])
		case "replacepathregex.replacement":
		case "ipwhitelist.sourcerange", "ipallowlist.sourcerange":
			add(route, "allowedAddresses", text)
		case "ratelimit.average", "ratelimit.period":
			rates[strings.TrimPrefix(low, "ratelimit.")] = text
		case "ratelimit.burst":
			t.lose(prefix+rest, "com.df.rateLimit counts in windows, without a burst")
		case "compress.":
			if strings.EqualFold(text, "true") {
				route["compressionAlgo"] = "gzip"
			}
		case "forwardauth.address":
			route["forwardAuth"] = text
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
		case "headers.stsincludesubdomains", "headers.stspreload", "headers.browserxssfilter", "headers.forcestsheader":
			t.lose(prefix+rest, "com.df.securityHeaders sets what it sets; other headers by com.df.setResHeader")
		default:
			t.header(prefix, route, rest, text)
		}
	}
	if rates["average"] != "" {
		route["rateLimit"] = rates["average"] + "/" + period(cmp.Or(rates["period"], "1s"))
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
	t.lose(prefix+rest, "no counterpart")
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
		if _, isTLS := r["tls"]; isTLS && !strings.EqualFold(r["tls.passthrough"], "true") {
			t.lose(label+"tls", "TLS below HTTP is passed on, and ends at the task")
		}
		if r["entrypoints"] != "" {
			t.lose(label+"entrypoints", fmt.Sprintf("set com.df.srcPort to the number of the port %q, and publish it", r["entrypoints"]))
		}
		if r["middlewares"] != "" {
			t.lose(label+"middlewares", "no counterpart below HTTP")
		}
		t.backend(route, t.tcpServices, "traefik.tcp.services.", r["service"])
		t.routes = append(t.routes, route)
	}
}

// frontend is a frontend or a segment of Traefik 1.
func (t *traefikDraft) frontend(segment string, s map[string]string) {
	prefix := "traefik."
	if segment != "" {
		prefix += segment + "."
	}
	route := map[string]string{}
	for _, rest := range slices.Sorted(maps.Keys(s)) {
		text := s[rest]
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
			if text == "https" {
				route["httpsOnly"] = "true"
			}
		case "frontend.passhostheader":
		case "frontend.auth.basic", "frontend.auth.basic.users":
			route["users"], route["usersPassEncrypted"] = text, "true"
		case "frontend.redirect.entrypoint", "frontend.headers.sslredirect":
			route["httpsOnly"] = "true"
		case "frontend.whitelist.sourcerange", "frontend.whitelistsourcerange":
			add(route, "allowedAddresses", text)
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
			t.lose(prefix+rest, "no counterpart")
		}
	}
	if route["port"] == "" {
		if only := t.segments[""]["port"]; only != "" {
			route["port"] = only
		} else {
			t.lose(prefix+"port", "it is missing; set com.df.port")
		}
	}
	if segment == "" && s["frontend.rule"] == "" && len(t.segments) > 1 {
		return // what holds for all segments
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
