package traffic

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// desk is a Meter with a HAProxy that says what a test lets it say.
type desk struct {
	t        *testing.T
	meter    *Meter
	registry *prometheus.Registry
	owners   *Owners
	worker   runtime.Worker
	rows     []runtime.Traffic
	err      error
}

func newDesk(t *testing.T, services ...route.Service) *desk {
	d := &desk{t: t, registry: prometheus.NewRegistry(), owners: OwnersOf(services)}
	d.worker.Pid = 1
	d.meter = New(Options{
		Show:   func(context.Context, bool) (runtime.Worker, []runtime.Traffic, error) { return d.worker, d.rows, d.err },
		Owners: func() *Owners { return d.owners }, Log: slog.New(slog.DiscardHandler), Registry: d.registry,
	})
	return d
}

// read is a reading at which backends have counted so much.
func (d *desk) read(rows ...runtime.Traffic) {
	d.t.Helper()
	d.rows = rows
	if err := d.meter.read(d.t.Context()); !errors.Is(err, d.err) {
		d.t.Fatal(err)
	}
}

// value is that of the one series with these labels, in the order of their names; NaN if
// there is none.
func (d *desk) value(metric string, labels ...string) float64 {
	d.t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			texts := make([]string, 0, len(labels))
			for _, l := range m.GetLabel() {
				texts = append(texts, l.GetValue())
			}
			if f.GetName() == metric && slices.Equal(texts, labels) {
				return number(m)
			}
		}
	}
	return math.NaN()
}

func number(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

// want compares one value.
func (d *desk) want(want float64, metric string, labels ...string) {
	d.t.Helper()
	if got := d.value(metric, labels...); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
		d.t.Errorf("%s %v is %v, want %v", metric, labels, got, want)
	}
}

func service(name string, backends ...route.Backend) route.Service {
	return route.Service{ID: "id-" + name, Name: name, Backends: backends}
}

func backend(proxy string, ok, failed int64) runtime.Traffic {
	return runtime.Traffic{Proxy: proxy, Server: runtime.BackendRow, HTTP: true, Answers: runtime.Answers{OK: ok, Failed: failed}, Sessions: ok + failed, Open: 2, Servers: 1}
}

const responses = "waggle_proxy_service_responses_total"

// TestCountersOutliveWhatCountsThem: a service's counters only grow, by what was asked,
// whichever worker or backend of HAProxy has counted it.
func TestCountersOutliveWhatCountsThem(t *testing.T) {
	d := newDesk(t, service("shop", route.Backend{Name: "a"}, route.Backend{Name: "b"}))
	d.read(backend("a", 1000, 0), backend("b", 1000, 0))
	d.want(0, responses, "2xx", "shop") // counted before the controller was there
	d.want(0, responses, "5xx", "shop")
	d.read(backend("a", 1010, 1), backend("b", 1005, 0))
	d.want(15, responses, "2xx", "shop")
	d.want(1, responses, "5xx", "shop")
	d.want(4, "waggle_proxy_service_open_requests", "shop")
	// A backend goes, whose thousand answers must not look like a counter that began anew.
	d.read(backend("a", 1011, 1))
	d.want(16, responses, "2xx", "shop")
	// Another backend of the same name.
	d.read(backend("a", 1011, 1), backend("b", 3, 0))
	d.want(19, responses, "2xx", "shop")
	// A reload: the next worker has already more of one backend than the last one had.
	d.worker.Pid = 2
	d.read(backend("a", 4, 0), backend("b", 5, 0))
	d.want(28, responses, "2xx", "shop")
	// HAProxy does not answer for a while.
	d.err = errors.New("no HAProxy")
	d.read()
	d.err = nil
	d.read(backend("a", 6, 0), backend("b", 5, 0))
	d.want(30, responses, "2xx", "shop")
}

// TestWhatIsGoneGoes: a service has its series from the beginning, with 0, and none once it
// has gone.
func TestWhatIsGoneGoes(t *testing.T) {
	d := newDesk(t, service("shop", route.Backend{Name: "a"}), service("tunnel", route.Backend{Name: "c", Stream: &route.StreamBackend{}}))
	d.read()
	for _, code := range []string{"2xx", "3xx", "4xx", "5xx", "other"} {
		d.want(0, responses, code, "shop")
	}
	d.want(math.NaN(), responses, "2xx", "tunnel") // what is not HTTP has no status
	d.want(0, "waggle_proxy_service_bytes_total", "in", "tunnel")
	d.meter.take("1 a 10.0.0.1 0 0 3 200\n")
	d.want(1, "waggle_proxy_service_latency_seconds", "shop")
	if n := d.series("shop"); n != 25 { // 27 with those that Prometheus makes of a histogram
		t.Errorf("a service has %d series", n)
	}
	d.owners = OwnersOf(nil)
	d.meter.take("1 a 10.0.0.1 0 0 3 200\n")
	d.read(backend("a", 1, 0))
	if n := d.series("shop"); n != 0 {
		t.Errorf("a service that has gone has %d series", n)
	}
}

