package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Certificates is what became of all certificates in one pass. It is not changed any more.
type Certificates struct {
	// Entries are sorted: what is served comes first, the default before all.
	Entries []certs.Entry
	// Applied says that HAProxy has them.
	Applied bool
}

// Certificates returns what became of them in the last pass, nil before the first.
func (c *Controller) Certificates() *Certificates { return c.shown.Load() }

// judgeBy prepares the settling of labels: by which time certificates are judged, and
// which ports are the proxy's own at present.
func (c *Controller) judgeBy(now time.Time) {
	c.settler.At(now)
	var own []int
	if len(c.o.HAProxy.Certificates()) > 0 {
		own = c.o.Settings.SecurePorts()
	}
	c.settler.Reserve(own)
}

// certify chooses the certificates and makes them part of what is rendered. Where the
// operator has a list of his own, it is the only one.
func (c *Controller) certify(ctx context.Context) error {
	if c.o.Settings.CertList != "" || c.o.Certificates == nil {
		return nil
	}
	candidates := c.candidates()
	entries := c.choose(ctx, candidates)
	if c.refuseServices(entries) {
		c.desired, c.snapshot = c.settleWith(c.input)
		entries = c.choose(ctx, c.candidates())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var list []file.Certificate
	for _, e := range entries {
		if e.Served() {
			list = append(list, file.Certificate{File: e.FileName(), PEM: e.PEM, Only: e.Only})
		}
	}
	c.certificates = entries
	c.renderer.Certify(list)
	return nil
}

// candidates are all certificates, those of services in force among them.
func (c *Controller) candidates() []certs.Candidate {
	out := slices.Clone(c.o.Certificates())
	for _, s := range c.desired.Services {
		if s.Certificate != nil {
			out = append(out, certs.Candidate{Name: s.Certificate.Name, Source: certs.Label, Service: s.Name, Certificate: s.Certificate.Certificate})
		}
	}
	return out
}

func (c *Controller) choose(ctx context.Context, candidates []certs.Candidate) []certs.Entry {
	hosts := map[string][]string{}
	for _, s := range c.desired.Services {
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
	kept := c.o.HAProxy.Certificates()
	c.check(ctx, candidates, kept)
	return certs.Choose(candidates, certs.Options{
		Preferred: c.o.Preferred, Hosts: hosts, Kept: kept, Now: time.Now(),
		Refused: func(pem string) error { return c.taken[pem] },
	})
}

// check lets HAProxy judge the certificates that it has not seen yet: one that it refuses
// would make it refuse the whole configuration.
func (c *Controller) check(ctx context.Context, candidates []certs.Candidate, kept map[string]bool) {
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
	if c.o.HAProxy.CheckCertificates(ctx, unknown...) == nil {
		for _, pem := range unknown {
			c.taken[pem] = nil
		}
		return
	}
	for _, pem := range unknown {
		err := c.o.HAProxy.CheckCertificates(ctx, pem)
		c.taken[pem] = refusal(err)
		if err != nil && c.taken[pem] == nil {
			// It could not be asked; another pass will.
			delete(c.taken, pem)
			c.o.Log.Warn("HAProxy could not judge a certificate", "error", err)
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

// refuseServices rejects the services whose certificates HAProxy refuses, and reports
// whether there was one.
func (c *Controller) refuseServices(entries []certs.Entry) bool {
	found := false
	for _, e := range entries {
		if e.Source != certs.Label || e.Err == nil {
			continue
		}
		if svc, ok := c.snapshot.ByName(e.Service); ok {
			// The labels in force may be older ones than the present.
			if accepted, ok := c.desired.Accepted[svc.ID]; ok {
				svc.Labels = accepted.Labels
			}
			c.settler.Refuse(svc, catalog.Prefix+"serviceCert: "+e.Reason)
			found = true
		}
	}
	return found
}

// showCertificates tells what became of the certificates: to whoever asks, in metrics,
// and once for each change in the log.
func (c *Controller) showCertificates(applied bool) {
	c.shown.Store(&Certificates{Entries: c.certificates, Applied: applied})
	c.certMetrics.set(c.certificates)
	told := map[string]string{}
	for _, e := range c.certificates {
		words := cmp.Or(e.Reason, e.Warning)
		if words == "" {
			continue
		}
		told[e.Key()] = words
		if c.certTold[e.Key()] == words {
			continue
		}
		if e.Served() {
			c.o.Log.Warn("a certificate is served, but", "name", e.Name, "source", e.Source, "problem", words)
		} else {
			c.o.Log.Warn("a certificate is not served", "name", e.Name, "source", e.Source, "error", words)
		}
	}
	c.tellPorts(told)
	c.certTold = told
}

// tellPorts tells of ports on which there is no TLS although there are certificates,
// because a service had them first.
func (c *Controller) tellPorts(told map[string]string) {
	if len(c.certificates) == 0 || !c.certificates[0].Served() {
		return
	}
	for _, port := range c.o.Settings.SecurePorts() {
		if !slices.ContainsFunc(c.desired.Tables.Listeners, func(l route.Listener) bool { return l.Port == port }) {
			continue
		}
		key := fmt.Sprintf("port %d", port)
		if told[key] = key; c.certTold[key] == "" {
			c.o.Log.Warn("certificates are not served on a port that a service has", "port", port)
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
