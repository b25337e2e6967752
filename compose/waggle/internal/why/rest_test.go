package why_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// TestWhatRestsIsNoWarning: the scaler's last word is odd while it holds something back or somebody
// wants more than there may be, and not where an idle service stands at its minimum.
func TestWhatRestsIsNoWarning(t *testing.T) {
	asks := func(way string) []picture.Alert {
		return []picture.Alert{{Name: "load", Service: "shop_web", Labels: map[string]string{"scale": way, "type": "service"}}}
	}
	down := picture.Decision{Direction: "down", Action: "refused", Code: scaler.AtMin, Want: "alert", From: 1, To: 1, Reason: "already at the minimum of 1 replicas"}
	up := picture.Decision{Direction: "up", Action: "refused", Code: scaler.AtMax, Want: "alert", From: 1, To: 1, Reason: "already at the maximum of 1 replicas"}
	load, hand, old := up, up, up
	load.Want, hand.Code, hand.Want, old.Code = "target", scaler.Unchanged, "hand", ""
	held := picture.Decision{Direction: "down", Action: "held", Code: "cooldown", Want: "alert", From: 1, To: 1, Reason: "cooldown of 2m0s"}
	for name, c := range map[string]struct {
		last   picture.Decision
		alerts []picture.Alert
		want   why.State
		says   string
	}{
		"an alert asks for fewer than the minimum": {down, asks("down"), why.OK, "already at the minimum"},
		"the number is what was asked for":         {hand, nil, why.OK, "1 replicas of 1 to"},
		"an alert asks for more than the maximum":  {up, asks("up"), why.Warn, "already at the maximum"},
		"no alert asks for more any longer":        {up, asks("down"), why.OK, "1 replicas of 1 to"},
		"which alerts fire is not known":           {up, nil, why.Warn, "already at the maximum"},
		"a target asks for more":                   {load, asks("down"), why.Warn, "already at the maximum"},
		"a cooldown holds a step":                  {held, asks("down"), why.Warn, "cooldown"},
		"a scaler of before codes":                 {old, asks("down"), why.Warn, "already at the maximum"},
	} {
		p := world("notify=true scaleMin=1 scaleMax=3")
		p.Decisions["shop_web"], p.Alerts = c.last, c.alerts
		a, err := why.Service(live(t, p), "shop_web")
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Rungs[len(a.Rungs)-1]; r.State != c.want || !strings.Contains(r.Text, c.says) {
			t.Errorf("%s: %+v, want %s with %q", name, r, c.want, c.says)
		}
	}
}

// TestWhatTheScalersWordCallsFor: each reason to hold a step has a fix of its own, a dry run leaves
// the number as it is, and who cannot have fewer is held back from nothing.
func TestWhatTheScalersWordCallsFor(t *testing.T) {
	held := func(code, way string, from uint64) picture.Decision {
		return picture.Decision{Direction: way, Action: "held", Code: code, Want: "target", From: from, To: from, Reason: "because of " + code}
	}
	dry := picture.Decision{Direction: "up", Action: "scaled", Code: scaler.Dry, Want: "alert", From: 1, To: 2, Reason: "1 alert asks for up"}
	for name, c := range map[string]struct {
		labels    string
		last      picture.Decision
		want      why.State
		says, fix string
	}{
		"the operator's stop":        {"scaleMax=3", held(scaler.Stopped, "up", 1), why.Warn, "stopped", "scaler -delete /v1/stop"},
		"a load without a value":     {"scaleMax=3", held(scaler.NoData, "up", 1), why.Warn, "no_data", "com.df.scaleMetric"},
		"nobody who would end it":    {"scaleMax=3", held(scaler.Blind, "up", 1), why.Warn, "blind", "docker service ps waggle_monitor"},
		"a task that does not run":   {"scaleMax=3", held(scaler.Converging, "up", 1), why.Warn, "converging", "docker service ps --no-trunc shop_web"},
		"somebody who wants more":    {"scaleMax=3", held(scaler.Beaten, "down", 2), why.Warn, "beaten", "force=true"},
		"a limit":                    {"scaleMax=3", held(scaler.Limit, "up", 1), why.Warn, "limit", "com.df.scaleUpMost"},
		"none where none is wanted":  {"scaleMin=0 scaleMax=3", held(scaler.NoData, "down", 0), why.OK, "0 replicas of 0 to 3", ""},
		"a dry run leaves it":        {"scale=dry-run scaleMax=3", dry, why.OK, "it would be 2", ""},
		"a deploy, said by its fix":  {"scaleMax=3", picture.Decision{Direction: "up", Action: "scaled", Code: "scaled", From: 1, To: 2}, why.Warn, "the scaler left 2", "waggle-scaler keep"},
		"a word of a later scaler's": {"scaleMax=3", held("tea_time", "up", 1), why.Warn, "tea_time", "com.df.scaleMax"},
	} {
		p := world("notify=true " + c.labels)
		p.Decisions["shop_web"], p.Services[0].Replicas = c.last, c.last.From
		a, err := why.Service(live(t, p), "shop_web")
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Rungs[len(a.Rungs)-1]; r.State != c.want || !strings.Contains(r.Text, c.says) || !strings.Contains(r.Fix, c.fix) {
			t.Errorf("%s: %+v, want %s with %q and the fix %q", name, r, c.want, c.says, c.fix)
		}
	}
}

