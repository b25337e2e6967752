package house

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/dockertest"
)

func TestAServiceByItsLabels(t *testing.T) {
	t.Parallel()
	h := open(t)
	web := h.service("shop_web", "/shop", "127.0.0.2", "127.0.0.3")
	web.Stack, web.Labels = "shop", h.scaled("/shop")
	h.swarm.Create(web)
	h.answers("/shop", "127.0.0.2", "127.0.0.3")
	h.scraped("shop_web", "127.0.0.2", "127.0.0.3")
	h.ruled("shop_web_cold", "shop_web_hot")
	for _, component := range []string{"proxy", "monitor", "scaler"} {
		h.says("shop_web", component, "applied")
	}

	// Another path, another name.
	labels := h.scaled("/boutique")
	labels["com.df.shortName"] = "true"
	h.swarm.Relabel("shop_web", labels)
	h.answers("/boutique", "127.0.0.2", "127.0.0.3")
	h.silent("/shop")
	h.scraped("web", "127.0.0.2", "127.0.0.3")
	h.ruled("web_cold", "web_hot")

	// More tasks and fewer, and none.
	h.swarm.Scale("shop_web", 1)
	h.answers("/boutique", "127.0.0.2")
	h.scraped("web", "127.0.0.2")
	h.swarm.Scale("shop_web", 0)
	h.silent("/boutique")
	h.says("shop_web", "proxy", "degraded", "scaled to 0")
	h.swarm.Scale("shop_web", 2)
	h.answers("/boutique", "127.0.0.2", "127.0.0.3")

	// A deploy that changes nothing is one.
	h.swarm.Redeploy("shop_web")

	// Opted out, in each of the two ways, and in again.
	for _, out := range []map[string]string{{"com.df.notify": "false"}, {}} {
		left := h.scaled("/boutique")
		delete(left, "com.df.notify")
		for name, text := range out {
			left[name] = text
		}
		h.swarm.Relabel("shop_web", left)
		h.silent("/boutique")
		h.scraped("shop_web")
		h.ruled()
		h.swarm.Relabel("shop_web", h.scaled("/boutique"))
		h.answers("/boutique", "127.0.0.2", "127.0.0.3")
		h.ruled("shop_web_cold", "shop_web_hot")
	}

	h.swarm.Remove("shop_web")
	h.silent("/boutique")
	h.scraped("shop_web")
	h.ruled()
}

func TestAnAlertScalesWithinBounds(t *testing.T) {
	t.Parallel()
	h := open(t)
	web := h.service("web", "/", "127.0.0.2", "127.0.0.3", "127.0.0.4")
	web.Replicas, web.Labels = 1, h.scaled("/")
	h.swarm.Create(web)
	other := h.service("other", "/other", "127.0.0.9")
	h.swarm.Create(other)
	h.answers("/", "127.0.0.2")
	h.ruled("web_cold", "web_hot")
	h.says("web", "scaler", "applied")
	// Who is not Prometheus has nothing scaled by Alertmanager.
	for _, password := range []string{"", "not-that-password"} {
		if status := h.forgesAlert("web", password); status != http.StatusUnauthorized {
			t.Errorf("an alert with the password %q was answered %d", password, status)
		}
	}
	end := h.loaded("/", true)

	h.tasks.setHeat(10)
	h.replicas("web", 3)
	h.answers("/", "127.0.0.2", "127.0.0.3", "127.0.0.4")
	h.scraped("web", "127.0.0.2", "127.0.0.3", "127.0.0.4")
	// The alert stands, and is repeated: three are the most.
	h.eventually("the scaler says that it is at the most", func() error {
		var decisions string
		if err := h.get("scaler", "/v1/decisions", &decisions); err != nil {
			return err
		}
		if !strings.Contains(decisions, "scaleMax") && !strings.Contains(decisions, "maximum") && !strings.Contains(decisions, "at most") {
			return errors.New(decisions)
		}
		return nil
	})
	h.replicas("web", 3)

	// What has ended scales nothing.
	updates := len(h.swarm.Updates())
	h.tasks.setHeat(0)
	h.eventually("the alert has ended", func() error {
		got, err := h.alerts()
		if err == nil && got["web_hot"] != "inactive" {
			err = errors.New(got["web_hot"])
		}
		return err
	})
	h.replicas("web", 3)
	if got := len(h.swarm.Updates()); got != updates {
		t.Errorf("%d updates after the end of the alert", got-updates)
	}

	h.tasks.setHeat(-10)
	h.replicas("web", 1)
	h.answers("/", "127.0.0.2")
	end()
	if got := h.swarm.Replicas("other"); got != 1 {
		t.Errorf("the other service has %d replicas", got)
	}
}

