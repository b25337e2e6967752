package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/judge"
)

// engine is an HAProxy that refuses configurations in which a word stands.
type engine struct {
	refuses string
	// away is why it cannot be asked.
	away    error
	checked int
	// text is what it runs.
	text string
	// applying is called while it changes.
	applying func(context.Context)
	tidied   int
}

func (e *engine) Check(_ context.Context, f file.File) error {
	if e.checked++; e.away != nil {
		return e.away
	}
	if e.refuses != "" && strings.Contains(f.Text(), e.refuses) {
		return &apply.CheckError{Output: "[ALERT] parsing [haproxy.cfg:7] : no " + e.refuses, Err: errors.New("exit status 1")}
	}
	return nil
}

func (e *engine) Apply(ctx context.Context, f file.File) (apply.Result, error) {
	if e.refuses != "" && strings.Contains(f.Text(), e.refuses) {
		return apply.Result{}, &apply.CheckError{Output: "[ALERT] parsing [haproxy.cfg:7] : no " + e.refuses, Err: errors.New("exit status 1")}
	}
	if e.applying != nil {
		e.applying(ctx)
	}
	if err := ctx.Err(); err != nil {
		return apply.Result{}, fmt.Errorf("haproxy: show info: %w", err)
	}
	changed := e.text != f.Text()
	e.text = f.Text()
	return apply.Result{Changed: changed}, nil
}

func (*engine) Adopt(context.Context) error { return nil }
func (*engine) Forget()                     {}

func (e *engine) Tidy(context.Context) (wrote, more bool, err error) {
	e.tidied++
	return true, false, nil
}

// steady is an HAProxy that runs what was applied.
type steady struct{}

func (steady) Compare(context.Context) (string, error) { return "", nil }

// empty is an HAProxy that has no servers yet.
type empty struct{}

func (empty) Addresses(route.Backend) []netip.Addr { return nil }

// trusting is an HAProxy that takes every certificate.
type trusting struct{}

func (trusting) Certificates() map[string]bool                      { return nil }
func (trusting) CheckCertificates(context.Context, ...string) error { return nil }

// resolved is a Follower that knows some names.
type resolved map[string]netip.Addr

func (resolved) Set(map[string]addresses.Target, addresses.Known) {}

func (resolved) Refused(string) []addresses.Refused { return nil }

func (r resolved) Addresses(name string) ([]netip.Addr, bool) {
	if a, ok := r[name]; ok {
		return []netip.Addr{a}, true
	}
	return nil, len(r) > 0
}

// stage is a controller among fakes.
type stage struct {
	*Controller
	engine   *engine
	services map[string]catalog.Service
	accepted map[string]catalog.Service
	// bus says that the catalog is known.
	bus bool
	// again are the times after which another pass was asked for.
	again []time.Duration
	wrote int
}

// newStage makes one, with what a test changes of its options.
func newStage(t *testing.T, change ...func(*stage, *Options)) *stage {
	t.Helper()
	s := &stage{engine: &engine{}, services: map[string]catalog.Service{}, accepted: map[string]catalog.Service{}, bus: true}
	rules, err := judge.ParseRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Source: Source{
			Catalog:  func() (catalog.Snapshot, bool) { return catalog.Snapshot{Services: s.services}, s.bus },
			Accepted: func() (map[string]catalog.Service, bool) { return s.accepted, s.bus },
		},
		Follower: resolved{"tasks.web.": netip.MustParseAddr("10.0.0.2")}, Arrivals: sleep.NewArrivals(func() {}), Rules: rules,
		HAProxy:   HAProxy{Engine: s.engine, Checker: s.engine, Servers: empty{}, Comparer: steady{}, Certificates: trusting{}},
		Settings:  render.Settings{Dir: t.TempDir(), StatsSocket: "/run/s", Binds: []edge.Bind{{Port: 80}, {Port: 443, TLS: true}}, Timeouts: render.DefaultTimeouts()},
		StateFile: filepath.Join(t.TempDir(), "services.json"),
		Events: Events{
			Again: func(d time.Duration) { s.again = append(s.again, d) }, Wrote: func() { s.wrote++ }, Applied: func() {}, Reloaded: func(string, []string, []route.Service) {},
			Record: func(_ context.Context, last map[string]catalog.Service) error { s.accepted = last; return nil },
		},
		Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(s, &o)
	}
	if s.Controller, err = New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// deploy gives the swarm a service; labels are names and texts in turn.
func (s *stage) deploy(name string, labels ...string) {
	svc := catalog.Service{
		ID: name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, CreatedAt: time.Unix(int64(len(s.services)), 0),
		Labels: map[string]string{catalog.Notify: "true"},
	}
	for i := 0; i < len(labels); i += 2 {
		svc.Labels[catalog.Prefix+labels[i]] = labels[i+1]
	}
	s.services[name] = svc
}

