package steps

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// promised is what must hold on a busy machine, too; make measure-scaler has the goals.
const promised = 5 * time.Second

// TestStepsWhileOthersStand: alerts become changes while others stand that can do nothing,
// which call nothing of Docker however often they are delivered.
func TestStepsWhileOthersStand(t *testing.T) {
	const standing, measured = 20, 5
	w := open(t, Standing(standing, measured))
	stop, err := w.Redeliver(t.Context(), standing, time.Second)
	tooltest.Must(t, err)
	calls, _, err := w.Cost(t.Context(), time.Second)
	tooltest.Must(t, err)
	if calls > 0 {
		t.Errorf("alerts that can do nothing cost %.1f calls of Docker per second", calls)
	}
	took, err := w.Steps(t.Context(), measured)
	tooltest.Must(t, err)
	if most := slices.Max(took); len(took) != measured || most > promised {
		t.Errorf("%d alerts took up to %v, want %d within %v", len(took), most, measured, promised)
	}
	tooltest.Must(t, stop())
}

// TestStepsWhileOneFails: a service that Docker refuses to change delays no other, nor do many
// alerts in one notification.
func TestStepsWhileOneFails(t *testing.T) {
	w := open(t, Failing(20))
	tooltest.Must(t, w.Fail(t.Context()))
	stored, decided, err := w.AtOnce(t.Context(), 20)
	tooltest.Must(t, err)
	if stored > promised || decided > promised {
		t.Errorf("stored after %v and decided after %v, want %v", stored, decided, promised)
	}
}

func open(t *testing.T, services func(*scalercase.Recorded) error) *World {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "wst") //nolint:usetesting // the path of a socket has 107 bytes at most
	tooltest.Must(t, err)
	t.Cleanup(func() { tooltest.Must(t, os.RemoveAll(dir)) })
	w, err := Open(context.WithoutCancel(t.Context()), dir, services)
	tooltest.Must(t, err)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}
