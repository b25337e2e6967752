package house

import (
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/wagglehq/waggle/compose/tools/browsertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// waggle builds the command waggle and returns its path.
func (h *house) waggle() string {
	h.t.Helper()
	program := filepath.Join(h.dir, "waggle")
	build := exec.CommandContext(h.t.Context(), "go", "build", "-o", program, "../../waggle/cmd/waggle")
	if out, err := build.CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return program
}

// console starts the console of waggle and returns where it answers.
func (h *house) console() string {
	h.t.Helper()
	program := h.waggle()
	h.ports["console"] = freePorts(h.t, "console")["console"]
	cmd := exec.Command(program, "console", "-listen", h.addr("console"), "-url", "http://"+h.addr("listener")) //nolint:noctx // The clean-up ends it.
	h.process(cmd)
	h.eventually("the console answers", func() error { return h.get("console", "/healthz", nil) })
	return "http://" + h.addr("console")
}

// TestTheConsoleShowsWhatIsDone while it is open: a service is deployed, broken and mended. A
// mark on the window shows that the page was never loaded anew.
func TestTheConsoleShowsWhatIsDone(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.swarm.Create(h.service("other", "/other", "127.0.0.4"))
	h.answers("/other", "127.0.0.4")
	address := h.console()
	b := browsertest.New(t)
	b.Visit(address)
	b.Sees("the page is live, and the other service well", `document.getElementById("live").textContent === "live" && document.getElementById("board:other")?.classList.contains("ok")`)
	browsertest.Eval[bool](b, `window.stayed = true`)
	const row = `document.getElementById("board:shop_web")`
	web := h.service("shop_web", "/shop", "127.0.0.2", "127.0.0.3")
	wrong := h.labels("no-slash")
	for _, step := range []struct {
		name  string
		do    func()
		shows string
	}{
		{"deployed", func() { h.swarm.Create(web) }, row + `?.innerText.includes("2 of 2") && ` + row + `.innerText.includes("/shop")`},
		// Prometheus takes its time to scrape it.
		{"scraped", func() { h.scraped("shop_web", "127.0.0.2", "127.0.0.3") }, row + `?.classList.contains("ok")`},
		{"broken by a label", func() { h.swarm.Relabel("shop_web", wrong) }, row + `?.classList.contains("broken") && ` + row + `.innerText.includes("want paths such as")`},
		{"mended", func() { h.swarm.Relabel("shop_web", h.labels("/shop")) }, row + `?.classList.contains("ok")`},
		{"scaled to nothing", func() { h.swarm.Scale("shop_web", 0) }, row + `?.classList.contains("broken") && ` + row + `.innerText.includes("docker service scale shop_web=1")`},
		{"scaled up", func() { h.swarm.Scale("shop_web", 2) }, row + `?.classList.contains("ok")`},
		{"removed", func() { h.swarm.Remove("shop_web") }, `!` + row},
	} {
		began := time.Now()
		step.do()
		b.Sees("the service is "+step.name, step.shows)
		took := time.Since(began)
		t.Logf("%s: seen after %v", step.name, took.Round(time.Millisecond))
		if took > 5*time.Second && step.name != "scraped" { // a second is promised
			t.Errorf("%s: seen after %v", step.name, took)
		}
	}
	if !browsertest.Eval[bool](b, `window.stayed === true`) {
		t.Error("the page was loaded anew")
	}
	h.swarm.Create(web)
	b.Visit(address + "/services/shop_web")
	b.Sees("what happened to it", `document.getElementById("happened")?.innerText.includes("created") && document.getElementById("happened").innerText.includes("removed")`)
	b.Sees("that it is scraped", `document.querySelectorAll("#targets tr.ok").length === 2`)
	if said := b.Complaints(); len(said) > 0 {
		t.Errorf("the page complains: %v", said)
	}
}

// TestTheConsoleKnowsWhoAnswers: the field to try a URL names the service whose task answers the
// very same request, for a hundred random URLs.
func TestTheConsoleKnowsWhoAnswers(t *testing.T) {
	t.Parallel()
	h := open(t)
	byTask := map[string]string{}
	for i, labels := range [][]string{
		{"serviceDomain", "shop.example.com"}, {"serviceDomain", "shop.example.com", "servicePath", "/cart,/basket"},
		{"serviceDomain", "shop.example.com", "servicePath", "/cart/new"}, {"serviceDomain", "*.example.com", "servicePath", "/api"},
		{"servicePath", "/anywhere"}, {"serviceDomain", "blog.example.com", "servicePath", "\\.html$", "pathType", "path_reg"},
		{"serviceDomain", "blog.example.com", "servicePath", "/exact", "pathType", "path"}, {"serviceDomain", "shop.example.com", "servicePath", "/cart", "serviceHeader", "X-Beta:yes"},
		{"serviceDomain", "blog.example.com", "servicePath", "/files", "pathType", "path_dir"},
	} {
		name, task := fmt.Sprintf("shop_s%d", i), fmt.Sprintf("127.0.0.%d", 10+i)
		svc := h.service(name, "/", task)
		delete(svc.Labels, "com.df.servicePath")
		for k := 0; k < len(labels); k += 2 {
			svc.Labels["com.df."+labels[k]] = labels[k+1]
		}
		byTask[task] = name
		h.swarm.Create(svc)
	}
	h.eventually("all have their routes", func() error {
		for _, name := range byTask {
			var said struct{ Statuses []said }
			if err := h.get("listener", "/v1/services/"+name, &said); err != nil {
				return err
			}
			for _, s := range said.Statuses {
				if s.Component == "proxy" && s.State != "applied" {
					return fmt.Errorf("%s: %+v", name, s)
				}
			}
			if len(said.Statuses) < 2 {
				return fmt.Errorf("nothing is said of %s", name)
			}
		}
		return nil
	})
	address := h.console()
	random := rand.New(rand.NewPCG(12, 48)) //nolint:gosec // the same URLs each time
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	spread := map[string]int{}
	var tried []string
	for range 100 {
		host := pick("shop.example.com", "shop.example.com", "SHOP.example.com", "blog.example.com", "blog.example.com", "www.example.com", "a.b.example.com", "other.test", "example.com")
		path := pick("", "/", "/cart", "/cart/", "/cart/7", "/cart/new", "/cart/newer", "/Cart", "/basket/1", "/api", "/api/v1", "/apis", "/anywhere/else", "/exact", "/exact/not", "/page.html",
			"/page.html/x", "/files", "/files/1", "/filesystem", "/%63art", "/cart/../api", "//cart", "/x/./anywhere", "/nothing/here") + pick("", "", "", "?q=1", "?/api")
		real := h.whoAnswers(t, byTask, host, path)
		to := "http://" + host + ":" + fmt.Sprint(h.ports["http"]) + path
		tried = append(tried, to)
		if said := h.whoIsSaid(t, address, to); said != real {
			t.Errorf("%s is answered by %q, and the console says %q", to, real, said)
		}
		spread[real]++
	}
	t.Logf("answered by %v", spread)
	if len(spread) < 8 {
		t.Errorf("only %v were tried", spread)
	}
	// And as people do it.
	b := browsertest.New(t)
	b.Visit(address + "/routes")
	for _, to := range tried[:3] {
		b.Sees("the page is whole", `document.readyState === "complete" && document.getElementById("live").textContent === "live"`)
		browsertest.Eval[bool](b, `(u => { u.value = ""; u.focus(); return true; })(document.getElementById("url"))`)
		b.Do(chromedp.KeyEvent(to + kb.Enter))
		want := h.whoIsSaid(t, address, to)
		b.Sees(to+" is for "+want, fmt.Sprintf(`new URLSearchParams(location.search).get("url") === %q && (document.getElementById("tried-service")?.innerText ?? "") === %q`, to, want))
	}
}

// whoAnswers is the service whose task answers a request, empty for nobody.
func (h *house) whoAnswers(t *testing.T, byTask map[string]string, host, path string) string {
	t.Helper()
	answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: "http://" + h.addr("http") + path, Host: fmt.Sprintf("%s:%d", host, h.ports["http"])})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status == http.StatusServiceUnavailable {
		return ""
	}
	name, ok := byTask[string(answer.Body)]
	if !ok {
		t.Fatalf("%s%s: %d %s", host, path, answer.Status, answer.Body)
	}
	return name
}

// whoIsSaid is the service that the field to try a URL names.
func (h *house) whoIsSaid(t *testing.T, address, to string) string {
	t.Helper()
	answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: address + "/routes?" + url.Values{"url": {to}}.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	page := string(answer.Body)
	if strings.Contains(page, `id="tried-nobody"`) {
		return ""
	}
	found := regexp.MustCompile(`id="tried-service"[^>]*>([^<]*)<`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("%s: the page names nobody: %s", to, page)
	}
	return html.UnescapeString(found[1])
}
