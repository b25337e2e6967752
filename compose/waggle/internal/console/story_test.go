package console_test

import (
	"log/slog"
	"time"

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
		p.Certificates = map[string][]string{"shop": {"shop.example.com", "*.shop.example.com"}, "blog": {"blog.example.com"}, "wiki": {"wiki.example.com"}}
		p.CertificateEnds = map[string]time.Time{"shop": at.Add(71 * 24 * time.Hour), "blog": at.Add(9 * 24 * time.Hour), "wiki": at.Add(-26 * time.Hour)}
		p.Unscraped = map[string]string{"10.0.0.15:9100": "connect: connection refused", "10.0.0.18:9100": ""}
		p.Alerts = []picture.Alert{{Name: "shop_web_slow", Service: "shop_web", Labels: map[string]string{"scale": "up", "type": "service"}}}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	decided := func(ago time.Duration, service string, d picture.Decision) {
		d.Time = at.Add(-ago)
		s.events = append(s.events, picture.OfDecision(d.Time, service, d))
	}
	happened := func(ago time.Duration, component string, e catalog.Event) {
		s.events = append(s.events, picture.OfCatalog(at.Add(-ago), component, e))
	}
	decided(3*time.Minute, "shop_web", picture.Decision{Direction: "up", Action: "scaled", From: 3, To: 5, Reason: "alert slow fires: 95 % of answers within 0.31 s"})
	decided(9*time.Minute, "queue_worker", picture.Decision{Direction: "up", Action: "held", From: 4, To: 4, Reason: "it was scaled up 40 s ago; the next step is due in 2 minutes"})
	happened(11*time.Minute, "listener", catalog.Event{Kind: "changed", Service: "shop_search", ServiceID: "id-shop_search", Text: "com.df.servicePath"})
	happened(12*time.Minute, "listener", catalog.Event{Kind: "changed", Service: "shop_web", ServiceID: "id-shop_web", Text: "image"})
	happened(12*time.Minute, "proxy", catalog.Event{Kind: "reload", Instance: "proxy-1", Text: "a backend has another form", Services: []string{"shop_web"}})
	decided(24*time.Minute, "shop_web", picture.Decision{Direction: "down", Action: "scaled", From: 4, To: 3, Reason: "nothing asks for more, and the cooldown of 5 minutes is over"})
	decided(31*time.Minute, "shop_web", picture.Decision{Direction: "up", Action: "refused", From: 8, To: 8, Reason: "8 replicas are the most that com.df.scaleMax allows"})
	decided(47*time.Minute, "shop_web", picture.Decision{Direction: "up", Action: "scaled", From: 2, To: 4, Reason: "alert slow fires: 95 % of answers within 0.42 s"})
	happened(62*time.Minute, "listener", catalog.Event{Kind: "created", Service: "office_chat", ServiceID: "id-office_chat"})
}
