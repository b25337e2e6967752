package render

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
)

// TestRenderersSideBySide: each belongs to one goroutine, but several may be at work, as
// in a test of several proxies. The race detector watches.
func TestRenderersSideBySide(t *testing.T) {
	texts := make([]string, 4)
	var wait sync.WaitGroup
	for i := range texts {
		wait.Go(func() {
			for n := range 5 {
				r, err := NewRenderer(settings("/x"))
				if err != nil {
					t.Error(err)
					return
				}
				labels := fmt.Sprintf("a servicePath=/a\na port=80\na timeoutServer=%d\nb reqMode=tcp\nb srcPort=5\nb port=6\n", n+1)
				d := claims.Settle(readServices(labels), nil, readOptions())
				f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
				if err != nil {
					t.Error(err)
					return
				}
				texts[i] = f.Text()
			}
		})
	}
	wait.Wait()
	for _, text := range texts {
		if text == "" || text != texts[0] {
			t.Errorf("got\n%s\nwant\n%s", text, texts[0])
		}
	}
}
