package publish

import (
	"fmt"
	"testing"
	"time"
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
