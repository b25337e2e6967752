package listener

import (
	"context"
	"errors"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// whole writes the whole catalog at once.
type whole struct{ w *bus.CatalogWriter }

// State returns the present entries of the bucket and their revision.
func (w whole) State() (catalog.Entries, catalog.Revision, bool) {
	seen, ok := w.w.Seen()
	return seen.Entries, seen.Revision, ok
}

// Write makes the bucket equal to want.
func (w whole) Write(ctx context.Context, want catalog.Entries, versions map[string]uint64) (catalog.Changes, error) {
	seen, ok := w.w.Seen()
	if !ok {
		return catalog.Changes{}, bus.ErrNotSynced
	}
	plan := seen.Plan(want)
	plan.Indexes = versions
	written, err := w.w.Write(ctx, seen, plan)
	for _, refused := range written.Refused {
		err = errors.Join(err, refused)
	}
	return written.Changes, err
}