// TestWhatKeepsAnAlertFromFiring: what the running monitor warns of stands at the rung that it is
// about, and breaks nothing.
func TestWhatKeepsAnAlertFromFiring(t *testing.T) {
	p := world("notify=true scrapePort=8080 alertName.3=slow alertIf.3=rate(requetstotal[1m])>5")
	said := "com.df.alertIf.3: no series requetstotal in the last hour: is the name right, and is what offers it scraped?"
	p.Statuses = []picture.Status{{Status: catalog.Status{Component: "monitor", ServiceID: "shop_web", Service: "shop_web", State: catalog.StateApplied,
		Warnings: []string{said, "com.df.scrapeNetwork=\"other\": is not one of monitor's"}}}}
	a, err := why.Service(live(t, p), "shop_web")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Rungs {
		switch r.Rung {
		case "alert":
			if r.State != why.Warn || !strings.Contains(r.Text, said) || strings.Contains(r.Text, "scrapeNetwork") {
				t.Errorf("%+v, want a warning with %q alone", r, said)
			}
		case "scrape":
			if r.State != why.Warn || !strings.Contains(r.Text, "scrapeNetwork") || strings.Contains(r.Text, "alertIf") {
				t.Errorf("%+v, want a warning of the network alone", r)
			}
		}
	}
	if a.FirstBroken != "" {
		t.Errorf("%s is broken", a.FirstBroken)
	}
}

// TestTasksOfWhoHasNotOptedIn: nobody is told of them, so nothing is said of them either.
func TestTasksOfWhoHasNotOptedIn(t *testing.T) {
	p := world("serviceDomain=shop.test port=8080")
	p.Tasks["shop_web"] = nil
	a, err := why.Service(live(t, p), "shop_web")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Rungs {
		if r.Rung == "tasks" && r.State != why.None {
			t.Errorf("%+v, and its tasks may well run", r)
		}
	}
}

// TestClocksDiffer: what a component said by a clock that is ahead began now, not in the future.
func TestClocksDiffer(t *testing.T) {
	p := world(routed)
	p.Statuses = []picture.Status{{Status: catalog.Status{Component: "proxy", ServiceID: "shop_web", Service: "shop_web", State: catalog.StateApplied, Since: p.Time.Add(time.Hour)}}}
	o, err := why.Status(*p)
	if err != nil || len(o.Services) != 1 || o.Services[0].Since != 0 {
		t.Errorf("%+v %v", o.Services, err)
	}
}

// TestWordsOfWhoIsGone: statuses of a service that is not there any more, and of instances that are
// not, change nothing.
func TestWordsOfWhoIsGone(t *testing.T) {
	p := world(routed)
	p.Statuses = []picture.Status{
		{Status: catalog.Status{Component: "proxy", ServiceID: "old", Service: "shop_old", State: catalog.StateRejected, Reason: "long ago"}},
		{Status: catalog.Status{Component: "proxy", ServiceID: "shop_web", Service: "shop_web", State: catalog.StateApplied}},
	}
	o, err := why.Status(*p)
	if err != nil || o.Faulty() || len(o.Services) != 1 {
		t.Errorf("%+v %v", o, err)
	}
}
