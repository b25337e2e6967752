package why

import (
	"maps"
	"net/url"
	"reflect"

	listener "github.com/wagglehq/waggle/listener/judge"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// Judged is a picture with what the judges say of it, for whoever has several questions. It
// is not changed, so that several may ask at once.
type Judged struct{ w *world }

// Judge asks the judges about a picture. The error is that of a setting.
func Judge(p picture.Picture) (*Judged, error) { return new(Court).Judge(p) }

// Court is Judge with a memory of the picture before: the judges read anew what has changed alone.
// It belongs to one goroutine.
type Court struct {
	proxy    proxy.Judge
	monitor  monitor.Judge
	listener map[string]placed
	scaler   map[string]scaled
	// by are the settings of the scaler by which it has judged.
	by map[string]string
}

// Judge asks the judges about a picture. The error is that of a setting.
func (c *Court) Judge(p picture.Picture) (*Judged, error) {
	w, err := c.judged(p)
	if err != nil {
		return nil, err
	}
	return &Judged{w}, nil
}

// placed is what the listener's judge has said of a service.
type placed struct {
	of     catalog.Service
	answer *listener.Answer
}

// place asks the listener's judge, who knows of no service but the one that he is asked about.
func (c *Court) place(all catalog.Snapshot) (map[string]listener.Answer, error) {
	changed := all
	changed.Services = map[string]catalog.Service{}
	next := make(map[string]placed, len(all.Services))
	for id, svc := range all.Services {
		if had, ok := c.listener[id]; ok && reflect.DeepEqual(had.of, svc) {
			next[id] = had
			continue
		}
		changed.Services[id] = svc
		next[id] = placed{of: svc}
	}
	answers, err := listener.Services(listener.Question{Snapshot: changed})
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		next[a.ServiceID] = placed{next[a.ServiceID].of, &a}
	}
	c.listener = next
	out := make(map[string]listener.Answer, len(next))
	for id, one := range next {
		if one.answer != nil {
			a := *one.answer
			a.Revision = all.RevisionOf(id)
			out[id] = a
		}
	}
	return out, nil
}

// scaled is what the scaler's judge has said of a service.
type scaled struct {
	of     catalog.Service
	tasks  []catalog.Task
	had    catalog.Service
	answer *scaler.Answer
}

// scale asks the scaler's judge, who knows of no service but the one that he is asked about either.
// What depends on the time is asked about again.
func (c *Court) scale(q scaler.Question) (map[string]scaler.Answer, error) {
	if !maps.Equal(c.by, q.Settings) {
		c.scaler = nil
	}
	changed := q
	changed.Snapshot.Services = map[string]catalog.Service{}
	next := make(map[string]scaled, len(q.Snapshot.Services))
	for id, svc := range q.Snapshot.Services {
		now := scaled{of: svc, tasks: q.Snapshot.Tasks[id], had: q.Accepted[id]}
		had, ok := c.scaler[id]
		isTimed := ok && had.answer != nil && had.answer.Rules != nil && !had.answer.Rules.Next.IsZero()
		if now.answer = had.answer; ok && !isTimed && reflect.DeepEqual(had, now) {
			next[id] = had
			continue
		}
		now.answer = nil
		changed.Snapshot.Services[id], next[id] = svc, now
	}
	answers, err := scaler.Services(changed)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		one := next[a.ServiceID]
		one.answer = &a
		next[a.ServiceID] = one
	}
	c.scaler, c.by = next, maps.Clone(q.Settings)
	out := make(map[string]scaler.Answer, len(next))
	for id, one := range next {
		if one.answer != nil {
			a := *one.answer
			a.Revision = q.Snapshot.RevisionOf(id)
			out[id] = a
		}
	}
	return out, nil
}

// Picture is what was judged.
func (j *Judged) Picture() picture.Picture { return j.w.Picture }

// Overview is the answer of Status.
func (j *Judged) Overview() Overview { return j.w.overview() }

// Service is the answer of Service for a service of the picture.
func (j *Judged) Service(svc catalog.Service) Answer { return j.w.service(svc.Name, svc, true) }

// URL is the answer of URL.
func (j *Judged) URL(address string) (Answer, error) { return j.w.url(address) }

// Certificate is the rung of URL that tells which certificate a host gets.
func (j *Judged) Certificate(host string) Rung {
	return j.w.tls(&url.URL{Scheme: "https", Host: host}, 443)
}

// IsForeign reports whether a service asks nothing of Waggle: it has no labels under com.df., or
// those of companions of Docker Flow alone.
func (j *Judged) IsForeign(svc catalog.Service) bool {
	return len(svc.Labels)+len(svc.ContainerLabels)+len(svc.Withheld) == 0 && svc.Oversize == 0 || j.w.placed[svc.ID].Foreign && !svc.OptedIn()
}

// Proxy is what its judge says of a service, without a state if that is nothing.
func (j *Judged) Proxy(svc catalog.Service) proxy.Answer { return j.w.routes[svc.ID] }

// Monitor is what its judge says.
func (j *Judged) Monitor(svc catalog.Service) monitor.Answer { return j.w.scrapes[svc.ID] }

// Scaler is what its judge says.
func (j *Judged) Scaler(svc catalog.Service) scaler.Answer { return j.w.scales[svc.ID] }

// Statuses are what instances have said of a service.
func (j *Judged) Statuses(svc catalog.Service) []picture.Status { return j.w.said[svc.ID] }

// Running is how many tasks of a service run, on nodes that are ready.
func (j *Judged) Running(svc catalog.Service) int {
	tasks, _ := j.w.running(svc)
	return len(tasks)
}
