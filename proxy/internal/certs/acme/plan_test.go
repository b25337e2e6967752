package acme

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// good is a record with a certificate that began before now and is good for ninety days.
func good(host string, age time.Duration) Record {
	return Record{Host: host, Chain: "chain", Key: "key", Authority: letsEncrypt, Got: noon.Add(-age), From: noon.Add(-age), Until: noon.Add(90*24*time.Hour - age)}
}

func settings() Settings {
	a, _ := ParseAuthority("letsencrypt")
	return Settings{Authorities: []Authority{a}, Staging: Staging(), PerHour: 3, Pause: time.Minute, RenewalInfo: true}
}

// tell writes a plan as words.
func tell(p Plan) string {
	var out []string
	for _, n := range p.Orders {
		out = append(out, "order "+n.Host)
	}
	for _, kind := range []struct {
		word string
		all  []string
	}{{"ask", p.Asks}, {"drop", p.Drop}, {"wait", p.Waiting}} {
		for _, host := range kind.all {
			out = append(out, kind.word+" "+host)
		}
	}
	if !p.Next.IsZero() {
		next := p.Next.Sub(noon).Round(time.Second).String()
		if days := p.Next.Sub(noon).Hours() / 24; days > 2 {
			next = fmt.Sprintf("%.0fd", days) // when a third is left differs by days from name to name
		}
		out = append(out, "next "+next)
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	const day = 24 * time.Hour
	asked := func(r Record, ask time.Duration, at time.Duration) Record {
		r.Renewal = &Renewal{Ask: noon.Add(ask)}
		if at != 0 {
			r.Renewal.At = noon.Add(at)
		}
		return r
	}
	failed := func(r Record, next time.Duration) Record {
		r.Failures, r.Last, r.Next = 1, &Failure{}, noon.Add(next)
		return r
	}
	ordered := func(r Record) Record {
		r.Order = &Order{URL: "https://x/order", Begun: noon}
		return r
	}
	for _, c := range []struct {
		name    string
		wanted  string
		records []Record
		busy    string
		began   []time.Duration
		want    string
	}{
		{name: "nothing is wanted", want: ""},
		{name: "a new name", wanted: "a.com", want: "order a.com"},
		{name: "one that is good is asked about", wanted: "a.com", records: []Record{good("a.com", day)}, want: "ask a.com, next 60d"},
		{name: "one that was asked about", wanted: "a.com", records: []Record{asked(good("a.com", day), time.Hour, 0)}, want: "next 1h0m0s"},
		{name: "two thirds are over", wanted: "a.com", records: []Record{asked(good("a.com", 64*day), time.Hour, 0)}, want: "order a.com"},
		{name: "the authority wants it sooner", wanted: "a.com", records: []Record{asked(good("a.com", 20*day), time.Hour, -time.Hour)}, want: "order a.com"},
		{name: "or later", wanted: "a.com", records: []Record{asked(good("a.com", 64*day), time.Hour, 10*day)}, want: "next 1h0m0s"},
		{name: "but not at the very end", wanted: "a.com", records: []Record{asked(good("a.com", 87*day), time.Hour, 80*day)}, want: "order a.com"},
		{name: "a clock that is wrong", wanted: "a.com", records: []Record{asked(Record{Host: "a.com", Chain: "c", Authority: letsEncrypt, Got: noon, From: noon.Add(-80 * day), Until: noon.Add(10 * day)}, 400*day, 0)}, want: "ask a.com, next 15d"},
		{name: "another authority was chosen", wanted: "a.com", records: []Record{func() Record { r := good("a.com", day); r.Authority = staging; return r }()}, want: "order a.com"},
		{name: "an imported one may stay", wanted: "a.com", records: []Record{func() Record { r := good("a.com", day); r.Authority = ""; return r }()}, want: "next 60d"},
		{name: "one that failed waits", wanted: "a.com", records: []Record{failed(Record{Host: "a.com"}, time.Minute)}, want: "next 1m0s"},
		{name: "until its time has come", wanted: "a.com", records: []Record{failed(Record{Host: "a.com"}, 0)}, want: "order a.com"},
		{name: "the most urgent come first, and there is room for three", wanted: "a.com b.com c.com d.com e.com",
			records: []Record{asked(good("a.com", 80*day), time.Hour, 0), asked(good("b.com", 85*day), time.Hour, 0), failed(Record{Host: "c.com"}, 0)},
			want:    "order d.com, order e.com, order c.com, wait a.com, wait b.com, next 0s"},
		{name: "one that goes on needs no room", wanted: "a.com b.com", records: []Record{ordered(Record{Host: "b.com"})}, began: []time.Duration{-time.Minute, -2 * time.Minute, -50 * time.Minute},
			want: "order b.com, wait a.com, next 15m0s"},
		{name: "those that are at it count", wanted: "a.com b.com c.com", busy: "a.com b.com", began: []time.Duration{-time.Minute}, want: "wait c.com, next 0s"},
		{name: "a clock that was set back", wanted: "a.com", began: []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour}, want: "wait a.com, next 1h5m0s"},
		{name: "nobody wants it any more", records: []Record{good("a.com", day), failed(Record{Host: "b.com"}, -25*time.Hour), failed(Record{Host: "c.com"}, 0)}, want: "drop b.com, next 24h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var wanted []names.Name
			for host := range strings.FieldsSeq(c.wanted) {
				wanted = append(wanted, names.Name{Host: host})
			}
			records, busy := map[string]Record{}, map[string]bool{}
			for _, r := range c.records {
				records[r.Host] = r
			}
			for host := range strings.FieldsSeq(c.busy) {
				busy[host] = true
			}
			var began []time.Time
			for _, d := range c.began {
				began = append(began, noon.Add(d))
			}
			if got := tell(plan(noon, wanted, records, busy, began, settings())); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestAClockThatWasWrong when something was written down: what lies further ahead than it can be is
// not waited for, so that nothing ends before it is renewed, or is never tried again.
func TestAClockThatWasWrong(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		record func() Record
		want   string
	}{
		{"it was a year ahead when it was obtained", func() Record {
			r := good("a.com", 64*day)
			r.Got = noon.Add(365 * day)
			return r
		}, "order a.com"},
		{"and two thirds are not over", func() Record {
			r := good("a.com", day)
			r.Got, r.Renewal = noon.Add(365*day), &Renewal{Ask: noon.Add(time.Hour)}
			return r
		}, "next 1h0m0s"},
		{"it was a year ahead when it failed", func() Record {
			r := Record{Host: "a.com"}
			r.fail(Failure{Time: noon.Add(365 * day), Kind: "connection"}, settings(), false)
			return r
		}, "order a.com"},
		{"or when a renewal failed", func() Record {
			r := good("a.com", 80*day)
			r.fail(Failure{Time: noon.Add(365 * day), Kind: "connection"}, settings(), false)
			return r
		}, "order a.com"},
		{"a pause of a day is waited for", func() Record { return Record{Host: "a.com", Failures: 20, Last: &Failure{}, Next: noon.Add(day)} }, "next 24h0m0s"},
		{"it was a year ahead when the authority was asked", func() Record {
			r := good("a.com", day)
			r.Renewal = &Renewal{Ask: noon.Add(365 * day)}
			return r
		}, "ask a.com, next 60d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.record()
			if got := tell(plan(noon, []names.Name{{Host: "a.com"}}, map[string]Record{"a.com": r}, nil, nil, settings())); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestBelowAWildcard: a name that a wildcard has as well is not obtained while that one is good, or is
// on its way. One that cannot be had, or nears its end, is no reason to have none.
func TestBelowAWildcard(t *testing.T) {
	const day = 24 * time.Hour
	list := []names.Name{{Host: "*.a.com"}, {Host: "b.a.com", Below: "*.a.com"}}
	for _, c := range []struct {
		name string
		wild Record
		want string
	}{
		{"it is new", Record{Host: "*.a.com"}, "*.a.com"},
		{"it is good", good("*.a.com", day), "*.a.com"},
		{"it has failed", Record{Host: "*.a.com", Failures: 1, Last: &Failure{}}, "*.a.com b.a.com"},
		{"it is not renewed, and good for a while", func() Record { r := good("*.a.com", 80*day); r.Failures = 3; return r }(), "*.a.com"},
		{"it nears its end", good("*.a.com", 87*day), "*.a.com b.a.com"},
		{"it is over", good("*.a.com", 91*day), "*.a.com b.a.com"},
	} {
		var got []string
		for _, n := range ownOnes(noon, list, map[string]Record{"*.a.com": c.wild}) {
			got = append(got, n.Host)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestNeverMoreThanTheLimit: however names come and fail, and whichever replica orders, in no hour
// begin more orders than the limit, as long as their clocks differ by five minutes at most. A clock
// that jumps by up to an hour may let in as many again, and no more.
func TestNeverMoreThanTheLimit(t *testing.T) {
	for _, c := range []struct {
		name  string
		jumps bool
		times int
	}{{"clocks differ by five minutes", false, 1}, {"clocks jump", true, 2}} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(100) {
				ordersIn(t, seed, c.jumps, c.times)
			}
		})
	}
}

// ordersIn lets replicas order for some hours, and wants no hour to have more than some times the
// limit.
func ordersIn(t *testing.T, seed uint64, jumps bool, times int) {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same in each run.
	s := settings()
	s.PerHour = 1 + r.IntN(5)
	var began []time.Time
	var real []time.Duration
	records := map[string]Record{}
	// The clocks of three replicas, of which now one orders and now another.
	var off [3]time.Duration
	for i := range off {
		off[i] = time.Duration(r.Int64N(int64(mostSkew))) - mostSkew/2
	}
	for at := time.Duration(0); at < 5*time.Hour; at += time.Duration(r.IntN(600)) * time.Second {
		now := noon.Add(at + off[r.IntN(len(off))])
		if jumps && r.IntN(10) == 0 {
			now = now.Add(-time.Duration(r.IntN(3600)) * time.Second)
		}
		var wanted []names.Name
		for i := range r.IntN(12) {
			wanted = append(wanted, names.Name{Host: fmt.Sprintf("%d.com", i)})
		}
		for _, n := range plan(now, wanted, records, nil, began, s).Orders {
			began = append(recentOrders(began, now), now)
			real = append(real, at)
			rec := Record{Host: n.Host}
			if old, ok := records[n.Host]; ok {
				rec = old
			}
			rec.fail(Failure{Time: now, Kind: []string{"connection", "rateLimited", kindAway}[r.IntN(3)]}, s, false)
			records[n.Host] = rec
		}
	}
	for i := range real {
		n := 0
		for _, other := range real[i:] {
			if other-real[i] < time.Hour {
				n++
			}
		}
		if n > times*s.PerHour {
			t.Fatalf("seed %d: %d orders within an hour, %d are the most", seed, n, times*s.PerHour)
		}
	}
	if len(real) < s.PerHour {
		t.Fatalf("seed %d: %d orders in five hours", seed, len(real))
	}
}

// TestPauses grow, and depend on what was wrong.
func TestPauses(t *testing.T) {
	var got []string
	for failures := 1; failures <= 12; failures++ {
		got = append(got, pauseAfter(failures, "connection", time.Minute).String())
	}
	if want := "1m0s 5m0s 15m0s 30m0s 1h0m0s 2h0m0s 4h0m0s 8h0m0s 16h0m0s 24h0m0s 24h0m0s 24h0m0s"; strings.Join(got, " ") != want {
		t.Errorf("got %s", got)
	}
	if got := pauseAfter(1, "rateLimited", time.Minute); got != time.Hour {
		t.Errorf("at a limit: %s", got)
	}
	if got := pauseAfter(20, kindAway, time.Minute); got != 15*time.Minute {
		t.Errorf("while it is away: %s", got)
	}
}

// TestFallback: a second authority is asked at once when the first one refuses for reasons of its
// own, and not for those of the name.
func TestFallback(t *testing.T) {
	s := settings()
	s.Authorities = append(s.Authorities, Authority{Name: "second", Directory: "https://second"})
	r := Record{Host: "a.com"}
	r.fail(Failure{Time: noon, Kind: "rateLimited"}, s, false)
	if r.With != 1 || !r.Next.Equal(noon) {
		t.Errorf("%+v", r)
	}
	r.fail(Failure{Time: noon, Kind: kindAway}, s, false)
	if r.With != 0 || !r.Next.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("%+v", r)
	}
	r.fail(Failure{Time: noon, Kind: "dns"}, s, false)
	if r.With != 0 || !r.Next.Equal(noon.Add(15*time.Minute)) {
		t.Errorf("%+v", r)
	}
	r.fail(Failure{Time: noon, Kind: "rateLimited"}, s, true)
	if r.With != 0 {
		t.Errorf("there is no second one for tests: %+v", r)
	}
}

func TestParseAuthority(t *testing.T) {
	for text, want := range map[string]string{
		"letsencrypt": letsEncrypt, "Staging": staging, "https://ca.example.com/acme/acme/directory": "https://ca.example.com/acme/acme/directory",
		"http://ca.example.com": "", "": "", "nobody": "", "https://": "", "https://a b": "",
	} {
		if got, ok := ParseAuthority(text); got.Directory != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got.Directory, ok)
		}
	}
	if a, _ := ParseAuthority("https://ca.example.com/directory"); a.Name != "ca.example.com" {
		t.Errorf("it is called %s", a.Name)
	}
	var all []string
	for word := range words() {
		all = append(all, word)
	}
	if slices.Sort(all); strings.Join(all, " ") != "google letsencrypt staging zerossl" {
		t.Errorf("%s", all)
	}
}
