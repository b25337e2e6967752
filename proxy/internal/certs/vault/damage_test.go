package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
)

// have waits until a look of each finds the values that are wanted.
func have(t *testing.T, want string, vaults ...*vault.Vault) {
	t.Helper()
	tooltest.Eventually(t, want, func() error {
		var errs []error
		for _, v := range vaults {
			looked, err := v.Look(t.Context())
			if got := fmt.Sprint(looked.Values); err == nil && got != want {
				err = errors.New(got)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// TestADamagedBlock: what the bus has lost by a bad disk was removed by nobody, and is there
// again as soon as somebody comes who has it; the epoch of the store stays as it is. What was
// removed stays removed.
func TestADamagedBlock(t *testing.T) {
	for name, away := range map[string]bool{"a proxy that was there": false, "after a time without any proxy": true} {
		t.Run(name, func(t *testing.T) {
			s, dir, restored := bustest.Start(t), t.TempDir(), t.TempDir()
			s.Prepared()
			proxy := s.Connect("proxy")
			v, _ := open(t, proxy, dir, e1)
			stale, _ := open(t, s.Connect("proxy"), restored, e1)
			for _, name := range []string{"a", "b", "c", "removed"} {
				if _, err := v.Write(t.Context(), name, name+"1", 0); err != nil {
					t.Fatal(err)
				}
			}
			have(t, "map[a:a1 b:b1 c:c1 removed:removed1]", v, stale)
			tooltest.Eventually(t, "it is removed", func() error { return v.Remove(t.Context(), "removed") })
			have(t, "map[a:a1 b:b1 c:c1]", v)
			if away {
				proxy.Close()
			}
			s.Damage(bus.ManualBucket, v.Place("b"))
			fresh, mirror := open(t, s.Connect("proxy"), t.TempDir(), e1)
			tooltest.Eventually(t, "the damaged store is read", func() error {
				if !mirror.Synced() {
					return errors.New("not yet")
				}
				return nil
			})
			if away {
				have(t, "map[a:a1 c:c1]", fresh)
				v, _ = open(t, s.Connect("proxy"), dir, e1)
			}
			have(t, "map[a:a1 b:b1 c:c1]", v, fresh)
			// One who has not heard of the removal brings nothing back.
			late, _ := open(t, s.Connect("proxy"), restored, e1)
			have(t, "map[a:a1 b:b1 c:c1]", late, fresh, v)
		})
	}
}