// change makes one service of each kind differ while somebody is away: one more,
// one relabelled, one less. It is numbered, so that it can be done many times.
func (h *house) change(n int) {
	h.swarm.Create(h.service(fmt.Sprintf("new%d", n), fmt.Sprintf("/new%d", n), "127.0.0.5"))
	h.swarm.Relabel("moves", h.labels(fmt.Sprintf("/moved%d", n)))
	h.swarm.Remove(fmt.Sprintf("old%d", n))
}

// prepare makes what change needs.
func (h *house) prepare(n int) {
	h.swarm.Create(h.service(fmt.Sprintf("old%d", n), fmt.Sprintf("/old%d", n), "127.0.0.6"))
	h.answers(fmt.Sprintf("/old%d", n), "127.0.0.6")
	h.scraped(fmt.Sprintf("old%d", n), "127.0.0.6")
}

// changed waits until everybody has seen a change, and returns how long the proxy took.
func (h *house) changed(n int) time.Duration {
	h.t.Helper()
	began := time.Now()
	h.answers(fmt.Sprintf("/new%d", n), "127.0.0.5")
	h.answers(fmt.Sprintf("/moved%d", n), "127.0.0.3")
	h.silent(fmt.Sprintf("/old%d", n))
	took := time.Since(began)
	h.scraped(fmt.Sprintf("new%d", n), "127.0.0.5")
	h.scraped("moves", "127.0.0.3")
	h.scraped(fmt.Sprintf("old%d", n))
	h.ruled("stays_cold", "stays_hot")
	h.answers("/stays", "127.0.0.2")
	h.says(fmt.Sprintf("new%d", n), "proxy", "applied")
	h.says(fmt.Sprintf("new%d", n), "monitor", "applied")
	h.says("stays", "scaler", "applied")
	return took
}

// settled opens a house with one service that stays and one that moves.
func settled(t *testing.T) *house {
	t.Helper()
	h := open(t)
	stays := h.service("stays", "/stays", "127.0.0.2")
	stays.Labels = h.scaled("/stays")
	h.swarm.Create(stays)
	h.swarm.Create(h.service("moves", "/moves", "127.0.0.3"))
	h.answers("/stays", "127.0.0.2")
	h.answers("/moves", "127.0.0.3")
	h.scraped("stays", "127.0.0.2")
	h.ruled("stays_cold", "stays_hot")
	return h
}

func TestWhoeverIsAwayIsRightOnReturn(t *testing.T) {
	t.Parallel()
	h := settled(t)
	endKept, endNew := h.loaded("/stays", true), h.loaded("/stays", false)
	for n, away := range all {
		h.prepare(n)
		h.stop(away)
		h.change(n)
		h.start(away)
		took := h.changed(n)
		t.Logf("the %s was away: the routes were right %v after its return", away, took)
		// On a swarm of its own it is less than a second; here six houses and the race
		// detector share the machine.
		if took > 5*time.Second {
			t.Errorf("the %s was away: the routes were right %v after its return", away, took)
		}
	}
	endKept()
	endNew()
}

func TestAnyOrderOfReturn(t *testing.T) {
	t.Parallel()
	h := settled(t)
	endKept := h.loaded("/stays", true)
	orders := [][]string{
		{"listener", "proxy", "monitor", "scaler"},
		{"scaler", "monitor", "proxy", "listener"},
		{"proxy", "scaler", "listener", "monitor"},
	}
	for n, order := range orders {
		h.prepare(n)
		for _, name := range slices.Backward(order) {
			h.stop(name)
		}
		h.change(n)
		for _, name := range order {
			h.start(name)
		}
		h.changed(n)
	}
	endKept()
}

