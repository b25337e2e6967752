package view_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/view"
	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestClock(t *testing.T) {
	for want, at := range map[string]time.Time{
		"11:59:30": noon().Add(-30 * time.Second), "28 Feb 11:00": noon().Add(-25 * time.Hour), "1 Mar 2025": noon().AddDate(-1, 0, 0), "": {},
	} {
		if got := view.Clock(at, noon()); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
}

// TestHistory: decisions tell of the time before the console looked, and what it saw of the rest.
func TestHistory(t *testing.T) {
	at := func(minutes int) time.Time { return noon().Add(time.Duration(minutes) * time.Minute) }
	decided := func(minutes int, service, action string, from, to uint64) view.Decision {
		return view.Decision{Service: service, Decision: picture.Decision{Time: at(minutes), Action: action, From: from, To: to}}
	}
	decisions := []view.Decision{ // the newest first
		decided(-1, "web", "scaled", 4, 6), decided(-20, "web", "refused", 3, 4), decided(-30, "web", "scaled", 2, 4), decided(-40, "other", "scaled", 1, 9), decided(-50, "web", "adopted", 3, 2),
	}
	seen := []view.Sample{{Time: at(-5), Asked: 4, Running: 4}, {Time: at(-1), Asked: 6, Running: 4}, {Time: at(0), Asked: 6, Running: 6}}
	got := ""
	for _, s := range view.History(decisions, seen, "web") {
		got += fmt.Sprintf("%.0f:%d/%d ", s.Time.Sub(noon()).Minutes(), s.Running, s.Asked)
	}
	if want := "-50:3/3 -50:2/2 -30:2/2 -30:4/4 -5:4/4 -1:4/6 0:6/6 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOnlyWhatIsOddStandsOut among decisions: an idle service at its minimum is none of that.
func TestOnlyWhatIsOddStandsOut(t *testing.T) {
	for _, c := range []struct {
		action, code string
		want         why.State
	}{
		{"scaled", "scaled", why.OK}, {"held", "cooldown", why.Wait}, {"refused", scaler.AtMax, why.Warn}, {"refused", "", why.Warn}, {"refused", scaler.AtMin, why.None}, {"refused", scaler.Unchanged, why.None},
	} {
		got := view.Decisions([]picture.Event{{Decision: &picture.Decision{Action: c.action, Code: c.code}}})
		if len(got) != 1 || got[0].State != c.want {
			t.Errorf("%s %s: %+v, want %q", c.action, c.code, got, c.want)
		}
	}
}

func TestDraw(t *testing.T) {
	if view.Draw(nil, 1, 2, noon()) != nil {
		t.Error("without a past something is drawn")
	}
	c := view.Draw([]view.Sample{{Time: noon().Add(-20 * time.Minute), Asked: 2, Running: 2}, {Time: noon().Add(-10 * time.Minute), Asked: 4, Running: 3}}, 1, 4, noon())
	if want := "34,82 369,82 369,26 704,26"; c.Asked != want {
		t.Errorf("asked for: %s, want %s", c.Asked, want)
	}
	if want := "34,138 34,82 369,82 369,54 704,54 704,138"; c.Running != want {
		t.Errorf("running: %s, want %s", c.Running, want)
	}
	if want := "Replicas since 11:40:00: between 2 and 4, now 4 asked for and 3 running."; c.Says != want {
		t.Errorf("it says %q", c.Says)
	}
	if len(c.Lines) != 5 || len(c.Bounds) != 2 || c.Ticks[0].Text != "11:40" || c.Ticks[3].Text != "12:00" {
		t.Errorf("%+v", c)
	}
	if many := view.Draw([]view.Sample{{Time: noon(), Asked: 1000}}, 0, 0, noon()); len(many.Lines) > 6 || len(many.Bounds) > 0 {
		t.Errorf("of a thousand: %+v", many)
	}
}

// known judges a picture of a Waggle of one replica each.
func known(t *testing.T, change func(p *picture.Picture)) *view.Known {
	t.Helper()
	p := picture.Picture{Bus: picture.Connected, Stack: "waggle", Time: noon(), Tasks: map[string][]picture.Task{}}
	for _, c := range []string{"listener", "proxy", "monitor", "scaler"} {
		p.Instances = append(p.Instances, picture.Instance{Instance: catalog.Instance{Component: c, Instance: c, Hash: "same"}})
	}
	change(&p)
	k, err := view.Know(new(why.Court), p)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestWhetherReplicasAgree by what they have applied, as far as they are heard of.
func TestWhetherReplicasAgree(t *testing.T) {
	proxy := func(name, hash string, heard, behind float64) picture.Instance {
		return picture.Instance{Instance: catalog.Instance{Component: "proxy", Instance: name, Hash: hash}, Heard: heard, Behind: behind}
	}
	for name, c := range map[string]struct {
		proxies []picture.Instance
		want    string
	}{
		"two agree":          {[]picture.Instance{proxy("a", "1", 1, 0), proxy("b", "1", 1, 0)}, "a ok all 2 agree; b ok all 2 agree; "},
		"two do not":         {[]picture.Instance{proxy("a", "1", 1, 0), proxy("b", "2", 1, 0)}, "a warn 2 instances have applied 2 different things; b warn 2 instances have applied 2 different things; "},
		"one is away":        {[]picture.Instance{proxy("a", "1", 1, 0), proxy("b", "2", 40, 0)}, "a ok it is the only one; b broken away: nothing was heard of it for 40 s; "},
		"one is behind":      {[]picture.Instance{proxy("a", "1", 1, 20)}, "a broken behind: for 20 s it has not taken up the newest catalog; "},
		"nobody is heard of": {nil, " broken nothing has been heard of it; "},
	} {
		k := known(t, func(p *picture.Picture) {
			p.Instances = append([]picture.Instance{p.Instances[0], p.Instances[2], p.Instances[3]}, c.proxies...)
		})
		got := ""
		for _, r := range k.Replicas() {
			if r.Component == "proxy" {
				got += fmt.Sprintf("%s %s %s; ", r.Name, r.State, r.Agreement)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestWhenCertificatesEnd: what has ended is broken, what ends soon is a warning.
func TestWhenCertificatesEnd(t *testing.T) {
	if _, isKnown := known(t, func(*picture.Picture) {}).Expiries(); isKnown {
		t.Error("certificates are known that nobody has told of")
	}
	k := known(t, func(p *picture.Picture) {
		p.Certificates = map[string][]string{"a": {"a.example.com"}, "b": {"b.example.com"}, "c": nil, "d": nil}
		p.CertificateEnds = map[string]time.Time{"a": noon().AddDate(0, 0, 60), "b": noon().AddDate(0, 0, 20), "c": noon().Add(-time.Hour)}
	})
	got := ""
	all, _ := k.Expiries()
	for _, e := range all {
		got += fmt.Sprintf("%s %s %q; ", e.Name, e.State, e.Left)
	}
	if want := `d ok ""; c broken "expired"; b warn "20 days"; a ok "60 days"; `; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTry: what is not a URL is said to be none, and what has no scheme is one.
func TestTry(t *testing.T) {
	k := known(t, func(p *picture.Picture) {
		p.Services = []catalog.Service{{ID: "1", Name: "web", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, Labels: map[string]string{catalog.Notify: "true", "com.df.serviceDomain": "a.example.com", "com.df.port": "80"}}}
	})
	for address, want := range map[string]string{
		"": "nothing", "a.example.com/x": "web ", "http://b.example.com": " ", "ftp://a": " want a URL that begins with http:// or https://", "http://": ` "http://": want a URL such as http://shop.example.com/cart`,
	} {
		got := "nothing"
		if a := k.Try(address); a != nil {
			got = a.Service + " " + a.Error
		}
		if got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// TestTheWorstStandsFirst, then by name; who asks for nothing is last.
func TestTheWorstStandsFirst(t *testing.T) {
	k := known(t, func(p *picture.Picture) {
		for i, labels := range []map[string]string{
			{catalog.Notify: "true", "com.df.servicePath": "/a", "com.df.port": "80"}, nil, {"com.df.servicePath": "/c"}, {catalog.Notify: "true", "com.df.servicePath": "no", "com.df.port": "80"},
		} {
			id := fmt.Sprint(i)
			p.Services = append(p.Services, catalog.Service{ID: id, Name: "s" + id, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, Labels: labels})
			p.Tasks[id] = []picture.Task{{Task: catalog.Task{ID: "t" + id, State: "running", Desired: "running"}}}
			p.Statuses = append(p.Statuses, picture.Status{Status: catalog.Status{Component: "proxy", ServiceID: id, State: catalog.StateApplied}})
		}
	})
	got := ""
	for _, l := range k.Board {
		got += fmt.Sprintf("%s %s %s; ", l.Name, l.State, l.Rung)
	}
	if want := "s2 broken opted-in; s3 broken labels; s0 ok ; s1 none ; "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := k.Summary(); got != "2 broken, 1 well, 1 not asked" {
		t.Errorf("it says %s", got)
	}
	if got := len(k.Services(why.Broken)); got != 2 {
		t.Errorf("%d are broken", got)
	}
}
