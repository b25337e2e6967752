package apply

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// workersTimeout bounds what one look at the workers costs whoever asks for metrics.
const workersTimeout = time.Second

// watchWorkers offers how many workers of before a reload still have connections, and
// since when the oldest does. The master is asked whenever the metrics are read.
func watchWorkers(o Options) {
	if o.Registry == nil {
		return
	}
	old := func(value func([]runtime.Process) float64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), workersTimeout)
			defer cancel()
			p, err := o.Master.ShowProc(ctx)
			if err != nil {
				return math.NaN()
			}
			return value(p.Old)
		}
	}
	o.Registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "old_workers",
			Help: "Workers of HAProxy that finish their connections after a reload; NaN if HAProxy does not say.",
		}, old(func(workers []runtime.Process) float64 { return float64(len(workers)) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "oldest_worker_seconds",
			Help: "Age of the oldest of these workers, 0 if there is none; NaN if HAProxy does not say.",
		}, old(func(workers []runtime.Process) float64 {
			var oldest time.Duration
			for _, w := range workers {
				oldest = max(oldest, w.Age)
			}
			return oldest.Seconds()
		})),
	)
}
