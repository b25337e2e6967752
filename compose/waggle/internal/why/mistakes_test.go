package why_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/lint"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// labels takes "name=text" apart; all but notify are without prefix. A text may have _ for a space.
func labels(words string) map[string]string {
	out := map[string]string{}
	for _, word := range strings.Fields(words) {
		name, text, _ := strings.Cut(word, "=")
		out[catalog.Prefix+name] = strings.ReplaceAll(text, "_", " ")
	}
	return out
}

// routed are the labels of a service with which all is well.
const routed = "notify=true serviceDomain=shop.test port=8080"

// service is one with these labels that was made in the order of age.
func service(name, words string, age int64) catalog.Service {
	return catalog.Service{
		ID: name, Name: name, Stack: "shop", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, Image: "shop:1", EndpointMode: "vip",
		CreatedAt: time.Unix(age, 0), Labels: labels(words),
	}
}

// world is a swarm in which all is well, until a mistake is made.
func world(words string) *picture.Picture {
	p := &picture.Picture{
		Time: time.Now(), Bus: picture.Connected, Stack: "waggle", Services: []catalog.Service{service("shop_web", words, 2)},
		Nodes: []catalog.Node{{ID: "n1", Hostname: "h1", State: "ready"}}, Tasks: map[string][]picture.Task{},
		Certificates: map[string][]string{"shop.pem": {"shop.test"}}, Secrets: []string{}, Probes: map[string]map[string]picture.Probe{"shop_web": {"8080": picture.Answers}},
		Alerts: []picture.Alert{}, Decisions: map[string]picture.Decision{},
	}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: c}})
	}
	return p
}

// tasks are those of shop_web: each a state, a desired one, and Docker's words.
func tasks(p *picture.Picture, told ...[3]string) {
	p.Tasks["shop_web"] = []picture.Task{}
	for _, t := range told {
		p.Tasks["shop_web"] = append(p.Tasks["shop_web"], picture.Task{Task: catalog.Task{ID: t[2], Node: "n1", State: t[0], Desired: t[1]}, Error: t[2]})
	}
}

// live lets the components say what their judges do, and tasks run that nobody spoke of.
func live(t *testing.T, p *picture.Picture) picture.Picture {
	t.Helper()
	for _, svc := range p.Services {
		if _, told := p.Tasks[svc.ID]; !told && svc.Replicas > 0 {
			p.Tasks[svc.ID] = []picture.Task{{Task: catalog.Task{ID: svc.ID, Node: "n1", State: "running", Desired: "running"}}}
		}
	}
	settings := func(component string) map[string]string { return p.Of(component)[0].Settings }
	s := p.Snapshot()
	routes, err := proxy.Services(proxy.Question{Snapshot: s, Accepted: p.AcceptedBy("proxy"), Settings: settings("proxy"), Now: p.Time})
	if err != nil {
		t.Fatal(err)
	}
	scrapes, err := monitor.Services(monitor.Question{Snapshot: s})
	if err != nil {
		t.Fatal(err)
	}
	scales, err := scaler.Services(scaler.Question{Snapshot: s, Now: p.Time})
	if err != nil {
		t.Fatal(err)
	}
	say := func(one catalog.Status) {
		if slices.ContainsFunc(p.Statuses, func(o picture.Status) bool { return o.Component == one.Component && o.ServiceID == one.ServiceID }) {
			return
		}
		if one.State == catalog.StateAccepted {
			one.State = catalog.StateApplied
		}
		p.Statuses = append(p.Statuses, picture.Status{Status: one})
	}
	for _, a := range routes {
		say(a.Status)
	}
	for _, a := range scrapes {
		say(a.Status)
	}
	for _, a := range scales {
		say(a.Status)
	}
	return *p
}

// mistake is one that people make.
type mistake struct {
	number int
	name   string
	labels string
	// make changes a swarm in which all is well.
	make func(p *picture.Picture)
	// ask is what is asked about; shop_web if empty, and status for the overview.
	ask string
	// rung is the one that is broken, or warns with a ? before it; says is in its text, fix in its fix,
	// alternatives between bars.
	rung, says, fix string
	// lint is the label for which lint has an error, or warns with a ? before it; "-" if a file
	// does not tell.
	lint string
}

