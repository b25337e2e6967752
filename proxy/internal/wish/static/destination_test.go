package static

import (
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestWhatBelongsToADestinationMovesWithIt: beside another destination, the variables
// without an index are those of a destination of their own, as far as their labels say
// so; what all destinations have in common stays.
func TestWhatBelongsToADestinationMovesWithIt(t *testing.T) {
	for _, spec := range labels.Table() {
		environ := []string{
			"DFP_SERVICE_SERVICE_NAME=a", "DFP_SERVICE_SERVICE_PATH=/", "DFP_SERVICE_PORT=80",
			"DFP_SERVICE_SERVICE_PATH_1=/x", "DFP_SERVICE_" + snake(spec.Name) + "=text",
		}
		want := "com.df." + spec.Name
		if spec.PerDestination {
			want += ".2"
		}
		if got := Services(environ, Options{})[0].Labels; got[want] == "" {
			t.Errorf("%s is not at %s: %v", spec.Name, want, got)
		}
	}
}
