package migrate

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	// site begins the labels of one site: caddy, or caddy_2 where there are several.
	site = regexp.MustCompile(`^(caddy(?:_[0-9]+)?)(?:\.(.*))?$`)
	// ordered is a number before a directive, which gives it its place.
	ordered = regexp.MustCompile(`^[0-9]+_`)
	// refusal is a status by which a request is refused.
	refusal = regexp.MustCompile(`\b[45][0-9][0-9]\b`)
	// upstreams is what caddy-docker-proxy fills in with the tasks.
	upstreams = regexp.MustCompile(`^\s*(?:(/\S*)\s+)?\{\{\s*upstreams(?:\s+(https?|h2c))?(?:\s+([0-9]+))?\s*\}\}\s*$`)
)

// caddy reads the labels of caddy-docker-proxy.
func caddy(service string, labels, _ map[string]string) (Result, bool) {
	sites := map[string]map[string]string{}
	for full, text := range labels {
		if m := site.FindStringSubmatch(full); m != nil {
			if sites[m[1]] == nil {
				sites[m[1]] = map[string]string{}
			}
			sites[m[1]][m[2]] = text
		}
	}
	if len(sites) == 0 {
		return Result{}, false
	}
	d := &draft{service: service, whole: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(sites)) {
		d.site(name, sites[name])
	}
	return d.result(), true
}

func (d *draft) site(name string, directives map[string]string) {
	base := map[string]string{}
	for _, address := range strings.FieldsFunc(directives[""], func(r rune) bool { return r == ' ' || r == ',' }) {
		if rest, ok := strings.CutPrefix(address, "http://"); ok {
			address = rest
		} else if address != "" && !strings.HasPrefix(address, ":") {
			base["httpsOnly"] = "true"
		}
		host, path, hasPath := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
		host, port, hasPort := strings.Cut(host, ":")
		if host != "" {
			add(base, "serviceDomain", host)
		}
		if hasPort && port != "80" && port != "443" {
			base["srcPort"] = port // so that it is reached by no other
			d.lose(name, "the operator must give the proxy port "+port)
		}
		if hasPath && path != "" {
			add(base, "servicePath", "/"+strings.TrimSuffix(path, "*"))
		}
	}
	var routes []map[string]string
	for _, rest := range slices.Sorted(maps.Keys(directives)) {
		if rest == "" {
			continue
		}
		var parts []string
		for _, part := range strings.Split(rest, ".") {
			parts = append(parts, ordered.ReplaceAllString(part, ""))
		}
		text, label := directives[rest], name+"."+rest
		switch {
		case parts[0] == "reverse_proxy" && len(parts) == 1:
			if route, ok := d.upstream(label, base, text); ok {
				routes = append(routes, route)
			}
		case isBlock(parts[0]) && len(parts) == 2 && parts[1] == "reverse_proxy":
			path := strings.TrimSuffix(directives[strings.TrimSuffix(rest, rest[strings.LastIndexByte(rest, '.'):])], "*")
			route, ok := d.upstream(label, base, text)
			if !ok {
				continue
			}
			if strings.HasPrefix(path, "@") {
				d.shut(label, route, "what the matcher "+path+" lets through has no counterpart: without it more would get in")
				path = ""
			}
			if path != "" {
				route["servicePath"] = strings.TrimSuffix(path, "/") + "/"
				if parts[0] == "handle_path" {
					route["reqPathSearchReplace"] = "^" + strings.TrimSuffix(path, "/") + ","
				}
			}
			routes = append(routes, route)
		case isBlock(parts[0]) && len(parts) == 1:
		case parts[0] == "encode":
			base["compressionAlgo"] = "gzip"
			if !strings.Contains(text, "gzip") {
				d.lose(label, "compressed by gzip instead")
			}
		case (parts[0] == "basicauth" || parts[0] == "basic_auth") && len(parts) == 2:
			add(base, "users", parts[1]+":"+text)
			base["usersPassEncrypted"] = "true"
		case parts[0] == "basicauth" || parts[0] == "basic_auth":
			if text != "" && text != "/*" {
				d.lose(label, "users are asked on all paths of the route")
			}
		case parts[0] == "header" && len(parts) == 2:
			d.header(base, parts[1], text)
		case parts[0] == "header" && len(parts) == 1:
			field, value, _ := strings.Cut(text, " ")
			d.header(base, field, value)
		case parts[0] == "reverse_proxy" && len(parts) == 2 && parts[1] == "health_uri":
			base["checkPath"] = text
		case parts[0] == "reverse_proxy" && len(parts) >= 2 && parts[1] == "header_up":
			field, value, _ := strings.Cut(strings.TrimSpace(strings.Join(parts[2:], ".")+" "+text), " ")
			add(base, "setReqHeader", field+" "+escaped(strings.Trim(value, `"`)))
		case parts[0] == "reverse_proxy" && len(parts) == 2 && parts[1] == "lb_policy" && (text == "cookie" || text == "ip_hash"):
			base["sessionType"] = "sticky-server"
		case parts[0] == "tls" && len(parts) > 1 && parts[1] == "client_auth":
			d.shut(label, base, "set com.df.verifyClientSsl=true in its place")
		case parts[0] == "tls" && (text == "internal" || len(parts) > 1 || strings.Contains(text, "@")):
			d.lose(label, "certificates come by com.df.acme=true, or are given to the proxy")
		case parts[0] == "forward_auth" && len(parts) == 1:
			d.forward(label, base, text)
		case parts[0] == "forward_auth" && len(parts) == 2 && parts[1] == "uri":
			if base["forwardAuth"] != "" {
				base["forwardAuth"] += text
			}
		case parts[0] == "forward_auth" && len(parts) == 2 && parts[1] == "copy_headers":
			base["forwardAuthHeaders"] = strings.Join(strings.Fields(text), ",")
		case parts[0] == "request_body" && len(parts) == 2 && parts[1] == "max_size":
			d.body(label, base, text)
		case parts[0] == "request_body" && len(parts) == 1:
		case isHarmless(parts, text):
			d.lose(label, "no counterpart")
		default:
			d.shut(label, base, "it has no counterpart, and may keep somebody out; put labels in its place, or leave it out knowingly")
		}
	}
	if len(routes) == 0 {
		d.lose(name, "nothing leads to the service: no reverse_proxy with {{upstreams}}")
	}
	for _, route := range routes {
		for label, text := range base {
			if route[label] == "" {
				route[label] = text
			}
		}
		d.routes = append(d.routes, route)
	}
}

