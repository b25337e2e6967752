package why

import (
	"net/url"

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
func Judge(p picture.Picture) (*Judged, error) {
	w, err := judged(p)
	if err != nil {
		return nil, err
	}
	return &Judged{w}, nil
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
