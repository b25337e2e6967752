package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestAPageThatIsRefusedTriesAgain: a proxy that has no console for a while answers 503, after which a
// browser by itself would never ask again, and the page would say that it does.
func TestAPageThatIsRefusedTriesAgain(t *testing.T) {
	s := newSwarm(t)
	s.change(whole)
	behind, err := url.Parse(s.open(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.FlushInterval = -1
	var refused atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" && refused.Add(1) <= 2 {
			http.Error(w, "nobody is there", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	b := newBrowser(t)
	b.Visit(front.URL)
	b.Sees("the page is live in the end", `document.getElementById("live")?.textContent === "live"`)
	s.change(func(p *picture.Picture) { service(p, "shop_web", 1, "serviceDomain=shop.example.com", "port=80") })
	b.Sees("a service that came since", row("shop_web")+`?.innerText.includes("well")`)
}

// TestReadersWhoNeverRead: a thousand who open a page that changes and take nothing of it are told
// that they are too many, keep nobody else from looking, and leave nothing behind.
func TestReadersWhoNeverRead(t *testing.T) {
	s := newSwarm(t)
	s.change(many(50))
	base := s.open(t)
	address := strings.TrimPrefix(base, "http://")
	const readers, admitted = 1000, 250
	var open []net.Conn
	refused := 0
	for range readers {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		fmt.Fprintf(conn, "GET /live?of=%%2F HTTP/1.1\r\nHost: x\r\n\r\n")
		line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, " 503 ") {
			refused++
		}
	}
	if refused != readers-admitted {
		t.Errorf("%d of %d were refused", refused, readers)
	}
	for i := range 20 {
		s.change(func(p *picture.Picture) { find(p, "stack00_service0000").Image = fmt.Sprint("shop/web:", i) })
	}
	if answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: base + "/services/stack00_service0000"}); err != nil || answer.Status != http.StatusOK {
		t.Errorf("who looks meanwhile: %+v %v", answer.Status, err)
	}
	for _, conn := range open {
		conn.Close()
	}
	tooltest.Eventually(t, "there is room again", func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/live?of=/", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %s", answer.Status)
		}
		return nil
	})
}

// TestAddressesThatLeadNowhere: out of the folder of assets, to other hosts, and with more than
// anybody types.
func TestAddressesThatLeadNowhere(t *testing.T) {
	s := newSwarm(t)
	shop(s)
	base := s.open(t)
	for path, want := range map[string]int{
		"/assets/..%2fconsole.go": 404, "/assets/%2e%2e/console.go": 404, "/assets/..%2f..%2f..%2fgo.mod": 404, "/assets/": 404, "/assets": 404, "/assets/%00": 404,
		"/services/..%2f..%2fetc%2fpasswd": 404, "/services/": 404, "//evil.test/": 404, "/services/shop_web/": 404, "/services/%FF": 404,
		"/search?q=.*%5B(%2B%3F": 200, "/search?q=" + strings.Repeat("a", 200_000): 200, "/?state=%27--": 200, "/nodes?node=%00": 200, "/routes?url=http%3A%2F%2F%5B": 200, "/%2e%2e/%2e%2e": 404,
		"/routes?" + strings.Repeat("url=x&", 20_000): 200, "/search?q=%zz&q=%": 200,
		"/live": 400, "/live?of=": 400, "/live?of=%3A": 400, "/live?of=http%3A%2F%2F%5B": 400, "/live?of=mailto%3Ax": 400,
	} {
		answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: base + path})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != want {
			t.Errorf("%.80s: %d, want %d", path, answer.Status, want)
		}
		if strings.Contains(string(answer.Body), "package console") || strings.Contains(string(answer.Body), "root:") {
			t.Errorf("%s shows a file", path)
		}
	}
}

// TestAPageWithoutAListener says who is missing, and what to look at.
func TestAPageWithoutAListener(t *testing.T) {
	s := newSwarm(t)
	s.mu.Lock()
	s.away = true
	s.mu.Unlock()
	b := newBrowser(t)
	b.visit(s.open(t))
	if text := eval[string](b, `document.body.innerText`); !strings.Contains(text, "out for lunch") || !strings.Contains(text, "WAGGLE_TOKEN") || !strings.Contains(text, "fills by itself") {
		t.Errorf("it says %s", text)
	}
	s.mu.Lock()
	s.away = false
	s.mu.Unlock()
	s.change(func(p *picture.Picture) {
		whole(p)
		service(p, "shop_web", 1, "serviceDomain=shop.example.com", "port=80")
	})
	b.Sees("the services, as soon as it answers", row("shop_web")+`?.innerText.includes("well")`)
	if title := eval[string](b, `document.title`); title != "Services · Waggle" {
		t.Errorf("the page is called %s", title)
	}
}