// became is the state of each service, with its reason.
func (s *stage) became() string {
	var out []string
	for _, st := range s.View().Statuses() {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", st.Service, st.State, st.Reason)))
	}
	return strings.Join(out, "\n")
}

// TestIsolation: a service for which HAProxy refuses the whole is left out by name, and
// whatever cannot be found out leaves all as it was.
func TestIsolation(t *testing.T) {
	for _, c := range []struct {
		name    string
		refuses string
		away    error
		err     string
		want    string
	}{
		{"one of four", "crook-be", nil, "", "rejected crook"},
		{"all of them", "-be", nil, "", "rejected crook,honest,quiet,web"},
		{"what is no service's fault", "defaults", nil, "no defaults", "rejected"},
		{"HAProxy cannot be asked", "crook-be", errors.New("no memory"), "no memory", "rejected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			for _, name := range []string{"web", "honest", "crook", "quiet"} {
				s.deploy(name, "servicePath", "/"+name, "port", "80")
			}
			s.engine.refuses, s.engine.away = c.refuses, c.away
			err := s.Pass(t.Context())
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			var rejected []string
			for _, v := range s.settling.desired.Verdicts {
				if v.Err != nil {
					rejected = append(rejected, v.Service.Name)
				}
			}
			if got := strings.TrimSpace("rejected " + strings.Join(rejected, ",")); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if c.err != "" {
				return
			}
			if s.engine.checked > 10 {
				t.Errorf("HAProxy was asked %d times about four services", s.engine.checked)
			}
			s.engine.checked = 0
			if err := s.Pass(t.Context()); err != nil || s.engine.checked > 0 {
				t.Errorf("the next pass asks HAProxy %d times again: %v", s.engine.checked, err)
			}
		})
	}
}

// TestWhatIsProvenIsNotSuspected: of services that were part of a configuration that
// HAProxy took none is left out for another's fault.
func TestWhatIsProvenIsNotSuspected(t *testing.T) {
	s := newStage(t)
	s.deploy("web", "servicePath", "/", "port", "80")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.deploy("crook", "servicePath", "/crook", "port", "80")
	s.engine.refuses = "crook-be"
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.became(); !strings.HasPrefix(got, "crook rejected HAProxy refuses what the labels make: no crook-be") || !strings.HasSuffix(got, "web applied") {
		t.Error(got)
	}
}

// TestWhatHAProxyTookItMayRefuseLater, as when the first task comes of a service whose authority is
// in no file: it is found among all that are in force, also where older labels of it are, and the
// others change.
func TestWhatHAProxyTookItMayRefuseLater(t *testing.T) {
	for name, path := range map[string]string{"its present labels are in force": "/crook", "older ones are": "no path"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.deploy("web", "servicePath", "/", "port", "80")
			s.deploy("crook", "servicePath", "/crook", "port", "80")
			if err := s.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.deploy("crook", "servicePath", path, "port", "80")
			s.deploy("honest", "servicePath", "/honest", "port", "80")
			s.engine.refuses = "crook-be"
			if err := s.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := s.became()
			if !strings.HasPrefix(got, "crook rejected") || !strings.Contains(got, "honest degraded no task can be reached") || !strings.HasSuffix(got, "web applied") {
				t.Error(got)
			}
			if strings.Contains(s.engine.text, "crook-be") || !strings.Contains(s.engine.text, "honest-be") {
				t.Error("HAProxy runs something else")
			}
		})
	}
}

// TestWhatWasAcceptedIsKnownAgain: by the disk without a bus, and by this replica if the
// bus has lost it.
func TestWhatWasAcceptedIsKnownAgain(t *testing.T) {
	s := newStage(t)
	s.deploy("web", "servicePath", "/", "port", "80")
	for range 2 { // the second has nothing to change, and does what could wait
		if err := s.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.wrote != 1 || !slices.Equal(s.again, []time.Duration{tidyAfter}) {
		t.Errorf("the file was written %d times, passes are asked for after %v", s.wrote, s.again)
	}
	again := newStage(t, func(later *stage, o *Options) { o.StateFile, later.bus = s.settling.memory.file, false })
	if err := again.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := again.View(); v.FromBus || len(v.Desired.Services) != 1 || again.Healthy() == nil {
		t.Errorf("from the disk: %+v, healthy: %v", v.Desired.Services, again.Healthy())
	}
	// Its labels are wrong now, and the bus has lost those that were right.
	s.accepted = map[string]catalog.Service{}
	s.deploy("web", "servicePath", "no path", "port", "80")
	if err := s.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.became(); !strings.Contains(got, "stay in force") || len(s.accepted) != 1 {
		t.Errorf("%s; recorded are %v", got, s.accepted)
	}
}

// TestAChangeThatHasBegunIsFinished when the end comes, however long HAProxy takes up to a
// bound, and what it left for a quiet moment is done.
func TestAChangeThatHasBegunIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.deploy("web", "servicePath", "/", "port", "80")
		ctx, end := context.WithCancel(t.Context())
		s.engine.applying = func(context.Context) {
			end()
			time.Sleep(lastChange / 2)
		}
		if err := s.Pass(ctx); err != nil || s.became() != "web applied" || len(s.accepted) != 1 {
			t.Errorf("%v, %s; recorded are %v", err, s.became(), s.accepted)
		}
		if err := s.Close(t.Context()); err != nil || s.engine.tidied != 1 {
			t.Errorf("tidied %d times, %v", s.engine.tidied, err)
		}

		ctx, end = context.WithCancel(t.Context())
		s.deploy("shop", "servicePath", "/shop", "port", "80")
		s.engine.applying = func(applying context.Context) {
			end()
			<-applying.Done()
		}
		begin := time.Now()
		if err := s.Pass(ctx); !errors.Is(err, context.Canceled) || time.Since(begin) != lastChange {
			t.Errorf("an HAProxy that does not answer: %v after %s", err, time.Since(begin))
		}
	})
}

