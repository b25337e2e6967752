package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
)

// Certificates is what became of all certificates in one pass. It is not changed any more.
type Certificates struct {
	// Entries are sorted: what is served comes first, the default before all.
	Entries []certs.Entry
	// Applied says that HAProxy has them.
	Applied bool
}

// Certificates returns what became of them in the last pass, nil before the first.
func (c *Controller) Certificates() *Certificates { return c.certificates.shown.Load() }

// CertificateJudge is HAProxy as far as certificates are concerned.
type CertificateJudge interface {
	// Certificates are the PEM texts that it has.
	Certificates() map[string]bool
	// CheckCertificates judges PEM texts; the error is a *apply.CheckError if it refuses
	// one of them.
	CheckCertificates(ctx context.Context, pems ...string) error
}

// CertificateSource are the certificates that do not come by labels; those whose names
// fit Preferred come first. Where the operator has a list of his own, it is the only one,
// and Candidates is nil.
type CertificateSource struct {
	Candidates func() []certs.Candidate
	Preferred  []string
	Obtained   Obtained
}

// Obtained are the certificates that the proxy itself obtains.
type Obtained struct {
	// Rules say for which hosts.
	Rules names.Rules
	// Known returns what is known of them, nil before anything is; the function is nil if none
	// are obtained.
	Known func() *acme.Known
}

// known is what is known, which may be nothing.
func (o Obtained) known() *acme.Known {
	if o.Known == nil {
		return &acme.Known{}
	}
	if k := o.Known(); k != nil {
		return k
	}
	return &acme.Known{}
}

// troubles says what services cannot have, by their IDs.
func (o Obtained) troubles(wanted names.Wanted, k *acme.Known) map[string][]acme.Trouble {
	out := map[string][]acme.Trouble{}
	for id, faults := range wanted.Faults {
		for _, f := range faults {
			out[id] = append(out[id], acme.Trouble{Label: f.Label, Reason: f.Text, Hint: f.Fix})
		}
	}
	if len(k.Troubles) == 0 {
		return out
	}
	for _, n := range wanted.Names {
		if t, ok := k.Troubles[n.Host]; ok {
			for _, id := range n.Services {
				out[id] = append(out[id], t)
			}
		}
	}
	return out
}

// certificates decides which are served.
type certificates struct {
	source  CertificateSource
	haproxy CertificateJudge
	ports   []int
	log     *slog.Logger
	metrics certificateMetrics

	// wanted are the hosts for which certificates are obtained, known is what is known of them,
	// both as of this pass.
	wanted names.Wanted
	known  *acme.Known
	// entries is what became of each, taken is what HAProxy said of their PEM texts.
	entries []certs.Entry
	taken   map[string]error
	// logged is what was last logged, by what it is about.
	logged map[string]string
	shown  atomic.Pointer[Certificates]
}

func newCertificates(o Options) *certificates {
	return &certificates{
		source: o.Certificates, haproxy: o.HAProxy.Certificates, ports: o.Rules.SecurePorts, log: o.Log, metrics: newCertificateMetrics(o.Registry),
	}
}

// chosen reports whether it is for the proxy to choose.
func (c *certificates) chosen() bool { return c.source.Candidates != nil }

// there reports whether this replica has some that can be served, beside those of labels.
func (c *certificates) there(now time.Time) bool {
	good := func(cand certs.Candidate) bool { return cand.Err == nil && cand.Expired(now) == nil }
	return c.chosen() && (slices.ContainsFunc(c.source.Candidates(), good) || slices.ContainsFunc(c.source.Obtained.known().Certificates, good))
}

// served are those that HAProxy is to have.
func (c *certificates) served() []file.Certificate {
	var out []file.Certificate
	for _, e := range c.entries {
		if e.Served() {
			out = append(out, file.Certificate{File: e.FileName(), PEM: e.PEM, Only: e.Only})
		}
	}
	return out
}

// choose decides what becomes of all certificates, those of services in force among them.
func (c *certificates) choose(ctx context.Context, services []route.Service) {
	candidates := slices.Clone(c.source.Candidates())
	c.wanted, c.known = names.Of(services, c.source.Obtained.Rules), c.source.Obtained.known()
	for _, o := range c.known.Certificates {
		if c.wanted.Has(o.Host) {
			candidates = append(candidates, o)
		}
	}
	hosts := map[string][]string{}
	for _, s := range services {
		if s.Certificate != nil {
			candidates = append(candidates, certs.Candidate{
				Name: s.Certificate.Name, Source: certs.Label, Service: s.Name, Certificate: s.Certificate.Certificate,
			})
		}
		for _, r := range s.Routes {
			if r.HostMatch != "" {
				continue
			}
			for _, h := range r.Hosts {
				if !slices.Contains(hosts[h], s.Name) {
					hosts[h] = append(hosts[h], s.Name)
				}
			}
		}
	}
	kept := c.haproxy.Certificates()
	c.check(ctx, candidates, kept)
	c.entries = certs.Choose(candidates, certs.Options{
		Preferred: c.source.Preferred, Hosts: hosts, Kept: kept, Now: time.Now(),
		Refused: func(pem string) error { return c.taken[pem] },
	})
}

