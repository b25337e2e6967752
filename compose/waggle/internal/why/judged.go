package why

import (
	"fmt"
	"sync"
	"time"

	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// Judged is a picture with what the judges say of it, for whoever has several questions. It
// is not changed, so that several may ask at once.
type Judged struct {
	w *world
	// bounds are what the scaler's judge says, by ID of the service.
	bounds map[string]scaler.Answer
}

// Judge asks the judges about a picture. The error is that of a setting.
func Judge(p picture.Picture) (*Judged, error) {
	var (
		asked  sync.WaitGroup
		bounds []scaler.Answer
		failed error
	)
	asked.Go(func() {
		bounds, failed = scaler.Services(scaler.Question{Snapshot: p.Snapshot(), Accepted: p.AcceptedBy("scaler"), Settings: settings(p, "scaler"), Now: p.Time})
	})
	w, err := judged(p)
	asked.Wait()
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("settings of scaler: %w", failed)
	}
	j := &Judged{w: w, bounds: map[string]scaler.Answer{}}
	for _, a := range bounds {
		j.bounds[a.ServiceID] = a
	}
	return j, nil
}

// Picture is what was judged.
func (j *Judged) Picture() picture.Picture { return j.w.Picture }

// Time is when it was so.
func (j *Judged) Time() time.Time { return j.w.Time }

// Overview is the answer of Status.
func (j *Judged) Overview() Overview { return j.w.overview() }

// Service is the answer of Service for a service of the picture.
func (j *Judged) Service(svc catalog.Service) Answer { return j.w.service(svc.Name, svc, true) }

// URL is the answer of URL.
func (j *Judged) URL(address string) (Answer, error) { return j.w.url(address) }

// Worst is what stands about a service in the overview.
func (j *Judged) Worst(svc catalog.Service) Line { return j.w.worst(svc) }

// Proxy, Monitor and Scaler are what the judges say of a service, without a state if they say
// nothing.
func (j *Judged) Proxy(svc catalog.Service) proxy.Answer { return j.w.routes[svc.ID] }

// Monitor is what its judge says.
func (j *Judged) Monitor(svc catalog.Service) monitor.Answer { return j.w.scrapes[svc.ID] }

// Scaler is what its judge says.
func (j *Judged) Scaler(svc catalog.Service) scaler.Answer { return j.bounds[svc.ID] }

// Running is how many tasks of a service run, on nodes that are ready.
func (j *Judged) Running(svc catalog.Service) int {
	tasks, _ := j.w.running(svc)
	return len(tasks)
}