// TestARecordThatTheBusDoesNotTakeIsTriedAgain, without holding up the routes.
func TestARecordThatTheBusDoesNotTakeIsTriedAgain(t *testing.T) {
	s := newStage(t, func(_ *stage, o *Options) {
		o.Events.Record = func(context.Context, map[string]catalog.Service) error { return errors.New("away") }
	})
	s.deploy("web", "servicePath", "/", "port", "80")
	if err := s.Pass(t.Context()); err != nil || !slices.Contains(s.again, recordAgain) {
		t.Errorf("%v, again after %v", err, s.again)
	}
}

// TestTheFirstAddressesAreAwaited, for a moment.
func TestTheFirstAddressesAreAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(_ *stage, o *Options) { o.Follower = resolved{} })
		s.deploy("web", "servicePath", "/", "port", "80")
		begin := time.Now()
		if err := s.Pass(t.Context()); err != nil || time.Since(begin) != firstAddresses {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		if err := s.Pass(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("the second pass waits as well: %v after %v", err, time.Since(begin))
		}
	})
}

// TestWhoGetsAPortWithTLS: it is the proxy's while there are certificates anywhere,
// whatever this replica's HAProxy has by now.
func TestWhoGetsAPortWithTLS(t *testing.T) {
	stream := []string{"reqMode", "tcp", "srcPort", "443", "port", "5432"}
	file := func(_ *stage, o *Options) {
		c, err := certs.Parse([]byte(certtest.Self(t, "a.com").PEM()))
		if err != nil {
			t.Fatal(err)
		}
		o.Certificates.Candidates = func() []certs.Candidate {
			return []certs.Candidate{{Name: "a.pem", Source: certs.File, Certificate: c}}
		}
	}
	for _, c := range []struct {
		name   string
		before func(*stage, *Options)
		want   catalog.State
	}{
		{"there are no certificates", func(*stage, *Options) {}, catalog.StateApplied},
		{"there is one on the disk of this replica, whose HAProxy is new", file, catalog.StateRejected},
		{"a service that was accepted brings one", func(s *stage, _ *Options) {
			s.deploy("secure", "servicePath", "/s", "serviceDomain", "b.com", "port", "80", "serviceCert", certtest.Self(t, "b.com").PEM())
			s.accepted = maps.Clone(s.services)
		}, catalog.StateRejected},
		{"the service had the port first", func(s *stage, o *Options) {
			file(s, o)
			s.deploy("web", stream...)
			s.accepted = maps.Clone(s.services)
		}, catalog.StateApplied},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.before)
			s.deploy("web", stream...)
			if err := s.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if i := strings.Index(s.became(), "web "); !strings.HasPrefix(s.became()[i:], "web "+string(c.want)) {
				t.Errorf("%s, want %s", s.became(), c.want)
			}
		})
	}
}

// TestHealthyMeansThatSomethingIsApplied, unless there is no bus to learn it from.
func TestHealthyMeansThatSomethingIsApplied(t *testing.T) {
	for _, c := range []struct {
		name         string
		bus, refuses bool
		early, late  bool
	}{
		{"all is well", true, false, true, true},
		{"HAProxy refuses everything", true, true, false, false},
		{"there is no bus", false, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.deploy("web", "servicePath", "/", "port", "80")
				if s.bus = c.bus; c.refuses {
					s.engine.refuses = "defaults"
				}
				if err := s.Pass(t.Context()); (err != nil) != c.refuses {
					t.Fatal(err)
				}
				early := s.Healthy() == nil
				time.Sleep(busPatience + time.Second)
				if late := s.Healthy() == nil; early != c.early || late != c.late {
					t.Errorf("healthy %v, later %v; want %v, %v", early, late, c.early, c.late)
				}
			})
		})
	}
}
