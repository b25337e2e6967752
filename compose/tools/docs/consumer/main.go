// Command consumer prints what the proxies say of each service, and every change of it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

func main() {
	key, err := os.ReadFile(os.Getenv("NATS_KEY_FILE"))
	if err != nil {
		panic(err)
	}
	b, err := bus.Connect(bus.Options{URL: os.Getenv("NATS_URL"), Component: bus.Reader, Key: string(key), Log: slog.Default()})
	if err != nil {
		panic(err)
	}
	poke := reconcile.NewPoke()
	services, statuses := b.Catalog(poke.Now), b.Bucket(bus.StatusBucket).Mirror("proxy.>", poke.Now)
	told := map[string]string{}
	loop := reconcile.New(reconcile.Options{Name: "tell", Poke: poke, Pause: 100 * time.Millisecond}, func(context.Context) error {
		snapshot, complete := services.Snapshot()
		values, read := statuses.Values()
		if !complete || !read {
			return nil // not all is known, so nothing may be concluded
		}
		for key, line := range told {
			if _, there := values[key]; !there {
				fmt.Println("-", line)
				delete(told, key)
			}
		}
		for key, v := range values {
			var s catalog.Status
			if json.Unmarshal(v.Data, &s) != nil || snapshot.Services[s.ServiceID].ID == "" {
				continue
			}
			path := snapshot.Services[s.ServiceID].Labels["com.df.servicePath"]
			if line := fmt.Sprintf("%s %s: %s %s", s.Service, path, s.State, s.Reason); told[key] != line {
				fmt.Println("+", line)
				told[key] = line
			}
		}
		return nil
	})
	ctx := context.Background()
	go func() { _ = services.Run(ctx) }()
	go func() { _ = statuses.Run(ctx) }()
	_ = loop.Run(ctx)
}
