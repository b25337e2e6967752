package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// cold is a start with many services, and what is spent when nothing happens.
func (m *bench) cold(ctx context.Context) error {
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	m.Table(fmt.Sprintf("A start with %d services, and nothing to do with %d for %v", m.services, m.idleServices, m.idle), "what", "result", "goal", "")
	var starts, sizes []float64
	for i := range 3 {
		w, err := m.startWaggle(ctx, fmt.Sprintf("cold%d", i), m.services, up.port)
		if err != nil {
			return err
		}
		starts = append(starts, w.took.Seconds())
		// What the start needed is given back within a few seconds.
		err = tooltest.Pause(ctx, 5*time.Second)
		size := uint64(0)
		if err == nil {
			size, err = proc.Memory(w.pid())
		}
		sizes = append(sizes, float64(size)/(1<<20))
		w.stop()
		if err != nil {
			return err
		}
	}
	m.Result("from the start of the process to the first answer, median of 3", report.Median(starts), report.AtMost(1.5, "%.2f s"))
	m.Result("memory of supervisor, controller and HAProxy, median of 3", report.Median(sizes), report.AtMost(100, "%.0f MiB"))
	w, err := m.startWaggle(ctx, "idle", m.idleServices, up.port)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := tooltest.Pause(ctx, 5*time.Second); err != nil {
		return err
	}
	shares, err := proc.Idle(ctx, m.idle, func() (time.Duration, error) { return proc.Used(w.pid(), "") })
	if err != nil {
		return err
	}
	m.Result("processor time of all of them while idle, of one core", shares[0], report.AtMost(2, "%.1f %%"))
	return nil
}
