package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// compareEvery is how often what runs is compared with what was applied.
const compareEvery = time.Minute

// Comparer is HAProxy as it tells what it runs.
type Comparer interface {
	// Compare looks whether that is still what was applied, and says what is not.
	Compare(ctx context.Context) (drift string, err error)
}

// drift finds out whether HAProxy runs something else than what was applied.
type drift struct {
	comparer Comparer
	last     time.Time
	gauge    prometheus.Gauge
	log      *slog.Logger
}

func newDrift(o Options) *drift {
	d := &drift{comparer: o.HAProxy.Comparer, log: o.Log, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "proxy", Name: "drift",
		Help: "1 if HAProxy was found to run something else than what was applied, at the last comparison.",
	})}
	if o.Registry != nil {
		o.Registry.MustRegister(d.gauge)
	}
	return d
}

// found compares if it is time to, and reports whether there is a difference.
func (d *drift) found(ctx context.Context) (bool, error) {
	if time.Since(d.last) < compareEvery {
		return false, nil
	}
	d.last = time.Now()
	differs, err := d.comparer.Compare(ctx)
	if err != nil {
		return false, fmt.Errorf("compare: %w", err)
	}
	d.gauge.Set(0)
	if differs == "" {
		return false, nil
	}
	d.gauge.Set(1)
	d.log.Error("HAProxy runs something else than what was applied, so it reloads", "drift", shorten(differs))
	return true, nil
}
