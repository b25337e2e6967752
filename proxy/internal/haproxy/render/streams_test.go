package render

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// lineOfStream is what a line may be that labels of streams bring.
var lineOfStream = regexp.MustCompile(`^(|defaults waggle_tcp|  mode tcp|  balance (roundrobin|leastconn|first|random|source)|  hash-type consistent|` +
	`  log global|  option (tcp-check|redispatch 1|dontlognull|dontlog-normal|clitcpka|srvtcpka)|  srvtcpka-(cnt 2|idle 3|intvl 1)|  retries 5|  timeout (check|connect|client|queue|server|tunnel) [0-9]+|  retries [0-9]+|` +
	`frontend tcp_[0-9]+ from waggle_tcp|  bind :[0-9]+ name tcp tcp-ut 900000|  tcp-request inspect-delay 5000|  tcp-request content accept if \{ req.ssl_hello_type 1 \}|` +
	`  use_backend (group:[A-Za-z0-9._-]+|web-tcp[0-9]+_0) if \{ req.ssl_sni -i -m (str|beg|end|sub|dom|reg) -- ([A-Za-z0-9_./:,@+=*~^-]+|'[^']*'(\\'('[^']*')?)*) \}|` +
	`  default_backend (group:[A-Za-z0-9._-]+|web-tcp[0-9]+_0)|backend (group:[A-Za-z0-9._-]+|web-tcp[0-9]+_0) from waggle_tcp|` +
	`  server (web_0:)?10.0.0.2 10.0.0.2:[0-9]+( weight [0-9]+)?( maxconn [0-9]+)?( maxqueue [0-9]+)?( slowstart [0-9]+ms)?( hash-key addr-port)?( check( inter [0-9]+ms)?( fall [0-9]+)?)?)$`)

// FuzzStreams asserts that no text of a label adds a line, a word or a directive.
func FuzzStreams(f *testing.F) {
	f.Add("tcp", "5", "6", "a.com", "req_ssl_sni", "", "", "7", "1")
	f.Add("SNI", "5", "6", "^a[0-9]{1,2}'b$", "req_ssl_sni -i -m reg", "g", "source", "7s", "true")
	f.Add("sni", "5", "6", "} x\n  bind :1", "req_ssl_sni -m reg -- x", "g }", "first", "7\n", "yes")
	f.Add("sni", "5\n", "6", "}", "req.ssl_sni -m reg", "g", "static-rr", "", "0")
	f.Add("tcp", "5", "6", `a\ b"#$HOME`, "req.ssl_sni -m sub -f /x", "", "uri whole", "-1", "f")
	f.Fuzz(func(t *testing.T, mode, from, to, names, how, group, balance, timeout, yes string) {
		svc := catalog.Service{ID: "i", Name: "web", Labels: map[string]string{catalog.Notify: "true"}}
		for name, text := range map[string]string{
			"reqMode": mode, "srcPort": from, "port": to, "servicePath": names, "pathType": how, "serviceDomain": names, "serviceDomainAlgo": how,
			"serviceGroup": group, "balanceGroup": balance, "timeoutClient": timeout, "timeoutServer": timeout, "timeoutTunnel": timeout, "checkTcp": yes, "clitcpka": yes,
			"timeoutQueue": timeout, "timeoutConnect": timeout, "checkTimeout": timeout, "checkInterval": timeout, "slowStart": timeout,
			"maxConn": to, "maxQueue": to, "weight": to, "retries": to, "checkFall": to,
		} {
			if text != "" {
				svc.Labels[catalog.Prefix+name] = text
			}
		}
		d := claims.Settle([]catalog.Service{svc}, nil, labels.Options{})
		r, err := NewRenderer(settings("/x"))
		if err != nil {
			t.Fatal(err)
		}
		empty, err := r.Render(nil, route.Tables{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("10.0.0.2")}
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Services) == 0 || len(d.Services[0].Streams) == 0 {
			return
		}
		have := map[string]int{}
		for line := range strings.Lines(empty.Text()) {
			have[line]++
		}
		have["  log-format "+settings("/x").streamLogFormat()+"\n"]++
		for line := range strings.Lines(out.Text()) {
			if have[line]--; have[line] < 0 && !lineOfStream.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Fatalf("labels %q gave the line %q", svc.Labels, line)
			}
		}
		again, err := file.Parse(out.Text(), "/x")
		if err != nil || len(again.Backends) != 1 || again.Text() != out.Text() {
			t.Fatalf("what was written is not read back (%v): %v", err, again)
		}
	})
}

func TestPlanOfStreams(t *testing.T) {
	all := plan.Abilities{DynamicBackends: true}
	web, redis := "web servicePath=/\nweb port=80\n", "redis reqMode=tcp\nredis port=1\nredis srcPort=2\n"
	for _, c := range []struct{ name, have, want, plan string }{
		{"the first port", web, web + redis, "reload frame"},
		{"the last port goes", web + redis, web, "reload frame"},
		{"another name", redis + "redis serviceDomain=a", redis + "redis serviceDomain=b", "reload frame"},
		{"another timeout of the backend", redis, redis + "redis timeoutServer=5", "reload backend"},
		{"an HTTP service beside it", redis, redis + web, "add web-be80_0; new paths.map /=web-be80_0"},
		{"nothing", redis + web, web + redis, ""},
		{"a member joins a group", redis + "redis serviceGroup=g", redis + "redis serviceGroup=g\n" + strings.ReplaceAll(redis, "redis ", "more ") + "more serviceGroup=g",
			"add group:g/more_0:10.0.0.10; add group:g/more_0:10.0.0.2"},
		{"health checks, which servers cannot get while they run", redis, redis + "redis checkTcp=true", "reload backend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			have, rejected := render(t, s, c.have)
			want, more := render(t, s, c.want)
			if len(rejected)+len(more) > 0 {
				t.Fatal(rejected, more)
			}
			if got := plan.Diff(have, want, all).String(); got != c.plan {
				t.Errorf("got  %s\nwant %s", got, c.plan)
			}
		})
	}
}
