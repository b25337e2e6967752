package main

import (
	"context"
	"fmt"
	"time"
)

// cold is a start with many services, and what is spent when nothing happens.
func (m *measurement) cold(ctx context.Context) error {
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	m.table(fmt.Sprintf("A start with %d services, and nothing to do with %d for %v", m.services, m.idleServices, m.idle), "what", "result", "goal", "")
	var starts, sizes []float64
	for i := range 3 {
		w, err := m.startWaggle(ctx, fmt.Sprintf("cold%d", i), m.services, up.port)
		if err != nil {
			return err
		}
		starts = append(starts, w.took.Seconds())
		// What the start needed is given back within a few seconds.
		err = pause(ctx, 5*time.Second)
		size := 0
		if err == nil {
			size, err = memory(w.pid())
		}
		sizes = append(sizes, float64(size)/(1<<20))
		w.stop()
		if err != nil {
			return err
		}
	}
	m.result("from the start of the process to the first answer, median of 3", median(starts), goal{1.5, false, "%.2f s"})
	m.result("memory of supervisor, controller and HAProxy, median of 3", median(sizes), goal{100, false, "%.0f MiB"})
	w, err := m.startWaggle(ctx, "idle", m.idleServices, up.port)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	before, err := used(w.pid(), "")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, m.idle); err != nil {
		return err
	}
	after, err := used(w.pid(), "")
	if err != nil {
		return err
	}
	m.result("processor time of all of them while idle, of one core", 100*(after-before).Seconds()/time.Since(began).Seconds(), goal{2, false, "%.1f %%"})
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