func TestABusThatLostItsStore(t *testing.T) {
	t.Parallel()
	h := settled(t)
	h.swarm.Create(h.service("goes", "/goes", "127.0.0.4"))
	h.answers("/goes", "127.0.0.4")
	h.scraped("goes", "127.0.0.4")
	end := h.loaded("/stays", true)
	h.stop("listener")
	if err := os.RemoveAll(filepath.Join(h.dir, "listener")); err != nil {
		t.Fatal(err)
	}
	h.swarm.Remove("goes")
	// The listener is back, and slow: the swarm does not answer it yet.
	h.swarm.Hang(dockertest.Services)
	h.start("listener")
	h.eventually("the listener asks the swarm", func() error {
		if h.swarm.Calls(dockertest.Services) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	h.eventually("the others are on the bus again", func() error {
		var answer struct{ Instances []struct{ Component string } }
		if err := h.get("listener", "/v1/catalog", &answer); err != nil {
			return err
		}
		for _, name := range []string{"proxy", "monitor"} {
			if !slices.ContainsFunc(answer.Instances, func(i struct{ Component string }) bool { return i.Component == name }) {
				return fmt.Errorf("%s is not among %v", name, answer.Instances)
			}
		}
		return nil
	})
	// Every one of them sees an empty bucket now, and removes nothing.
	if err := errors.Join(h.answered("/stays", "127.0.0.2"), h.answered("/moves", "127.0.0.3")); err != nil {
		t.Error(err)
	}
	for _, job := range []string{"stays", "moves", "goes"} {
		if got := h.up(job); len(got) != 1 {
			t.Errorf("scraped for %s are %v", job, got)
		}
	}
	if got, err := h.alerts(); err != nil || len(got) != 2 {
		t.Errorf("the alerts are %v, %v", got, err)
	}
	h.swarm.Mend()
	h.scraped("goes")
	h.silent("/goes")
	h.scraped("stays", "127.0.0.2")
	h.swarm.Create(h.service("more", "/more", "127.0.0.5"))
	h.answers("/more", "127.0.0.5")
	h.ruled("stays_cold", "stays_hot")
	end()
}

func TestOneBadServiceAmongGoodOnes(t *testing.T) {
	t.Parallel()
	h := settled(t)
	end := h.loaded("/stays", true)
	long := strings.Repeat("x", 10_000)
	cases := map[string]struct {
		labels    map[string]string
		component string
		says      []string
	}{
		"number":   {h.labels("/number", "port", "eighty"), "proxy", []string{"rejected", "com.df.port", "eighty"}},
		"newline":  {h.labels("/newline\n  http-request deny"), "proxy", []string{"rejected", "com.df.servicePath"}},
		"template": {h.labels("{{ .Evil }}"), "proxy", []string{"rejected", "com.df.servicePath", "{{ .Evil }}"}},
		"quotes":   {h.labels(`/quotes" deny if TRUE #'`), "proxy", []string{"rejected", "com.df.servicePath"}},
		"long":     {h.labels("/" + long), "proxy", []string{"rejected", "com.df.servicePath", "bytes"}},
		"claim":    {h.labels("/stays"), "proxy", []string{"rejected", "belongs to stays"}},
		"unknown":  {h.labels("/unknown", "servicePaht", "/typo"), "listener", []string{"com.df.servicePaht", "servicePath"}},
		"promql":   {h.labels("/promql", "alertName", "bad", "alertIf", "sum(("), "monitor", []string{"com.df.alertIf", "sum(("}},
		"rule":     {h.labels("/rule", "alertName", "{{", "alertIf", "\"}\n- alert: evil", "alertAnnotations", "summary={{ .Nonsense }"), "monitor", []string{"com.df.alertIf"}},
		"interval": {h.labels("/interval", "scrapeInterval", "often"), "monitor", []string{"com.df.scrapeInterval", "often"}},
		"bounds":   {h.labels("/bounds", "scaleMin", "5", "scaleMax", "2"), "scaler", []string{"rejected", "com.df.scaleM"}},
	}
	for name, c := range cases {
		svc := h.service("bad_"+name, "", "127.0.0.7")
		svc.Labels = c.labels
		h.swarm.Create(svc)
	}
	for name, c := range cases {
		h.says("bad_"+name, c.component, c.says...)
	}
	// What is good in a bad service is in force, and every other service is as it was.
	h.answers("/unknown", "127.0.0.7")
	h.answers("/promql", "127.0.0.7")
	h.scraped("bad_number", "127.0.0.7")
	h.silent("/number")
	h.ruled("stays_cold", "stays_hot")
	h.swarm.Relabel("moves", h.labels("/moved"))
	h.answers("/moved", "127.0.0.3")
	// Mended, they are served.
	h.swarm.Relabel("bad_number", h.labels("/number"))
	h.answers("/number", "127.0.0.7")
	h.says("bad_number", "proxy", "applied")
	end()
}
