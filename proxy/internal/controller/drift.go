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

// drift finds out whether HAProxy runs something else than what was applied.
type drift struct {
	compare func(context.Context) (string, error)
	last    time.Time
	gauge   prometheus.Gauge
	log     *slog.Logger
}

func newDrift(o Options) *drift {
	d := &drift{compare: o.HAProxy.Compare, log: o.Log, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
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
	differs, err := d.compare(ctx)
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