// mistakes are those that were gathered of users, by their numbers.
func mistakes() []mistake {
	set := func(do func(*catalog.Service)) func(*picture.Picture) {
		return func(p *picture.Picture) { do(&p.Services[0]) }
	}
	probe := func(port string, met picture.Probe) func(*picture.Picture) {
		return func(p *picture.Picture) { p.Probes["shop_web"] = map[string]picture.Probe{port: met} }
	}
	other := func(words string) func(*picture.Picture) {
		return func(p *picture.Picture) { p.Services = append(p.Services, service("shop_first", words, 1)) }
	}
	return []mistake{
		{1, "labels on the container", "", set(func(s *catalog.Service) { s.ContainerLabels = labels(routed) }), "", "opted-in", "container", "deploy.labels", "com.df.notify"},
		{2, "no notify", "serviceDomain=shop.test port=8080", nil, "", "opted-in", "com.df.notify", "com.df.notify=true", "com.df.notify"},
		{3, "a notify that is not true", "notify=yes serviceDomain=shop.test port=8080", nil, "", "opted-in", `"yes"`, "com.df.notify=true", "com.df.notify"},
		{4, "a mistyped label", routed + " servicePaht=/a", nil, "", "labels", "com.df.servicePaht", "com.df.servicePath", "com.df.servicePaht"},
		{4, "the wrong case", routed + " servicepath=/a", nil, "", "labels", "com.df.servicepath", "com.df.servicePath", "com.df.servicepath"},
		{5, "not on the network", routed, set(func(s *catalog.Service) { s.Networks = []string{"shop_waggle"} }), "", "network", "shop_waggle", "external: true", ""},
		{6, "no port", "notify=true serviceDomain=shop.test", nil, "", "labels", "com.df.port", "the port on which the service listens", "com.df.port"},
		{6, "a port that is no number", "notify=true serviceDomain=shop.test port=http", nil, "", "labels", `"http"`, "65535", "com.df.port"},
		{7, "a path without a slash", routed + " servicePath=cart", nil, "", "labels", `"cart"`, "slash", "com.df.servicePath"},
		{8, "the route is somebody else's", routed, other(routed), "", "route", "shop_first", "another path or domain", "com.df.servicePath"},
		{9, "no request gets there", "notify=true aclName=b serviceDomain=shop.test servicePath=/a/b port=8080", other("notify=true aclName=a serviceDomain=shop.test servicePath=/a port=80"),
			"", "route", "shop_first", "aclName", "?"},
		{10, "scaled to nothing", routed, set(func(s *catalog.Service) { s.Replicas = 0 }), "", "tasks", "0 replicas", "docker service scale", "-"},
		{11, "a label that is not supported", routed + " templateFePath=/a", nil, "", "labels", "com.df.templateFePath", "", "com.df.templateFePath"},
		{12, "raw text without the switch", routed + " backendExtra=x", nil, "", "labels", "com.df.backendExtra", "raw|ALLOW_RAW", "com.df.backendExtra"},
		{13, "HAProxy refuses it", routed, func(p *picture.Picture) {
			p.Statuses = []picture.Status{{Status: catalog.Status{Component: "proxy", ServiceID: "shop_web", Service: "shop_web", State: catalog.StateRejected, Reason: "HAProxy refuses it: no such file"}}}
		}, "", "applied", "no such file", "docker service logs", "-"},
		{14, "too much of labels", routed + " setReqHeader=X-A_" + strings.Repeat("b", 70000), func(p *picture.Picture) {
			p.Services[0] = catalog.Stripped(p.Services[0], 70100)
		}, "", "labels", "64 kB", "shorten", ""},
		{15, "for another proxy", routed + " proxyInstanceName=inner", func(p *picture.Picture) {
			p.Instances[1].Settings = map[string]string{"filter-proxy-instance-name": "true", "proxy-instance-name": "outer"}
		}, "", "route", "inner", "com.df.proxyInstanceName", "?com.df.proxyInstanceName"},
		{16, "a scrape without its port", routed + " metricsPath=/m", nil, "", "scrape", "scrape", "com.df.scrapePort", "com.df.scrapePort"},
		{17, "an alert that is no PromQL", "notify=true alertName=slow alertIf=up<", nil, "", "alert", "com.df.alertIf", "", "com.df.alertIf"},
		{18, "a name that is taken", "notify=true shortName=true scrapePort=80", func(p *picture.Picture) {
			first := service("other_web", "notify=true shortName=true scrapePort=80", 1)
			first.Stack, p.Services[0].Stack = "other", "shop"
			p.Services = append(p.Services, first)
		}, "", "scrape", "other_web", "", ""},
		{19, "least above most", "notify=true scaleMin=5 scaleMax=3", nil, "", "scale", "com.df.scaleMin", "at most", "com.df.scaleMin"},
		{19, "global", "notify=true scaleMax=3", set(func(s *catalog.Service) { s.Mode = catalog.Global }), "", "scale", "global", "replicated", ""},
		{19, "a job", "notify=true scaleMax=3", set(func(s *catalog.Service) { s.Mode = catalog.ReplicatedJob }), "", "scale", "job", "replicated", ""},
		{20, "asked by the short name", routed, nil, "web", "listed", "shop_web", "shop_web", "-"},
		{21, "its node is down", routed, func(p *picture.Picture) { p.Nodes[0].State = "down" }, "", "tasks", "h1 is down", "docker node ls", "-"},
		{22, "no such image", routed, func(p *picture.Picture) { tasks(p, [3]string{"rejected", "shutdown", "No such image: shop:1"}) }, "", "tasks", "No such image", "registry-auth", "-"},
		{23, "no node fits", routed, func(p *picture.Picture) {
			tasks(p, [3]string{"pending", "running", "no suitable node (scheduling constraints not satisfied on 1 node)"})
		},
			"", "tasks", "no suitable node", "constraints", "-"},
		{24, "it ends again and again", routed, func(p *picture.Picture) { tasks(p, [3]string{"failed", "shutdown", "task: non-zero exit (3)"}) }, "", "tasks", "exit (3)", "docker service logs", "-"},
		{25, "unhealthy", routed, func(p *picture.Picture) {
			tasks(p, [3]string{"failed", "shutdown", "task: non-zero exit (137): dockerexec: unhealthy container"})
		}, "", "tasks", "unhealthy", "health check", "-"},
		{26, "on its way", routed, func(p *picture.Picture) { tasks(p, [3]string{"preparing", "running", ""}) }, "", "tasks", "preparing", "wait", "-"},
		{27, "the update is paused", routed, set(func(s *catalog.Service) { s.UpdateState = "paused" }), "", "tasks", "paused", "docker service update", "-"},
		{27, "it was rolled back", routed, set(func(s *catalog.Service) { s.UpdateState = "rollback_completed" }), "", "tasks", "rollback", "docker service update", "-"},
		{28, "nobody listens on the port", routed, probe("8080", picture.Refused), "", "reach", "refused", "com.df.port", "-"},
		// Nobody beside the container can tell this from the one before: the fix names both.
		{29, "it listens for itself alone", routed, probe("8080", picture.Refused), "", "reach", "refused", "127.0.0.1", "-"},
		{30, "no certificate at all", routed, func(p *picture.Picture) { p.Certificates = map[string][]string{} }, "https://shop.test/", "tls", "no certificate at all", "shop.test", "-"},
		{31, "a certificate for others", routed, func(p *picture.Picture) { p.Certificates = map[string][]string{"a.pem": {"a.test"}} }, "https://shop.test/", "tls", "a.test", "shop.test", "-"},
		{32, "nobody's host", routed, nil, "http://sohp.test/", "route", "sohp.test", "com.df.serviceDomain=sohp.test", "-"},
		{33, "TLS instead of clear text", routed, probe("8080", picture.TLS), "", "reach", "TLS", "sslVerifyNone", "-"},
		{33, "clear text instead of TLS", routed + " sslVerifyNone=true", probe("8080", picture.HTTP), "", "reach", "clear text", "remove", "-"},
		{34, "the secret with users is missing", routed + " usersSecret=staff", nil, "", "applied", "dfp_users_staff", "docker secret create", "-"},
		{35, "the virtual IP does not answer", routed + " discoveryType=vip", probe("vip:8080", picture.Timeout), "", "reach", "virtual IP", "discoveryType", "-"},
		{36, "an alert that asks for no scaling", "notify=true scaleMax=3", func(p *picture.Picture) { p.Alerts = []picture.Alert{{Name: "busy", Service: "shop_web"}} }, "", "scale", "busy", "scale=up,type=service", "-"},
		{37, "a cooldown", "notify=true scaleMax=3", func(p *picture.Picture) {
			p.Decisions["shop_web"] = picture.Decision{Direction: "up", Action: "held", From: 1, To: 1, Reason: "cooldown for another 20s"}
		}, "", "?scale", "cooldown", "cooldown", "-"},
		{38, "a component is away", routed, func(p *picture.Picture) { p.Instances[1].Heard = 31 }, "", "applied", "away", "waggle_proxy", "-"},
		{38, "a component is behind", routed, func(p *picture.Picture) { p.Instances[1].Behind = 16 }, "", "applied", "behind", "waggle_proxy", "-"},
		{39, "the swarm cannot be listed", routed, func(p *picture.Picture) { p.Failure = "the swarm could not be listed: no leader" }, "", "listed", "no leader", "docker node ls", "-"},
		{40, "the bus is away", routed, func(p *picture.Picture) { p.Bus = "away" }, "", "listed", "bus", "NATS", "-"},
		{41, "a deploy has set the replicas back", "notify=true scaleMax=3", func(p *picture.Picture) {
			p.Decisions["shop_web"] = picture.Decision{Direction: "up", Action: "scaled", From: 1, To: 3}
		}, "", "?scale", "3 replicas", "deploy.replicas", "?"},
		{42, "two of one kind", routed, func(p *picture.Picture) {
			p.Services = append(p.Services, catalog.Service{ID: "df", Name: "df_proxy", Stack: "df", Image: "dockerflow/docker-flow-proxy:1", Ports: []catalog.Port{{Published: 80}}})
		}, "status", "", "df_proxy is a docker-flow-proxy of Docker Flow and publishes 80", "", "-"},
	}
}

