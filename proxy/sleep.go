package proxy

import (
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// newSleepWatch returns what tells the scaler of services that may sleep.
func newSleepWatch(c Config, b *bus.Bus, view func() *controller.View, worker *runtime.Client, master *runtime.Master, socket string, sh app.Shell) *sleep.Watch {
	return sleep.New(sleep.Options{
		Instance: c.InstanceName(), Socket: socket, Services: sleepers(view),
		File: func() file.File {
			if v := view(); v != nil {
				return v.File
			}
			return file.File{}
		},
		HAProxy: sleep.HAProxy{Show: worker.ShowTraffic, Old: master.Traffic, Processes: master.ShowProc, Do: master.Do},
		Signals: b.Bucket(bus.WakesBucket), Now: time.Now, Log: sh.Log,
	})
}

// sleepers are the services that may sleep, as of the last pass. It may be called from any
// goroutine.
func sleepers(view func() *controller.View) func() *sleep.Services {
	var (
		mu   sync.Mutex // several loops ask
		of   *controller.View
		last *sleep.Services
	)
	fromSwarm := func(id string) bool { return !static.Is(id) && !catalog.IsManual(id) }
	return func() *sleep.Services {
		v := view()
		mu.Lock()
		defer mu.Unlock()
		if v != nil && v != of {
			of, last = v, sleep.Of(v.Desired.Services, fromSwarm)
		}
		return last
	}
}
