package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestSharesBecomeWeights: shares of services become weights of tasks.
func TestSharesBecomeWeights(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []member
		want    []int
	}{
		{"nine to one", []member{{share: route.Share{Weight: 90}, tasks: 1}, {share: route.Share{Weight: 10}, tasks: 1}}, []int{252, 28}},
		{"however many tasks", []member{{share: route.Share{Weight: 90}, tasks: 3}, {share: route.Share{Weight: 10}, tasks: 1}}, []int{255, 85}},
		{"half and half of unequal sizes", []member{{share: route.Share{Weight: 1}, tasks: 4}, {share: route.Share{Weight: 1}, tasks: 1}}, []int{64, 256}},
		{"nothing gets nothing", []member{{share: route.Share{Weight: 100}, tasks: 2}, {share: route.Share{Weight: 0}, tasks: 2}}, []int{256, 0}},
		{"who has no tasks leaves the share to the others", []member{{share: route.Share{Weight: 1}, tasks: 0}, {share: route.Share{Weight: 2}, tasks: 2}, {share: route.Share{Weight: 1}, tasks: 1}}, []int{0, 256, 256}},
		{"little is never nothing", []member{{share: route.Share{Weight: 100}, tasks: 1}, {share: route.Share{Weight: 1}, tasks: 50}}, []int{256, 1}},
		{"nobody wants any", []member{{share: route.Share{Weight: 0}, tasks: 1}}, []int{0}},
		{"nobody is there", nil, []int{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := taskWeights(c.members); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestWeightsMeetTheShares looks at all shares in percent of small groups.
func TestWeightsMeetTheShares(t *testing.T) {
	for percent := 5; percent <= 95; percent++ {
		for tasks := 1; tasks <= 6; tasks++ {
			w := taskWeights([]member{{share: route.Share{Weight: percent}, tasks: tasks}, {share: route.Share{Weight: 100 - percent}, tasks: 2}})
			got := 100 * float64(w[0]*tasks) / float64(w[0]*tasks+w[1]*2)
			if off := got - float64(percent); off > 0.5 || off < -0.5 {
				t.Errorf("%d%% over %d tasks became %.2f%% (weights %v)", percent, tasks, got, w)
			}
		}
	}
}

func TestPlanOfSpread(t *testing.T) {
	const (
		checked = "a servicePath=/a\na port=80\na checkPath=/health\n"
		other   = "b servicePath=/b\nb port=80\nb checkPath=/health\n"
		group   = "a servicePath=/a\na port=80\na serviceGroup=g\na weight=90\nb servicePath=/a\nb port=81\nb serviceGroup=g\n"
	)
	for _, c := range []struct {
		name       string
		have, want string
		can        plan.Abilities
		plan       string
	}{
		{"the first service with a check reloads, because no other does the same", "", checked, plan.Abilities{DynamicBackends: true}, "reload backend"},
		{"the next one does not", checked, checked + other, plan.Abilities{DynamicBackends: true}, "add b-be80_0; new paths.map /b=b-be80_0"},
		{"before HAProxy 3.4 it does", checked, checked + other, plan.Abilities{}, "reload version"},
		{"what is about tasks alone needs none", "", "a servicePath=/a\na port=80\na maxConn=3\na slowStart=10", plan.Abilities{DynamicBackends: true}, "add a-be80_0; new paths.map /a=a-be80_0"},
		{"another check reloads", checked, checked + "a checkTimeout=3", plan.Abilities{DynamicBackends: true}, "reload backend"},
		{"another interval too, because servers cannot learn it", checked, checked + "a checkInterval=3", plan.Abilities{DynamicBackends: true}, "reload server"},
		{"another number of connections is told to the servers", checked + "a maxConn=3", checked + "a maxConn=4", plan.Abilities{},
			"set a-be80_0/10.0.0.10 weight=1 maxconn=4; set a-be80_0/10.0.0.2 weight=1 maxconn=4"},
		{"and so is none", checked + "a maxConn=3", checked, plan.Abilities{},
			"set a-be80_0/10.0.0.10 weight=1 maxconn=0; set a-be80_0/10.0.0.2 weight=1 maxconn=0"},
		{"a share too", group + "b weight=10", group + "b weight=90", plan.Abilities{},
			"set group:g:http/a_80:10.0.0.10 weight=256 maxconn=0; set group:g:http/a_80:10.0.0.2 weight=256 maxconn=0; " +
				"set group:g:http/b_81:10.0.0.10 weight=256 maxconn=0; set group:g:http/b_81:10.0.0.2 weight=256 maxconn=0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			have, rejected := render(t, s, c.have)
			want, alsoRejected := render(t, s, c.want)
			if len(rejected)+len(alsoRejected) > 0 {
				t.Fatal(rejected, alsoRejected)
			}
			if c.can.DynamicBackends {
				c.can.Profiles = have.ProfileNames()
			}
			plan := plan.Diff(have, want, c.can)
			if got := plan.String(); got != c.plan {
				t.Errorf("got  %s\nwant %s", got, c.plan)
			}
			if (plan.Reload != "") != (len(plan.Because) > 0) {
				t.Errorf("a reload for %v: want the names of backends", plan.Because)
			}
		})
	}
}

// TestServersOfOneNameDoNotCollide: a server whose options change is never added
// beside the old one, whose name it has.
func TestServersOfOneNameDoNotCollide(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.1:80")
	backend := func(options string, at netip.AddrPort) file.File {
		f, err := file.Parse("backend waggle_none\nbackend b\n  server s "+at.String()+" "+options+"\n", "/x")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct{ have, want, plan string }{
		{"", "check", "reload server"},
		{"check", "check inter 1000ms", "reload server"},
		{"weight 3 check", "weight 4 check", "set b/s weight=4 maxconn=0"},
		{"", "weight 4", "set b/s weight=4 maxconn=0"},
		{"weight 1", "", "set b/s weight=1 maxconn=0"},
		{"weight 1 maxconn 4 cookie x", "maxconn 5 cookie x", "set b/s weight=1 maxconn=5"},
	} {
		if got := plan.Diff(backend(c.have, addr), backend(c.want, addr), plan.Abilities{DynamicBackends: true}).String(); got != c.plan {
			t.Errorf("from %q to %q: %s, want %s", c.have, c.want, got, c.plan)
		}
	}
	if got := plan.Diff(backend("", addr), backend("", netip.MustParseAddrPort("10.0.0.1:81")), plan.Abilities{}).String(); got != "reload server" {
		t.Errorf("another port: %s, want a reload", got)
	}
}

// TestProfilesAreReadBack: what Text writes is what Parse reads.
func TestProfilesAreReadBack(t *testing.T) {
	f, _ := render(t, settings("/x"), "a servicePath=/a\na port=80\na checkPath=/health\nb servicePath=/b\nb port=80\nc servicePath=/c\nc port=80\nc compressionAlgo=gzip\nc checkPath=/health\n"+
		"d servicePath=/d\nd port=80\nd setReqHeader=X-A defaults waggle")
	got, err := file.Parse(f.Text(), "/x")
	if err != nil {
		t.Fatal(err)
	}
	if got.Text() != f.Text() || !slices.EqualFunc(got.Profiles, f.Profiles, (*file.Section).Equal) || len(f.Profiles) != 2 {
		t.Errorf("read %+v of\n%s", got.Profiles, f.Text())
	}
	for i, b := range f.Backends {
		if !got.Backends[i].Section.Equal(b.Section) {
			t.Errorf("read %+v, want %+v", got.Backends[i], b)
		}
	}
	if f.Backends[1].From != file.Defaults || !f.Backends[1].Plain() || f.Backends[2].Plain() {
		t.Errorf("got\n%s%s\nwant the general defaults alone, and lines of its own for one with compression", f.Backends[1].Text(), f.Backends[2].Text())
	}
}

// FuzzSpread asserts that no text of a label that says how requests are spread adds a
// line, a word or a directive.
func FuzzSpread(f *testing.F) {
	f.Add("leastconn", "/health", "acme.com", "200-399", "503", "always", "g", "3")
	f.Add("hdr(X)\n", "/a' \\ #", "x\n  server", "200 !", "none,\n", "'", "g:http", "-1")
	f.Add("hdr(X-Y)", "/%[src]${HOME}\"", "a b", "2", "", "", "", "")
	f.Fuzz(func(t *testing.T, balance, path, host, status, retryOn, reuse, group, number string) {
		svc := catalog.Service{ID: "i", Name: "web", Labels: map[string]string{
			catalog.Notify: "true", "com.df.servicePath": "/a", "com.df.port": "80", "com.df.balance": balance, "com.df.checkPath": path, "com.df.checkHost": host,
			"com.df.checkStatus": status, "com.df.retryOn": retryOn, "com.df.httpReuse": reuse, "com.df.serviceGroup": group, "com.df.weight": number,
			"com.df.maxConn": number, "com.df.retries": number, "com.df.checkFall": number, "com.df.slowStart": number,
		}}
		d := claims.Settle([]catalog.Service{svc}, nil, labels.Options{})
		r, err := NewRenderer(settings("/x"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("10.0.0.2")}
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Services) == 0 {
			return
		}
		// One line each for two names of sections and a blank between, and for balance,
		// hash, check and its two lines, reuse, retries and their kinds, and the server.
		own := strings.TrimPrefix(out.Text(), frameOf(out))
		if lines := strings.Count(own, "\n"); lines > 14 {
			t.Fatalf("labels %q gave %q", svc.Labels, own)
		}
		for line := range strings.Lines(own) {
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			if !slices.Contains([]string{"defaults", "backend", "balance", "hash-type", "option", "http-check", "http-reuse", "retries", "retry-on", "server"}, words[0]) {
				t.Fatalf("labels %q gave the line %q", svc.Labels, line)
			}
			if most := map[string]int{"backend": 4, "balance": 2, "http-reuse": 2, "retries": 2, "server": 22}[words[0]]; most > 0 && len(words) > most {
				t.Fatalf("labels %q gave the line %q", svc.Labels, line)
			}
		}
		back, err := file.Parse(out.Text(), "/x")
		if err != nil || back.Text() != out.Text() {
			t.Fatalf("labels %q: read back as %s (%v)", svc.Labels, fmt.Sprint(back.Text()), err)
		}
	})
}