// isBlock reports whether a directive has others in it, for a path.
func isBlock(directive string) bool {
	return directive == "handle_path" || directive == "handle" || directive == "route"
}

// isHarmless reports whether a directive decides about nobody who gets in. What is in a block
// counts for itself.
func isHarmless(parts []string, text string) bool {
	if isBlock(parts[0]) && len(parts) > 1 {
		return isHarmless(parts[1:], text)
	}
	if strings.HasPrefix(parts[0], "@") {
		return true // a matcher does nothing; who uses it does
	}
	if parts[0] == "redir" || parts[0] == "respond" {
		// For all requests they take the place of the tasks; for some they may keep them away.
		return !strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "/") && !refusal.MatchString(text)
	}
	return slices.Contains([]string{
		"encode", "file_server", "handle_errors", "header", "log", "log_append", "log_skip", "map", "method", "metrics", "php_fastcgi", "push", "request_header", "reverse_proxy",
		"rewrite", "root", "skip_log", "templates", "tls", "tracing", "try_files", "uri", "vars",
	}, parts[0])
}

// forward asks another service who gets in; with a matcher before its address for some requests,
// which becomes all of them.
func (d *draft) forward(label string, route map[string]string, text string) {
	words := strings.Fields(text)
	if len(words) == 2 {
		d.lose(label, "it is asked on all paths of the route")
		words = words[1:]
	}
	if len(words) != 1 || strings.HasPrefix(words[0], "https:") || strings.Contains(words[0], "{{") {
		d.shut(label, route, "com.df.forwardAuth asks one service, by http://")
		return
	}
	d.guard(label, route, "forwardAuth", "http://"+strings.TrimPrefix(words[0], "http://"))
}

// size is a number of bytes as Caddy has it.
var size = regexp.MustCompile(`^([0-9]+)\s*(?:([kKmMgG])i?)?[bB]?$`)

// body bounds what a request brings.
func (d *draft) body(label string, route map[string]string, text string) {
	m := size.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		d.shut(label, route, "set com.df.maxBody to such a size, such as 10m")
		return
	}
	d.guard(label, route, "maxBody", m[1]+strings.ToLower(m[2]))
}

// upstream is a route to the tasks.
func (d *draft) upstream(label string, base map[string]string, text string) (map[string]string, bool) {
	m := upstreams.FindStringSubmatch(text)
	if m == nil {
		d.lose(label, "it does not lead to the tasks of the service; see com.df.outboundHostname")
		return nil, false
	}
	route := maps.Clone(base)
	if m[1] != "" {
		route["servicePath"] = strings.TrimSuffix(m[1], "*")
	}
	switch m[2] {
	case "https":
		d.speakTLS(label, route)
	case "h2c":
		route["proto"] = "h2"
	}
	if route["port"] = m[3]; m[3] == "" {
		route["port"] = "80"
	}
	return route, true
}

// header sets, adds or takes away a header of answers.
func (d *draft) header(route map[string]string, field, text string) {
	text = escaped(strings.Trim(text, `"`))
	switch {
	case strings.HasPrefix(field, "-"):
		add(route, "delResHeader", field[1:])
	case strings.HasPrefix(field, "+"):
		add(route, "addResHeader", field[1:]+" "+text)
	default:
		add(route, "setResHeader", field+" "+text)
	}
}
