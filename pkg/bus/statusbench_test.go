package bus_test

import (
	"fmt"
	"testing"

	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// BenchmarkPublishOfAThousandThatAreAsBefore: nothing is written, and nothing decoded.
func BenchmarkPublishOfAThousandThatAreAsBefore(b *testing.B) {
	s := bustest.Start(b)
	s.Prepared()
	statuses := s.Connect("proxy").Statuses("one", func() {})
	bustest.Run(b, statuses.Run)
	all := make([]catalog.Status, 1000)
	for i := range all {
		all[i] = catalog.Status{
			ServiceID: fmt.Sprintf("id%d", i), Service: fmt.Sprintf("web%d", i), State: catalog.StateApplied,
			Revision: catalog.Revision{Epoch: "e", Sequence: uint64(i) + 1},
		}
	}
	tooltest.Eventually(b, "all are published", func() error { return statuses.Publish(b.Context(), all) })
	b.ReportAllocs()
	for b.Loop() {
		if err := statuses.Publish(b.Context(), all); err != nil {
			b.Fatal(err)
		}
	}
}
