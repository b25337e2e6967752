package main

import (
	"slices"
	"testing"

	"github.com/wagglehq/waggle/compose/tools/docs"
)

// Each component comes as far as its loops, which are the last to register metrics.
func TestEachComponentTellsOfItsLoops(t *testing.T) {
	for _, c := range components() {
		metrics, err := docs.Metrics(c)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(metrics, func(m docs.Metric) bool { return m.Name == "waggle_"+c.Name+"_passes_total" })
		if i < 0 || metrics[i].Type != "counter" || !slices.Equal(metrics[i].Labels, []string{"loop", "result"}) || len(metrics[i].Values["loop"]) == 0 {
			t.Errorf("the passes of %s are missing among %v", c.Name, metrics)
		}
	}
}
