package monitor

import (
	"slices"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/label"
)

// Labels describes every label that monitor reads.
func Labels() []label.Spec { return slices.Concat(scrape.Labels(), alert.Labels()) }