// uncertified are mistakes about certificates that the proxy is to obtain, which the running proxy
// tells in the same words.
func uncertified() []mistake {
	obtains := func(settings ...string) func(*picture.Picture) {
		return func(p *picture.Picture) {
			p.Instances[1].Settings = map[string]string{proxy.Obtains: "true", "acme-challenge": "http"}
			for i := 0; i < len(settings); i += 2 {
				p.Instances[1].Settings[settings[i]] = settings[i+1]
			}
		}
	}
	fails := func(p *picture.Picture) {
		obtains()(p)
		p.Certificates = map[string][]string{}
		p.Statuses = []picture.Status{{Status: catalog.Status{
			Component: "proxy", ServiceID: "shop_web", Service: "shop_web", State: catalog.StateDegraded, Label: "com.df.acme",
			Reason: "no certificate for shop.test after 3 tries: Let's Encrypt says: CAA record for shop.test prevents issuance (caa); tried again at 2026-11-30T12:00:00Z",
			Hint:   "a CAA record of the domain lets only other authorities give certificates for it",
		}}}
	}
	asks := routed + " acme=true"
	return []mistake{
		{51, "certificates are not turned on", asks, nil, "", "?labels", "com.df.acme asks for a certificate, and the proxy obtains none", "ACME_EMAIL", "?com.df.acme"},
		{51, "nor for a companion's labels", routed + " letsencrypt.host=shop.test", nil, "", "?labels", "com.df.letsencrypt.host asks for a certificate", "ACME_EMAIL", "?com.df.letsencrypt.host"},
		{52, "a certificate below HTTP", "notify=true reqMode=tcp srcPort=5432 port=5432 acme=true", obtains(), "", "?labels", "passed through as it is", "remove com.df.acme", "?com.df.acme"},
		{53, "no whole name", "notify=true servicePath=/shop port=8080 acme=true", obtains(), "", "?labels", "com.df.acme needs a com.df.serviceDomain with whole names", "shop.example.com", "?com.df.acme"},
		{54, "no name of DNS", "notify=true serviceDomain=shop port=8080 acme=true", obtains(), "", "?labels", "no authority gives a certificate for shop", "a certificate of your own", "?com.df.acme"},
		{55, "a wildcard by HTTP", "notify=true serviceDomain=*.shop.test port=8080 acme=true", obtains(), "", "?labels", "needs com.df.acmeChallenge=dns", "ACME_DNS", "?com.df.acme"},
		{56, "by DNS without a provider", asks + " acmeChallenge=dns", obtains(), "", "?labels", "the operator has set no ACME_DNS", "ACME_DNS", "?com.df.acmeChallenge"},
		{57, "a challenge that is none", asks + " acmeChallenge=tls", obtains(), "", "labels", `com.df.acmeChallenge="tls"`, "http", "com.df.acmeChallenge"},
		{58, "a companion's host that is not the service's", routed + " letsencrypt.host=shop.test,sohp.test", obtains(), "", "?labels", "names sohp.test, by which the service is not routed", "com.df.serviceDomain", "?com.df.letsencrypt.host"},
		{59, "somebody else's name", asks, obtains("owners", "mode: enforce\nstacks:\n  other: {hosts: [shop.test]}\n"), "", "route", "shop.test", "", "com.df.serviceDomain"},
		{60, "the authority refuses", asks, fails, "", "?applied", "Let's Encrypt says: CAA record for shop.test prevents issuance (caa); tried again at 2026-11-30T12:00:00Z", "a CAA record", "-"},
		{60, "and that is why there is no TLS", asks, fails, "https://shop.test/", "tls", "after 3 tries: Let's Encrypt says: CAA record", "a CAA record", "-"},
	}
}

