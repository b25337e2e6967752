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
	// upstreams is what caddy-docker-proxy fills in with the tasks.
	upstreams = regexp.MustCompile(`^\s*(?:(/\S*)\s+)?\{\{\s*upstreams(?:\s+(https?|h2c))?(?:\s+([0-9]+))?\s*\}\}\s*$`)
)

// caddy reads the labels of caddy-docker-proxy.
func caddy(service string, labels map[string]string) (Result, bool) {
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
			d.lose(name, "port "+port+" of the proxy must be set by com.df.srcPort")
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
		case (parts[0] == "handle_path" || parts[0] == "handle" || parts[0] == "route") && len(parts) == 2 && parts[1] == "reverse_proxy":
			path := strings.TrimSuffix(directives[strings.TrimSuffix(rest, rest[strings.LastIndexByte(rest, '.'):])], "*")
			route, ok := d.upstream(label, base, text)
			if !ok {
				continue
			}
			if path != "" {
				route["servicePath"] = strings.TrimSuffix(path, "/") + "/"
				if parts[0] == "handle_path" {
					route["reqPathSearchReplace"] = "^" + strings.TrimSuffix(path, "/") + ","
				}
			}
			routes = append(routes, route)
		case (parts[0] == "handle_path" || parts[0] == "handle" || parts[0] == "route") && len(parts) == 1:
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
		case parts[0] == "tls" && (text == "internal" || len(parts) > 1 || strings.Contains(text, "@")):
			d.lose(label, "there is no ACME: give the proxy a certificate")
		case parts[0] == "forward_auth" && len(parts) == 1:
			base["forwardAuth"] = "http://" + strings.TrimPrefix(text, "http://")
		case parts[0] == "forward_auth" && len(parts) == 2 && parts[1] == "uri":
			base["forwardAuth"] += text
		case parts[0] == "forward_auth" && len(parts) == 2 && parts[1] == "copy_headers":
			base["forwardAuthHeaders"] = strings.Join(strings.Fields(text), ",")
		default:
			d.lose(label, "no counterpart")
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
