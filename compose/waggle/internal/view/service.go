package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// seconds is a number of them.
func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// span is a time as people write it.
func span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Fact is one line about a service.
type Fact struct{ Name, Text string }

// Service is the page of one.
type Service struct {
	Line   Line
	Facts  []Fact
	Rungs  []Rung
	Routes []Route
	Tasks  []Task
	Labels []Label
	Alerts []Alert
	Jobs   []Job
	// Bounds says how it is scaled, empty if it is not, and Chart draws it; nil if nothing
	// is known of the past.
	Bounds string
	Chart  *Chart
}

// Rung is one of the ladder.
type Rung struct {
	Name, Text, Fix string
	State           why.State
}

// Key is what the rung is known by.
func (r Rung) Key() string { return r.Name }

// rungs are those of an answer.
func rungs(a why.Answer) []Rung {
	var out []Rung
	for _, r := range a.Rungs {
		one := Rung{Name: r.Rung, Text: cmp.Or(r.Text, "nothing is asked for"), State: r.State}
		if r.State == why.Broken || r.State == why.Warn {
			one.Fix = fixOf(r)
		}
		out = append(out, one)
	}
	return out
}

// Alert is one that a service may raise.
type Alert struct {
	Name, Expr, For, Asks string
	// Firing says whether it does, as far as that is known.
	Firing string
	State  why.State
}

// Key is what the alert is known by.
func (a Alert) Key() string { return a.Name }

// Job is one address that is scraped.
type Job struct {
	Job, Address, Every string
	// Health says whether Prometheus reaches it, with its words if it does not.
	Health, Error string
	State         why.State
}

// Key is what it is known by.
func (j Job) Key() string { return j.Job + " " + j.Address }

// Told is what happened to one service.
type Told struct {
	Events  []picture.Event
	Samples []Sample
}

// Service is the page of the service of a full name, false if there is none.
func (k *Known) Service(name string, told Told) (Service, bool) {
	p := k.Picture()
	svc, ok := p.ByName(name)
	if !ok {
		return Service{}, false
	}
	l := line(k.Judged, svc)
	s := Service{Line: l, Rungs: rungs(k.Judged.Service(svc)), Routes: k.routesOf(l), Tasks: k.tasksOf(svc), Labels: labelsOf(svc), Alerts: k.alerts(svc), Jobs: k.jobs(svc)}
	for _, f := range []Fact{
		{"Stack", svc.Stack}, {"Image", svc.Image}, {"Mode", string(svc.Mode)}, {"Tasks", l.Tasks}, {"Networks", strings.Join(svc.Networks, ", ")},
		{"Update", strings.ReplaceAll(svc.UpdateState, "_", " ")}, {"Created", Clock(svc.CreatedAt, p.Time)}, {"ID", svc.ID},
	} {
		if f.Text != "" {
			s.Facts = append(s.Facts, f)
		}
	}
	var least, most uint64
	if r := k.Scaler(svc).Rules; r != nil {
		least, most = r.Min, r.Max
		s.Bounds = fmt.Sprintf("%d replicas, of %d to %d; up by %d after %s, down by %d after %s", svc.Replicas, r.Min, r.Max, r.UpBy, span(r.CooldownUp), r.DownBy, span(r.CooldownDown))
		switch {
		case r.Off:
			s.Bounds = fmt.Sprintf("%d replicas, left alone (com.df.scale=off)", svc.Replicas)
		case r.DryRun:
			s.Bounds += "; nothing is changed: it is a dry run"
		}
	}
	if past := History(Decisions(told.Events), told.Samples, svc.Name); svc.Mode == catalog.Replicated && (s.Bounds != "" || len(past) > 1) {
		s.Chart = Draw(past, least, most, p.Time)
	}
	return s, true
}

func (k *Known) alerts(svc catalog.Service) []Alert {
	var out []Alert
	for _, r := range k.Monitor(svc).Rules {
		if r.Record {
			continue
		}
		a := Alert{Name: r.Name, Expr: r.Expr, For: r.For, State: why.None, Firing: "not known"}
		if to := r.Labels["scale"]; to != "" {
			a.Asks = "scaling " + to
		}
		if k.Picture().Alerts != nil {
			a.State, a.Firing = why.OK, "quiet"
		}
		for _, one := range k.Picture().Alerts {
			if one.Service == svc.Name && one.Name == r.Name {
				a.State, a.Firing = why.Warn, "firing"
			}
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Alert) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (k *Known) jobs(svc catalog.Service) []Job {
	var out []Job
	for _, j := range k.Monitor(svc).Jobs {
		for _, address := range j.Targets {
			one := Job{Job: j.Name, Address: address + j.Path, Every: span(j.Interval), Health: "not known", State: why.None}
			if unscraped := k.Picture().Unscraped; unscraped != nil {
				words, isUnscraped := unscraped[address]
				switch {
				case !isUnscraped:
					one.Health, one.State = "up", why.OK
				case words == "":
					one.Health, one.State = "not tried", why.Wait
				default:
					one.Health, one.State, one.Error = "down", why.Broken, words
				}
			}
			out = append(out, one)
		}
	}
	return out
}

// Try is where a URL leads.
type Try struct {
	URL string
	// Error says what is wrong with the URL, empty if nothing is.
	Error string
	// Verdict says in a word who answers.
	Verdict              string
	State                why.State
	Service, ServicePath string
	Rungs                []Rung
	Others               []why.Other
}

// Try asks where a URL leads; nil without one. http:// is put before what has no scheme.
func (k *Known) Try(address string) *Try {
	address = strings.TrimSpace(address)
	if address == "" {
		return nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	t := &Try{URL: address, State: why.Broken}
	if !why.IsURL(address) {
		t.Error = "want a URL that begins with http:// or https://"
		return t
	}
	a, err := k.URL(address)
	if err != nil {
		t.Error = err.Error()
		return t
	}
	t.Rungs, t.Others, t.State = rungs(a), a.Others, why.OK
	if a.Service == nil {
		t.State, t.Verdict = why.Broken, "nobody gets this request"
		return t
	}
	t.Service, t.ServicePath, t.Verdict = *a.Service, ServicePath(*a.Service), "it is for "+*a.Service
	if state, _, _, _, _ := worst(a); state != why.OK {
		t.State = state
	}
	return t
}