// questions are those of authorities that HAProxy answers.
func (c *certificates) questions() []render.Challenge {
	if c.known == nil {
		return nil
	}
	out := make([]render.Challenge, 0, len(c.known.Questions))
	for _, q := range c.known.Questions {
		out = append(out, render.Challenge(q))
	}
	return out
}

// tell adds to a view what was answered, and which certificates there are not.
func (c *certificates) tell(v *View) {
	if c.known == nil {
		return
	}
	for _, q := range c.known.Questions {
		v.Questions = append(v.Questions, q.Token)
	}
	v.Uncertified = c.source.Obtained.troubles(c.wanted, c.known)
}

// check lets HAProxy judge the certificates that it has not seen yet: one that it refuses
// would make it refuse the whole configuration.
func (c *certificates) check(ctx context.Context, candidates []certs.Candidate, kept map[string]bool) {
	present := map[string]bool{}
	var unknown []string
	for _, cand := range candidates {
		if cand.Err != nil || present[cand.PEM] {
			continue
		}
		present[cand.PEM] = true
		if _, known := c.taken[cand.PEM]; !known && !kept[cand.PEM] {
			unknown = append(unknown, cand.PEM)
		}
	}
	maps.DeleteFunc(c.taken, func(pem string, _ error) bool { return !present[pem] })
	if c.taken == nil {
		c.taken = map[string]error{}
	}
	if len(unknown) == 0 {
		return
	}
	if c.haproxy.CheckCertificates(ctx, unknown...) == nil {
		for _, pem := range unknown {
			c.taken[pem] = nil
		}
		return
	}
	for _, pem := range unknown {
		err := c.haproxy.CheckCertificates(ctx, pem)
		c.taken[pem] = refusal(err)
		if err != nil && c.taken[pem] == nil {
			// It could not be asked; another pass will.
			delete(c.taken, pem)
			c.log.Warn("HAProxy could not judge a certificate", "error", err)
		}
	}
}

// refusal are HAProxy's words, nil if it did not refuse.
func refusal(err error) error {
	var refused *apply.CheckError
	if !errors.As(err, &refused) {
		return nil
	}
	return errors.New("HAProxy refuses it: " + Words(refused))
}

// show tells what became of the certificates: to whoever asks, in metrics,
// and once for each change in the log.
func (c *certificates) show(desired claims.Desired, applied bool) {
	c.shown.Store(&Certificates{Entries: c.entries, Applied: applied})
	c.metrics.set(c.entries)
	logged := map[string]string{}
	for _, e := range c.entries {
		words := cmp.Or(e.Reason, e.Warning)
		if words == "" {
			continue
		}
		logged[e.Key()] = words
		if c.logged[e.Key()] == words {
			continue
		}
		if e.Served() {
			c.log.Warn("a certificate is served, but", "name", e.Name, "source", e.Source, "problem", words)
		} else {
			c.log.Warn("a certificate is not served", "name", e.Name, "source", e.Source, "error", words)
		}
	}
	c.logPorts(desired, logged)
	c.logged = logged
}

// logPorts logs the ports on which there is no TLS although there are certificates,
// because a service had them first.
func (c *certificates) logPorts(desired claims.Desired, logged map[string]string) {
	if len(c.entries) == 0 || !c.entries[0].Served() {
		return
	}
	for _, port := range c.ports {
		if !slices.ContainsFunc(desired.Tables.Listeners, func(l route.Listener) bool { return l.Port == port }) {
			continue
		}
		key := fmt.Sprintf("port %d", port)
		if logged[key] = key; c.logged[key] == "" {
			c.log.Warn("certificates are not served on a port that a service has", "port", port)
		}
	}
}

type certificateMetrics struct {
	expiry   *prometheus.GaugeVec
	rejected prometheus.Gauge
}

func newCertificateMetrics(reg prometheus.Registerer) certificateMetrics {
	m := certificateMetrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "certificate_expiry_timestamp_seconds",
			Help: "When a certificate that is served expires, in Unix time, by its name and where it comes from.",
		}, []string{"name", "source"}),
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "rejected_certificates",
			Help: "Certificates that cannot be served; /v1/certs says why.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.expiry, m.rejected)
	}
	return m
}

func (m certificateMetrics) set(entries []certs.Entry) {
	m.expiry.Reset()
	rejected := 0
	for _, e := range entries {
		if e.Served() {
			m.expiry.WithLabelValues(e.Name, string(e.Source)).Set(float64(e.NotAfter.Unix()))
		}
		if e.Err != nil || e.Problem != nil {
			rejected++
		}
	}
	m.rejected.Set(float64(rejected))
}
