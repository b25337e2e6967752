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
