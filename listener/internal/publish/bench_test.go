package publish

import (
	"fmt"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// BenchmarkListPass is a pass after one label changed, without Docker and bus.
func BenchmarkListPass(b *testing.B) {
	for _, n := range []int{10, 200, 1000} {
		b.Run(fmt.Sprint(n, " services"), func(b *testing.B) {
			w, p, _ := newWorld()
			for i := range n {
				s := optIn(fmt.Sprint("id", i), fmt.Sprint("shop_service", i))
				s.Labels["com.df.servicePath"], s.Labels["com.df.port"], s.CreatedAt = fmt.Sprint("/path/", i), "8080", time.Unix(int64(i), 0)
				w.set(s, uint64(i)+1)
			}
			for i := 0; b.Loop(); i++ {
				s := w.snapshot.Services["id0"]
				s.Replicas = uint64(i)
				w.set(s, uint64(i)+5000)
				if err := p.ListPass(b.Context()); err != nil {
					b.Fatal(err)
				}
				w.writes = nil
			}
		})
	}
}

// BenchmarkTaskPass is a pass while thirty services come and go, and one over all of
// them, without Docker and bus.
func BenchmarkTaskPass(b *testing.B) {
	for _, n := range []int{100, 1000} {
		w, p, _ := newWorld()
		now := time.Now()
		p.o.Now = func() time.Time { return now }
		for i := range n {
			id := fmt.Sprintf("s%04d", i)
			svc := optIn(id, "shop_"+id)
			svc.Replicas = 5
			w.set(svc, uint64(i)+2)
			w.tasks[id] = tasksOf(id, "running")
		}
		restless := func(pass int) {
			for i := range 30 {
				id := fmt.Sprintf("s%04d", i)
				w.tasks[id] = tasksOf(id, []string{"starting", "running"}[pass%2])
			}
		}
		look := func() {
			if _, err := p.TaskPass(b.Context()); err != nil {
				b.Fatal(err)
			}
			w.writes, w.looked, w.few = nil, nil, nil
		}
		if err := p.ListPass(b.Context()); err != nil {
			b.Fatal(err)
		}
		look()
		now = now.Add(15 * time.Second)
		look() // All but those that come and go are calm now.
		b.Run(fmt.Sprint("30 of ", n, " services"), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				restless(i)
				now = now.Add(time.Microsecond)
				look()
			}
		})
		b.Run(fmt.Sprint("all of ", n, " services"), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				restless(i)
				now = now.Add(15 * time.Second)
				look()
			}
		})
	}
}

// tasksOf are five tasks of a service.
func tasksOf(id, state string) []catalog.Task {
	var out []catalog.Task
	for i := range 5 {
		out = append(out, catalog.Task{
			ID: fmt.Sprint(id, "-", i), Slot: i + 1, Node: "n", State: state, Desired: "running",
			Addresses: map[string][]string{"waggle": {fmt.Sprint("10.0.0.", i)}},
		})
	}
	return out
}
