package listener

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestPicture: all that explains a service comes in one answer, and no secret with it.
func TestPicture(t *testing.T) {
	h := newHouse(t)
	svc := web()
	svc.Labels["com.df.users"] = "me:geheim"
	id := h.swarm.Create(svc)
	h.run()
	h.seesServices("shop_web")
	said := h.consume.Statuses("p1", func() {})
	bustest.Run(t, said.Run)
	tooltest.Eventually(t, "the proxy says what it did", func() error {
		return said.Publish(t.Context(), []catalog.Status{{ServiceID: id, Service: "shop_web", State: catalog.StateApplied}})
	})
	value, err := catalog.Encode(catalog.Service{ID: id, Name: "shop_web", Labels: map[string]string{"com.df.servicePath": "/old", "com.df.users": "me:geheim"}})
	if err != nil {
		t.Fatal(err)
	}
	accepted := h.consume.Bucket(bus.AcceptedBucket).Mirror("proxy.>", func() {})
	bustest.Run(t, accepted.Run)
	tooltest.Eventually(t, "the proxy says what it accepted", func() error {
		_, err := accepted.Put(t.Context(), "proxy."+id, value)
		return err
	})
	seen := catalog.Instance{Instance: "p1", Revision: catalog.Revision{Epoch: "other", Sequence: 1}, Seen: &catalog.Seen{
		Certificates: []catalog.ServedCertificate{{Name: "a.pem", Hosts: []string{"a.test"}, NotAfter: time.Unix(9e9, 0)}}, Secrets: []string{"dfp_users_b"},
		Unreached: map[string]map[string]catalog.Meeting{"shop_web": {"8080": catalog.MeetsRefusal}}, Alerts: []catalog.FiringAlert{{Name: "hot", Service: "shop_web"}},
	}}
	tooltest.Eventually(t, "the proxy says what it sees", func() error { return h.consume.Announce(t.Context(), seen) })
	h.swarm.SetTasks("shop_web", dockertest.Task{Slot: 1, State: "pending", NoNode: true, Error: "no suitable node (1 node not available)"},
		dockertest.Task{Slot: 1, State: "rejected", Desired: "shutdown", Error: "No such image: shop/web:7"})
	tooltest.Eventually(t, "all is in the picture", func() error {
		var p picture.Picture
		if status := h.get("/v1/picture", &p); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		got, ok := p.ByName("shop_web")
		before, isKept := p.Accepted["proxy"][id]
		if !ok || p.Bus != picture.Connected || p.Failure != "" || len(p.Nodes) == 0 || len(p.Tasks[id]) == 0 || len(p.Of("listener")) != 1 ||
			len(p.Statuses) == 0 || p.Certificates["a.pem"] == nil || len(p.Of("proxy")) != 1 || !isKept || p.Revision.Sequence == 0 {
			return fmt.Errorf("%+v", p)
		}
		if words := fmt.Sprintf("%+v", p.Tasks[id]); !strings.Contains(words, "no suitable node") || !strings.Contains(words, "No such image") {
			return fmt.Errorf("Docker's words are not in %s", words)
		}
		if p.CertificateEnds["a.pem"].IsZero() || !slices.Equal(p.Secrets, []string{"dfp_users_b"}) || p.Probes["shop_web"]["8080"] != picture.Refused || len(p.Alerts) != 1 {
			return tooltest.Final(fmt.Errorf("what the proxy sees: %+v", p))
		}
		if all := fmt.Sprintf("%+v", p); strings.Contains(all, "geheim") {
			return tooltest.Final(fmt.Errorf("it tells a secret: %s", all))
		}
		if _, isNamed := got.Withheld["com.df.users"]; !isNamed || before.Labels["com.df.servicePath"] != "/old" || p.Snapshot().Services[id].Withheld != nil {
			return tooltest.Final(fmt.Errorf("%+v, accepted %+v", got, before))
		}
		return nil
	})
}

// TestAQuestionAboutThePictureWaits: whoever has one by its tag is told when there is another, and
// nothing before.
func TestAQuestionAboutThePictureWaits(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.run()
	h.seesServices("shop_web")
	ask := func(tag, wait string) (status int, next string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.admin+"/v1/picture", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", tag)
		req.Header.Set("Prefer", wait)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("ETag")
	}
	_, tag := ask("", "")
	tooltest.Eventually(t, "all that the start has to tell is told", func() error {
		status, next := ask(tag, "wait=1")
		if status != http.StatusNotModified {
			tag = next
			return fmt.Errorf("there is another one")
		}
		return nil
	})
	if status, _ := ask(tag, "respond-async, wait=0"); status != http.StatusNotModified {
		t.Errorf("without a wait: %d", status)
	}
	told := make(chan time.Duration, 1)
	began := time.Now()
	go func() {
		if status, _ := ask(tag, "wait=20"); status != http.StatusOK {
			t.Errorf("after a change: %d", status)
		}
		told <- time.Since(began)
	}()
	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "true", "com.df.servicePath": "/other", "com.df.port": "80"})
	if took := <-told; took > 5*time.Second {
		t.Errorf("a change was told after %v", took)
	}
}
