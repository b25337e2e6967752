package reach

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestWhatAConnectionMeets: with real servers.
func TestWhatAConnectionMeets(t *testing.T) {
	clear := httptest.NewServer(http.NotFoundHandler())
	sealed := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(clear.Close)
	t.Cleanup(sealed.Close)
	gone, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	addr := func(url string) netip.AddrPort { return netip.MustParseAddrPort(url[strings.LastIndex(url, "/")+1:]) }
	for _, c := range []struct {
		name      string
		target    Target
		isSuspect bool
		want      catalog.Meeting
	}{
		{"clear text", Target{Addr: addr(clear.URL), HTTP: true}, false, ""},
		{"clear text that is suspect", Target{Addr: addr(clear.URL), HTTP: true}, true, ""},
		{"TLS instead, of which nobody knows yet", Target{Addr: addr(sealed.URL), HTTP: true}, false, ""},
		{"TLS instead", Target{Addr: addr(sealed.URL), HTTP: true}, true, catalog.MeetsTLS},
		{"TLS", Target{Addr: addr(sealed.URL), HTTP: true, TLS: true}, false, ""},
		{"clear text instead", Target{Addr: addr(clear.URL), HTTP: true, TLS: true}, false, catalog.MeetsHTTP},
		{"nobody", Target{Addr: addr("/" + gone.Addr().String())}, false, catalog.MeetsRefusal},
	} {
		if got := Meet(t.Context(), c.target, c.isSuspect); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestWhatIsTriedAgain: what answered is left in peace, unless nothing good ever came of it;
// what did not is tried in each pass; what has gone is forgotten.
func TestWhatIsTriedAgain(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	services := []route.Service{
		{ID: "a", Name: "web", Backends: []route.Backend{{Name: "web-1", Lookup: "tasks.web.", Port: 80}, {Name: "web-2", Lookup: "web.", Port: 81}}},
		{ID: "b", Name: "none", Backends: []route.Backend{{Name: "none-1", Port: 80}}},
		{ID: "c", Name: "out", Backends: []route.Backend{{Name: "out-1", Port: 80, Outbound: true}}},
	}
	addresses := map[string][][]netip.Addr{"a": {{one, two}, {two}}, "b": {nil}, "c": {{one}}}
	var traffic []runtime.Traffic
	var asked []string
	met := map[string]catalog.Meeting{"vip:81": catalog.MeetsSilence}
	w := &Watch{
		Targets: func() []Target { return Targets(services, addresses) },
		Show: func(context.Context, bool) (runtime.Worker, []runtime.Traffic, error) {
			return runtime.Worker{}, traffic, nil
		},
	}
	w.Meet = func(_ context.Context, t Target, isSuspect bool) catalog.Meeting {
		w.mu.Lock()
		defer w.mu.Unlock()
		asked = append(asked, t.Key)
		if isSuspect {
			return catalog.MeetsTLS
		}
		return met[t.Key]
	}
	pass := func(wantAsked int, want map[string]map[string]catalog.Meeting) {
		t.Helper()
		asked = nil
		if err := w.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(asked) != wantAsked || !reflect.DeepEqual(w.Seen(), want) {
			t.Errorf("asked %q, want %d; seen %v, want %v", asked, wantAsked, w.Seen(), want)
		}
	}
	pass(2, map[string]map[string]catalog.Meeting{"web": {"vip:81": catalog.MeetsSilence}})
	pass(1, map[string]map[string]catalog.Meeting{"web": {"vip:81": catalog.MeetsSilence}})
	delete(met, "vip:81")
	pass(1, map[string]map[string]catalog.Meeting{})
	pass(0, map[string]map[string]catalog.Meeting{})
	traffic = []runtime.Traffic{{Proxy: "web-1", Server: runtime.BackendRow, HTTP: true, Answers: runtime.Answers{Failed: 3}}}
	pass(1, map[string]map[string]catalog.Meeting{"web": {"80": catalog.MeetsTLS}})
	traffic[0].Answers.OK = 1
	pass(1, map[string]map[string]catalog.Meeting{})
	addresses["a"][0] = []netip.Addr{two}
	pass(1, map[string]map[string]catalog.Meeting{})
	services = nil
	pass(0, map[string]map[string]catalog.Meeting{})
}
