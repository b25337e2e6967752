// Package notify tells Alertmanager what the scaler decided, as alerts that
// people can be told of.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/webhook"
)

// Options say where to and what of.
type Options struct {
	// URL is Alertmanager's, with its path prefix if it has one; empty: nothing is told.
	URL string
	// Password is sent with each alert, for app.AlertmanagerUser; empty: none.
	Password string
	// Lifetime is how long an alert lasts after its decision.
	Lifetime time.Duration
	// AtMin and AtMax tell also of requests that changed nothing because the bound was reached.
	AtMin, AtMax bool
	// Clock is what it waits by; nil is the machine's.
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

const (
	// queued bounds the decisions that wait for Alertmanager.
	queued = 100
	// timeout bounds one delivery, attempts how often it is tried.
	timeout  = 5 * time.Second
	attempts = 3
	// pause lies between two attempts.
	pause = time.Second
)

// Notifier sends decisions in the background, so that nothing waits for Alertmanager.
type Notifier struct {
	opts   Options
	target string
	queue  chan decide.Decision
	// again are those of CatchUp, which wait until nothing new is to be told.
	again chan decide.Decision
	sent  *prometheus.CounterVec
	// atWork is how many decisions wait, or are being sent.
	atWork atomic.Int64
	// rests says that it waits to try again.
	rests atomic.Bool
}

// New returns a Notifier. The error is that of a wrong URL.
func New(o Options) (*Notifier, error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	n := &Notifier{opts: o, queue: make(chan decide.Decision, queued), again: make(chan decide.Decision, Recent), sent: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "notifications_total",
		Help: "Decisions told to Alertmanager by result (sent, failed, dropped).",
	}, []string{"result"})}
	if o.Registry != nil {
		o.Registry.MustRegister(n.sent)
	}
	for _, result := range []string{"sent", "failed", "dropped"} {
		n.sent.WithLabelValues(result)
	}
	if o.URL == "" {
		return n, nil
	}
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("alertmanager-url: want http://HOST:PORT")
	}
	n.target = strings.TrimSuffix(o.URL, "/") + "/api/v2/alerts"
	return n, nil
}

// Tell queues a decision if it is one to tell of. It never blocks.
func (n *Notifier) Tell(d decide.Decision) { n.enqueue(n.queue, d) }

func (n *Notifier) enqueue(queue chan<- decide.Decision, d decide.Decision) {
	if n.target == "" || !n.wanted(d) {
		return
	}
	n.atWork.Add(1)
	select {
	case queue <- d:
	default:
		n.atWork.Add(-1)
		n.sent.WithLabelValues("dropped").Inc()
	}
}

func (n *Notifier) wanted(d decide.Decision) bool {
	switch {
	case d.Action == decide.Held, d.Code == decide.CodeUnchanged:
		return false
	case d.AtBound && d.Direction == signal.Up:
		return n.opts.AtMax
	case d.AtBound:
		return n.opts.AtMin
	}
	return true
}

// Recent is how many decisions are looked at by CatchUp, which tells of those of the last minute at
// most: alerts of before may have ended, and would begin again, if they last longer now than when
// they were told.
const (
	Recent   = 50
	recently = time.Minute
)

// isRecent reports whether the alert of a decision is one for CatchUp.
func (n *Notifier) isRecent(d decide.Decision) bool {
	return n.opts.Clock.Now().Before(d.Time.Add(min(n.opts.Lifetime, recently)))
}

// CatchUp tells once more of decisions whose alerts have not ended yet: whoever made them may have
// been ended before it could. Alertmanager knows each by its labels, so that nobody hears twice of
// one that it has. What is new goes first. read returns the decisions, latest first; while it fails
// it is tried again.
func (n *Notifier) CatchUp(ctx context.Context, read func(context.Context) ([]decide.Decision, error)) error {
	for n.target != "" {
		n.atWork.Add(1)
		all, err := read(ctx)
		for _, d := range slices.Backward(all) {
			if n.isRecent(d) {
				n.enqueue(n.again, d)
			}
		}
		n.atWork.Add(-1)
		if err == nil {
			return nil
		}
		timer := n.opts.Clock.Timer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
	return nil
}

// Idle reports whether nothing is to be sent now. It may be called by any goroutine.
func (n *Notifier) Idle() bool { return n.rests.Load() || n.atWork.Load() == 0 }

// Run sends until the context ends; what is queued then is dropped.
func (n *Notifier) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		d, isNew := decide.Decision{}, true
		select {
		case d = <-n.queue:
		default:
			select {
			case <-ctx.Done():
				return nil
			case d = <-n.queue:
			case d = <-n.again:
				isNew = false
			}
		}
		// While it waited its alert may have ended, so that it would reach nobody.
		if isNew || n.isRecent(d) {
			n.deliver(ctx, d)
		}
		n.atWork.Add(-1)
	}
	return nil
}

func (n *Notifier) deliver(ctx context.Context, d decide.Decision) {
	var err error
	for i := range attempts {
		if i > 0 {
			if !n.rest(ctx) {
				return
			}
		}
		if err = n.send(ctx, d); err == nil {
			n.sent.WithLabelValues("sent").Inc()
			return
		}
	}
	n.sent.WithLabelValues("failed").Inc()
	n.opts.Log.Warn("Alertmanager was not told", "swarm_service", d.Service, "decision", d.Message, "error", err)
}

// rest waits between two attempts, which is no work.
func (n *Notifier) rest(ctx context.Context) bool {
	timer := n.opts.Clock.Timer(pause)
	defer timer.Stop()
	n.rests.Store(true)
	defer n.rests.Store(false)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// alert is one alert of Alertmanager's API v2.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// toAlert is the alert about a decision. Names and texts are those of Docker Flow's scaler.
func toAlert(d decide.Decision, lifetime time.Duration) alert {
	status, request := "success", fmt.Sprintf("Scale service %s: %s", d.Direction, d.Service)
	if d.Action == decide.Refused && !d.AtBound {
		status = "error"
	}
	if d.Action == decide.Adopted {
		request = "Changed by somebody else: " + d.Service
	}
	if d.Service == webhook.BadRequest {
		request = "Incorrect request"
	}
	summary := d.Message
	if d.DryRun {
		summary += " (dry run)"
	}
	return alert{
		// Two decisions in a row are two messages: Alertmanager tells nothing more of an
		// alert that lasts, so the time makes each an alert of its own.
		Labels: map[string]string{
			"alertname": "scale_service", "service": d.Service, "status": status, "at": d.Time.UTC().Format(time.RFC3339Nano),
		},
		Annotations: map[string]string{"request": request, "summary": summary},
		StartsAt:    d.Time.UTC(),
		EndsAt:      d.Time.UTC().Add(lifetime),
	}
}

func (n *Notifier) send(ctx context.Context, d decide.Decision) error {
	body, err := json.Marshal([]alert{toAlert(d, n.opts.Lifetime)})
	if err != nil {
		return err
	}
	ctx, cancel := n.opts.Clock.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if n.opts.Password != "" {
		req.SetBasicAuth(app.AlertmanagerUser, n.opts.Password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(answer))
	}
	return nil
}
