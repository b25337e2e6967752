package listener

import (
	"context"
	"time"

	"github.com/wagglehq/waggle/listener/internal/reading"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// statePause keeps a storm of changes cheap for the metrics of the swarm's state.
const statePause = time.Second

// stateMetrics are those of the swarm's state. Without a reader they are switched off.
type stateMetrics struct {
	reader *reading.Reader
	poke   *reconcile.Poke
}

func (c Config) stateMetrics(sh app.Shell) stateMetrics {
	if !c.StateMetrics {
		return stateMetrics{}
	}
	poke := reconcile.NewPoke()
	reader := reading.New(poke, time.Now)
	sh.Registry.MustRegister(reader.Collector())
	return stateMetrics{reader, poke}
}

// watch lets a client of Docker tell what it lists.
func (m stateMetrics) watch() docker.Option {
	if m.reader == nil {
		return func(*docker.Client) {}
	}
	return docker.Watched(m.reader)
}

func (m stateMetrics) heard() {
	if m.reader != nil {
		m.reader.Heard()
	}
}

// loop returns what asks for what nobody else has asked for. It is patient when Docker does
// not answer: others ask often enough, and tell.
func (m stateMetrics) loop(swarm *docker.Client, o reconcile.Options) func(context.Context) error {
	if m.reader == nil {
		return func(context.Context) error { return nil }
	}
	o.Poke, o.RetryMin, o.RetryMax = m.poke, time.Second, 5*time.Second
	return reconcile.New(o, func(ctx context.Context) error { return m.reader.Pass(ctx, swarm) }).Run
}
