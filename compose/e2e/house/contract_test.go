package house

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/tools/contract"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestLabelsThatGrowTooLargeCostNoRoute, no scrape, no alert and no bounds, also not when
// everything is started anew.
func TestLabelsThatGrowTooLargeCostNoRoute(t *testing.T) {
	t.Parallel()
	h := open(t)
	web := h.service("web", "/web", "127.0.0.2", "127.0.0.3")
	web.Labels = h.scaled("/web")
	h.swarm.Create(web)
	inForce := func() {
		t.Helper()
		h.answers("/web", "127.0.0.2", "127.0.0.3")
		h.scraped("web", "127.0.0.2", "127.0.0.3")
		h.ruled("web_cold", "web_hot")
	}
	inForce()
	components := []string{"proxy", "monitor", "scaler"}
	for _, c := range components {
		h.says("web", c, "applied")
	}
	end := h.loaded("/web", true)

	grown := h.scaled("/elsewhere")
	grown["com.df.note"] = strings.Repeat("x", 70_000)
	h.swarm.Relabel("web", grown)
	rejected := func() {
		t.Helper()
		for _, c := range components {
			h.says("web", c, "rejected", "its labels take 70,", "at most 65,536 are allowed", "accepted", "secrets or files")
		}
	}
	rejected()
	inForce()
	h.silent("/elsewhere")
	h.swarm.Create(h.service("other", "/other", "127.0.0.4"))
	h.answers("/other", "127.0.0.4")

	end()
	for _, name := range components {
		h.stop(name)
		h.start(name)
	}
	rejected()
	inForce()

	h.swarm.Relabel("web", h.scaled("/elsewhere"))
	h.answers("/elsewhere", "127.0.0.2", "127.0.0.3")
	for _, c := range components {
		h.says("web", c, "applied")
	}
}

// TestEveryValueOnTheBusIsAsTheContractSays, with services that are well and others that
// are not, an update and a decision.
func TestEveryValueOnTheBusIsAsTheContractSays(t *testing.T) {
	t.Parallel()
	h := open(t)
	web := h.service("shop_web", "/shop", "127.0.0.2", "127.0.0.3")
	web.Stack, web.Labels = "shop", h.scaled("/shop")
	h.swarm.Create(web)
	bad := h.service("bad", "", "127.0.0.4")
	bad.Labels = h.labels("no-slash", "servicePaht", "/typo", "scrapeInterval", "often", "scaleMax", "lots")
	h.swarm.Create(bad)
	large := h.service("large", "/large", "127.0.0.5")
	large.Labels["com.df.note"] = strings.Repeat("x", 70_000)
	h.swarm.Create(large)
	h.answers("/shop", "127.0.0.2", "127.0.0.3")
	for _, c := range []string{"proxy", "monitor", "scaler"} {
		h.says("bad", c, "rejected")
		h.says("large", c, "rejected")
		h.says("shop_web", c, "applied")
	}
	h.scale("shop_web", "up")

	schemas, err := contract.Read("../../../docs/schema/" + fmt.Sprintf("v%d", catalog.Schema))
	if err != nil {
		t.Fatal(err)
	}
	b := h.reader()
	mirrors := map[string]*bus.Mirror{}
	for _, name := range []string{bus.CatalogBucket, bus.StatusBucket} {
		mirrors[name] = b.Bucket(name).Mirror(">", func() {})
		bustest.Run(t, mirrors[name].Run)
	}
	h.eventually("there is a value of each kind, and each is as it should be", func() error {
		seen := map[string]int{}
		check := func(name string, value []byte) error {
			seen[name]++
			return schemas.Check(name, value)
		}
		for bucket, m := range mirrors {
			values, _ := m.Values()
			for key, v := range values {
				if err := check(contract.Name(bucket, key), v.Data); err != nil {
					return fmt.Errorf("%s/%s: %w", bucket, key, err)
				}
			}
		}
		for stream, name := range map[string]string{bus.EventsStream: "event", bus.DecisionsStream: "decision", bus.AuditStream: "audit"} {
			messages, err := b.Last(t.Context(), stream, 100)
			if err != nil {
				return err
			}
			for _, m := range messages {
				if err := check(name, m.Value); err != nil {
					return err
				}
			}
		}
		for name := range schemas {
			if seen[name] == 0 {
				return fmt.Errorf("no %s yet", name)
			}
		}
		return nil
	})
}

// scale asks for one step by hand.
func (h *house) scale(service, direction string) {
	h.t.Helper()
	h.eventually(service+" is scaled "+direction, func() error {
		req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "http://"+h.addr("scaler")+"/v1/scale-service?service="+service+"&scale="+direction, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", res.Status)
		}
		return nil
	})
}

// reader is a connection that may read everything.
func (h *house) reader() *bus.Bus {
	h.t.Helper()
	b, err := bus.Connect(bus.Options{URL: "tls://" + h.addr("bus"), Component: "listener", Key: key("listener"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(b.Close)
	return b
}
