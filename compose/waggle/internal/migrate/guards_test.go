package migrate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/migrate"
)

// stack is a stack file with services of these labels.
func stack(services ...[]string) []byte {
	var out strings.Builder
	out.WriteString("services:\n")
	for i, labels := range services {
		fmt.Fprintf(&out, "  web%d:\n    deploy:\n      labels:\n", i)
		for _, l := range labels {
			name, text, _ := strings.Cut(l, "=")
			fmt.Fprintf(&out, "        %s: '%s'\n", name, text)
		}
	}
	return []byte(out.String())
}

// imported is what becomes of the first service.
func imported(t *testing.T, dialect string, services ...[]string) migrate.Result {
	t.Helper()
	results, err := migrate.File(stack(services...), migrate.Translators()[dialect])
	if err != nil || len(results) == 0 {
		t.Fatal(results, err)
	}
	return results[0]
}

// open are the ways into a service by which somebody gets in: those that refuse nobody at all.
func open(r migrate.Result) []string {
	var out []string
	for name := range r.Labels {
		base, index, _ := strings.Cut(strings.TrimPrefix(name, "com.df."), ".")
		if base != "port" {
			continue
		}
		refuse := "com.df." + migrate.Refuse
		if index != "" {
			refuse += "." + index
		}
		if !strings.HasPrefix(r.Labels[refuse], "0.0.0.0/0,::/0") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func traefikRoute(more ...string) []string {
	return append([]string{"traefik.enable=true", "traefik.http.routers.a.rule=Host(`a.example.com`)", "traefik.http.services.a.loadbalancer.server.port=80"}, more...)
}

func guardedBy(middleware string) []string {
	return traefikRoute("traefik.http.routers.a.middlewares=m", "traefik.http.middlewares.m."+middleware)
}

func rule(text string) []string {
	return []string{"traefik.enable=true", "traefik.http.routers.a.rule=" + text, "traefik.http.services.a.loadbalancer.server.port=80"}
}

func stream(more ...string) []string {
	return append([]string{"traefik.enable=true", "traefik.tcp.routers.a.rule=HostSNI(`*`)", "traefik.tcp.routers.a.entrypoints=db", "traefik.tcp.services.a.loadbalancer.server.port=80"}, more...)
}

func old(more ...string) []string {
	return append([]string{"traefik.enable=true", "traefik.port=80", "traefik.frontend.rule=Host:a.example.com"}, more...)
}

func site(more ...string) []string {
	return append([]string{"caddy=a.example.com", "caddy.reverse_proxy={{upstreams 80}}"}, more...)
}

// TestAGuardThatIsLostLeavesNothingOpen: whoever was kept out by what has no counterpart is kept
// out until a person has put something in its place, and is told what.
func TestAGuardThatIsLostLeavesNothingOpen(t *testing.T) {
	for name, c := range map[string]struct {
		dialect string
		labels  []string
		says    string
	}{
		"middleware of a file":                {"traefik", traefikRoute("traefik.http.routers.a.middlewares=sso@file"), "sso stands elsewhere"},
		"middleware that nobody defines":      {"traefik", traefikRoute("traefik.http.routers.a.middlewares=sso"), "sso stands elsewhere"},
		"chain with one of a file":            {"traefik", guardedBy("chain.middlewares=sso@file"), "sso stands elsewhere"},
		"chain of chains without an end":      {"traefik", guardedBy("chain.middlewares=m"), "stands elsewhere"},
		"users of a file":                     {"traefik", guardedBy("basicauth.usersfile=/users"), "com.df.usersSecret"},
		"digest":                              {"traefik", guardedBy("digestauth.users=me:traefik:0815"), "no counterpart"},
		"forward authentication over TLS":     {"traefik", guardedBy("forwardauth.address=https://auth/verify"), "http://"},
		"addresses behind other proxies":      {"traefik", append(guardedBy("ipallowlist.sourcerange=192.0.2.1"), "traefik.http.middlewares.m.ipallowlist.ipstrategy.depth=2"), "TRUSTED_PROXIES"},
		"redirect to another domain":          {"traefik", guardedBy("redirectregex.regex=^https://a[.](.+)"), "com.df.redirectFromDomain"},
		"plugin":                              {"traefik", guardedBy("plugin.crowdsec.enabled=true"), "no counterpart"},
		"hosts that are allowed":              {"traefik", guardedBy("headers.allowedhosts=a.example.com"), "no counterpart"},
		"two lists of addresses":              {"traefik", append(guardedBy("chain.middlewares=n,o"), "traefik.http.middlewares.n.ipallowlist.sourcerange=192.0.2.1", "traefik.http.middlewares.o.ipallowlist.sourcerange=192.0.2.2"), "com.df.allowedAddresses"},
		"two lists of users":                  {"traefik", append(guardedBy("chain.middlewares=n,o"), "traefik.http.middlewares.n.basicauth.users=a:b", "traefik.http.middlewares.o.basicauth.users=c:d"), "com.df.users"},
		"certificates of clients":             {"traefik", traefikRoute("traefik.http.routers.a.tls.options=mtls@file"), "com.df.verifyClientSsl"},
		"port that not everybody reaches":     {"traefik", traefikRoute("traefik.http.routers.a.entrypoints=internal"), "com.df.srcPort"},
		"query":                               {"traefik", rule("Host(`a.example.com`) && Query(`key`, `0815`)"), "Query"},
		"header by an expression":             {"traefik", rule("Host(`a.example.com`) && HeaderRegexp(`X-Key`, `^0815$`)"), "HeaderRegexp"},
		"not a header":                        {"traefik", rule("Host(`a.example.com`) && !Header(`X-From`, `outside`)"), "!Header"},
		"paths of two kinds":                  {"traefik", rule("PathPrefix(`/a`) && PathRegexp(`^/a/open`)"), "PathRegexp"},
		"not a path of another kind":          {"traefik", rule("PathPrefix(`/a`) && !PathRegexp(`^/a/admin`)"), "!PathRegexp"},
		"address below HTTP":                  {"traefik", stream("traefik.tcp.routers.a.middlewares=m", "traefik.tcp.middlewares.m.ipallowlist.sourcerange=192.0.2.1"), "left out"},
		"address in a rule below HTTP":        {"traefik", []string{"traefik.enable=true", "traefik.tcp.routers.a.rule=HostSNI(`*`) && ClientIP(`192.0.2.1`)", "traefik.tcp.services.a.loadbalancer.server.port=80"}, "left out"},
		"digest of Traefik 1":                 {"traefik", old("traefik.frontend.auth.digest.users=me:traefik:0815"), "no counterpart"},
		"users of a file of Traefik 1":        {"traefik", old("traefik.frontend.auth.basic.usersFile=/users"), "no counterpart"},
		"rate of Traefik 1":                   {"traefik", old("traefik.frontend.rateLimit.rateSet.a.average=5"), "no counterpart"},
		"forward authentication of Traefik 1": {"traefik", old("traefik.frontend.auth.forward.address=https://auth"), "http://"},
		"entry point of Traefik 1":            {"traefik", old("traefik.frontend.entryPoints=internal"), "com.df.srcPort"},
		"rule of Traefik 1":                   {"traefik", []string{"traefik.port=80", "traefik.frontend.rule=Host:a.example.com;Query:key=0815"}, "Query"},
		"snippet of Caddy":                    {"caddy", site("caddy.import=auth"), "no counterpart"},
		"refusal of Caddy":                    {"caddy", site("caddy.@outside.not.remote_ip=192.0.2.0/24", "caddy.abort=@outside"), "caddy.abort"},
		"answer of Caddy":                     {"caddy", site("caddy.@outside.not.remote_ip=192.0.2.0/24", "caddy.respond=@outside 403"), "caddy.respond"},
		"answer of Caddy to all":              {"caddy", site("caddy.respond=\"later\" 503"), "caddy.respond"},
		"redirect of Caddy":                   {"caddy", site("caddy.@outside.not.remote_ip=192.0.2.0/24", "caddy.redir=@outside https://login.example.com"), "caddy.redir"},
		"matcher before a block of Caddy":     {"caddy", []string{"caddy=a.example.com", "caddy.@inside.remote_ip=192.0.2.0/24", "caddy.handle=@inside", "caddy.handle.reverse_proxy={{upstreams 80}}"}, "@inside"},
		"users within a block of Caddy":       {"caddy", []string{"caddy=a.example.com", "caddy.handle=/a/*", "caddy.handle.reverse_proxy={{upstreams 80}}", "caddy.handle.basic_auth.me=hash"}, "caddy.handle.basic_auth"},
		"forward authentication of Caddy":     {"caddy", site("caddy.forward_auth=https://auth", "caddy.forward_auth.uri=/verify"), "http://"},
		"certificates of clients of Caddy":    {"caddy", site("caddy.tls.client_auth.mode=require_and_verify"), "com.df.verifyClientSsl"},
		"rate of Caddy":                       {"caddy", site("caddy.rate_limit.zone=a"), "no counterpart"},
		"authorization of Caddy":              {"caddy", site("caddy.authorize=with mypolicy"), "no counterpart"},
		"address of Caddy":                    {"caddy", site("caddy.bind=127.0.0.1"), "no counterpart"},
		"size of Caddy":                       {"caddy", site("caddy.request_body.max_size=ten"), "com.df.maxBody"},
	} {
		t.Run(name, func(t *testing.T) {
			r := imported(t, c.dialect, c.labels)
			if left := open(r); len(left) > 0 {
				t.Errorf("%v are open: %v", left, r.Labels)
			}
			if !strings.Contains(strings.Join(r.Closed, "\n"), c.says) || len(r.Closed) == 0 {
				t.Errorf("it says %q", r.Closed)
			}
		})
	}
}

// TestAGuardWithACounterpart is put over, and the route is open to whom it lets in.
func TestAGuardWithACounterpart(t *testing.T) {
	for name, c := range map[string]struct {
		dialect  string
		services [][]string
		want     string
	}{
		"users":                             {"traefik", [][]string{guardedBy("basicauth.users=a:b")}, "users=a:b"},
		"addresses":                         {"traefik", [][]string{guardedBy("ipallowlist.sourcerange=192.0.2.1")}, "allowedAddresses=192.0.2.1"},
		"forward authentication":            {"traefik", [][]string{guardedBy("forwardauth.address=http://auth/verify")}, "forwardAuth=http://auth/verify"},
		"rate":                              {"traefik", [][]string{guardedBy("ratelimit.average=5")}, "rateLimit=5/1s"},
		"body":                              {"traefik", [][]string{guardedBy("buffering.maxrequestbodybytes=1000")}, "maxBody=1000"},
		"method":                            {"traefik", [][]string{rule("Host(`a.example.com`) && Method(`GET`, `HEAD`)")}, "allowedMethods=GET,HEAD"},
		"not a method":                      {"traefik", [][]string{rule("Host(`a.example.com`) && !Method(`DELETE`)")}, "deniedMethods=DELETE"},
		"not an address":                    {"traefik", [][]string{rule("Host(`a.example.com`) && !ClientIP(`192.0.2.1`)")}, "deniedAddresses=192.0.2.1"},
		"not a path":                        {"traefik", [][]string{rule("Host(`a.example.com`) && !PathPrefix(`/admin`)")}, "servicePathExclude=/admin"},
		"not a whole path":                  {"traefik", [][]string{rule("Host(`a.example.com`) && !Path(`/admin.php`)")}, `servicePathExclude=^/admin\.php$$`},
		"middleware of another service":     {"traefik", [][]string{traefikRoute("traefik.http.routers.a.middlewares=m@swarm"), {"traefik.http.middlewares.m.basicauth.users=a:b"}}, "users=a:b"},
		"users for all segments":            {"traefik", [][]string{{"traefik.frontend.auth.basic.users=a:b", "traefik.web.port=80", "traefik.web.frontend.rule=Host:a.example.com"}}, "users=a:b"},
		"forward authentication, Traefik 1": {"traefik", [][]string{old("traefik.frontend.auth.forward.address=http://auth")}, "forwardAuth=http://auth"},
		"users of Caddy":                    {"caddy", [][]string{site("caddy.basic_auth.me=hash")}, "users=me:hash"},
		"forward authentication of Caddy":   {"caddy", [][]string{site("caddy.forward_auth=/admin/* auth:9091", "caddy.forward_auth.uri=/verify")}, "forwardAuth=http://auth:9091/verify"},
		"size of Caddy":                     {"caddy", [][]string{site("caddy.request_body.max_size=10MB")}, "maxBody=10m"},
		"another port of Caddy":             {"caddy", [][]string{{"caddy=a.example.com:8443", "caddy.reverse_proxy={{upstreams 80}}"}}, "srcPort=8443"},
	} {
		t.Run(name, func(t *testing.T) {
			r := imported(t, c.dialect, c.services...)
			label, text, _ := strings.Cut(c.want, "=")
			if r.Labels["com.df."+label] != text || len(r.Closed) > 0 || len(open(r)) != 1 {
				t.Errorf("%v, closed %q", r.Labels, r.Closed)
			}
		})
	}
}