// TestMistakes: each of the 42 mistakes is found, by the way from label to effect, in the file
// before, or by both; and so are those about certificates.
func TestMistakes(t *testing.T) {
	seen := map[int]bool{}
	for _, m := range slices.Concat(mistakes(), uncertified()) {
		seen[m.number] = true
		t.Run(m.name, func(t *testing.T) {
			p := world(m.labels)
			if m.make != nil {
				m.make(p)
			}
			m.isLinted(t, *p)
			if m.ask == "status" {
				o, err := why.Status(live(t, p))
				if err != nil || !strings.Contains(strings.Join(o.Warnings, "\n"), m.says) {
					t.Errorf("%v, %v", o.Warnings, err)
				}
				return
			}
			m.isExplained(t, live(t, p))
		})
	}
	for n := range 42 {
		if !seen[n+1] {
			t.Errorf("nothing is said of mistake %d", n+1)
		}
	}
}

func (m mistake) isExplained(t *testing.T, p picture.Picture) {
	t.Helper()
	ask, about := m.ask, why.Service
	switch {
	case ask == "":
		ask = "shop_web"
	case why.IsURL(ask):
		about = why.URL
	}
	a, err := about(p, ask)
	if err != nil {
		t.Fatal(err)
	}
	rung, isWarning := strings.CutPrefix(m.rung, "?")
	state := why.Broken
	if isWarning {
		state = why.Warn
	} else if a.FirstBroken != rung {
		t.Errorf("the first broken rung is %q, want %q: %+v", a.FirstBroken, rung, a.Rungs)
	}
	i := slices.IndexFunc(a.Rungs, func(r why.Rung) bool { return r.Rung == rung })
	if i < 0 || a.Rungs[i].State != state || !strings.Contains(a.Rungs[i].Text, m.says) {
		t.Errorf("%q is not said of %s: %+v", m.says, rung, a.Rungs)
		return
	}
	if !slices.ContainsFunc(strings.Split(m.fix, "|"), func(part string) bool { return strings.Contains(a.Rungs[i].Fix, part) }) {
		t.Errorf("the fix is %q, want %q", a.Rungs[i].Fix, m.fix)
	}
}

func (m mistake) isLinted(t *testing.T, p picture.Picture) {
	t.Helper()
	if m.lint == "-" {
		return
	}
	var services []lint.Service
	for _, svc := range p.Services {
		if m.number == 14 {
			svc = service("shop_web", m.labels, 1)
		}
		services = append(services, lint.Service{Service: svc, Key: svc.Name, File: "shop.yml", SetsReplicas: m.number == 41})
	}
	// The older come first, as in a file.
	slices.SortFunc(services, func(a, b lint.Service) int { return a.CreatedAt.Compare(b.CreatedAt) })
	settings := lint.Settings{"proxy": p.Of("proxy")[0].Settings}
	found, err := lint.Files(services, lint.Live{}, settings, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	label, isWarning := strings.CutPrefix(m.lint, "?")
	level := lint.Error
	if isWarning {
		level = lint.Warning
	}
	if !slices.ContainsFunc(found, func(f lint.Finding) bool {
		return f.Service == "shop_web" && f.Level == level && (label == "" || f.Label == label)
	}) {
		t.Errorf("lint has no %s about %q: %+v", level, label, found)
	}
}