// series counts those of a service, the bounds of histograms each as one.
func (d *desk) series(service string) (n int) {
	families, err := d.registry.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == "service" && l.GetValue() == service }) {
				n += 1 + len(m.GetHistogram().GetBucket())
			}
		}
	}
	return n
}

// TestMembersOfAGroup: of a backend that services share, each has what its own servers did.
func TestMembersOfAGroup(t *testing.T) {
	shared := func(member string) route.Backend {
		return route.Backend{Name: "group:shop:http", Share: route.Share{Group: "shop", Member: member}}
	}
	d := newDesk(t, service("blue", shared("blue_0")), service("green", shared("green_0")))
	server := func(name string, ok int64) runtime.Traffic {
		row := backend("group:shop:http", ok, 0)
		row.Server = name
		return row
	}
	d.read()
	d.read(backend("group:shop:http", 7, 3), server("blue_0:10.0.0.1", 5), server("green_0:fd00::1", 2))
	d.want(5, responses, "2xx", "blue")
	d.want(2, responses, "2xx", "green")
	d.meter.take("1 group:shop:http green_0:fd00::1 0 0 3 200")
	d.want(1, "waggle_proxy_service_latency_seconds", "green")
	d.want(math.NaN(), "waggle_proxy_service_latency_seconds", "blue")
}

func TestParse(t *testing.T) {
	for line, want := range map[string]sample{
		"1 a 10.0.0.1 0 0 3 200\n":     {backend: "a", server: "10.0.0.1", counts: 1, seconds: .003},
		"16 a s 1 20 300 500":          {backend: "a", server: "s", counts: 16, seconds: .321},
		"1024 a s 0 1 2 200":           {backend: "a", server: "s", counts: render.LargestShare, seconds: .003},
		"1 a s 0 0 -1 504":             {backend: "a", server: "s", counts: 1, none: true},
		"1 a s 0 0 -1 400":             {}, // the client went
		"1 a s 5007 -1 -1 503":         {}, // the task refused
		"1 services <NOSRV> -1 -1 3 4": {},
		"1 a <NOSRV> 0 0 3 200":        {},
		"0 a s 0 0 3 200":              {},
		"1025 a s 0 0 3 200":           {},
		"1 a s 0 0 3":                  {},
		"1 a s 0 x 3 200":              {},
		"":                             {},
	} {
		got, ok := parse(line)
		if ok != (want.backend != "") || ok && got != want {
			t.Errorf("%q is %+v, %v", line, got, ok)
		}
	}
}

// TestAShareCountsForAll: a line of a measured share counts for those that were not, and
// what was given up counts as longer than all bounds.
func TestAShareCountsForAll(t *testing.T) {
	d := newDesk(t, service("shop", route.Backend{Name: "a"}))
	d.meter.take("16 a s 0 0 30 200")
	d.meter.take("1 a s 0 0 -1 504")
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[float64]uint64{}
	for _, f := range families {
		if f.GetName() == "waggle_proxy_service_latency_seconds" {
			for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
				got[b.GetUpperBound()] = b.GetCumulativeCount()
			}
			if n := f.GetMetric()[0].GetHistogram().GetSampleCount(); n != 17 {
				t.Errorf("%d requests", n)
			}
		}
	}
	if got[.025] != 0 || got[.05] != 16 || got[10] != 16 || len(got) != len(Bounds()) {
		t.Errorf("got %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestASocketThatCannotBeYet is made as soon as it can.
func TestASocketThatCannotBeYet(t *testing.T) {
	dir, err := os.MkdirTemp("", "tr") //nolint:usetesting // t.TempDir is too long for the path of a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := newDesk(t, service("shop", route.Backend{Name: "a"}))
	d.meter.o.Socket = filepath.Join(dir, "later", "m.sock")
	if err := d.meter.listen(t.Context()); err == nil || !strings.Contains(err.Error(), "measured requests") {
		t.Errorf("without the folder: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.meter.Listen(ctx) }()
	if err := os.Mkdir(filepath.Dir(d.meter.o.Socket), 0o700); err != nil {
		t.Fatal(err)
	}
	tooltest.Within(t, 30*time.Second, "a line is taken", func() error {
		conn, err := net.Dial("unixgram", d.meter.o.Socket) //nolint:noctx // bounded by Within.
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("1 a s 0 0 3 200\n"))
		if err = errors.Join(err, conn.Close()); err == nil && math.IsNaN(d.value("waggle_proxy_service_latency_seconds", "shop")) {
			err = errors.New("not counted yet")
		}
		return err
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
