package console_test

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/view"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// shop is a swarm in which some things are wrong, as the pictures of the pages show it.
func shop(s *swarm) {
	at := s.now
	s.change(func(p *picture.Picture) {
		whole(p)
		service(p, "blog_web", 2, "serviceDomain=blog.example.com", "port=8080")
		service(p, "mail_smtp", 1, "reqMode=tcp", "srcPort=2525", "port=25")
		service(p, "shop_api", 3, "serviceDomain=api.shop.example.com", "servicePath=/v1,/v2", "port=8080", "scrapePort=9100", "users=secret")
		svc := find(p, "shop_api")
		delete(svc.Labels, "com.df.users")
		svc.Withheld = map[string]string{"com.df.users": "m1"}
		service(p, "shop_web", 5, "serviceDomain=shop.example.com", "port=8080", "scrapePort=9100", "scaleMin=2", "scaleMax=8", "scaleUpBy=2",
			"alertName=slow", "alertIf=@resp_time_above:0.2,1m,0.95", "alertFor=30s", "alertLabels=scale=up,type=service")
		service(p, "shop_cart", 2, "serviceDomain=shop.example.com", "servicePath=/cart", "port=8080")
		service(p, "shop_search", 2, "serviceDomain=shop.example.com", "servicePath=search", "port=9200")
		says(p, "proxy", "shop_search", catalog.StateRejected, `com.df.servicePath="search": want paths such as /search, beginning with a slash`)
		service(p, "shop_images", 2, "serviceDomain=images.shop.example.com", "port=8080")
		find(p, "shop_images").Networks = []string{"shop_default"}
		service(p, "shop_payments", 3, "serviceDomain=pay.example.com", "port=8443")
		find(p, "shop_payments").UpdateState = "paused"
		p.Tasks["id-shop_payments"][1].State, p.Tasks["id-shop_payments"][1].Error = "failed", "task: non-zero exit (137)"
		service(p, "intranet_wiki", 1, "serviceDomain=wiki.example.com", "port=3000")
		p.Tasks["id-intranet_wiki"][0].State, p.Tasks["id-intranet_wiki"][0].Error = "pending", `no suitable node (scheduling constraints not satisfied on 3 nodes)`
		says(p, "proxy", "intranet_wiki", catalog.StateDegraded, "no task of the service runs")
		service(p, "report_nightly", 2, "serviceDomain=reports.example.com", "port=8080", "sevicePath=/nightly")
		service(p, "metrics_node", 3, "scrapePort=9100")
		service(p, "queue_worker", 4, "scaleMin=1", "scaleMax=10", "scrapePort=9090")
		says(p, "proxy", "queue_worker", catalog.StateIgnored, "")
		service(p, "legacy_ftp", 1)
		find(p, "legacy_ftp").Labels = nil
		service(p, "office_chat", 1, "serviceDomain=chat.example.com", "port=80")
		says(p, "proxy", "office_chat", catalog.StateAccepted, "")
		p.Decisions["shop_web"] = picture.Decision{Time: at, Direction: "up", Action: "scaled", From: 3, To: 5}
		p.Nodes[2].Availability = "drain"
		p.Alerts = []picture.Alert{{Name: "shop_web_slow", Service: "shop_web", Labels: map[string]string{"scale": "up", "type": "service"}}}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certs = []view.Certificate{
		{Name: "shop", Source: "secret", Names: []string{"shop.example.com", "*.shop.example.com"}, NotAfter: at.Add(71 * 24 * time.Hour), Served: true, Default: true},
		{Name: "blog", Source: "upload", Names: []string{"blog.example.com"}, NotAfter: at.Add(9 * 24 * time.Hour), Served: true},
		{Name: "wiki", Source: "label", Service: "intranet_wiki", Names: []string{"wiki.example.com"}, NotAfter: at.Add(-26 * time.Hour), Reason: "it expired on 2026-11-28"},
	}
	s.targets["shop_web"] = []view.Target{{Address: "10.0.0.14:9100", Node: "node-1", Health: "up"}, {Address: "10.0.0.15:9100", Node: "node-2", Health: "down", LastError: "connection refused"}}
	decision := func(ago time.Duration, v map[string]any) {
		v["time"] = at.Add(-ago)
		s.entries = append(s.entries, entry(at.Add(-ago), "decisions", v))
	}
	decision(3*time.Minute, map[string]any{"service": "shop_web", "direction": "up", "action": "scaled", "code": "scaled", "from": 3, "to": 5, "reason": "alert slow fires: 95 % of answers within 0.31 s"})
	decision(9*time.Minute, map[string]any{"service": "queue_worker", "direction": "up", "action": "held", "code": "cooldown", "from": 4, "to": 4, "reason": "it was scaled up 40 s ago; the next step is due in 2 minutes"})
	s.entries = append(s.entries,
		entry(at.Add(-11*time.Minute), "events", map[string]any{"kind": "changed", "service": "shop_search", "serviceId": "id-shop_search", "text": "labels"}),
		entry(at.Add(-12*time.Minute), "events", map[string]any{"kind": "changed", "service": "shop_web", "serviceId": "id-shop_web", "text": "image"}))
	decision(24*time.Minute, map[string]any{"service": "shop_web", "direction": "down", "action": "scaled", "code": "scaled", "from": 4, "to": 3, "reason": "nothing asks for more, and the cooldown of 5 minutes is over"})
	decision(31*time.Minute, map[string]any{"service": "shop_web", "direction": "up", "action": "refused", "code": "at_max", "from": 8, "to": 8, "reason": "8 replicas are the most that com.df.scaleMax allows"})
	decision(47*time.Minute, map[string]any{"service": "shop_web", "direction": "up", "action": "scaled", "code": "scaled", "from": 2, "to": 4, "reason": "alert slow fires: 95 % of answers within 0.42 s"})
	s.entries = append(s.entries,
		entry(at.Add(-50*time.Minute), "audit", map[string]any{"time": at.Add(-50 * time.Minute), "component": "proxy", "action": "certificate_put", "object": "blog", "by": "token 5e7c19a0"}),
		entry(at.Add(-62*time.Minute), "events", map[string]any{"kind": "created", "service": "office_chat", "serviceId": "id-office_chat"}))
}

func entry(at time.Time, stream string, v map[string]any) view.Entry {
	value, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return view.Entry{Time: at, Stream: stream, Value: value}
}
